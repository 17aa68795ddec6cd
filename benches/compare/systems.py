"""Starts and stops what is measured: Synod, Apache Kafka, NATS JetStream. Each in a directory of its
own, on free ports of loopback; everything that was started is stopped by its process."""

import os
import pathlib
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")

# What Kafka's own start scripts give the JVM. Its settings are the defaults, but for replication and
# for how soon deleted files go (the disk must not fill).
KAFKA_JVM = (
    "-Xmx1G -Xms1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 "
    "-XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent "
    "-XX:MaxInlineLevel=15 -Djava.awt.headless=true"
).split()


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class System:
    """Brokers that run until `stop`."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = pathlib.Path(directory) / name
        self.directory.mkdir(parents=True)
        self.processes = []
        self.bootstrap = ""

    def spawn(self, name, command, **more):
        log = open(self.directory / f"{name}.log", "wb")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more
        )
        log.close()
        self.processes.append(process)

    def text(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def wait_for(self, what, ready, seconds=90):
        deadline = time.monotonic() + seconds
        while not ready():
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended early; see {self.directory}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: no {what} after {seconds} s")
            time.sleep(0.1)

    def pids(self):
        return [process.pid for process in self.processes]

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def resident_mib(self):
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total / 1024

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        for process in self.processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Synod(System):
    def __init__(self, directory, binary, brokers):
        super().__init__(f"synod-{brokers}", directory)
        self.brokers = brokers
        kafka, peer = free_ports(brokers), free_ports(brokers)
        cluster = ",".join(f"{n + 1}@127.0.0.1:{port}" for n, port in enumerate(peer))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SYNOD_")}
        for n in range(brokers):
            command = [binary, "serve", "--data-dir", self.directory / f"data-{n + 1}"]
            command += ["--listen", f"127.0.0.1:{kafka[n]}", "--http-listen", "127.0.0.1:0"]
            if brokers > 1:
                command += ["--node-id", str(n + 1), "--cluster", cluster]
            else:
                command += ["--peer-listen", "127.0.0.1:0"]
            self.spawn(f"broker-{n + 1}", command, env=environment)
        for n in range(brokers):
            name = f"broker-{n + 1}"
            self.wait_for("ready line", lambda: "synod ready" in self.text(name))
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in kafka)


class Kafka(System):
    def __init__(self, directory, jars, brokers, synced):
        super().__init__(f"kafka-{brokers}" + ("-synced" if synced else ""), directory)
        self.brokers = brokers
        self.jars = jars
        client, controller = free_ports(brokers), free_ports(brokers)
        voters = ",".join(f"{n + 1}@127.0.0.1:{port}" for n, port in enumerate(controller))
        factor, least = brokers, max(1, brokers - 1)
        for n in range(brokers):
            properties = f"""\
process.roles=broker,controller
node.id={n + 1}
listeners=PLAINTEXT://127.0.0.1:{client[n]},CONTROLLER://127.0.0.1:{controller[n]}
advertised.listeners=PLAINTEXT://127.0.0.1:{client[n]}
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={self.directory}/data-{n + 1}
log.segment.delete.delay.ms=1000
default.replication.factor={factor}
min.insync.replicas={least}
offsets.topic.replication.factor={factor}
transaction.state.log.replication.factor={factor}
transaction.state.log.min.isr={least}
"""
            if synced:
                properties += "log.flush.interval.messages=1\n"
            path = self.directory / f"server-{n + 1}.properties"
            path.write_text(properties)
            tool = ["kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", path]
            subprocess.run(self.java([]) + tool, check=True, stdout=subprocess.DEVNULL)
            server = self.java(KAFKA_JVM) + ["kafka.Kafka", path]
            self.spawn(f"broker-{n + 1}", server)
        for n in range(brokers):
            name = f"broker-{n + 1}"
            self.wait_for("start", lambda: "Kafka Server started" in self.text(name))
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in client)

    def java(self, options):
        # Errors alone go to standard error; the line that says it has started comes from KafkaServer.
        logging = f"-Dlog4j2.configurationFile=file:{HERE}/log4j2.properties"
        return ["java", *options, logging, "-cp", f"{self.jars}/*"]


class Nats(System):
    def __init__(self, directory, binary, brokers):
        super().__init__(f"nats-{brokers}", directory)
        self.brokers = brokers
        client, route = free_ports(brokers), free_ports(brokers)
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in route)
        for n in range(brokers):
            config = f"""\
server_name: n{n + 1}
listen: "127.0.0.1:{client[n]}"
jetstream {{ store_dir: "{self.directory}/data-{n + 1}", max_file_store: 20GB }}
"""
            if brokers > 1:
                config += f'cluster {{ name: c, listen: "127.0.0.1:{route[n]}", routes: [{routes}] }}\n'
            path = self.directory / f"server-{n + 1}.conf"
            path.write_text(config)
            self.spawn(f"broker-{n + 1}", [binary, "-c", path])
        for n in range(brokers):
            name = f"broker-{n + 1}"
            self.wait_for("start", lambda: "Server is ready" in self.text(name))
        self.addresses = {f"n{n + 1}": f"127.0.0.1:{port}" for n, port in enumerate(client)}
