"""A market at the pace of the clock, then silence: what is due is decided without another event."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

from pipeline import PLANTED, Pipeline, same, wait_for

from schemas import codec
from streams import feed, reference_data
from streams.commands.demo import label_breach
from streams.commands.feeding import _paced
from streams.sources.simulator import Simulation, SimulatorConfig, Violations, reference_toml

SECONDS = 15
ALONE = "BAD-USD"  # on partition 3 of 4, where no other instrument is
WITHIN = 10.0  # seconds from the event until it can be queried: what is promised
SEEN = "select instrument, seq from {} union all "


def test_a_quiet_market_is_decided_by_clocks(broker: str, tmp_path: Path) -> None:
    with Pipeline(broker, tmp_path, "live.") as pipeline:
        pipeline.start()
        violations = Violations(client_first_block=3, price_time_equal=2, self_trade_account=1)
        config = SimulatorConfig(
            seed=61, seconds=SECONDS, rate=60, start=time.time_ns(), violations=violations
        )
        run = Simulation(config)
        (tmp_path / "reference.toml").write_text(reference_toml(config), encoding="utf-8")
        publisher = feed.Feed(pipeline.settings)
        publisher.reference(reference_data.load(tmp_path / "reference.toml"), None)
        sent: dict[tuple[str, int], int] = {}

        def publish() -> None:
            def records():  # type: ignore[no-untyped-def]
                for topic, record in _paced(run):
                    sent[record["instrument"], record["seq"]] = record["ts"]
                    yield topic, codec.encode(record)

            publisher.records(records())

        feeding = threading.Thread(target=publish)
        feeding.start()
        delays = _watch(pipeline, sent, feeding)
        feeding.join()
        assert not run.unplanted, run.unplanted
        assert len(delays) == len(sent) > 0
        print(
            f"event to queryable: {len(delays)} events, p50 {statistics.median(delays):.1f} s, "
            f"max {max(delays):.1f} s"
        )
        assert max(delays) < WITHIN

        # No event comes any more, and nobody says that the day is over.
        labels = {label_breach(label): label["status"] for label in run.labels}
        wait_for(lambda: _outcomes(pipeline) == labels, f"{len(labels)} outcomes", 30)
        _cold_start(pipeline)
        minute = (max(sent.values()) // 60_000_000_000) * 60_000_000_000
        instruments = {instrument for instrument, _seq in sent}
        published = f"select instrument from spread_minutes where minute_ns = {minute}"
        wait_for(
            lambda: {name for (name,) in pipeline.sql(published)} >= instruments,
            "the minute in which the market went quiet",
            90,
        )
        print(f"{len(labels)} alerts decided and {len(instruments)} minutes published by clocks alone")
        assert len(labels) > 0
        pipeline.stop()
        again, metrics = pipeline.judged_again()
        assert same(pipeline.said("alerts"), again, "alerts of the journal read again") > 0
        assert same(pipeline.said("metrics"), metrics, "metrics of the journal read again") > 0


def _cold_start(pipeline: Pipeline) -> None:
    """An instrument that begins in mid-series, alone on its partition and on one topic only, with a gap."""
    publisher = feed.Feed(pipeline.settings)

    def send(*seqs: int) -> None:
        usual = {"instrument": ALONE, "exec_type": "new", "side": "buy", "price": "1", "order_qty": "1"}
        rows = [{**usual, "seq": seq, "ts": time.time_ns(), "order_id": f"A{seq}"} for seq in seqs]
        publisher.records(("orders", codec.encode(row)) for row in rows)

    def landed() -> list[int]:
        query = f'select seq from orders where instrument = \'{ALONE}\' order by partition, "offset", "index"'
        return [seq for (seq,) in pipeline.sql(query)]

    send(12, 10, 11, 14)
    wait_for(lambda: landed() == [10, 11, 12, 14], "a start at the lowest seq, a gap given up", 20)
    send(13, 3, 15)
    wait_for(lambda: landed() == [10, 11, 12, 14, 13, 3, 15], "what came late", 20)
    found = pipeline.sql(
        f"select kind, first_seq from data_quality where instrument = '{ALONE}' "
        "and kind in ('sequence_gap', 'late') order by all"
    )
    assert found == [("late", 3), ("late", 13), ("sequence_gap", 13)], found


def _watch(pipeline: Pipeline, sent: dict[tuple[str, int], int], feeding: threading.Thread) -> list[float]:
    """Query the lake until all that was sent is in it; return each event's delay (s), by event time."""
    query = "".join(map(SEEN.format, ("orders", "trades", "quotes"))).removesuffix(" union all ")
    seen: dict[tuple[str, int], float] = {}
    deadline = time.monotonic() + SECONDS + 40
    while feeding.is_alive() or len(seen) < len(sent):
        assert time.monotonic() < deadline, f"{len(seen)} of {len(sent)} landed\n{pipeline.logs()}"
        pipeline.workers.check()
        rows = pipeline.sql(query)
        now = time.time_ns()
        for place in rows:
            seen.setdefault(place, (now - sent[place]) / 1e9)  # type: ignore[arg-type, index]
        time.sleep(0.3)
    return list(seen.values())


def _outcomes(pipeline: Pipeline) -> dict[str, str]:
    return dict(pipeline.sql(f"select breach_id, status from alerts where rule in {PLANTED}"))
