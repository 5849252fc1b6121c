"""The rulebook: instances of rules, their parameters with units and dates, provenance and reference."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec

from detectors.parameters import MICRO, RulebookError, Unit, parameters_from
from detectors.toml_lines import Lines, TomlError, read_toml
from detectors.trading_day import SECOND, nanoseconds
from schemas import codec
from schemas.alerts import Provenance, Severity

__all__ = ["MICRO", "Instance", "Rulebook", "RulebookError", "Unit", "Venue", "Version", "parameters_from"]

_KEYS = ("rule", "name", "provenance", "reference", "enabled", "severity", "parameters")


class Venue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for all rules. `restated_time`: whether the original ts of restated orders moves time."""

    zone: str = "Asia/Hong_Kong"
    max_future: Annotated[int, Unit("duration")] = 5 * SECOND
    gap_timeout: Annotated[int, Unit("duration")] = 3 * SECOND
    bust_horizon: Annotated[int, Unit("duration")] = 7 * 86_400 * SECOND
    restated_time: Literal["entry", "ignored"] = "ignored"


class Version(msgspec.Struct, frozen=True):
    """Parameters in force for [valid_from, valid_to), ns or None = always, with their hash."""

    valid_from: int | None
    valid_to: int | None
    parameters: Any
    parameter_hash: str


class Instance(msgspec.Struct, frozen=True):
    """One instance of a rule; `severity` None leaves it to the rule."""

    rule: str
    name: str
    provenance: Provenance
    reference: str
    enabled: bool
    versions: tuple[Version, ...]
    severity: Severity | None = None


class Rulebook:
    """All instances, in the order of the file. `digest` is of what it says, not of how it is written."""

    def __init__(self, text: str, venue: Venue, instances: tuple[Instance, ...]) -> None:
        self.text = text
        self.venue = venue
        self.instances = instances
        self._versions = {instance.name: instance.versions for instance in instances}
        self.digest = _digest([venue, instances])

    def parameters(self, instance: str, ts: int) -> tuple[Any, str] | None:
        """Return the parameters of an instance in force at `ts` and their hash, or None if none are.

        Raises KeyError for a name that no instance has.
        """
        for version in self._versions[instance]:
            if (version.valid_from is None or version.valid_from <= ts) and (
                version.valid_to is None or ts < version.valid_to
            ):
                return version.parameters, version.parameter_hash
        return None

    @classmethod
    def parse(cls, text: str, registry: Mapping[str, type[msgspec.Struct]]) -> Rulebook:
        """Return the rulebook that TOML `text` says; `registry` maps a rule's name to its parameters' type.

        Raises RulebookError, with the line, for anything unknown, missing, of a wrong unit, or overlapping in
        time.
        """
        try:
            data = read_toml(text)
        except TomlError as error:
            raise RulebookError(f"expected TOML: {error.reason}", line=error.line) from error
        return cls(text, *_Reader(data, Lines(text), registry).read())


