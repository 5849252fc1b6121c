"""The rulebook: instances of rules, their parameters with units and dates, provenance and reference."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from detectors.trading_day import SECOND
from schemas.alerts import Provenance
from schemas.decimals import DecimalError, parse

MICRO = 1_000_000  # bps, percent and ratios are integers scaled by 10**6
_DURATIONS = {
    "ns": 1, "us": 1_000, "ms": 1_000_000, "s": SECOND, "min": 60 * SECOND, "h": 3_600 * SECOND,
    "d": 86_400 * SECOND,
}  # fmt: skip
_SUFFIX = {"ticks": ("tick", "ticks"), "bps": ("bps",), "percent": ("%",), "ratio": ("x",), "count": ("",)}


class RulebookError(ValueError):
    """The rulebook says something it must not; the message names the place and what was expected."""


class Unit(msgspec.Struct, frozen=True):
    """The unit of a parameter: duration (ns), ticks, count, quantity (10**8), bps, percent, ratio (10**6)."""

    name: Literal["duration", "ticks", "count", "quantity", "bps", "percent", "ratio"]

    def read(self, value: object) -> int:
        """Return the parameter as an integer in this unit's scale; RulebookError if it has another unit."""
        if self.name == "count" and isinstance(value, int) and not isinstance(value, bool):
            return value
        match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z%]*)", value) if isinstance(value, str) else None
        if match is None:
            raise RulebookError(f"expected {self._example()}, got {value!r}")
        number, suffix = match[1], match[2]
        try:
            scaled = parse(number)
        except DecimalError as error:
            raise RulebookError(f"expected {self._example()}, got {value!r}: {error}") from error
        if self.name == "duration":
            if suffix not in _DURATIONS:
                raise RulebookError(f"expected {self._example()}, got {value!r}")
            return self._whole(scaled * _DURATIONS[suffix], value)
        if self.name == "quantity" and suffix == "":
            return scaled
        if suffix not in _SUFFIX.get(self.name, ()):
            raise RulebookError(f"expected {self._example()}, got {value!r}")
        return self._whole(scaled * (1 if self.name in ("ticks", "count") else MICRO), value)

    def _whole(self, scaled: int, value: object) -> int:
        whole, rest = divmod(scaled, 10**8)
        if rest:
            raise RulebookError(f"expected a whole number of the smallest unit, got {value!r}")
        return whole

    def _example(self) -> str:
        examples = {
            "duration": '"1 s"', "ticks": '"1 tick"', "count": "3", "quantity": '"0.05"', "bps": '"20 bps"',
            "percent": '"50 %"', "ratio": '"3.0 x"',
        }  # fmt: skip
        return f"a {self.name} like {examples[self.name]}"


class Venue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for all rules. `restated_time`: whether the original ts of restated orders moves time."""

    zone: str = "Asia/Hong_Kong"
    max_future: Annotated[int, Unit("duration")] = 5 * SECOND
    gap_timeout: Annotated[int, Unit("duration")] = 3 * SECOND
    bust_horizon: Annotated[int, Unit("duration")] = 7 * 86_400 * SECOND
    restated_time: Literal["entry", "ignored"] = "ignored"


class Version(msgspec.Struct, frozen=True):
    """Parameters in force for [valid_from, valid_to), with their hash."""

    valid_from: int | None
    valid_to: int | None
    parameters: Any
    parameter_hash: str


class Instance(msgspec.Struct, frozen=True):
    """One instance of a rule."""

    rule: str
    name: str
    provenance: Provenance
    reference: str
    enabled: bool
    versions: tuple[Version, ...]


def parameters_from(data: Mapping[str, object], type_: type[msgspec.Struct]) -> Any:
    """Return `data` as parameters of `type_`; units are read, unknown keys refused.

    Raises RulebookError naming the key, what was expected and what came.
    """
    hints = get_type_hints(type_, include_extras=True)
    values: dict[str, object] = {}
    for key, value in data.items():
        if key not in hints:
            raise RulebookError(f"unknown key {key!r}; expected one of {', '.join(sorted(hints)) or 'none'}")
        unit = next((item for item in getattr(hints[key], "__metadata__", ()) if isinstance(item, Unit)), None)
        try:
            values[key] = unit.read(value) if unit is not None else value
        except RulebookError as error:
            raise RulebookError(f"{key}: {error}") from error
    try:
        return msgspec.convert(values, type_)
    except msgspec.ValidationError as error:
        raise RulebookError(str(error)) from error


class Rulebook:
    """All instances, in the order of the file."""

    def __init__(self, text: str, venue: Venue, instances: tuple[Instance, ...]) -> None:
        self.text = text
        self.venue = venue
        self.instances = instances
        self._versions = {instance.name: instance.versions for instance in instances}
        content = msgspec.json.encode([venue, instances], order="sorted")
        self.digest = hashlib.blake2b(content, digest_size=16).hexdigest()

    def parameters(self, instance: str, ts: int) -> tuple[Any, str] | None:
        """Return the parameters of an instance in force at `ts` and their hash, or None."""
        for version in self._versions[instance]:
            if (version.valid_from is None or version.valid_from <= ts) and (
                version.valid_to is None or ts < version.valid_to
            ):
                return version.parameters, version.parameter_hash
        return None

    @classmethod
    def parse(cls, text: str, registry: Mapping[str, type[msgspec.Struct]]) -> Rulebook:
        """Return the rulebook that TOML `text` says; `registry` maps a rule's name to its parameters' type.

        Raises RulebookError for anything unknown, missing, of a wrong unit, or overlapping in time.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RulebookError(f"expected TOML: {error}") from error
        _only(data, {"venue", "instance"}, "the rulebook")
        try:
            venue: Venue = parameters_from(data.get("venue", {}), Venue)
            ZoneInfo(venue.zone)
        except (RulebookError, ZoneInfoNotFoundError, ValueError) as error:
            raise RulebookError(f"[venue]: {error}") from error
        instances: list[Instance] = []
        for table in data.get("instance", []):
            instance = _instance(table, registry)
            if any(instance.name == other.name for other in instances):
                raise RulebookError(f"instance {instance.name}: expected once, listed twice")
            instances.append(instance)
        return cls(text, venue, tuple(instances))


