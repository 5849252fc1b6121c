"""Who trades in a simulated market, who owns whom, and the reference data that says so.

The operator controls its maker through a holding company (a subsidiary of a subsidiary); the maker's second
account belongs to a sister company held by a control flag below 50 %. Beside them stand the operator's
treasury (two accounts), which is in the group but not registered, a client of which the operator owns 30 %
(watched, still a client), clients with two accounts of one owner, two clients under one parent, two of whose
parent owns half, one that waives its priority, and an independent maker. Three things change at
`SimulatorConfig.moment`: the registration of `LEAVING` ends, `JOINING` comes under the group's control and is
registered, and the account `MOVING[0]` passes to the owner of `MOVING[1]`. These, and `WAIVER`, do nothing of
their own accord.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from schemas.decimals import text
from streams.sources.simulator_config import InstrumentSpec, SimulatorConfig
from streams.sources.simulator_records import MAKER_BPS, TAKER_BPS, Flag

Role = Literal["client", "affiliated_mm", "affiliate", "market_maker", "unknown"]

OPERATOR_GROUP = "operator"
MAKERS = ("MM-1", "MM-2")
INDEPENDENT_MAKER = "IMM-1"
TREASURY = "TREASURY-1"
TREASURY_DESK = "TREASURY-2"
SAME_OWNER = ("CL-OWNER-A", "CL-OWNER-B")
SAME_GROUP = ("CL-GROUP-A", "CL-GROUP-B")
WATCHED = "CL-VENTURE"
WAIVER = "CL-WAIVER"
HALVES = ("CL-HALF-A", "CL-HALF-B")
LEAVING = "IMM-LEAVING"
JOINING = "MM-JOINING"
MOVING = ("CL-MOVING", "CL-MOVED-TO")


@dataclass(frozen=True, slots=True)
class Participant:
    """One account: its owner, the owner's control group, its role, the flag its orders carry."""

    account: str
    owner: str
    group: str
    role: Role
    flag: Flag
    kind: str = "institutional"


class Population:
    """All accounts of a run. An account that is not here is unknown: it owns itself."""

    def __init__(self, config: SimulatorConfig) -> None:
        people = [
            Participant("MM-1", "maker", OPERATOR_GROUP, "affiliated_mm", True),
            Participant("MM-2", "maker-asia", OPERATOR_GROUP, "affiliated_mm", True),
            Participant(TREASURY, "treasury", OPERATOR_GROUP, "affiliate", False),
            Participant(TREASURY_DESK, "treasury", OPERATOR_GROUP, "affiliate", False),
        ]
        if config.independent_maker:
            people.append(Participant(INDEPENDENT_MAKER, "rival", "rival", "market_maker", True))
        flags: tuple[Flag, ...] = (False, "absent", None)
        for number in range(1, config.clients + 1):
            name = f"CL-{number:02d}"
            kind = "retail" if number % 2 else "institutional"
            people.append(Participant(name, name.lower(), name.lower(), "client", flags[number % 3], kind))
        people += [Participant(name, "two-accounts", "two-accounts", "client", False) for name in SAME_OWNER]
        people += [Participant(name, name.lower(), "family", "client", False) for name in SAME_GROUP]
        people.append(Participant(WATCHED, "venture", "venture", "client", False))
        people += [Participant(name, name.lower(), name.lower(), "client", False) for name in HALVES]
        self.clients = [person.account for person in people if person.role == "client"]
        people.append(Participant(WAIVER, "waiver", "waiver", "client", False))
        people.append(Participant(LEAVING, "leaving", "leaving", "market_maker", True))
        people.append(Participant(JOINING, "joining", "joining", "client", False))
        people += [Participant(name, name.lower(), name.lower(), "client", False) for name in MOVING]
        self.participants = {person.account: person for person in people}
        makers = (*MAKERS, INDEPENDENT_MAKER)
        self.makers = [person.account for person in people if person.account in makers]
        self.watched = frozenset(
            person.account for person in people if person.role in ("affiliated_mm", "affiliate")
        )
        self.groups = {person.account: person.group for person in people}

    def role(self, account: str) -> Role:
        """The account's role, the same all day but for those that change at the run's moment."""
        person = self.participants.get(account)
        return person.role if person else "unknown"

    def owner(self, account: str) -> str:
        """The owning entity; an unknown account's owner is nobody else's."""
        person = self.participants.get(account)
        return person.owner if person else account

    def group(self, account: str) -> str:
        """The control group of the owner."""
        return self.groups.get(account, account)

    def flag(self, account: str) -> Flag:
        """The `mm_flag` that the account's orders rightly carry."""
        person = self.participants.get(account)
        return person.flag if person else "absent"


