"""The cases of tests/scenarios through a real Kafka and the workers, hundreds at once: as written.

Each case has instruments of its own, named after it, and all share one reference data and one rulebook. The
cases are fed one after the other, each with the end of its recording. What is compared is all that was
published of a case's instruments for the journal up to its own end: what later ends add is of other cases.
Left out are cases with accounts, holdings or parameters of their own, with facts recorded later, with lines
that nobody can read, that are days long, or that say when a record arrives.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import scenario
from pipeline import Pipeline, Published
from scenario import Case, Comparison, Outcome, Row

from detectors.runner import Output, Runner
from schemas import codec
from schemas.alerts import Alert
from schemas.events import Topic
from schemas.journal import ClockEntry, RefusedEntry
from schemas.reference import Fact
from streams import feed, reference_data
from streams.replay import journal
from streams.sources import recording

Place = tuple[int, int]  # of a journal partition: offset, index
PARTITIONS = 8
NOT_YET: Place = (-1, 0)
LONG = 3_600_000_000_000  # ns
OWN_WORLD = {"accounts", "entities", "affiliations", "mm_registrations", "defaults", "without", "extends"}


class Fed(NamedTuple):
    """A case whose instruments and agreements have names of their own, and what a replay publishes of it."""

    case: Case
    mark: str  # at the end of its names
    records: list[tuple[Topic, bytes]]
    expected: list[bytes]

    @property
    def latest(self) -> int:
        """When its recording ends."""
        return max(codec.place_of(data).ts or 0 for _topic, data in self.records)


def shared(case: Case) -> bool:
    """Return True if a case can be one of many in one venue."""
    text = scenario.reference_toml(case)
    if case.data.keys() & {"parameters", "venue", "xfail"} or case.arrival or case.clocks or not case.orderly:
        return False
    if case.data.get("reference", {}).keys() & OWN_WORLD or "recorded_at" in text or "withdrawn" in text:
        return False
    times = [json.loads(line)["ts"] for lines in case.lines.values() for line in lines]
    return max(times) - scenario.START < LONG


def reference(marked: list[tuple[Case, str]]) -> str:
    """Return the reference data of all cases: the base's, and each case's own rows about its instruments."""
    base = tomllib.loads((scenario.FOLDER / "base.toml").read_text(encoding="utf-8"))
    tables: dict[str, list[Row]] = {name: rows for name, rows in base.items() if name != "flagged"}
    common, tables["instruments"] = tables["instruments"], []
    for row in tables["mm_registrations"]:
        if row["instruments"] != ["*"]:
            row["instruments"] = [name + mark for _, mark in marked for name in row["instruments"]]
    for case, mark in marked:
        own = dict(case.data.get("reference", {}))
        listed = {row["symbol"] for row in own.get("instruments", [])}
        own["instruments"] = [
            *own.get("instruments", []),
            *(row for row in common if row["symbol"] not in listed),
        ]
        for table, rows in own.items():
            tables.setdefault(table, []).extend(
                {
                    key: value + mark if key in ("symbol", "instrument", "id") else value
                    for key, value in row.items()
                }
                for row in rows
            )
    return "\n".join(line for name, rows in tables.items() for line in scenario._tables(name, rows)) + "\n"


def prepared(folder: Path) -> tuple[list[Fact], str, list[Fed]]:
    """Return reference data, rulebook, and every case that can be one of many, with its replay's answers."""
    marked = [(case, f"~{number:04}") for number, case in enumerate(filter(shared, scenario.cases()))]
    (folder / "reference.toml").write_text(reference(marked), encoding="utf-8")
    facts, rulebook = reference_data.load(folder / "reference.toml"), scenario.rulebook_toml(marked[0][0])
    found = []
    for case, mark in marked:
        place = folder / mark
        place.mkdir()
        for topic, lines in case.lines.items():
            rows = [json.loads(line) for line in lines]
            told = [json.dumps(row | {"instrument": row["instrument"] + mark}) for row in rows]
            (place / f"{topic}.jsonl").write_text("\n".join(told), encoding="utf-8")
        runner = Runner(strict=True)
        own = [fact for fact in facts if _of(fact, mark)]
        outputs = [output for entry in journal(place, own, rulebook) for output in runner.apply(entry)]
        records = [(line.topic, line.data) for line in recording.read(place)]
        found.append(Fed(case, mark, records, sorted(map(encoded, outputs))))
    return facts, rulebook, _apart(found)


