"""Just enough of the NATS protocol to fill a JetStream stream and time its acknowledgements."""

import json
import math
import re
import select
import socket
import time

# Publishes sent in one go; their acknowledgements are counted together.
CHUNK = 250

# Seconds that a server may be silent.
PATIENCE = 30

# Publishes that may be under way.
WINDOW = 4000

# Head of an acknowledgement of the open loop: which publish, and how long its body is.
ACK = re.compile(rb"MSG acks\.(\d+) 1 +(\d+)\r\n")


def percentiles(times):
    """As `synod bench --json` calls them; microseconds from seconds."""
    times = sorted(times)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    found = {name: times[int(len(times) * share)] * 1e6 for name, share in at.items()}
    return {"count": len(times), **found, "max": times[-1] * 1e6}


class Client:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.line()
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB acks.> 1\r\nPING\r\n')
        while self.line() != b"PONG":
            pass

    def more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise RuntimeError("the server hung up")
        if b"PING\r\n" in data:
            self.socket.sendall(b"PONG\r\n")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def ask(self, subject, body):
        self.socket.sendall(b"PUB %s acks.0 %d\r\n%s\r\n" % (subject.encode(), len(body), body))
        while True:
            head = self.line()
            if head.startswith(b"MSG "):
                size = int(head.split()[-1])
                while len(self.buffer) < size + 2:
                    self.more()
                answer, self.buffer = self.buffer[:size], self.buffer[size + 2 :]
                return json.loads(answer)

    def make_stream(self, name, replicas, patience=60):
        """A new stream that takes the subject of its name; asked again while the cluster forms."""
        config = {"name": name, "subjects": [name], "num_replicas": replicas, "storage": "file"}
        deadline = time.monotonic() + patience
        self.socket.settimeout(10)
        while True:
            try:
                answer = self.ask(f"$JS.API.STREAM.CREATE.{name}", json.dumps(config).encode())
                if "error" not in answer:
                    self.socket.settimeout(PATIENCE)
                    return
            except TimeoutError:
                answer = "no answer"
            if time.monotonic() > deadline:
                raise RuntimeError(f"cannot make a stream: {answer}")
            time.sleep(0.5)

    def leader(self, name):
        """The server that leads a stream; None without a cluster."""
        return self.ask(f"$JS.API.STREAM.INFO.{name}", b"").get("cluster", {}).get("leader")

    def held(self, name):
        return self.ask(f"$JS.API.STREAM.INFO.{name}", b"")["state"]["messages"]

    def acknowledgements(self):
        """Counts those that have come, waiting for one at least."""
        while (count := self.buffer.count(b'"seq":')) == 0:
            self.more()
        if b'"error"' in self.buffer:
            raise RuntimeError(self.buffer[:300])
        # What follows the last one counted may be cut in two: it is kept.
        self.buffer = self.buffer[self.buffer.rfind(b'"seq":') + 6 :]
        return count

    def throughput(self, name, size, warmup, seconds):
        chunk = b"PUB %s acks.0 %d\r\n%s\r\n" % (name.encode(), size, b"x" * size) * CHUNK
        begin = time.monotonic()
        sent = acked = before = 0
        since = None
        while (now := time.monotonic()) < begin + warmup + seconds:
            if since is None and now >= begin + warmup:
                since, before = now, acked
            while sent - acked <= WINDOW - CHUNK:
                self.socket.sendall(chunk)
                sent += CHUNK
            acked += self.acknowledgements()
        elapsed, measured = time.monotonic() - since, acked - before
        while acked < sent:
            acked += self.acknowledgements()
        return {"acked": acked, "measured": measured, "seconds": elapsed}

    def open_loop(self, name, size, rate, warmup, seconds):
        """Publishes by the clock, however long earlier ones take. Latency counts from when a publish
        was due; how late it was handed over is told beside it."""
        # The kernel may wake a thread so much later than it asked for: 50 µs if nothing is said.
        with open("/proc/self/timerslack_ns", "w") as slack:
            slack.write("1")
        subject, body = name.encode(), b"%d\r\n%s\r\n" % (size, b"x" * size)
        total, skipped = int(rate * (warmup + seconds)), int(rate * warmup)
        latencies, lateness = [], []
        begin = time.perf_counter() + 0.01
        sent = acked = 0
        while acked < total:
            now = time.perf_counter()
            due = min(total, math.floor((now - begin) * rate) + 1)
            if due > sent:
                parts = (b"PUB %s acks.%d %s" % (subject, n, body) for n in range(sent, due))
                self.socket.sendall(b"".join(parts))
                lateness.extend(now - begin - n / rate for n in range(max(sent, skipped), due))
                sent = due
            left = begin + sent / rate - time.perf_counter() if sent < total else PATIENCE
            if select.select([self.socket], [], [], max(0, left))[0]:
                for n, at in self.times():
                    acked += 1
                    if n >= skipped:
                        latencies.append(at - begin - n / rate)
            elif sent == total:
                raise RuntimeError(f"{total - acked} publishes are not acknowledged")
        return {
            "latency_us": percentiles(latencies),
            "lateness_us": percentiles(lateness),
            "acked": acked,
        }

    def times(self):
        """Which publishes were acknowledged by what has come, and when."""
        self.more()
        at, end = time.perf_counter(), 0
        if b'"error"' in self.buffer:
            raise RuntimeError(self.buffer[:300])
        for head in ACK.finditer(self.buffer):
            next_end = head.end() + int(head[2]) + 2
            if next_end > len(self.buffer):
                break
            end = next_end
            yield int(head[1]), at
        self.buffer = self.buffer[end:]

    def one_by_one(self, name, size, seconds):
        """Microseconds from sending to acknowledgement, with nothing else under way."""
        message = b"PUB %s acks.0 %d\r\n%s\r\n" % (name.encode(), size, b"x" * size)
        begin = time.monotonic()
        times = []
        while time.monotonic() < begin + seconds:
            sent = time.perf_counter()
            self.socket.sendall(message)
            self.acknowledgements()
            times.append(time.perf_counter() - sent)
        return percentiles(times[len(times) // 5 :])