class _Reader:
    """Reads a parsed TOML document, and says at which line it is wrong."""

    def __init__(
        self, data: dict[str, Any], lines: Lines, registry: Mapping[str, type[msgspec.Struct]]
    ) -> None:
        self.data = data
        self.lines = lines
        self.registry = registry

    def read(self) -> tuple[Venue, tuple[Instance, ...]]:
        if self.lines.too_fine:
            raise RulebookError(
                "expected a date-time with at most microseconds; write finer ones as integer nanoseconds",
                line=self.lines.too_fine[0],
            )
        self._only(self.data, ("venue", "instance"), "the rulebook")
        tables = self.data.get("instance", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self._wrong("expected tables [[instance]]", "instance")
        instances: dict[str, Instance] = {}
        for number, table in enumerate(tables):
            instance = self._instance(number, table)
            if instance.name in instances:
                raise self._wrong(
                    f"instance {instance.name}: expected once, listed twice", "instance", number
                )
            instances[instance.name] = instance
        return self._venue(), tuple(instances.values())

    def _wrong(self, reason: str, *path: str | int) -> RulebookError:
        return RulebookError(reason, line=self.lines.of(*path))

    def _only(
        self, table: Mapping[str, object], allowed: tuple[str, ...], place: str, *path: str | int
    ) -> None:
        for key in table:
            if key not in allowed:
                known = ", ".join(allowed)
                raise self._wrong(f"{place}: unknown key {key!r}; expected one of: {known}", *path, key)

    def _parameters(self, table: object, type_: type[msgspec.Struct], place: str, *path: str | int) -> Any:
        if not isinstance(table, dict):
            raise self._wrong(f"{place}: expected a table, got {table!r}", *path)
        try:
            return parameters_from(table, type_)
        except RulebookError as error:
            inner = (error.key,) if error.key is not None else ()
            raise self._wrong(f"{place}: {error.reason}", *path, *inner) from error

    def _venue(self) -> Venue:
        venue: Venue = self._parameters(self.data.get("venue", {}), Venue, "[venue]", "venue")
        try:
            ZoneInfo(venue.zone)
        except (KeyError, ValueError, OSError) as error:
            reason = f"[venue]: zone: expected a zone like Asia/Hong_Kong, got {venue.zone!r}"
            raise self._wrong(reason, "venue", "zone") from error
        return venue

    def _instance(self, number: int, table: dict[str, Any]) -> Instance:
        path = ("instance", number)
        place = f"instance {table.get('name', number + 1)}"
        self._only(table, _KEYS, place, *path)
        for key in ("rule", "name", "provenance", "reference"):
            if not isinstance(table.get(key), str) or not table[key].strip():
                raise self._wrong(f"{place}: {key}: expected a text, got {table.get(key)!r}", *path, key)
        if not isinstance(table.get("enabled", True), bool):
            raise self._wrong(
                f"{place}: enabled: expected true or false, got {table['enabled']!r}", *path, "enabled"
            )
        for key, allowed in (
            ("rule", tuple(sorted(self.registry))),
            ("provenance", get_args(Provenance)),
            ("severity", get_args(Severity)),
        ):
            if key in table and table[key] not in allowed:
                known = ", ".join(allowed)
                raise self._wrong(f"{place}: {key}: expected one of {known}, got {table[key]!r}", *path, key)
        return Instance(
            rule=table["rule"],
            name=table["name"],
            provenance=table["provenance"],
            reference=table["reference"],
            enabled=table.get("enabled", True),
            versions=self._versions(table, place, path),
            severity=table.get("severity"),
        )

    def _versions(self, table: dict[str, Any], place: str, path: tuple[str, int]) -> tuple[Version, ...]:
        entries = table.get("parameters")
        if not isinstance(entries, list) or not entries:
            raise self._wrong(f"{place}: expected at least one [[instance.parameters]]", *path, "parameters")
        dated = []
        for number, entry in enumerate(entries):
            at = (*path, "parameters", number)
            dated.append((self._version(table["rule"], table["name"], entry, place, at), at))
        dated.sort(key=lambda item: -(1 << 63) if item[0].valid_from is None else item[0].valid_from)
        for (before, _), (after, at) in pairwise(dated):
            if before.valid_to is None or after.valid_from is None or before.valid_to > after.valid_from:
                reason = f"{place}: these parameters overlap in time with others; valid_to ends them"
                raise self._wrong(reason, *at)
        return tuple(version for version, _ in dated)

    def _version(self, rule: str, name: str, entry: object, place: str, at: tuple[str | int, ...]) -> Version:
        if not isinstance(entry, dict):
            raise self._wrong(f"{place}: parameters: expected a table, got {entry!r}", *at)
        values = dict(entry)
        start = self._moment(values.pop("valid_from", None), place, *at, "valid_from")
        end = self._moment(values.pop("valid_to", None), place, *at, "valid_to")
        if start is not None and end is not None and end <= start:
            raise self._wrong(f"{place}: expected valid_to after valid_from", *at, "valid_to")
        parameters = self._parameters(values, self.registry[rule], place, *at)
        return Version(start, end, parameters, _digest([rule, name, msgspec.to_builtins(parameters)]))

    def _moment(self, value: object, place: str, *path: str | int) -> int | None:
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if not isinstance(value, datetime) or value.tzinfo is None:
            expected = "expected a date-time with offset like 2026-02-11T00:00:00Z, or integer nanoseconds"
            raise self._wrong(f"{place}: {path[-1]}: {expected}, got {value!r}", *path)
        return nanoseconds(value)


def _digest(content: object) -> str:
    return hashlib.blake2b(codec.canonical(content), digest_size=16).hexdigest()