def _apart(fed: list[Fed]) -> list[Fed]:
    """Return the cases so that neighbours end at different times: an end said again is one end."""
    ascending = sorted(fed, key=lambda one: (one.latest, one.mark))
    half = len(fed) // 2
    found = [one for pair in zip(ascending, ascending[half:], strict=False) for one in pair][: 2 * half]
    found += ascending[2 * half :]
    assert all(one.latest != other.latest for one, other in pairwise(found))
    return found


def _of(fact: Fact, mark: str) -> bool:
    """Return True if a fact is about no other case's instrument."""
    about = getattr(fact, "symbol", None) or getattr(fact, "instrument", None) or mark
    return str(about).endswith(mark)


def encoded(output: Output) -> bytes:
    """Return an output as it is published."""
    return codec.encode_alert(output) if isinstance(output, Alert) else codec.encode_metric(output)


def ends(pipeline: Pipeline) -> tuple[dict[str, Place], dict[str, Counter[str]]]:
    """Return where in its journal each instrument's recording ended; what was refused of each case."""
    found: dict[str, Place] = {}
    refused: dict[str, Counter[str]] = {}
    for message in sorted(pipeline.messages("journal"), key=lambda one: (one.partition, one.offset)):
        for index, entry in enumerate(codec.decode_frame(message.value)):
            name = getattr(entry, "instrument", None)
            if isinstance(entry, RefusedEntry):
                refused.setdefault(str(name)[-5:], Counter())[entry.reason] += 1
            if name is not None:
                found[name] = NOT_YET
            if isinstance(entry, ClockEntry) and entry.end:
                place = message.offset, index
                found |= {name: place for name, at in found.items() if at == NOT_YET}
    return found, refused


def test_every_case_that_can_share_a_venue_comes_out_as_written(broker: str, tmp_path: Path) -> None:
    facts, rulebook, fed = prepared(tmp_path)
    with Pipeline(broker, tmp_path, "cases.", partitions=PARTITIONS) as pipeline:
        pipeline.start("tag", "detect")
        publisher = feed.Feed(pipeline.settings)
        publisher.reference(facts, rulebook)
        for one in fed:
            publisher.records(one.records)
            publisher.end_of_recording(one.latest)
        pipeline.settle("tag", "detect")
        published = [*pipeline.messages("alerts"), *pipeline.messages("metrics")]
        end, refused = ends(pipeline)
    said: dict[str, list[tuple[Place, Published]]] = {one.mark: [] for one in fed}
    for message in published:
        name = message.headers["ce_subject"]
        place = int(message.headers["ce_journaloffset"]), int(message.headers["ce_journalindex"])
        if place <= end[name]:
            said[name[-5:]].append((place, message))
    compared = Counter[str]()
    for one in fed:
        values = [message.value for _place, message in sorted(said[one.mark], key=lambda pair: pair[0])]
        assert sorted(values) == one.expected, one.case.name
        told = [value.replace(one.mark.encode(), b"") for value in values]
        outcome = Outcome(
            [
                codec.decode_alert(x) if b'"alert_id":"' in x and b'"rule"' in x else codec.decode_metric(x)
                for x in told
            ],
            refused.get(one.mark, Counter()),
        )
        comparison = Comparison(one.case, outcome)
        assert not comparison.differences, f"{one.case.name}: " + "\n".join(comparison.differences)
        compared["outputs byte for byte"] += len(values)
        compared["things of `then`"] += comparison.compared
    print(f"{len(fed)} cases at once through a real Kafka, compared: {dict(compared)}")
    assert len(fed) > 250
    assert len(compared) == 2 and min(compared.values()) > 1_000
