"""A real Apache Kafka for tests and benchmarks, from its published jars on the local Java; no Docker.

    python tests/broker.py          starts one, prints its address, stops with Ctrl-C

The jars are fetched once by Maven (tests/kafka/pom.xml) into `$XDG_CACHE_HOME/streamdrift/kafka`, or `.cache/kafka`
of the checkout. KRaft, loopback, free ports; the broker dies with the process that started it.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import kafka.admin
from kafka import errors as kafka_errors

ROOT = Path(__file__).resolve().parent.parent
POM = ROOT / "tests" / "kafka" / "pom.xml"
START_SECONDS = 180
PORTS = (20_000, 32_768)
STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1

# Linux ends the broker with the process that started it, however that one ends.
LAUNCH = f"""
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {int(signal.SIGKILL)})
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the starting process is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""

PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.num.partitions=1
offsets.topic.replication.factor={copies}
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.cleaner.dedupe.buffer.size=4194304
"""

BRIEF = ("-XX:TieredStopAtLevel=1",)
"""Java compiles quickly and not well: where a broker lives for a minute, compiling well takes more than it gives."""

LOGGING = """\
rootLogger.level=warn
rootLogger.appenderRef.out.ref=OUT
appender.out.type=Console
appender.out.name=OUT
"""


class BrokerUnavailable(Exception):
    """No broker can be started here, and why."""


def jars() -> Path:
    """The folder of Kafka's jars, fetched at the first call."""
    cache = os.environ.get("XDG_CACHE_HOME")
    libs = (Path(cache) / "streamdrift" / "kafka" if cache else ROOT / ".cache" / "kafka") / "libs"
    if libs.is_dir():
        return libs
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise BrokerUnavailable(f"no {tool} on the path")
    libs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libs.parent) as folder:
        fetched = Path(folder) / "libs"
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fetched}"]
        try:
            subprocess.run(["mvn", "-q", "-B", "-f", str(POM), *goal], check=True, capture_output=True, timeout=300)
        except (subprocess.SubprocessError, OSError) as error:
            raise BrokerUnavailable(f"Maven could not fetch Kafka's jars: {error}") from error
        if not libs.exists():  # another process may have been faster
            fetched.rename(libs)
    return libs


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, from below those that systems give to outgoing connections.

    One of the latter may be taken by any client between this call and the start of a broker.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(*PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in ports:
                ports.append(port)
    return ports


@dataclass(frozen=True)
class Seat:
    """A broker's place among those of its cluster. `controllers`: the controller ports of all, by node."""

    node: int
    controllers: tuple[int, ...]
    cluster_id: str

    def properties(self, port: int, data: Path) -> str:
        brokers = len(self.controllers)
        return PROPERTIES.format(
            node=self.node,
            voters=",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(self.controllers)),
            controller=self.controllers[self.node],
            port=port,
            data=data,
            copies=brokers,
            in_sync=brokers // 2 + 1,
        )


def seats(brokers: int) -> list[Seat]:
    """The places of a new cluster."""
    # Its first letter is fixed: an id that begins with "-" would be read as an option.
    cluster_id = urlsafe_b64encode(b"S" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    controllers = tuple(free_ports(brokers))
    return [Seat(node, controllers, cluster_id) for node in range(brokers)]


class Broker:
    """One broker on a folder of its own; after `stop` or `kill`, `start` goes on with its data and address.

    A folder that an earlier broker has left is gone on with too, under another address. `java`: further options.
    """

    def __init__(self, folder: Path | None = None, seat: Seat | None = None, java: Sequence[str] = ()) -> None:
        self._options = java
        self._jars = jars()
        if shutil.which("java") is None:
            raise BrokerUnavailable("no java on the path")
        self._own_folder = folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="streamdrift-kafka-")) if folder is None else folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        seat = seat or seats(1)[0]
        data = self._folder / "data"
        self._properties = self._folder / "server.properties"
        self._properties.write_text(seat.properties(port, data))
        (self._folder / "log4j2.properties").write_text(LOGGING)
        atexit.register(self.close)
        if not (data / "meta.properties").exists():
            self._java("kafka.tools.StorageTool", "format", "-t", seat.cluster_id, "-c", str(self._properties))

    def _command(self, options: Sequence[str], *arguments: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}"
        memory = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC"]
        return ["java", *memory, *options, logging, "-cp", f"{self._jars}/*", *arguments]

    def _java(self, *arguments: str) -> None:
        try:
            subprocess.run(self._command(BRIEF, *arguments), check=True, capture_output=True, timeout=START_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            self.close()
            raise BrokerUnavailable(f"{arguments[0]} failed: {error}") from error

    def start(self) -> Self:
        """Returns when the broker answers Metadata, not when its port opens."""
        self.launch()
        return self.wait()

    def launch(self) -> None:
        """Starts the process, and does not wait for it."""
        launch = [sys.executable, "-c", LAUNCH, str(os.getpid())]
        with (self._folder / "broker.log").open("ab") as log:
            # In a session of its own: Ctrl-C is for the tests, which still talk to it while they end.
            self._process = subprocess.Popen(
                [*launch, *self._command(self._options, "kafka.Kafka", str(self._properties))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> Self:
        """Until a launched broker answers."""
        self._wait_for_port()
        try:
            kafka.admin.KafkaAdminClient(
                bootstrap_servers=self.address, bootstrap_timeout_ms=START_SECONDS * 1000
            ).close()
        except kafka_errors.KafkaError as error:
            log_end = (self._folder / "broker.log").read_text()[-2000:]
            self.kill()
            raise BrokerUnavailable(f"the broker does not answer: {error}\n{log_end}") from error
        return self

    def _wait_for_port(self) -> None:
        """Keeps the client, which leaves sockets open when it is refused, from asking too early."""
        host, port = self.address.split(":")
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
                return
            time.sleep(0.05)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """SIGTERM, and waits until the process is gone."""
        self._end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """SIGSTOP freezes it, SIGCONT lets it go on."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def close(self) -> None:
        """Ends the broker, and removes its folder where it was made here."""
        self.kill()
        atexit.unregister(self.close)
        if self._own_folder:
            shutil.rmtree(self._folder, ignore_errors=True)


class Cluster:
    """Three brokers that are controllers too: three copies of every record, two of which a write waits for."""

    def __init__(self, folder: Path, brokers: int = 3) -> None:
        self.brokers = [Broker(folder / str(seat.node), seat) for seat in seats(brokers)]
        self.address = ",".join(broker.address for broker in self.brokers)

    def start(self) -> Cluster:
        """Returns when all answer; none does before two are there."""
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait()
        return self

    def stop(self) -> None:
        """SIGTERM to all at once, so that none waits for a majority that has gone; returns when they are gone."""
        for broker in self.brokers:
            broker.terminate()
        for broker in self.brokers:
            broker.stop()

    def close(self) -> None:
        for broker in self.brokers:
            broker.close()


def main() -> None:
    """Runs a broker until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    broker = Broker().start()
    print(broker.address, flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        broker.stop()
    finally:
        broker.close()


if __name__ == "__main__":
    main()
