"""The whole pipeline on a broker with TLS, log-ins and ACLs: each kind with its own, and nothing more."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import secured
import trustme
from pipeline import RULEBOOK, SETTLE_SECONDS, Day, replayed, same, simulated, wait_for

from schemas import codec
from streams import acls, feed, status, topics
from streams.processes import STAGES, Workers
from streams.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
KINDS = tuple(acls.GRANTS)
AUDITED = re.compile(
    r"Principal = (\S+) is (Allowed|Denied) operation = (\w+) from host = \S+ on resource = "
    r"(Topic|Group|Cluster):LITERAL:(\S+) for request"
)


class Told:
    """What a command said, with the status it ended with."""

    everything: ClassVar[list[str]] = []  # of all commands: no password may be in it

    def __init__(self, process: subprocess.Popen[str]) -> None:
        out, err = process.communicate(timeout=120)
        self.status, self.out, self.err = process.returncode, out, err
        self.everything += [out, err]

    @property
    def refusal(self) -> str:
        """The one line that says what is wrong."""
        assert self.status == 1, (self.status, self.out, self.err)
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if not line.startswith("note: ")]
        assert len(lines) == 1, self.err
        return lines[0]


def started(file: Path, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command with a log-in."""
    where = [
        "--kafka-properties",
        str(file),
        "--state",
        str(folder / "state"),
        "--lake",
        str(folder / "lake"),
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *words, *map(str, where)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def fairbook(file: Path, folder: Path, *words: str) -> Told:
    return Told(started(file, folder, *words))


@pytest.fixture(scope="module")
def cluster(kafka_libs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[secured.Cluster]:
    """The broker, a user of each kind, and its ACLs, set by the command."""
    folder = tmp_path_factory.mktemp("secured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRBOOK_KAFKA_AUDIT", "debug")
        with secured.cluster(folder, kafka_libs) as cluster:
            for kind in KINDS:
                cluster.add(f"fairbook-{kind}")
            total = sum(len(grant.operations) for grants in acls.GRANTS.values() for grant in grants)
            first = fairbook(cluster.admin, folder, "topics", "acls", "--apply")
            assert first.out == f"{total} ACLs set, 0 were there\n", first.err
            again = fairbook(cluster.admin, folder, "topics", "acls", "--apply")
            assert again.out == f"0 ACLs set, {total} were there\n", again.err
            yield cluster


def user(cluster: secured.Cluster, kind: str, folder: Path) -> Settings:
    return cluster.settings(cluster.log_in(f"fairbook-{kind}"), "", folder)


def run_the_day(cluster: secured.Cluster, day: Day, folder: Path) -> str:
    """Publish and work off a day, each with its own log-in; return the command lines that ran meanwhile."""
    day.write(folder / "recording")
    operator = cluster.log_in("fairbook-operator")
    rulebook = folder / "rulebook.toml"
    rulebook.write_text(RULEBOOK)
    for words in (
        ("topics", "create"),
        ("topics", "check"),
        ("reference", "load", str(folder / "recording"), "--rulebook", str(rulebook)),
    ):
        told = fairbook(operator, folder, *words)
        assert told.status == 0, told.out + told.err
    halves = day.records[:1_500], day.records[1_500:]
    work(cluster, folder, lambda venue: venue.records(halves[0]))
    shutil.rmtree(folder / "state" / "snapshots")  # so that each reads again what it has written
    return work(cluster, folder, lambda venue: (venue.records(halves[1]), venue.end_of_recording(day.latest)))


def work(cluster: secured.Cluster, folder: Path, publish: Callable[[feed.Feed], object]) -> str:
    """Start the workers, publish, and stop them when all is worked off; return who ran, by command lines."""
    watcher = user(cluster, "status", folder)
    workers = [Workers(user(cluster, stage, folder), (stage,)) for stage in STAGES]
    try:
        for one in workers:
            one.start(*one.stages)
        for one in workers:
            one.wait_until_ready()
        publish(feed.Feed(user(cluster, "venue", folder)))
        wait_for(lambda: not any(status.behind(watcher).values()), "all to be worked off", SETTLE_SECONDS)
        command_lines = subprocess.check_output(["ps", "-ewwo", "args"], text=True)
        told = fairbook(cluster.log_in("fairbook-status"), folder, "status")
    finally:
        for one in workers:
            one.stop()
    assert told.status == 0, told.out + told.err
    assert "Workers" in told.out
    assert command_lines.count(str(folder)) >= len(STAGES)
    return command_lines


def consumed(cluster: secured.Cluster, folder: Path) -> dict[str, dict[str, Any]]:
    """What the README's consumer has at the end, with the log-in of alert consumers."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (source,) = (
        block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "Consumer" in block
    )
    names: dict[str, Any] = {"login": user(cluster, "alerts", folder).confluent()}
    for ours, theirs in (('"bootstrap.servers": "127.0.0.1:9092"', "**login"), ("poll(30)", "poll(8)")):
        assert ours in source
        source = source.replace(ours, theirs)
    exec(compile(source, "README.md", "exec"), names)
    print(f"{len(names['alerts'])} alerts consumed")
    names["consumer"].close()
    found: dict[str, dict[str, Any]] = names["alerts"]
    return found


def audited(cluster: secured.Cluster) -> Counter[tuple[str, str, str, str, str]]:
    """What the broker recorded, as (principal, verdict, operation, kind of resource, name): how often."""
    return Counter(AUDITED.findall(cluster.audit()))


def test_the_pipeline_with_the_least_that_each_kind_needs(cluster: secured.Cluster, tmp_path: Path) -> None:
    day = simulated(seed=11, events=3_000, violations=1)
    command_lines = run_the_day(cluster, day, tmp_path)
    expected = replayed(tmp_path / "recording", tmp_path / "replayed")

    alerts = consumed(cluster, tmp_path)
    latest: dict[str, dict[str, Any]] = {}
    for content in expected.alerts.values():
        alert = codec.decode(content)
        known = latest.get(alert["alert_id"])
        if known is None or (alert["knowledge"], alert["revision"]) > (known["knowledge"], known["revision"]):
            latest[alert["alert_id"]] = alert
    encoded = [{name: codec.canonical(alert) for name, alert in found.items()} for found in (alerts, latest)]
    assert same(encoded[0], encoded[1], "alerts that the README's consumer read, against a replay") > 0

    # Each ACL was asked for, and what was asked for without one is known.
    found = audited(cluster)
    used = 0
    for line in acls.lines(user(cluster, "status", tmp_path)):
        for operation in line.grant.operations:
            asked = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()
            here = [
                key for key in found
                if key[:4] == (line.principal, "Allowed", asked, line.grant.resource.capitalize())
                and key[4].startswith(line.grant.name)
                and (line.grant.prefixed or key[4] == line.grant.name)
            ]  # fmt: skip
            assert here, f"{line.kind} never needed {operation} of {line.grant.resource} {line.pattern}"
            used += 1
    denied = {key[:1] + key[2:] for key in found if key[1] == "Denied"}
    assert denied <= {
        (f"User:fairbook-{kind}", "DESCRIBE_CONFIGS", "Topic", spec.name)
        for kind in STAGES  # what they cannot check, `topics check` does
        for spec in topics.TOPICS
    }, denied
    print(f"{used} ACLs, each asked for by its kind; nothing else was")
    assert used > 40

    secrets = [password for password in cluster.passwords.values() if password]
    texts = {
        "command lines": command_lines,
        **{f"output {n}": text for n, text in enumerate(Told.everything)},
    }
    texts |= {str(path): path.read_text(errors="replace") for path in (tmp_path / "state").rglob("*.log")}
    texts |= {
        str(path): path.read_text(errors="replace") for path in (cluster.folder / "kafka" / "log").iterdir()
    }
    for name, text in texts.items():
        assert not [secret for secret in secrets if secret in text], f"a password in {name}"
    print(f"{len(secrets)} passwords in none of {len(texts)} outputs, logs and command lines")
    assert len(secrets) == len(KINDS) + 2 and any("worker-tag" in name for name in texts)


@pytest.fixture(scope="module")
def made(cluster: secured.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, and the topics on the cluster."""
    folder = tmp_path_factory.mktemp("made")
    topics.create(user(cluster, "operator", folder))
    return folder


def without(cluster: secured.Cluster, folder: Path, line: acls.Line) -> Any:
    """A context in which one ACL of a kind is missing."""
    return secured.revoked(user_admin(cluster, folder), line)


def user_admin(cluster: secured.Cluster, folder: Path) -> Settings:
    return cluster.settings(cluster.admin, "", folder)


def each_acl(cluster: secured.Cluster, folder: Path, kind: str) -> Iterator[acls.Line]:
    for line in acls.lines(user(cluster, kind, folder), [kind]):
        for operation in line.grant.operations:
            yield line._replace(grant=line.grant._replace(operations=(operation,)))


@pytest.mark.parametrize("kind", STAGES)
def test_a_worker_says_which_acl_is_missing(cluster: secured.Cluster, made: Path, kind: str) -> None:
    settings = user(cluster, kind, made)
    count = 0
    for line in each_acl(cluster, made, kind):
        (operation,) = line.grant.operations
        expected = f"{operation} {line.grant.resource} {line.pattern}"
        with without(cluster, made, line):
            with pytest.raises(SettingsError) as refused:
                acls.require(settings, kind)
            assert expected in str(refused.value)
            assert f"`fairbook topics acls --kind {kind}`" in str(refused.value)
            assert "\n" not in str(refused.value)
        acls.require(settings, kind)
        count += 1
    print(f"{kind}: {count} ACLs taken away, one by one, and each told")
    assert count >= 4


COMMANDS = {
    "operator": [("topics", "create", "--prefix", "other."), ("reference", "load", "DAY")],
    "tag": [("worker", "tag")],
    "detect": [("worker", "detect")],
    "land": [("worker", "land")],
    "status": [("status",)],
    "venue": [("ingest", "recording", "DAY")],
}


def test_without_acls_each_command_says_so_in_one_line(
    cluster: secured.Cluster, made: Path, tmp_path: Path
) -> None:
    cluster.add("nobody")
    day = simulated(seed=1, events=100, violations=0).write(tmp_path / "day")
    told = {
        words: fairbook(cluster.log_in("nobody"), tmp_path, *(str(day) if w == "DAY" else w for w in words))
        for commands in COMMANDS.values()
        for words in commands
    }
    for words, one in told.items():
        print(" ".join(words), "->", one.refusal)
        assert "fairbook topics acls" in one.refusal or "who administers the cluster" in one.refusal
    assert len(told) == 7


@pytest.mark.parametrize("wrong", ["password", "user", "authority", "address of the certificate"])
def test_who_cannot_log_in_is_told_why(
    cluster: secured.Cluster, made: Path, tmp_path: Path, wrong: str
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    file = {
        "password": lambda: cluster.log_in("fairbook-tag", sasl_password="hush-wrong"),
        "user": lambda: cluster.log_in("fairbook-tagg", sasl_password="hush-wrong"),
        "authority": lambda: cluster.log_in("fairbook-tag", ssl_ca_location=str(stranger)),
        "address of the certificate": lambda: cluster.log_in(
            "fairbook-tag", bootstrap_servers=cluster.address.replace("127.0.0.1", "localhost")
        ),
    }[wrong]()
    began = time.monotonic()
    day = simulated(seed=1, events=100, violations=0).write(tmp_path / "day")
    running = {
        words: started(file, tmp_path, *(str(day) if w == "DAY" else w for w in words))
        for commands in COMMANDS.values()
        for words in commands
    }
    for words, process in running.items():
        refusal = Told(process).refusal
        print(" ".join(words), "->", refusal)
        assert "hush" not in refusal
        about = f"sasl.password in {file}" if wrong in ("password", "user") else "ssl.ca.location ("
        assert about in refusal
        assert (
            str(file if wrong in ("password", "user") else cluster.folder) in refusal or wrong == "authority"
        )
    print(f"{len(running)} commands told in {time.monotonic() - began:.1f} s, all at once")
    assert len(running) == 7


def test_a_password_that_others_can_read_is_warned_of(cluster: secured.Cluster, made: Path) -> None:
    file = cluster.log_in("fairbook-operator")
    assert "note:" not in fairbook(file, made, "topics", "check").err
    file.chmod(0o644)
    told = fairbook(file, made, "topics", "check")
    assert told.status == 0
    assert (
        told.err == f"note: {file} holds a password and every user of this machine can read it: chmod 600\n"
    )
