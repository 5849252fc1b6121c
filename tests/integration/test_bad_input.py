"""Records that no venue should send: nothing stops, each is in quarantine whole, the good ones are judged."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Producer
from pipeline import Pipeline, replayed, same, simulated

from schemas import codec
from streams import feed, overview, overview_tables

ODD = "DOGE-USD"  # an instrument of its own for good records in odd dress; on partition 2 of 4
HOUR = 3_600_000_000_000
LARGE = 1_200_000


class Bad(NamedTuple):
    """A value, and the reason for which each record in it is refused."""

    name: str
    value: bytes | None
    reasons: tuple[str, ...]
    topic: str = "orders"


def order(**fields: Any) -> bytes:
    """An order of BTC-USD at a seq far from all others."""
    usual = {
        "instrument": "BTC-USD", "seq": 900_000, "ts": 1_772_413_200_000_000_000, "exec_type": "new",
        "order_id": "BAD", "side": "buy", "price": "95000", "order_qty": "1",
    }  # fmt: skip
    return codec.encode({name: value for name, value in {**usual, **fields}.items() if value is not ...})


def trade(**fields: Any) -> bytes:
    """A trade of BTC-USD at a seq far from all others."""
    usual = {
        "instrument": "BTC-USD", "seq": 900_001, "ts": 1_772_413_200_000_000_000, "exec_type": "trade",
        "trade_id": "BAD", "price": "95000", "qty": "1",
    }  # fmt: skip
    return codec.encode({**usual, **fields})


BAD = (
    Bad("not JSON", b"not a record", ("not_json",)),
    Bad("cut off", order()[:-20], ("not_json",)),
    Bad("not UTF-8", b"\xff\xfe\x00", ("not_json",), "trades"),
    Bad("a lone surrogate", order().replace(b'"BAD"', b'"\\ud800"'), ("not_json",)),
    Bad("deep", b"[" * 100_000, ("not_json",)),
    Bad("deep objects", b'{"a":' * 100_000, ("not_json",), "quotes"),
    Bad("null", b"null", ("wrong_type",)),
    Bad("a number", b"12", ("wrong_type",), "quotes"),
    Bad("seq a string", order(seq="900000"), ("wrong_type",)),
    Bad("seq beyond 64 bits", order(seq=1 << 70), ("bad_value",)),
    Bad("seq 0", order(seq=0), ("bad_value",)),
    Bad("no seq", order(seq=...), ("missing_field",)),
    Bad("no instrument", order(instrument=""), ("bad_value",)),
    Bad("an unknown kind", order(exec_type="amended"), ("wrong_type",)),
    Bad("a float for a price", order(price=95_000.5), ("wrong_type",)),
    Bad("nine decimals", order(price="1.123456789"), ("bad_decimal",)),
    Bad("too many digits", order(order_qty="12345678901.5"), ("bad_decimal",)),
    Bad("not a number", order(price="NaN"), ("bad_decimal",)),
    Bad("Arabic digits", order(price="\u0661"), ("bad_decimal",)),
    Bad("quantity 0", order(order_qty="0"), ("bad_value",)),
    Bad("negative quantity", trade(qty="-1"), ("bad_value",), "trades"),
    Bad("price 0", trade(price="0"), ("bad_value",), "trades"),
    Bad("nothing", b"", ("empty",)),
    Bad("blanks", b" \n ", ("empty",), "trades"),
    Bad("a tombstone", None, ("empty",), "quotes"),
    Bad("no records", b"[]", ("empty",)),
    Bad("three in an array", b"[" + order(seq=0) + b", 12 ," + order(price=1.5) + b"]",
        ("bad_value", "wrong_type", "wrong_type")),
    Bad("an hour ahead", order(ts=time.time_ns() + HOUR), ("too_far_in_future",)),
    Bad("1.2 MB of nothing", b"x" * LARGE, ("not_json",)),
    Bad("4 MB of a price", order(price="1" * 4_000_000), ("bad_value",)),
    Bad("4 MB of an account", order(account='"' * 2_000_000), ("bad_value",)),
    Bad("4 MB of a kind", order(exec_type="n" * 4_000_000), ("wrong_type",)),
    Bad("an instrument of 4 MB", trade(instrument="I" * 4_000_000), ("bad_value",), "trades"),
    Bad("9 MB", b"z" * 9_000_000, ("bad_value",)),  # the first of it is kept
)  # fmt: skip


class Sent:
    """A producer that remembers where its messages came to stand, by topic, partition and offset."""

    def __init__(self, pipeline: Pipeline, **options: Any) -> None:
        self.settings = pipeline.settings
        self.places: dict[tuple[str, int, int], bytes] = {}
        self._producer = Producer(
            self.settings.confluent(
                **{"partitioner": "murmur2_random", "message.max.bytes": 16 * 1024 * 1024, **options}
            )
        )

    def send(self, topic: str, value: bytes | None, **message: Any) -> None:
        """Send one message; fails if it is not acknowledged."""

        def delivered(error: Any, report: Any) -> None:
            assert error is None, error
            self.places[topic, report.partition(), report.offset()] = value or b""

        self._producer.produce(self.settings.topic(topic), value=value, on_delivery=delivered, **message)
        assert self._producer.flush(30) == 0


def test_bad_input_stops_nothing_and_is_kept(broker: str, tmp_path: Path) -> None:
    day = simulated(seed=31, events=3_000, violations=1)
    expected = replayed(day.write(tmp_path / "recording"), tmp_path / "replayed")
    half = len(day.records) // 2
    with Pipeline(broker, tmp_path, "bad.") as pipeline:
        pipeline.know(day)
        pipeline.start()
        publisher = feed.Feed(pipeline.settings)
        publisher.records(day.records[:half])

        java, crc = Sent(pipeline), Sent(pipeline, partitioner="consistent_random")
        reasons: dict[tuple[str, int, int, int], tuple[str, bytes]] = {}
        for bad in BAD:
            before = set(java.places)
            java.send(bad.topic, bad.value, key=b"BTC-USD", headers={"venue": b"\xff"})
            [place] = java.places.keys() - before
            values = codec.split_array(bad.value or b"") if len(bad.reasons) > 1 else [bad.value or b""]
            for index, (reason, value) in enumerate(zip(bad.reasons, values, strict=True)):
                reasons[(*place, index)] = reason, value if len(value) < 8_000_000 else value[: 1 << 20]
        odd = _odd_good_records(pipeline, java)
        elsewhere = Sent(pipeline)
        for number in (0, 2, 3):
            elsewhere.send("orders", order(seq=900_010 + number), key=b"BTC-USD", partition=number)
        elsewhere.send("orders", order(seq=900_019), partition=0)  # no key, and not where it belongs
        elsewhere.send("orders", b"", partition=3, headers={feed.CLOCK_HEADER: b"soon"})
        for seq in range(3):
            crc.send("trades", trade(seq=900_020 + seq), key=b"BTC-USD")
        for sender in (elsewhere, crc):
            for place, value in sender.places.items():
                reasons[(*place, 0)] = "partition_mismatch" if value else "empty", value

        publisher.records(day.records[half:])
        publisher.end_of_recording(day.latest)
        pipeline.settle()
        quarantine = {
            (topic, partition, offset, index): (reason, raw, where, detail)
            for topic, partition, offset, index, reason, raw, where, detail in pipeline.sql(
                'select topic, "partition", "offset", "index", reason, raw, place, detail from quarantine'
            )
        }
        landed = pipeline.sql(f"select seq from orders where instrument = '{ODD}' order by seq")
        dressed = pipeline.sql(f"select extra from orders where instrument = '{ODD}' and extra is not null")
        assert len(list(overview_tables.tables(overview.look(pipeline.settings)))) > 2
        [(told,)] = pipeline.sql("select count(*) from data_quality where place is not null")
        pipeline.stop()

        assert {place: row[:2] for place, row in quarantine.items()} == reasons
        assert all(where and detail for _reason, _raw, where, detail in quarantine.values())
        print(f"{len(reasons)} refused records in quarantine, each with its bytes, place and reason")
        assert len(reasons) > 35
        assert told >= len(BAD)
        assert [seq for (seq,) in landed] == list(range(1, odd + 1))
        assert sorted(len(extra) > LARGE for (extra,) in dressed) == [False, True, True]
        alerts = {}
        mismatches = 0
        for name, content in pipeline.said("alerts").items():
            alert = codec.decode_alert(content)
            if alert.measures.get("kind") == "partition_mismatch":
                mismatches += 1
            elif alert.instrument != ODD:
                alerts[name] = content
        assert mismatches >= 5
        assert same(alerts, expected.alerts, "alerts of the good records around them") > 0


def _odd_good_records(pipeline: Pipeline, java: Sent) -> int:
    """Send good records as no feed of ours does; return how many."""
    seq = 0

    def next_order(**more: Any) -> bytes:
        nonlocal seq
        seq += 1
        return order(instrument=ODD, seq=seq, order_id=f"D{seq}", account="CL-01", price="1", **more)

    key = ODD.encode()
    java.send("orders", next_order(), key=key, headers={"trace": b"1", "none": None})
    java.send("orders", next_order(colour="red", depth=[1, {"a": 1.5}]), key=key)
    java.send("orders", next_order(blob="y" * LARGE), key=key)
    java.send("orders", next_order(blob='"' * 2_000_000), key=key)  # 4 MB as JSON, 8 MB as JSON in JSON
    java.send("orders", b"[" + next_order() + b",\n" + next_order() + b"]", key=key)
    java.send("orders", next_order(), partition=2)  # no key, but where it belongs
    for codec_name in ("none", "gzip", "snappy", "lz4", "zstd"):
        packed = Sent(pipeline, **{"compression.type": codec_name})
        for _ in range(3):
            packed.send("orders", next_order(), key=key)
    return seq
