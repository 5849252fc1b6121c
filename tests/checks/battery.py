"""One battery of checks for every rule in the registry: a new rule is covered once it is registered.

A check takes what there is to run for a rule (`Material`: the journals of its own scenarios) and returns how
many things it compared; it raises AssertionError on the first that is wrong. `CHECKS` names them all;
tests/checks/test_battery.py runs each for each rule, and plants a violation for each.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import msgspec
import soundness
import stages
from arrivals import TWIN, twins, under
from markets import market
from scenario import Case, cases, prepare, rulebooks_read_once
from stages import World, detecting

from detectors.base import Rule
from detectors.registry import PARAMETERS, RULES
from detectors.rulebook import Rulebook, RulebookError
from detectors.runner import Output, Runner
from schemas import codec
from schemas.alerts import Alert
from schemas.events import SOURCE_TOPICS
from schemas.journal import (
    ClockEntry,
    Entry,
    EventEntry,
    OrderEntry,
    QuoteEntry,
    RulebookEntry,
    Source,
    TradeEntry,
)
from schemas.reference import Fact
from streams import reference_data
from streams.replay import journal, second_pass
from streams.settings import resource

MARKETS = "generated markets"  # nasty recordings in place of a rule's cases, for what all rules stand on
SEEDS = 12
HOST = "self_trade"  # whose cases a planted rule runs in
LONG = 1_000  # outputs
HASH_SEEDS = ("0", "20260211")
MOST = 16  # what bounded memories are bounded to, for the check that they are
MINUTE = 60_000_000_000  # ns
NAMES = (
    "order_id", "cl_ord_id", "orig_cl_ord_id", "trade_id", "orig_trade_id", "match_id", "buy_order_id",
    "sell_order_id", "quote_id",
)  # fmt: skip


@dataclass
class Journal:
    """Entries to run, and where they are from."""

    name: str
    facts: list[Fact]
    entries: list[Entry]
    case: Case | None = None

    @property
    def text(self) -> str:
        """The rulebook in force."""
        return next(entry.text for entry in self.entries if isinstance(entry, RulebookEntry))

    @property
    def head(self) -> int:
        """How many entries come before the first event or clock: facts and rulebook."""
        return next(n for n, entry in enumerate(self.entries) if isinstance(entry, EventEntry | ClockEntry))

    def answers(self) -> list[bytes]:
        """What the rules say, both passes, as published."""
        runner = Runner(strict=True)
        said = [output for entry in self.entries for output in runner.apply(entry)]
        if any(fact.recorded_at is not None for fact in self.facts):
            alerts = [one for one in said if isinstance(one, Alert)]
            said += second_pass(self.entries, self.facts, alerts, strict=True)
        return published(said)


@dataclass
class Material:
    """What there is to run for one rule: the journals of its cases."""

    rule: str
    journals: list[Journal]

    @property
    def one_of_each_kind(self) -> list[Journal]:
        """The shortest case of each kind, for what runs a case hundreds of times."""
        found: dict[str, Journal] = {}
        for one in sorted(self.journals, key=lambda one: (len(one.entries), one.name)):
            for kind in one.case.kinds if one.case is not None else ():
                found.setdefault(kind, one)
        return list({one.name: one for one in found.values()}.values())


def published(outputs: list[Output]) -> list[bytes]:
    """Return outputs as the bytes that are published, in order."""
    return [
        codec.encode_alert(one) if isinstance(one, Alert) else codec.encode_metric(one) for one in outputs
    ]


def of_instrument(outputs: list[Output], instrument: str) -> list[bytes]:
    """Return, as published, what is said of one instrument."""
    return published([one for one in outputs if one.instrument == instrument])


@lru_cache
def material(rule: str) -> Material:
    """Return what there is to run for a rule, or for MARKETS."""
    with tempfile.TemporaryDirectory() as place, rulebooks_read_once():
        folder = Path(place)
        if rule == MARKETS:
            text = resource("infra/rulebook/default.toml").read_text(encoding="utf-8")
            found = []
            for seed in range(SEEDS):
                recording = market(seed, instruments=2).write(folder / str(seed))
                facts = reference_data.load(recording / "reference.toml")
                found.append(Journal(f"market {seed}", facts, list(journal(recording, facts, text))))
            return Material(rule, found)
        own = [case for case in cases() if case.rule == rule and not case.data.get("xfail")]
        prepared = [prepare(case, folder / case.path.stem) for case in own]
        journals = [Journal(one.case.name, one.facts, one.entries, one.case) for one in prepared]
        return Material(rule, [one for one in journals if len(one.answers()) < LONG])


# ---- the checks -------------------------------------------------------------------------------------------


def input_is_not_changed(material: Material) -> int:
    """An entry is the same after the rules have seen it."""
    compared = 0
    for one in material.journals:
        runner = Runner(strict=True)
        for entry in one.entries:
            before = codec.encode_frame([entry])
            runner.apply(entry)
            assert codec.encode_frame([entry]) == before, f"{one.name}: a rule changed {before!r}"
            compared += 1
    return compared


def state_survives_at_every_event(material: Material) -> int:
    """A runner restored from its snapshot goes on as the one it was taken of, after every single event."""
    compared = 0
    for one in material.journals:
        straight, passed_on = Runner(strict=True), Runner(strict=True)
        for number, entry in enumerate(one.entries, 1):
            expected = published(straight.apply(entry))
            assert published(passed_on.apply(entry)) == expected, f"{one.name}: other answers at {number}"
            if number <= one.head:
                continue
            snapshot = passed_on.snapshot()
            passed_on = Runner.restore(snapshot, strict=True)
            assert json.loads(passed_on.snapshot()) == json.loads(snapshot), f"{one.name}: other state"
            compared += 1 + len(expected)
    return compared


def crashes_lose_and_invent_nothing(material: Material) -> int:
    """A crash at every event and in every phase: before an alert is sent, after it, after the snapshot, after
    the commit; also where the agent has gone on while the snapshot was written.
    """
    points = 0
    for one in material.journals:
        frames = [codec.encode_frame(one.entries[: one.head])]
        frames += [codec.encode_frame([entry]) for entry in one.entries[one.head :]]
        for ahead in (False, True):
            here = World(frames)
            for _step in detecting(here, frames=1, ahead=ahead):
                pass
            expected = here.published()
            names = [name for messages in expected.values() for name, _content in messages]
            assert len(set(names)) == len(names), f"{one.name}: published twice without any crash"
            points += _crashed_everywhere(one.name, World(frames), ahead, expected)
    return points


def _crashed_everywhere(
    name: str, here: World, ahead: bool, expected: dict[str, list[tuple[str, bytes]]]
) -> int:
    points = 0
    for step in detecting(here, frames=1, ahead=ahead):
        left = here.copy()  # what a crash now leaves
        safe = left.snapshots[-1][0] if left.snapshots else 0
        assert left.committed <= safe, f"{name}: committed {left.committed}, safe is {safe}"
        for _step in detecting(left, frames=len(left.journal), ahead=False):
            pass
        assert left.published() == expected, f"{name}: other alerts after a crash at {step}, point {points}"
        points += 1
    return points


def duplicates_are_ignored(material: Material) -> int:
    """Every event twice, and all of them once more before the end, say what they say once."""
    compared = 0
    for one in material.journals:
        events = [entry for entry in one.entries if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry)]
        again: list[Entry] = []
        for entry in one.entries:
            if isinstance(entry, ClockEntry) and entry.end:
                again += events
            again += [entry, entry] if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry) else [entry]
        expected = one.answers()
        assert replace(one, entries=again).answers() == expected, f"{one.name}: duplicates count"
        compared += len(events) + len(expected)
    return compared


def instruments_are_independent(material: Material) -> int:
    """Beside the same market under other names, entry by entry, an instrument's answers are the same."""
    compared = 0
    for one in material.journals:
        many = beside_others(one, ("A~", "Z~"))
        for instrument in sorted({name for name in map(_instrument, one.entries) if name is not None}):
            alone = [e for e in many.entries if _instrument(e) in (instrument, None)]
            expected = of_instrument(_said(alone), instrument)
            got = of_instrument(_said(many.entries), instrument)
            assert got == expected, f"{one.name}: {instrument} comes out otherwise beside others"
            compared += 1 + len(expected)
    return compared


