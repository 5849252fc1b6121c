"""A simulated venue with an affiliated market maker: its records, and what was planted in them.

    run = simulate(SimulatorConfig(seed=7, seconds=60, rate=1_000, violations=Violations.each(3)))
    for topic, record in run: ...      # SPEC 2.1-2.3, in order of time; per instrument `seq` is 1, 2, 3, ...
    run.labels                         # what must be found, once the run is over; keep away from every worker
    reference_toml(run.config)         # who is who, for `reference.toml`

The run is a function of its configuration alone. It knows nothing of the rules: a label is made where the act
is. What can be planted is in `simulator_kinds`. Market making under agreement is in markets of its own
(`simulator_quoting`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from functools import partial

from schemas.events import Topic
from streams.sources.simulator_config import (
    InstrumentSpec,
    NearViolations,
    Phase,
    Record,
    SimulatorConfig,
    Violations,
    many_instruments,
)
from streams.sources.simulator_flow import Flow
from streams.sources.simulator_kinds import AFTER_A_SECOND, AT_MOMENT, AT_UNCROSS, IN_PHASE, OF_INDEPENDENT
from streams.sources.simulator_market import Book, Market
from streams.sources.simulator_participants import reference_tables
from streams.sources.simulator_plants import Plants
from streams.sources.simulator_quoters import QuotingDays, time_of
from streams.sources.simulator_quoting import agreement_tables, quoting_markets

__all__ = [
    "InstrumentSpec",
    "NearViolations",
    "Simulation",
    "SimulatorConfig",
    "Violations",
    "many_instruments",
    "reference_toml",
    "simulate",
]

EXTRA_ACTIONS = 20_000  # after the run's length, to find the situations that remaining plants need
WARM_UP_PERCENT = 3


class Simulation:
    """One run: iterate it once for (topic, record), then read `labels`, `near` and `unplanted`."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.unplanted: list[str] = []
        self._market = Market(config)
        self._flow = Flow(self._market)
        self._plants = Plants(self._market)
        self._quoting = QuotingDays(config, self._market.people)
        self._records = self._run()
        if config.quoting != "off":
            self._records = heapq.merge(self._records, self._quoting.records(), key=time_of)

    def __iter__(self) -> Iterator[tuple[Topic, Record]]:
        return self._records

    def __next__(self) -> tuple[Topic, Record]:
        return next(self._records)

    @property
    def labels(self) -> list[Record]:
        """The expected alerts, as the lines of `labels.jsonl`. Final only when the run is over."""
        labels = [*self._market.ledger.labels, *self._quoting.labels]
        labels.sort(key=lambda label: (label.ts, label.instrument, label.seq, label.instance))
        return [label.as_record() for label in labels]

    @property
    def near(self) -> list[Record]:
        """What came near a violation, by kind, with the anchor at which nothing may be said."""
        return [label.as_record() for label in self._market.ledger.near]

    @property
    def presence(self) -> list[Record]:
        """What is true of each agreement and trading day: verdict, ns by kind, warning. Final at the end."""
        return [presence.as_record() for presence in self._quoting.presence]

    @property
    def total(self) -> int:
        """Records to expect, about."""
        return self.config.total + self._quoting.total

    @property
    def spared(self) -> frozenset[str]:
        """Instruments that must reach the rules whole, since what is true of them is a matter of time."""
        return self._quoting.instruments

    def _run(self) -> Iterator[tuple[Topic, Record]]:
        market, plants = self._market, self._plants
        plan = self._plan()
        self._appoint()
        actions_left = EXTRA_ACTIONS
        while not self._is_over() or (plants.waiting and actions_left):
            if self._is_over():
                actions_left -= 1
            while plan and plan[-1][0] <= market.emitted:
                plants.waiting.append(plan.pop()[1])
            book = self._book()
            plants.commit_one(book)
            self._flow.act(book)
            market.keep_appointments()
            market.run_due()
            yield from market.drain()
            if self._is_over():
                plants.waiting.extend(kind for _, kind in reversed(plan))
                plan.clear()
        self.unplanted = plants.waiting
        market.run_due(everything=True)
        yield from market.drain()

    def _is_over(self) -> bool:
        config, market = self.config, self._market
        if config.events is not None:
            return market.emitted >= config.events
        return market.now >= config.start + config.seconds * 1_000_000_000

    def _book(self) -> Book:
        """Any book; first of all one whose phase an act is waiting for."""
        books = self._market.books
        for book in books:
            if book.engine.phase != "continuous" and self._plants.wants(book.engine.phase):
                return book
        return self._market.rng.choice(books)

    def _plan(self) -> list[tuple[int, str]]:
        """(records written, kind) of every planted act, last first.

        What must wait for a phase or a moment is ready from the start, what lets time pass comes last; the
        rest is spread over the run after a warm-up.
        """
        config, rng = self.config, self._market.rng
        kinds = [
            kind for kind, count in (*config.violations.counts(), *config.near.counts()) for _ in range(count)
        ]
        if not config.independent_maker:
            kinds = [kind for kind in kinds if kind not in OF_INDEPENDENT]
        if not config.closures:
            kinds = [kind for kind in kinds if kind not in IN_PHASE and kind not in AT_UNCROSS]
        rng.shuffle(kinds)
        early = [kind for kind in kinds if kind in IN_PHASE or kind in AT_MOMENT or kind in AT_UNCROSS]
        late = [kind for kind in kinds if kind in AFTER_A_SECOND]
        others = [kind for kind in kinds if kind not in early and kind not in late]
        percent = config.total // 100
        plan = [(0, kind) for kind in early]
        for these, begin, until in ((others, WARM_UP_PERCENT, 90), (late, 70, 95)):
            plan += [
                (percent * begin + percent * (until - begin) * index // len(these), kind)
                for index, kind in enumerate(these)
            ]
        return sorted(plan, key=lambda item: item[0])[::-1]

    def _appoint(self) -> None:
        """What happens at exact times: phases of each market, and acts at the reference data's moment."""
        config, market = self.config, self._market
        for book in market.books:
            for phase, begin, until in config.phases(book.spec.symbol):
                market.appoint(begin, partial(self._enter, book, phase))
                if phase == "auction":
                    market.appoint(until - 1, partial(self._uncross, book))
                market.appoint(until, partial(self._enter, book, "continuous"))
        for shift in sorted(set(AT_MOMENT.values())):
            kinds = [kind for kind, at in AT_MOMENT.items() if at == shift]
            for book in market.books:
                market.appoint(config.moment + shift, partial(self._at_moment, kinds, book))

    def _at_moment(self, kinds: list[str], book: Book, _ts: int) -> None:
        self._plants.commit_all(kinds, book, self._share)

    def _enter(self, book: Book, phase: Phase, ts: int) -> None:
        book.engine.enter(phase, ts)

    def _uncross(self, book: Book, ts: int) -> None:
        self._plants.commit_all(AT_UNCROSS, book, self._share)
        book.engine.uncross(ts, book.permitted)
        book.engine.enter("halt", ts)  # nothing more is accepted until trading is continuous again

    @property
    def _share(self) -> int:
        """How many acts of a kind fall to each book."""
        counts = [count for _, count in (*self.config.violations.counts(), *self.config.near.counts())]
        return -(-max(counts) // len(self._market.books))


def reference_toml(config: SimulatorConfig) -> str:
    """The reference data of a run as the text of a `reference.toml` (SPEC 2.4)."""
    markets = quoting_markets(config)
    instruments = [*config.instruments, *(market.spec for market in markets)]
    return "\n".join([*reference_tables(config, instruments), *agreement_tables(markets)])


def simulate(config: SimulatorConfig) -> Simulation:
    """Start a simulated run. Deterministic: the same configuration gives the same records and labels."""
    return Simulation(config)
