"""What a worker answers at /healthz, where it answers, and asking it: for `fairbook up` and `status`."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from schemas import codec
from streams.settings import Settings

ANSWER_SECONDS = 2.0


class Address(msgspec.Struct, frozen=True):
    """Where a worker answers, and which process it is: a file can outlive its worker."""

    url: str
    pid: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of a topic that a worker reads, as /healthz tells it; None: not known yet."""

    topic: str
    partition: int
    next: int
    end: int | None
    delay_seconds: float | None


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """One journal partition (of land: of each topic) that a worker works on."""

    topic: str
    partition: int
    entries: int
    entries_per_second: float
    watermark_ns: int
    snapshot_ns: int | None
    unsaved_seconds: float


class Why(msgspec.Struct, frozen=True):
    """One reason for not being well."""

    reason: str
    detail: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What /healthz answers."""

    stage: str
    slot: int
    pid: int
    well: bool
    alive: bool
    troubles: list[Why]
    sources: list[Place]
    partitions: list[Partition]


def address_file(settings: Settings, stage: str, slot: int) -> Path:
    """Return the file that says where the worker of a slot answers."""
    return settings.state / f"{settings.group(stage)}-{slot}.http"


def address(settings: Settings, stage: str, slot: int) -> Address | None:
    """Return where the worker of a slot said that it answers; None where none did."""
    try:
        return codec.decode(address_file(settings, stage, slot).read_bytes(), type=Address)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def known(settings: Settings, stage: str) -> list[int]:
    """Return the slots of a stage whose workers have said where they answer; one that died still says so."""
    start = f"{settings.group(stage)}-"
    slots = [path.stem.removeprefix(start) for path in settings.state.glob(f"{start}*.http")]
    return sorted(int(slot) for slot in slots if slot.isdigit())


def ask(where: Address, seconds: float = ANSWER_SECONDS) -> Said:
    """Return what a worker says at /healthz, well or not. Raises OSError where it does not answer in time."""
    request = urllib.request.Request(f"{where.url}/healthz")
    opener = urllib.request.build_opener(_NoProxy, _Anything)
    with opener.open(request, timeout=seconds) as answer:
        try:
            return codec.decode(answer.read(), type=Said)
        except msgspec.MsgspecError as error:
            raise OSError(f"{where.url} is no worker of ours: {error}") from error


class _Anything(urllib.request.HTTPErrorProcessor):
    """Takes 503 for the answer that it is."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response


_NoProxy = urllib.request.ProxyHandler({})  # it is on this machine, or named as it is
