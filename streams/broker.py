"""`fairbook broker`: Apache Kafka itself, one KRaft node on this machine, for demo, tests and small venues.

All of it is under `<state>/kafka`: `data`, `log`, `libs` (the jars, resolved by Maven), `server.properties`
and `address`. The process outlives the command that started it. It is known by its command line, which names
its cluster id and folder, and not by a file with a process id: after a crash such a file would be wrong, and
the id could be somebody else's by then.
"""

from __future__ import annotations

import base64
import fcntl
import os
import socket
import string
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams import kafka_jars, logs
from streams.kafka_jars import BrokerError
from streams.settings import local_address, local_address_file, resource

__all__ = ["BrokerError", "BrokerInfo", "down", "status", "up"]

HOST = "127.0.0.1"
START_SECONDS = 90.0
STOP_SECONDS = 60.0
MAIN_CLASS = "kafka.Kafka"


@dataclass(frozen=True)
class BrokerInfo:
    """A broker that runs: where it answers, which process it is, where its files are."""

    address: str
    pid: int
    answers: bool
    memory_bytes: int
    data: Path
    log: Path


@dataclass(frozen=True)
class Secured:
    """A broker that asks who is there.

    template  the lines behind those of infra/kafka/server.properties: infra/kafka/secured.properties
    values    what stands in its ${...}, but HOST and the ports
    login     librdkafka properties with which `up` asks whether it answers
    """

    template: str
    values: Mapping[str, str] = field(repr=False)
    login: Mapping[str, str] = field(repr=False)


def up(port: int | None, state: Path, libs: Path | None = None, secured: Secured | None = None) -> BrokerInfo:
    """Starts the state folder's broker, waits until it answers, and returns it; one that runs is left alone.

    port  of 127.0.0.1; None: the one it had last, if that is free, else any free one
    libs  folder of the jars (default FAIRBOOK_KAFKA_LIBS, else <state>/kafka/libs), filled where it is not
    secured  None: whoever reaches the port of this machine may do everything
    BrokerError, in one line, where Java, Maven, the jars or the port are missing or Kafka does not start.
    """
    home = _home(state)
    home.mkdir(parents=True, exist_ok=True)
    with _only_one(home / "lock"):
        process = _find(home)
        if process is None:
            process = _start(home, _port(port, state), libs, secured)
        elif port is not None and local_address(state) != f"{HOST}:{port}":
            raise BrokerError(
                f"the broker of {state} runs on {local_address(state)}, not on port {port}:"
                " end it first (`fairbook broker down`) or leave the port out"
            )
        login = secured.login if secured else {}
        _wait_until_it_answers(process, home, login)
        return _info(process, home, login)


def down(state: Path) -> bool:
    """Ends the state folder's broker and waits until it is gone; False where none ran. Its data stays."""
    home = _home(state)
    if not home.is_dir():
        return False
    with _only_one(home / "lock"):
        process = _find(home)
        if process is not None:
            _end(process)
        local_address_file(state).unlink(missing_ok=True)
        return process is not None


def status(state: Path) -> BrokerInfo | None:
    """The state folder's broker; None where it does not run."""
    home = _home(state)
    process = _find(home)
    try:
        return None if process is None else _info(process, home)
    except psutil.NoSuchProcess:  # it ended while we looked
        return None


def _home(state: Path) -> Path:
    home = (state / "kafka").resolve()
    if not str(home).isascii() or set(str(home)) & set(",:\\"):
        raise BrokerError(f"Kafka cannot work in {home}: choose a state folder without , : \\ and accents")
    return home


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Two `up` or `down` of one folder follow one another."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cluster_id(home: Path) -> str | None:
    try:
        lines = (home / "data" / "meta.properties").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return None
    return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), None)


def _marks(home: Path, cluster_id: str) -> list[str]:
    """What only this folder's broker has on its command line; a copy of the folder has another path."""
    return [f"-Dfairbook.cluster={cluster_id}", f"-Dfairbook.broker.log={home / 'log'}"]


def _find(home: Path) -> psutil.Process | None:
    cluster_id = _cluster_id(home)
    if cluster_id is None:
        return None
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
        except psutil.Error:  # gone, a zombie, or another user's
            continue
        if MAIN_CLASS in arguments and all(mark in arguments for mark in _marks(home, cluster_id)):
            return process
    return None