def instances_are_independent(material: Material) -> int:
    """A second instance of a rule, under another name, says what the first says, and changes none of it.

    Rows that name no instance (the book is the same to all) come once from each, and so does the finding that
    an instance has switched itself off.
    """
    compared = 0
    for one in material.journals:
        alone, both = (
            Counter(_of_whom(output) for output in _said(entries) if not _switched_off(output))
            for entries in (one.entries, twins(one.entries))
        )
        for (name, said), count in alone.items():
            again = [name + TWIN] if name not in (None, "data_quality") else []
            for who in (name, *again):
                expected = count if name is not None else 2 * count
                got = both.pop((who, said), 0)
                assert got == expected, (
                    f"{one.name}: {who}, beside others: {said} {got} times, not {expected}"
                )
                compared += 1
        assert not both, f"{one.name}: only beside others: {next(iter(both))}"
    return compared


def _switched_off(output: Output) -> bool:
    return isinstance(output, Alert) and output.measures.get("kind") == "not_price_time"


def _of_whom(output: Output) -> tuple[str | None, str]:
    """Whose word it is, and what is said without the names and numbers that follow from whose."""
    said = json.loads(codec.canonical(output))
    name: str | None = said.pop("instance", None)
    for follows in ("alert_id", "breach_id", "parameter_hash", "narrative"):
        said.pop(follows, None)
    said.get("measures", {}).pop("lower_99_bps", None)
    return name, json.dumps(said)