def reference_tables(config: SimulatorConfig, instruments: Iterable[InstrumentSpec]) -> list[str]:
    """Who is who in a run, as the tables of a `reference.toml` (SPEC 2.4), in force for all time."""
    people = Population(config).participants.values()
    tables: list[str] = ['[defaults]\nunlisted_accounts = "unknown"\n']
    for spec in instruments:
        tables.append(table("instruments", (
            ("symbol", spec.symbol), ("tick_size", text(spec.tick_size)), ("lot_size", text(spec.lot_size)),
            ("base", spec.base), ("quote", spec.quote), ("matching", "price_time"),
        )))  # fmt: skip
    tables.append(
        table("entities", (("id", "venue"), ("name", "Simulated Exchange Ltd"), ("operator", True)))
    )
    companies = ["holding", "trading-holding", "family-office", "half-office"]
    owners = dict.fromkeys([*companies, *(person.owner for person in people)])
    tables += [table("entities", (("id", owner), ("name", f"{owner} Ltd"))) for owner in owners]
    moment = config.moment
    for person in people:
        pairs: list[tuple[str, object]] = [("account", person.account), ("entity", person.owner)]
        pairs += [("kind", person.kind)] + ([("priority_waiver", True)] if person.account == WAIVER else [])
        if person.account == MOVING[0]:
            owner = Population(config).owner(MOVING[1])
            tables.append(table("accounts", [*pairs, ("valid_to", moment)]))
            pairs = [("account", person.account), ("entity", owner), ("valid_from", moment)]
        tables.append(table("accounts", pairs))
    edges: list[tuple[str, str, str, bool]] = [
        ("venue", "holding", "100", False),
        ("holding", "trading-holding", "75", False),
        ("trading-holding", "maker", "51", False),
        ("trading-holding", "maker-asia", "45", True),
        ("venue", "treasury", "100", False),
        ("venue", "venture", "30", False),
        ("family-office", "cl-group-a", "60", False),
        ("family-office", "cl-group-b", "100", False),
        *(("half-office", name.lower(), "50", False) for name in HALVES),
    ]
    for parent, child, percent, control in edges:
        pairs = [("parent", parent), ("child", child), ("control_pct", percent)]
        tables.append(table("affiliations", [*pairs, ("control", True)] if control else pairs))
    symbols = [spec.symbol for spec in config.instruments]
    for account, named, affiliated in (("MM-1", ["*"], True), ("MM-2", symbols, True)):
        tables.append(_registration(account, named, affiliated))
    if config.independent_maker:
        tables.append(_registration(INDEPENDENT_MAKER, ["*"], False))
    tables.append(_registration(LEAVING, ["*"], False, ("valid_to", moment)))
    tables.append(_registration(JOINING, ["*"], True, ("valid_from", moment)))
    tables.append(table("affiliations", (
        ("parent", "trading-holding"), ("child", "joining"), ("control_pct", "50.01"), ("valid_from", moment),
    )))  # fmt: skip
    for spec in config.instruments:
        tables += [
            table(
                "trading_phases",
                (("instrument", spec.symbol), ("phase", phase), ("from", begin), ("to", end)),
            )
            for phase, begin, end in config.phases(spec.symbol)
        ]
    tables.append(table("fee_schedule", (
        ("tier", "standard"), ("maker_bps", str(MAKER_BPS)), ("taker_bps", str(TAKER_BPS)),
    )))  # fmt: skip
    return tables


def _registration(account: str, instruments: list[str], affiliated: bool, *dates: tuple[str, object]) -> str:
    return table("mm_registrations", (
        ("account", account), ("instruments", instruments), ("affiliated", affiliated), *dates,
    ))  # fmt: skip


def table(name: str, pairs: Iterable[tuple[str, object]]) -> str:
    """One entry of a TOML array of tables: text, booleans, integers and lists of them."""
    return f"[[{name}]]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in pairs)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    return f'"{value}"'