def _port(wanted: int | None, state: Path) -> int:
    last = local_address(state)
    if wanted is not None:
        if not _is_free(wanted):
            raise BrokerError(f"port {wanted} is in use: choose another, or leave it out for a free one")
        return wanted
    if last is not None and _is_free(port := int(last.rpartition(":")[2])):
        return port
    return _free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just closed is free
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _start(home: Path, port: int, libs: Path | None, secured: Secured | None) -> psutil.Process:
    java = kafka_jars.java()
    jars = kafka_jars.resolve(libs or kafka_jars.default_folder(home))
    (home / "log").mkdir(exist_ok=True)
    text = resource("infra/kafka/server.properties").read_text(encoding="ascii")
    template = string.Template(text + (secured.template if secured else ""))
    controller_port = _free_port()
    while controller_port == port:
        controller_port = _free_port()
    properties = home / "server.properties"
    properties.touch(mode=0o600)  # it may hold passwords
    values = secured.values if secured else {}
    properties.write_text(
        template.substitute(
            values, HOST=HOST, PORT=port, CONTROLLER_PORT=controller_port, DATA=home / "data"
        ),
        encoding="ascii",
    )
    cluster_id = _cluster_id(home)
    if cluster_id is None:
        cluster_id = _new_cluster_id()
        kafka_jars.run_tool(
            java, jars, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)
        )
    command = [
        java,
        "-Xmx1g",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={resource('infra/kafka/log4j2.properties')}",
        *_marks(home, cluster_id),
        "-cp",
        f"{jars}/*",
        MAIN_CLASS,
        str(properties),
    ]
    local_address_file(home.parent).write_text(f"{HOST}:{port}\n", encoding="ascii")
    return _spawn(command, home / "log" / "console.log")


def _new_cluster_id() -> str:
    """A random id in Kafka's form: 16 bytes in URL-safe base 64; a leading dash would read as an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode("ascii")
        if not cluster_id.startswith("-"):
            return cluster_id


def _spawn(command: list[str], console: Path) -> psutil.Process:
    """Starts a process in a session of its own, so that neither Ctrl-C nor our end reaches it."""
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(console), write, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return psutil.Process(pid)


def _wait_until_it_answers(process: psutil.Process, home: Path, login: Mapping[str, str]) -> None:
    address = local_address(home.parent)
    assert address is not None, "written before the process was started"
    deadline = time.monotonic() + START_SECONDS
    while not _answers(address, login):
        alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        if alive and time.monotonic() < deadline:
            time.sleep(0.1)
            continue
        if alive:
            _end(process)
        local_address_file(home.parent).unlink()
        what = f"did not answer within {START_SECONDS:.0f} s" if alive else "ended while it started"
        raise BrokerError(f"Kafka {what}: {_last_error(home / 'log')}; its log is in {home / 'log'}")


def _answers(address: str, login: Mapping[str, str]) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    try:
        client = AdminClient({**login, "bootstrap.servers": address}, logger=logs.SILENT)
        brokers = client.list_topics(timeout=2).brokers
    except KafkaException:
        return False
    return bool(brokers)  # none yet: it answers, but the controller has not let it in


def _last_error(log: Path) -> str:
    for name in ("server.log", "console.log"):
        file = log / name
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
        errors = [line for line in lines if " ERROR " in line or " FATAL " in line or "Exception" in line]
        if errors:
            return errors[-1].strip()
    return "no reason given"


def _end(process: psutil.Process) -> None:
    try:
        process.terminate()
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
    except psutil.NoSuchProcess:
        pass


def _info(process: psutil.Process, home: Path, login: Mapping[str, str] | None = None) -> BrokerInfo:
    address = local_address(home.parent)
    if address is None:
        raise BrokerError(f"the broker of {home} runs (process {process.pid}), but its address file is gone")
    return BrokerInfo(
        address=address,
        pid=process.pid,
        answers=_answers(address, login or {}),
        memory_bytes=process.memory_info().rss,
        data=home / "data",
        log=home / "log",
    )