def hash_seeds_change_nothing(material: Material) -> int:
    """Processes with other hash seeds write the same journals, answers and snapshots, byte for byte."""
    rule = RULES.get(material.rule)
    name = rule.__name__ if rule is not None and rule.__module__ == "planted_rules" else ""
    found = {seed: of_a_process(seed, name) for seed in HASH_SEEDS}
    orders = {one["order of a set"] for one in found.values()}
    assert len(orders) == len(HASH_SEEDS), "expected the seeds to change the order of a set"
    counts, digests = zip(*(one[material.rule].split() for one in found.values()), strict=True)
    assert len(set(digests)) == 1, f"{material.rule}: other bytes under another hash seed"
    return int(counts[0])


def partition_counts_change_nothing(material: Material) -> int:
    """A market and copies of it over 1, 4 and 8 partitions: the same messages."""
    compared = 0
    for one in material.journals:
        if one.case is None or not one.case.orderly or one.case.arrival or one.case.clocks:
            continue
        many = beside_others(one, ("A~", "M~", "Q~", "Z~"))
        facts = [entry.fact for entry in many.entries if entry.__class__.__name__ == "ReferenceEntry"]
        lines = {
            topic: [
                json.dumps(row | {"instrument": mark + row["instrument"]}).encode()
                for row in map(json.loads, one.case.lines[topic])
                for mark in ("", "A~", "M~", "Q~", "Z~")
            ]
            for topic in SOURCE_TOPICS
        }
        said = {
            count: sorted(
                message.value
                for number, frames in enumerate(stages.tagged(lines, facts, one.text, count))
                for message in stages.judged(frames, number)
            )
            for count in (1, 4, 8)
        }
        assert said[1] == said[4] == said[8], f"{one.name}: other messages with other partition counts"
        compared += 1 + len(said[1])
    return compared


def unknown_parameters_are_refused(material: Material) -> int:
    """A rulebook with a parameter that the rule does not know, or a value of another unit, is none."""
    refused = 0
    text = material.journals[0].text
    known = Rulebook.parse(text, PARAMETERS)
    fields = RULES[material.rule].Parameters.__struct_fields__
    for instance in (one for one in known.instances if one.rule == material.rule):
        for name, value in (("no_such_parameter", "1"), *((field, '"1 parsec"') for field in fields)):
            wrong = _with_parameter(text, instance.name, name, value)
            try:
                Rulebook.parse(wrong, PARAMETERS)
            except RulebookError as error:
                assert name in str(error), f"{instance.name}: expected {name} to be named: {error}"
                refused += 1
            else:
                raise AssertionError(f"{instance.name}: {name} = {value} is taken")
    return refused


def evidence_is_input(material: Material) -> int:
    """What an alert points at had come by then, and its ids follow from what it says."""
    compared = 0
    for one in material.journals:
        rulebook = Rulebook.parse(one.text, PARAMETERS)
        runner, known = Runner(strict=True), soundness.Records()
        for entry in one.entries:
            if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry):
                kind = {OrderEntry: "order", TradeEntry: "trade", QuoteEntry: "quote"}[type(entry)]
                soundness.note(known, kind, msgspec.structs.asdict(entry))
            for output in runner.apply(entry):
                if isinstance(output, Alert):
                    wrong = soundness.unsound(output, known, rulebook)
                    assert not wrong, f"{one.name}: {output.instance}: {wrong}"
                    compared += len(output.evidence)
    return compared


