"""Faust over aiokafka in batches: one Faust message a (partition, fetch), and commits only of what is safe.

Stock Faust makes four tasks a message and acknowledges what it could not process. Here the value of a Faust
message is a `Batch` of aiokafka records, and what is committed is `consumer.safe[tp]`, set by the worker once
the offset's effects are durable. DESIGN.md sections 4.4, 4.5 and 5.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from aiokafka.protocol.fetch import FetchRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

MAX_RECORDS = 2_000  # in one batch
FETCH_WAIT_MS = 100  # the driver's hard-coded 1500 is a latency floor
SeekHook = Callable[[set[TP]], Mapping[TP, int]]


class Batch(list[Any]):
    """aiokafka records of one partition, in order; `received`: when (monotonic seconds) they came in."""

    received: float

    def __init__(self, records: Iterable[Any]) -> None:
        super().__init__(records)
        self.received = time.monotonic()


class FetchState(NamedTuple):
    """What the latest fetch of a partition said: at `time` (ns, our clock) or later it ended at `end`."""

    time: int
    end: int


class _Thread(driver.AIOKafkaConsumerThread):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fetched: dict[tuple[str, int], FetchState] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        send = consumer._client.send

        async def noting(node_id: int, request: Any, **options: Any) -> Any:
            asked = time.time_ns()
            response = await send(node_id, request, **options)
            if isinstance(request, FetchRequest):
                self._note(asked, response)
            return response

        consumer._client.send = noting
        return consumer

    def _note(self, asked: int, response: Any) -> None:
        """Note where partitions ended.

        The time is that of the question: an answer can wait in a socket while this process stands still, and
        the driver stamps it when it looks at it. A gap was given up once by such a stamp.
        """
        for topic, partitions in response.topics:
            for partition, error, end, *_data in partitions:
                if error == 0:
                    self._fetched[topic, partition] = FetchState(asked, end)

    def member_id(self) -> str:
        """Return the id that the group's coordinator gave to this member."""
        return str(self._ensure_consumer()._coordinator.member_id)

    def fetch_state(self, tp: TP) -> FetchState | None:
        """Return what the partition's latest fetch said, None before the first."""
        return self._fetched.get((tp.topic, tp.partition))


class BatchConsumer(driver.Consumer):
    """A consumer of batches.

    `safe`: next offset to commit, by partition. `seek_hook`: where to go on from after a rebalance.
    `revoked_hook`: awaited before the flow is stopped and the group joined again.
    """

    _thread: _Thread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.safe: dict[TP, int] = {}
        self.seek_hook: SeekHook | None = None
        self.revoked_hook: Callable[[], Awaitable[None]] | None = None

    def fetch_state(self, tp: TP) -> FetchState | None:
        """Return what the partition's latest fetch said, None before the first."""
        return self._thread.fetch_state(tp)

    def member_id(self) -> str:
        """Return the id that the group's coordinator gave to this member."""
        return self._thread.member_id()

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    # ---- commits: what is durable, said again each time even if unchanged ----------------------------

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([tp for tp in self.safe if topics is None or tp in topics or tp.topic in topics])

    def _new_offset(self, tp: TP) -> int | None:
        return self.safe.get(tp)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for tp in revoked:
            self.safe.pop(tp, None)
        if self.revoked_hook is not None:
            await self.revoked_hook()
        await super().on_partitions_revoked(revoked)

    # ---- reading on from where the state says, not the group -----------------------------------------

    async def perform_seek(self) -> None:
        await super().perform_seek()
        if self.seek_hook is not None:
            wanted = self.seek_hook(self.assignment())
            if wanted:
                await self.seek_wait(wanted)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                generation = self.app.consumer_generation_id
                records, _active = await self._wait_next_records(1.0)
                moved = generation != self.app.consumer_generation_id
                if not records or not self.flow_active or moved:
                    if records and moved and self.flow_active:
                        await self.perform_seek()  # the fetcher's position is past these records: go back
                    await asyncio.sleep(0)
                    continue
                await self._hand_out(records, generation)
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def _hand_out(self, records: Mapping[Any, list[Any]], generation: int) -> None:
        for source, batch in records.items():
            tp = TP(source.topic, source.partition)
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            for start in range(0, len(batch), MAX_RECORDS):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                chunk = batch[start : start + MAX_RECORDS]
                message = _message(tp, chunk, generation)
                await self.wait_first(self.callback(message), self.suspend_flow.wait())
                self._read_offset[tp] = message.offset


def _message(tp: TP, records: Any, generation: int) -> ConsumerMessage:
    """Return the records as one message, in the last one's place."""
    last = records[-1]
    return ConsumerMessage(
        topic=tp.topic,
        partition=tp.partition,
        offset=last.offset,
        timestamp=last.timestamp / 1000.0,
        timestamp_type=last.timestamp_type,
        headers=[],
        key=None,
        value=Batch(records),  # type: ignore[arg-type]  # Faust hands it on as it is
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        tp=tp,
        generation_id=generation,
    )


class BatchTransport(driver.Transport):
    """The driver with our consumer."""

    Consumer = BatchConsumer
