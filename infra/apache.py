"""The real Apache Kafka, one node in KRaft mode, its jars from Maven."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

from infra.services import LOOPBACK, free_port, kafka_ready
from infra.supervisor import Service
from stream.contracts.errors import ConfigurationError

POM: Final = Path(__file__).parent / "kafka" / "pom.xml"

OLDEST_JAVA: Final = 17  # what the server of Kafka 4 runs on
# A gigabyte is plenty for one node that serves one machine, and the rest is for the page cache.
HEAP: Final = "-Xmx1g"

# One node cannot replicate; the internal topics default to 50 partitions, which a start pays for.
# A restart after kill -9 has to wait until the session of the one that was killed runs out, by
# default 9 s. Nothing is created by a client that merely asks: topics come from `producers.admin`.
_CONFIG: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
log.dirs={data}
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


def apache(port: int, home: Path, say: Callable[[str], None]) -> Service:
    """Apache Kafka, with its log under `home`: started again there, it recovers what it had.

    Args:
        port: where it listens.
        home: directory of its data and configuration.
        say: gets a line before the jars are fetched, which takes a while, once.

    Raises ConfigurationError where Java or Maven is missing, or the data is not Kafka's.
    """
    java = _java()
    classpath = f"{_jars(say)}/*"
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    config, data = home / "server.properties", home / "data"
    config.write_text(_CONFIG.format(host=LOOPBACK, port=port, controller=free_port(), data=data))
    if not (data / "meta.properties").exists():  # written last when a directory is formatted
        cluster = urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        tool = [java, "-cp", classpath, "kafka.tools.StorageTool", "format"]
        _run([*tool, "--ignore-formatted", f"--cluster-id={cluster}", "--config", str(config)])
    address = f"{LOOPBACK}:{port}"
    return Service(
        name="broker",
        command=[java, HEAP, "-Dlog4j2.level=INFO", "-cp", classpath, "kafka.Kafka", str(config)],
        address=address,
        ready=lambda: kafka_ready({"bootstrap.servers": address}),
    )


def _java() -> str:
    """The Java to run: JAVA_HOME's, or else the one on PATH."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        raise ConfigurationError(
            f"Apache Kafka needs Java {OLDEST_JAVA} or later and there is no `java` "
            f"{f'in JAVA_HOME, {home}' if home else 'on PATH'}: install a JRE, or use the broker "
            "`tansu`, which needs none"
        )
    said = _run([java, "-version"])
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise ConfigurationError(
            f"Apache Kafka needs Java {OLDEST_JAVA} or later, and {java} is "
            f"{said.partition(chr(10))[0]}: set JAVA_HOME to a newer one"
        )
    return java


def _jars(say: Callable[[str], None]) -> Path:
    """The directory of Kafka's jars, fetched by Maven the first time for this `pom.xml`."""
    target = POM.parent / "target"
    jars = target / f"jars-{hashlib.blake2b(POM.read_bytes(), digest_size=6).hexdigest()}"
    if jars.exists():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(
            "the jars of Apache Kafka come from Maven and there is no `mvn` on PATH: install "
            "Maven, or use the broker `tansu`, which needs none"
        )
    say("fetching the jars of Apache Kafka with Maven, about 45 MB, once")
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        fetched = Path(scratch, "jars")
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        _run([maven, "-q", "-B", "-f", str(POM), *goal, f"-DoutputDirectory={fetched}"])
        if not jars.exists():  # someone else may have been faster
            fetched.rename(jars)
    return jars


def _run(command: Sequence[str]) -> str:
    """What a program that does its work and ends printed, on both outputs."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise ConfigurationError(
            f"`{Path(command[0]).name}` ended with status {done.returncode}, having said:\n"
            f"{done.stdout.strip()}"
        )
    return done.stdout