def state_is_bounded(material: Material) -> int:
    """The same again and again under new names (not cases of hours): once full, no memory grows any more."""
    compared = 0
    for one in material.one_of_each_kind:
        events = [entry for entry in one.entries if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry)]
        times = [entry.ts for entry in events]
        if not events or max(times) - min(times) > 5 * MINUTE:
            continue
        before: dict[str, int] = {}
        after: dict[str, int] = {}
        with small_memories():
            runner = Runner(strict=True)
            for entry in one.entries[: one.head]:
                runner.apply(entry)
            for number in range(18 * MOST):
                for entry in repeated(events, number, runner, max(times) - min(times) + MINUTE):
                    runner.apply(entry)
                if number >= 6 * MOST and number % 4 == 0:  # some memories are cleared now and then
                    window = before if number < 12 * MOST else after
                    for name, size in state_sizes(runner, material.rule).items():
                        window[name] = max(size, window.get(name, 0))
        for name, most in after.items():
            assert most <= before[name] * 21 // 20 + 64, (
                f"{one.name}: {name} grew: {before[name]}, {most} bytes"
            )
            compared += 1
    return compared


CHECKS: dict[str, Callable[[Material], int]] = {
    check.__name__: check
    for check in (
        input_is_not_changed,
        state_survives_at_every_event,
        crashes_lose_and_invent_nothing,
        duplicates_are_ignored,
        instruments_are_independent,
        instances_are_independent,
        hash_seeds_change_nothing,
        partition_counts_change_nothing,
        unknown_parameters_are_refused,
        evidence_is_input,
        state_is_bounded,
    )
}
# What needs no rule's own cases, and so is asked of the generated markets too.
OF_MARKETS = (
    input_is_not_changed,
    state_survives_at_every_event,
    duplicates_are_ignored,
    instances_are_independent,
    hash_seeds_change_nothing,
    evidence_is_input,
)


# ---- what they do it with ---------------------------------------------------------------------------------


def _instrument(entry: Entry) -> str | None:
    return getattr(entry, "instrument", None)


def _said(entries: list[Entry]) -> list[Output]:
    runner = Runner(strict=True)
    return [output for entry in entries for output in runner.apply(entry)]


def _marked(value: object, mark: str) -> dict[str, str]:
    """Return the fields of a fact or entry that name an instrument, with a mark before the name."""
    names = [name for name in ("symbol", "instrument") if getattr(value, name, None)]
    changes = {name: mark + getattr(value, name) for name in names}
    if names and hasattr(value, "id"):
        changes["id"] = mark + value.id  # an agreement is on one instrument at a time
    return changes


def beside_others(one: Journal, marks: tuple[str, ...]) -> Journal:
    """Return a journal in which each entry comes again under other instruments' names."""
    found: list[Entry] = []
    for entry in one.entries:
        if entry.__class__.__name__ == "ReferenceEntry":
            found += [entry, *(_fact(entry, mark) for mark in marks if _marked(entry.fact, mark))]
            continue
        found.append(entry)
        if _instrument(entry) is not None:
            found += [msgspec.structs.replace(entry, **_marked(entry, mark)) for mark in marks]
    return replace(one, entries=found)


def _fact(entry: Entry, mark: str) -> Entry:
    fact = msgspec.structs.replace(entry.fact, **_marked(entry.fact, mark))
    return msgspec.structs.replace(entry, fact=fact)


def _with_parameter(text: str, instance: str, name: str, value: str) -> str:
    """Return a rulebook in which the first parameters of an instance say one thing more, or otherwise."""
    head, *tables = text.split("[[instance]]\n")
    found = []
    for table in tables:
        if f'name = "{instance}"\n' in table:
            before, first, *rest = table.split("[[instance.parameters]]\n")
            lines = [line for line in first.splitlines() if not line.startswith(f"{name} =")]
            table = "[[instance.parameters]]\n".join(
                [before, "\n".join([f"{name} = {value}", *lines, ""]), *rest]
            )
        found.append(table)
    return "[[instance]]\n".join([head, *found])