def _only(table: Mapping[str, object], allowed: set[str], place: str) -> None:
    unknown = sorted(set(table) - allowed)
    if unknown:
        raise RulebookError(f"{place}: unknown key {unknown[0]!r}; expected one of {', '.join(sorted(allowed))}")


def _instance(table: Mapping[str, Any], registry: Mapping[str, type[msgspec.Struct]]) -> Instance:
    name = str(table.get("name", "?"))
    place = f"instance {name}"
    _only(table, {"rule", "name", "provenance", "reference", "enabled", "parameters"}, place)
    for key in ("rule", "name", "provenance", "reference"):
        if not isinstance(table.get(key), str):
            raise RulebookError(f"{place}: expected a string {key!r}, got {table.get(key)!r}")
    rule = table["rule"]
    if rule not in registry:
        raise RulebookError(f"{place}: unknown rule {rule!r}; expected one of {', '.join(sorted(registry))}")
    if table["provenance"] not in ("verified", "secondary", "assumed"):
        raise RulebookError(f"{place}: provenance is verified, secondary or assumed, got {table['provenance']!r}")
    versions = [_version(rule, name, entry, registry[rule]) for entry in table.get("parameters", [])]
    if not versions:
        raise RulebookError(f"{place}: expected at least one [[instance.parameters]]")
    versions.sort(key=lambda version: version.valid_from if version.valid_from is not None else -(1 << 62))
    for before, after in zip(versions, versions[1:], strict=False):
        if before.valid_to is None or after.valid_from is None or before.valid_to > after.valid_from:
            raise RulebookError(f"{place}: the dates of two versions of its parameters overlap")
    return Instance(
        rule=rule,
        name=name,
        provenance=table["provenance"],
        reference=table["reference"],
        enabled=bool(table.get("enabled", True)),
        versions=tuple(versions),
    )


def _version(rule: str, name: str, entry: Mapping[str, Any], type_: type[msgspec.Struct]) -> Version:
    values = dict(entry)
    dates = [_moment(name, key, values.pop(key, None)) for key in ("valid_from", "valid_to")]
    if dates[0] is not None and dates[1] is not None and dates[1] <= dates[0]:
        raise RulebookError(f"instance {name}: expected valid_to after valid_from")
    try:
        parameters = parameters_from(values, type_)
    except RulebookError as error:
        raise RulebookError(f"instance {name}: {error}") from error
    content = msgspec.json.encode([rule, name, msgspec.to_builtins(parameters)], order="sorted")
    return Version(dates[0], dates[1], parameters, hashlib.blake2b(content, digest_size=16).hexdigest())


def _moment(name: str, key: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise RulebookError(f"instance {name}: expected {key} as a date-time with offset, got {value!r}")
    return int(value.timestamp()) * SECOND + value.microsecond * 1_000
