"""The topic `reference`, followed: facts and rulebooks, in the order in which they were published."""

from __future__ import annotations

from confluent_kafka import Message

from detectors.registry import PARAMETERS
from detectors.rulebook import Rulebook
from schemas import codec
from schemas.reference import Fact, fact_id
from streams import tail
from streams.feed import RULEBOOK_KEY
from streams.settings import Settings


class ReferenceFeed:
    """Reads the topic on from where it last ended. What cannot be read is told once, in `refused`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = settings.topic("reference")
        self.refused: list[str] = []
        self._next: int | None = None
        self._known: set[str] = set()
        self._watch = tail.consumer(settings, "reference")

    def fresh(self) -> tuple[dict[str, Fact], Rulebook | None]:
        """Return the facts (by id) not returned before, and the latest rulebook if there is a new one.

        Blocks on the broker: call it off the event loop, one call at a time.
        """
        low, end = tail.bounds(self._watch, self.topic, 0)
        start = low if self._next is None else self._next
        facts: dict[str, Fact] = {}
        rulebooks: list[Rulebook] = []

        def take(message: Message) -> None:
            value = message.value() or b""
            try:
                if message.key() == RULEBOOK_KEY:
                    rulebooks.append(Rulebook.parse(value.decode(), PARAMETERS))
                    return
                fact = codec.decode_fact(value)
            except ValueError as error:  # also what codec and rulebook raise
                self.refused.append(
                    f"{self.topic} offset {message.offset()} refused, nothing changes: {error}"
                )
                return
            if (key := fact_id(fact)) not in self._known:
                facts[key] = fact

        if end < start:
            raise RuntimeError(f"expected {self.topic} to reach offset {start}, it ends at {end}: made anew?")
        if end > start:
            end = tail.read(self.settings, self.topic, {0: start}, take)[0]
        # Only now: where the broker failed on the way, the same is read again.
        self._next = end
        self._known |= facts.keys()
        return facts, rulebooks[-1] if rulebooks else None
