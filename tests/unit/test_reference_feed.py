"""The topic `reference`, followed through a broker's absence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas import codec
from schemas.reference import Account, fact_id
from streams import tail
from streams.reference_feed import ReferenceFeed
from streams.settings import load

FACTS = [Account(account=name, entity="house") for name in ("A", "B")]
TOPIC = [codec.encode(FACTS[0]), b"not a fact", codec.encode(FACTS[1]), codec.encode(FACTS[0])]


def message(offset: int) -> Any:
    return SimpleNamespace(value=lambda: TOPIC[offset], key=lambda: b"", offset=lambda: offset)


def test_what_was_read_before_a_failure_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [KafkaException(KafkaError(KafkaError._TRANSPORT))]

    def read(
        _settings: Any, _topic: str, starts: Mapping[int, int], take: Callable[[Any], Any]
    ) -> dict[int, int]:
        for offset in range(starts[0], len(TOPIC)):
            if offset == 2 and failures:
                raise failures.pop()
            take(message(offset))
        return {0: len(TOPIC)}

    monkeypatch.setattr(tail, "bounds", lambda *_place: (0, len(TOPIC)))
    monkeypatch.setattr(tail, "read", read)
    feed = ReferenceFeed(load(broker="127.0.0.1:1", environment={}))
    with pytest.raises(KafkaException):
        feed.fresh()
    facts, rulebook = feed.fresh()
    assert facts == {fact_id(fact): fact for fact in FACTS}
    assert rulebook is None
    assert len(feed.refused) > 0
    assert feed.fresh() == ({}, None)
