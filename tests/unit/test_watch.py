"""What a worker says of itself: every reason for not being well, and the metrics of what it counted."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from schemas.journal import ClockEntry, RefusedEntry, Source
from streams.settings import Settings, SettingsError, load
from streams.watch import health, reading, said
from streams.watch.exposition import METERS, Exposition, State
from streams.watch.health import Health
from streams.watch.progress import Pace, Progress
from streams.watch.reading import Part, Reading, Reason, Sample, Trouble
from streams.watch.server import Watch
from streams.watch.tally import Saved, Tally

NOW = 1_000_000.0  # monotonic seconds
NOW_NS = 1_772_000_000_000_000_000


def part(number: int = 0, *, foreign: bool = False, position: int = 10) -> Part:
    """A partition that is well: its snapshot has everything."""
    tally = Tally()
    tally.saved = Saved(position, NOW_NS, 100, 0.01)
    return Part("journal", number, tally, position, 2, True, foreign)


def well(**changes: object) -> Reading:
    """A reading of a worker that is well, with changes."""
    usual = Reading(
        True, [reading.Source("orders", 0, 10, 10, 0.3)], [part()], [], [], NOW_NS - 1_000_000_000
    )
    return usual._replace(**changes)  # type: ignore[arg-type]


class Looked(NamedTuple):
    """One look at a worker."""

    reading: Reading
    paces: dict[tuple[str, int], Pace]
    still: float = 0.5
    folder: Path = Path()


def failing(count: int) -> Reading:
    """A worker whose rule has raised."""
    one = part()
    one.tally.rule_errors["self_trade"] = count
    return well(parts=[one])


def look(reading: Reading, **more: object) -> Looked:
    return Looked(reading, {}, **more)  # type: ignore[arg-type]


# Of each reason: what gives it, and what is just not it.
CASES: dict[Reason, tuple[Looked, Looked]] = {
    Reason.STARTING: (look(well(ready=False, parts=[], sources=[])), look(well())),
    Reason.NOT_ASSIGNED: (look(well(parts=[], sources=[])), look(well())),
    Reason.STUCK: (look(well(), still=120.1), look(well(), still=120.0)),
    Reason.BEHIND: (
        look(well(sources=[reading.Source("orders", 0, 1, 9, 60.1)])),
        look(well(sources=[reading.Source("orders", 0, 1, 9, 60.0)])),
    ),
    Reason.BROKER_AWAY: (
        look(well(heard=NOW_NS - 20_100_000_000)),
        look(well(heard=NOW_NS - 20_000_000_000)),
    ),
    Reason.SNAPSHOT_OLD: (
        Looked(well(), {("journal", 0): Pace(5.0, 120.1)}),
        Looked(well(), {("journal", 0): Pace(5.0, 120.0)}),
    ),
    Reason.FOREIGN_WRITER: (look(well(parts=[part(3, foreign=True)])), look(well(parts=[part(3)]))),
    Reason.PARTITION_MISMATCH: (
        look(well(samples=[Sample("fairbook_partition_mismatches", 1)])),
        look(well(samples=[Sample("fairbook_partition_mismatches", 0)])),
    ),
    Reason.SERIES_ANEW: (
        look(well(samples=[Sample("fairbook_series_anew", 2)])),
        look(well(samples=[Sample("fairbook_series_anew", 0)])),
    ),
    Reason.RULE_FAILING: (look(failing(1)), look(failing(0))),
    **{
        told: (look(well(troubles=[Trouble(told, "an error")])), look(well()))
        for told in (Reason.COMPACTION_STOPPED, Reason.LAKE_FAILING, Reason.PARTITION_HELD)
    },
}


def judged(looked: Looked, folder: Path, now: float = NOW, judge: Health | None = None) -> list[Reason]:
    judge = judge or Health((folder,))
    found = judge.troubles(looked.reading, looked.paces, now=now, now_ns=NOW_NS, still=looked.still)
    assert all(trouble.detail for trouble in found)
    return [trouble.reason for trouble in found]


@pytest.mark.parametrize("reason", CASES)
def test_a_reason_is_given_when_it_holds_and_only_then(reason: Reason, tmp_path: Path) -> None:
    hit, near = CASES[reason]
    assert judged(hit, tmp_path) == [reason]
    assert judged(near, tmp_path) == []


def test_every_reason_is_looked_at() -> None:
    of_the_disk = {Reason.DISK_FULL, Reason.NOT_WRITABLE}
    assert {*CASES, *of_the_disk} == set(Reason)
    print(f"{len(CASES)} reasons by a case each, {len(of_the_disk)} by a disk")


def test_a_disk_that_is_full_or_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = shutil.disk_usage(tmp_path)
    for free, expected in ((health.FREE_BYTES, []), (health.FREE_BYTES - 1, [Reason.DISK_FULL])):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, n=free: usual._replace(free=n))
        assert judged(look(well()), tmp_path) == expected
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usual._replace(free=health.FREE_BYTES))
    monkeypatch.setattr(health.os, "access", lambda _path, _mode: False)
    assert judged(look(well()), tmp_path) == [Reason.NOT_WRITABLE]
    assert judged(look(well()), tmp_path / "not there yet") == []


def test_what_happened_once_is_told_for_a_while_and_again_when_it_happens_again(tmp_path: Path) -> None:
    judge = Health((tmp_path,))
    later = NOW + health.RECENT_SECONDS
    assert judged(look(failing(2)), tmp_path, NOW, judge) == [Reason.RULE_FAILING]
    assert judged(look(failing(2)), tmp_path, later - 1, judge) == [Reason.RULE_FAILING]
    assert judged(look(failing(2)), tmp_path, later, judge) == []
    assert judged(look(failing(3)), tmp_path, later + 1, judge) == [Reason.RULE_FAILING]
    assert judged(look(failing(1)), tmp_path, later + 2, judge) == [Reason.RULE_FAILING], "a rebalance"


def test_pace_and_work_that_is_in_no_snapshot() -> None:
    progress = Progress()

    def at(seconds: float, entries: int, position: int, saved: tuple[int, float] | None) -> Pace:
        tally = Tally()
        tally.entries = entries
        if saved is not None:
            tally.saved = Saved(saved[0], NOW_NS + int(saved[1] * 1e9), 1, 0.0)
        one = Part("journal", 1, tally, position, 1, True)
        return progress.note([one], NOW + seconds, NOW_NS + int(seconds * 1e9))["journal", 1]

    assert at(0, 0, 5, (5, 0)) == Pace(0.0, 0.0)
    assert at(1, 100, 7, (5, 0)) == Pace(100.0, 1.0)
    assert at(2, 200, 9, (5, 0)) == Pace(100.0, 2.0)
    assert at(60, 200, 9, (5, 0)).unsaved == 2.0, "quiet since: nothing more to save"
    assert at(61, 1_200, 10, (9, 60.5)).unsaved == 0.5
    assert at(70, 1_200, 10, (10, 69)) == Pace(100.0, 0.0)
    assert at(71, 3, 2, None) == Pace(0.0, 0.0), "loaded anew"
    assert at(73, 3, 3, None).unsaved == 2.0
    assert progress.note([], NOW + 74, NOW_NS) == {}


def test_a_tally_counts_frames_and_gives_what_was_counted() -> None:
    tally = Tally()
    refused = RefusedEntry(src=Source("orders", 0, 1), reason="conflict", detail="other", raw=b"{}")
    tally.frame([refused, ClockEntry(ts=7_000_000_000)], 120)
    tally.frame([ClockEntry(ts=5_000_000_000)], 30)
    tally.frame([], 0)
    tally.rule_errors["self_trade"] += 1
    tally.wrote(12, 34, 0.1)
    assert tally.saved is not None
    assert (tally.saved.label, tally.snapshots) == (12, 1)
    one = Part("journal", 3, tally, 12, 1, True)
    state = State(well(parts=[one]), {("journal", 3): Pace(1.0, 2.0)}, [], 0.0)
    text = exposed(state)
    for line in (
        'fairbook_entries_total{partition="3",stage="tag",topic="journal"} 3.0',
        'fairbook_frame_bytes_total{partition="3",stage="tag",topic="journal"} 150.0',
        'fairbook_refused_records_total{partition="3",reason="conflict",stage="tag",topic="journal"} 1.0',
        'fairbook_rule_errors_total{partition="3",rule="self_trade",stage="tag"} 1.0',
        'fairbook_watermark_timestamp_seconds{partition="3",stage="tag",topic="journal"} 7.0',
        'fairbook_snapshot_label_offset{partition="3",stage="tag"} 12.0',
        'fairbook_snapshot_size_bytes{partition="3",stage="tag"} 34.0',
        'fairbook_trouble{reason="behind",stage="tag"} 0.0',
        'fairbook_well{stage="tag"} 1.0',
    ):
        assert line in text.splitlines(), text


def exposed(state: State) -> str:
    registry = CollectorRegistry()
    registry.register(Exposition("tag", 0, "1.2.3", lambda: state))
    return generate_latest(registry).decode()


def test_names_of_metrics_follow_the_conventions_of_prometheus() -> None:
    units = ("_seconds", "_bytes", "_offset", "_messages", "_records", "_rows", "_files", "_frames", "_facts")
    for name, meter in METERS.items():
        assert name.startswith("fairbook_")
        assert not name.endswith("_total"), "a counter gets that by itself"
        assert meter.text
        if "second" in meter.text.lower() and not meter.counter:
            assert name.endswith("_seconds"), name
    print(f"{len(METERS)} names, {sum(name.endswith(units) for name in METERS)} with a unit")


def asked(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture
def there(tmp_path: Path) -> Settings:
    return load(broker="127.0.0.1:1", state=tmp_path, environment={})


@pytest.fixture
def serve(there: Settings) -> Callable[[Reading], Watch]:
    return lambda found: Watch(there, "tag", 0, lambda: found)


def test_a_worker_that_is_not_well_says_so_with_the_reason(
    there: Settings, serve: Callable[[Reading], Watch]
) -> None:
    with serve(well(parts=[], heard=None)) as watch:
        watch.look()
        address = said.address(there, "tag", 0)
        assert address is not None
        answer = said.ask(address)
        assert not answer.well
        assert answer.alive
        assert [why.reason for why in answer.troubles] == ["not_assigned"]
        assert asked(f"{address.url}/healthz")[0] == 503
        assert asked(f"{address.url}/livez")[0] == 200
        status, text = asked(f"{address.url}/metrics")
        assert status == 200
        assert b'fairbook_trouble{reason="not_assigned",stage="tag"} 1.0' in text
        watch._beaten -= health.STUCK_SECONDS + 1
        assert asked(f"{address.url}/livez")[0] == 503
    assert said.address(there, "tag", 0) is None
    with pytest.raises(OSError):  # nobody listens any more: the system's own words
        said.ask(address)


def test_a_reading_that_fails_leaves_what_was_seen_before(there: Settings) -> None:
    answers = iter([well(heard=None)])

    def read() -> Reading:
        found = next(answers, None)
        if found is None:
            raise RuntimeError("dictionary changed size during iteration")
        return found

    watch = Watch(there, "tag", 0, read)
    watch.look()
    before = watch.state
    watch.look()
    assert watch.state is before
    assert watch.said().well


def test_an_address_that_is_taken_is_said_in_one_line(there: Settings) -> None:
    with Watch(there, "tag", 0, well):
        first = said.address(there, "tag", 0)
        assert first is not None
        taken = load(
            broker="127.0.0.1:1", state=there.state, http=first.url.removeprefix("http://"), environment={}
        )
        with pytest.raises(SettingsError, match="cannot listen there"), Watch(taken, "detect", 0, well):
            pass
