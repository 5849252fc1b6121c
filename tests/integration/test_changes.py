"""Reference data and rulebook that come late or change in mid-run: they hold from their journal place on."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from pipeline import RULEBOOK, Pipeline, same, simulated

from schemas import codec
from schemas.journal import OrderEntry, QuoteEntry, ReferenceEntry, RulebookEntry, TradeEntry
from schemas.reference import Account
from streams import feed

MOVED = "CL-03"
NEW_RULEBOOK = RULEBOOK.replace("alert_book_fills = false", "alert_book_fills = true")
EVENTS = OrderEntry | TradeEntry | QuoteEntry


def test_changes_hold_from_their_place_in_the_journal_on(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=53, events=3_500, violations=1)
    # One instrument's first seqs, before anybody has said who is who; then two parts around the change.
    cuts = (0, 400, 2_000, len(day.records))
    before, first, second = (day.records[low:high] for low, high in pairwise(cuts))
    since = min(codec.place_of(data).ts or 0 for _topic, data in second)
    with Pipeline(broker, tmp_path, "change.") as pipeline:
        publisher = feed.Feed(pipeline.settings)
        publisher.records(before)
        pipeline.start()
        pipeline.settle()
        pipeline.know(day)
        publisher.records(first)
        pipeline.settle()
        _load(pipeline, tmp_path, day.reference, since)
        publisher.records(second)
        pipeline.kill()
        pipeline.start()
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        pipeline.stop()
        alerts = pipeline.said("alerts")
        again, metrics = pipeline.judged_again()
        assert same(alerts, again, "alerts of the journal read again") > 0
        assert same(pipeline.said("metrics"), metrics, "metrics of the journal read again") > 0

        parts = {"before": before, "first": first, "second": second}
        part_of = {_place(data): name for name, records in parts.items() for _topic, data in records}
        placed = 0
        for _number, entries in pipeline.journal():
            order = [_kind(entry, part_of) for entry in entries]
            events = [kind for kind in order if kind in parts]
            placed += len(events)
            if not events:
                continue
            assert order[0] == "rulebook", "the one that ships, until there is another"
            books = [entry.text for entry in entries if isinstance(entry, RulebookEntry)]
            assert books == [RULEBOOK, NEW_RULEBOOK]
            last = len(order) - 1 - order[::-1].index("rulebook")
            moved = order.index("moved")
            fact = order.index("fact")
            assert set(order[1:fact]) <= {"before"}
            assert set(order[fact : min(last, moved)]) <= {"fact", "first"}, "after all of the first part"
            assert set(order[max(last, moved) :]) <= {"rulebook", "moved", "second", "clock"}
            roles = {
                (part_of[entry.instrument, entry.seq], entry.role)
                for entry in entries
                if isinstance(entry, OrderEntry) and entry.account == MOVED
            }
            assert roles <= {("before", "unknown"), ("first", "client"), ("second", "affiliate")}
        assert placed == len(day.records)
        print(f"{placed} events in the journal, each on its side of the changes")

        found = [codec.decode_alert(content) for content in alerts.values()]
        moved_alerts = {a.ts >= since for a in found if a.measures.get("code") == "unregistered_affiliate"
                        and MOVED in a.accounts}  # fmt: skip
        assert moved_alerts == {True}
        book_fills = {a.ts >= since for a in found if a.instance == "client_priority.client_first"
                      and a.rule == "client_priority"}  # fmt: skip
        assert True in book_fills


def _place(data: bytes) -> tuple[str | None, int | None]:
    seen = codec.place_of(data)
    return seen.instrument, seen.seq


def _kind(entry: object, part_of: dict[tuple[str | None, int | None], str]) -> str:
    if isinstance(entry, EVENTS):
        return part_of[entry.instrument, entry.seq]
    if isinstance(entry, ReferenceEntry):
        fact = entry.fact
        return "moved" if isinstance(fact, Account) and fact.recorded_at is not None else "fact"
    return "rulebook" if isinstance(entry, RulebookEntry) else "clock"


def _load(pipeline: Pipeline, folder: Path, reference: str, since: int) -> None:
    """`fairbook reference load`: a client's account becomes the operator's treasury's; another rulebook."""
    moved = f'\n[[accounts]]\naccount = "{MOVED}"\nentity = "treasury"\nkind = "institutional"\n'
    moved += f"valid_from = {since}\nrecorded_at = {since}\n"
    (folder / "reference.toml").write_text(reference + moved, encoding="utf-8")
    (folder / "rulebook.toml").write_text(NEW_RULEBOOK, encoding="utf-8")
    settings = pipeline.settings
    command = [
        *(sys.executable, "-m", "streams.cli", "reference", "load", str(folder / "reference.toml")),
        *("--rulebook", str(folder / "rulebook.toml"), "--broker", settings.broker or ""),
        *("--prefix", settings.prefix, "--state", str(settings.state)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