def repeated(events: list[Entry], number: int, runner: Runner, every: int) -> Iterator[Entry]:
    """Return events again for the `number`th time, later and with ids of their own; at last nothing rests."""
    last = {name: one.sequence.last for name, one in runner.markets().items()}
    for entry in events:
        changes = {name: f"{said}#{number}" for name in NAMES if (said := getattr(entry, name, None))}
        seq, ts = last.get(entry.instrument, 0) + entry.seq, entry.ts + number * every
        yield msgspec.structs.replace(entry, seq=seq, ts=ts, start=entry.start and number == 0, **changes)
    ts = max(entry.ts for entry in events) + number * every
    for name, one in runner.markets().items():
        for seq, order_id in enumerate(tuple(one.book.orders), one.sequence.last + 1):
            yield OrderEntry(
                instrument=name, seq=seq, ts=ts, exec_type="canceled", order_id=order_id, reason="user",
                src=Source("orders", 0, seq),
            )  # fmt: skip


@contextmanager
def small_memories() -> Iterator[None]:
    """Bound every memory of `detectors` to MOST things: whatever a module calls MAX_ or KEPT_."""
    kept = []
    for module in [module for name, module in sys.modules.items() if name.startswith("detectors.")]:
        for name, value in list(vars(module).items()):
            if name.startswith(("MAX_", "KEPT_")) and isinstance(value, int):
                kept.append((module, name, value))
                setattr(module, name, min(value, MOST))
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def state_sizes(runner: Runner, rule: str) -> dict[str, int]:
    """Return the bytes of what is remembered of all instruments: by each instance of the rule, and in all."""
    markets = runner.markets().values()
    names = {name for one in markets for name in one.states if name.partition(".")[0] == rule}
    sizes = {name: sum(len(codec.encode(one.states[name])) for one in markets) for name in sorted(names)}
    return sizes | {"the whole snapshot": len(runner.snapshot())}


@lru_cache
def of_a_process(hash_seed: str, planted: str = "") -> dict[str, str]:
    """Return what a new process with that hash seed writes, by rule: how many outputs, a digest of all."""
    path = os.pathsep.join(filter(None, sys.path))
    run = subprocess.run(
        [sys.executable, __file__, planted],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(line.split(": ") for line in run.stdout.splitlines())


def digest_of(material: Material) -> str:
    """Return how many outputs there are, and a digest of journals, outputs in both passes, last snapshots."""
    count, digest = 0, hashlib.blake2b(digest_size=16)
    for one in material.journals:
        digest.update(codec.encode_frame(one.entries))
        said = one.answers()
        runner = Runner(strict=True)
        for entry in one.entries:
            runner.apply(entry)
        digest.update(b"".join(said) + runner.snapshot())
        count += len(said)
    return f"{count} {digest.hexdigest()}"


@contextmanager
def planted(rule: type[Rule]) -> Iterator[Material]:
    """Register a rule for a while; yields the journals of another rule's cases, with an instance of it."""
    RULES[rule.name], PARAMETERS[rule.name] = rule, rule.Parameters
    parameters = "[[instance.parameters]]\nvalid_from = 2026-02-11T00:00:00Z\n"
    more = f'[[instance]]\nrule = "{rule.name}"\nname = "{rule.name}"\nprovenance = "assumed"\n'
    more += f'reference = "planted"\n{parameters}'
    journals = [
        replace(one, entries=under(one.entries, lambda text: f"{text}\n{more}"))
        for one in material(HOST).journals
    ]
    try:
        yield Material(rule.name, journals)
    finally:
        del RULES[rule.name], PARAMETERS[rule.name]


def main(name: str) -> None:
    """Print the digest of every rule's answers, or of a planted one's: what `of_a_process` reads."""
    with rulebooks_read_once():
        if name:
            with planted(getattr(importlib.import_module("planted_rules"), name)) as found:
                print(f"{found.rule}: {digest_of(found)}")
        else:
            for rule in (*sorted(RULES), MARKETS):
                print(f"{rule}: {digest_of(material(rule))}")
    print(f"order of a set: {','.join({f'account-{number}' for number in range(20)})}")


if __name__ == "__main__":
    main(sys.argv[1])
