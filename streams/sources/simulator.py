"""A simulated venue with an affiliated market maker: its records, and what was planted in them.

    run = simulate(SimulatorConfig(seed=7, seconds=60, rate=1_000, violations=Violations.each(3)))
    for topic, record in run: ...      # SPEC 2.1-2.3, in order of time; per instrument `seq` is 1, 2, 3, ...
    run.labels                         # what must be found, once the run is over; keep away from every worker
    reference_toml(run.config)         # who is who, for `reference.toml`

The run is a function of its configuration alone. It knows nothing of the rules: a label is made where the act
is. Market making under agreement, halts and auctions, and protection are in markets of their own
(`simulator_quoting`). Missing so far: corrections, cancel bursts, all-or-none and pegged orders.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from schemas.events import Topic
from streams.sources.simulator_config import InstrumentSpec, Record, SimulatorConfig, Violations
from streams.sources.simulator_flow import Flow
from streams.sources.simulator_market import Book, Market
from streams.sources.simulator_participants import reference_tables
from streams.sources.simulator_plants import Plants
from streams.sources.simulator_quoters import QuotingDays, time_of
from streams.sources.simulator_quoting import agreement_tables, quoting_markets

__all__ = ["InstrumentSpec", "Simulation", "SimulatorConfig", "Violations", "reference_toml", "simulate"]

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
        """Out-of-turn fills made good inside their match: rows of harm 'cured', never alerts."""
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
        market = self._market
        plan = self._plan()
        waiting: list[str] = []
        actions_left = EXTRA_ACTIONS
        while not self._is_over() or (waiting and actions_left):
            if self._is_over():
                actions_left -= 1
            book = market.rng.choice(market.books)
            while plan and plan[-1][0] <= market.emitted:
                waiting.append(plan.pop()[1])
            self._commit_one(waiting, book)
            self._flow.act(book)
            market.run_due()
            yield from market.drain()
            if self._is_over():
                waiting.extend(kind for _, kind in reversed(plan))
                plan.clear()
        self.unplanted = waiting
        market.run_due(everything=True)
        yield from market.drain()

    def _is_over(self) -> bool:
        config, market = self.config, self._market
        if config.events is not None:
            return market.emitted >= config.events
        return market.now >= config.start + config.seconds * 1_000_000_000

    def _plan(self) -> list[tuple[int, str]]:
        """(records written, kind) of every planted act, last first, spread over the run after a warm-up."""
        kinds = [kind for kind, count in self.config.violations.counts() for _ in range(count)]
        self._market.rng.shuffle(kinds)
        begin = self.config.total * WARM_UP_PERCENT // 100
        span = self.config.total * 9 // 10 - begin
        return [(begin + span * index // len(kinds), kind) for index, kind in enumerate(kinds)][::-1]

    def _commit_one(self, waiting: list[str], book: Book) -> None:
        for index, kind in enumerate(waiting):
            if self._plants.commit(kind, book):
                del waiting[index]
                return


def reference_toml(config: SimulatorConfig) -> str:
    """The reference data of a run as the text of a `reference.toml` (SPEC 2.4)."""
    markets = quoting_markets(config)
    instruments = [*config.instruments, *(market.spec for market in markets)]
    return "\n".join([*reference_tables(config, instruments), *agreement_tables(markets)])


def simulate(config: SimulatorConfig) -> Simulation:
    """Start a simulated run. Deterministic: the same configuration gives the same records and labels."""
    return Simulation(config)
