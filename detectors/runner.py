"""The rules over one journal partition: entries in, alerts and metrics out, state in between."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from detectors.context import Context
from detectors.market import Market, MarketState
from detectors.registry import RULES
from schemas import codec
from schemas.alerts import Alert
from schemas.journal import (
    ClockEntry,
    Entry,
    OrderEntry,
    QuoteEntry,
    ReferenceEntry,
    RefusedEntry,
    RulebookEntry,
    TradeEntry,
)
from schemas.metrics import Metric
from schemas.reference import Fact

Output = Alert | Metric

# What an alert says of them: no place, since places differ between a topic and a recording. The record's own
# `detail`, with the place of its twin, is in the journal and in the lake.
SAID_TWICE = {
    "duplicate": "another record has the same seq and says the same",
    "conflict": "another record has the same seq and says something else",
    "partition_mismatch": "a record of this instrument came on a partition that is not its own",
}


class Snapshot(msgspec.Struct):
    """A Runner's whole state."""

    digest: str
    rulebook: str | None
    facts: list[Fact]
    markets: list[MarketState]


class SnapshotRefused(ValueError):
    """A snapshot of other rules, rule versions or rulebook: rebuild from the journal."""


class Runner:
    """All instruments of one journal partition. A pure function of the entries applied so far.

    `hindsight`: all facts known now; makes this pass 2 of SPEC.md 2.4 (facts in the journal are then
    ignored). `strict` raises what a rule raises; otherwise it becomes a `rule_error` finding.
    """

    def __init__(self, *, hindsight: Sequence[Fact] | None = None, strict: bool = False) -> None:
        self._hindsight = hindsight
        self._strict = strict
        self._facts: list[Fact] = []
        self._context: Context | None = None
        self._markets: dict[str, Market] = {}

    @property
    def digest(self) -> str:
        """Identity of what computes the answers: rulebook, and names and versions of the rules."""
        versions = ",".join(f"{name}={rule.version}" for name, rule in sorted(RULES.items()))
        book = self._context.rulebook.digest if self._context is not None else ""
        return hashlib.blake2b(f"{versions};{book}".encode(), digest_size=16).hexdigest()

    def apply(self, entry: Entry) -> list[Output]:
        """Apply one journal entry and return what it decides, in order.

        Raises ValueError for an event that comes before any rulebook.
        """
        if isinstance(entry, OrderEntry | TradeEntry | QuoteEntry):
            market = self._markets.get(entry.instrument) or self._open(entry.instrument)
            market.apply(entry)
            if not market.out:
                return []
            out, market.out = market.out, []
            return out
        if isinstance(entry, ClockEntry):
            return self._clock(entry)
        if isinstance(entry, RefusedEntry):
            return self._refused(entry)
        if isinstance(entry, ReferenceEntry):
            self._learn(entry.fact)
        elif isinstance(entry, RulebookEntry):
            self._use(entry.text)
        return []

    def markets(self) -> dict[str, Market]:
        """Return the markets by instrument, to read."""
        return self._markets

    # ---- parts --------------------------------------------------------------------------------------

    def _open(self, instrument: str) -> Market:
        if self._context is None:
            raise ValueError("expected a rulebook in the journal before the first event")
        market = self._markets[instrument] = Market(instrument, self._context)
        return market

    def _learn(self, fact: Fact) -> None:
        if self._hindsight is not None:
            return
        self._facts.append(fact)
        if self._context is not None:
            self._context.directory.add(fact)
            self._context.changes += 1

    def _use(self, text: str) -> None:
        if self._context is None:
            facts = self._facts if self._hindsight is None else self._hindsight
            self._context = Context(text, facts, hindsight=self._hindsight is not None, strict=self._strict)
            return
        self._context.use(text)
        for market in self._markets.values():
            market.use_rules()

    def _clock(self, entry: ClockEntry) -> list[Output]:
        out: list[Output] = []
        for instrument in sorted(self._markets):
            market = self._markets[instrument]
            market.clock(entry.ts, entry.end)
            out.extend(market.out)
            market.out = []
        return sorted(out, key=_decided)

    def _refused(self, entry: RefusedEntry) -> list[Output]:
        """A refused record that carries a finding on the venue's record.

        Its place among the events is that of its arrival, which differs between topics and a recording: it is
        decided at its own `ts`, not at the instrument's time.
        """
        said = SAID_TWICE.get(entry.reason)
        if not entry.instrument or entry.seq is None or said is None:
            return []
        market = self._markets.get(entry.instrument) or self._open(entry.instrument)
        market.fault(entry.reason, entry.seq, entry.seq, entry.ts or 0, said)
        out, market.out = market.out, []
        return [
            msgspec.structs.replace(one, decided_ts=one.ts) if isinstance(one, Alert) else one for one in out
        ]

    # ---- snapshots ----------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return the whole state, encoded."""
        return codec.encode(
            Snapshot(
                digest=self.digest,
                rulebook=self._context.rulebook.text if self._context is not None else None,
                facts=self._facts,
                markets=[self._markets[name].dump() for name in sorted(self._markets)],
            )
        )

    @classmethod
    def restore(cls, data: bytes, *, strict: bool = False) -> Runner:
        """Return the Runner whose `snapshot` this is. Raises SnapshotRefused if other rules wrote it."""
        state = codec.decode(data, type=Snapshot)
        runner = cls(strict=strict)
        runner._facts = state.facts
        if state.rulebook is not None:
            runner._use(state.rulebook)
        if runner.digest != state.digest:
            raise SnapshotRefused(f"expected a snapshot of {runner.digest}, got one of {state.digest}")
        for market in state.markets:
            assert runner._context is not None
            runner._markets[market.instrument] = Market.load(market, runner._context)
        return runner


def _decided(output: Output) -> tuple[int, str, str]:
    if isinstance(output, Alert):
        return output.decided_ts, output.instrument, output.breach_id
    return 0, output.instrument, ""
