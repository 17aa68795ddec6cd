"""Just enough of the NATS protocol to fill a JetStream stream and count its acknowledgements."""

import json
import socket
import time

# Publishes sent in one go; their acknowledgements are counted together.
CHUNK = 250

# Publishes that may be under way.
WINDOW = 4000


class Client:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)
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
                    self.socket.settimeout(30)
                    return
            except TimeoutError:
                answer = "no answer"
            if time.monotonic() > deadline:
                raise RuntimeError(f"cannot make a stream: {answer}")
            time.sleep(0.5)

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

    def one_by_one(self, name, size, seconds):
        """Microseconds from sending to acknowledgement, with nothing else under way."""
        message = b"PUB %s acks.0 %d\r\n%s\r\n" % (name.encode(), size, b"x" * size)
        begin = time.monotonic()
        times = []
        while time.monotonic() < begin + seconds:
            sent = time.perf_counter()
            self.socket.sendall(message)
            self.acknowledgements()
            times.append((time.perf_counter() - sent) * 1e6)
        times = sorted(times[len(times) // 5 :])
        return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}
