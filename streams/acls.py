"""Who may do what on the cluster: the least that each kind of worker or person needs, as data.

From GRANTS come `fairbook topics acls` (a table, the same for kafka-acls.sh, or set by us) and what a worker
asks before it starts. `tests/integration/test_secured.py` runs the pipeline with these and nothing more, and
finds each of them in the broker's own record of what it was asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams import topics
from streams.settings import Settings, SettingsError
from streams.text_table import Content

PRINCIPAL: Final = "User:fairbook-{kind}"
Resource = Literal["topic", "group"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]


class Grant(NamedTuple):
    """Operations on one resource, named without the prefix of its settings; `prefixed`: and all so begun."""

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False


def _topics(names: str, *operations: Operation) -> tuple[Grant, ...]:
    return tuple(Grant("topic", name, operations) for name in names.split())


ALL = " ".join(spec.name for spec in topics.TOPICS)
READERS = Grant("group", "fairbook-reader", ("Describe",), prefixed=True)  # clients that commit nothing

# Read and Write imply Describe. Of topics that it does not use a worker asks how many partitions they have.
GRANTS: Final[Mapping[str, tuple[Grant, ...]]] = MappingProxyType(
    {
        "venue": _topics("orders trades quotes", "Write"),
        "operator": (
            *_topics("orders trades quotes journal alerts metrics", "Create", "Describe", "DescribeConfigs"),
            *_topics("reference", "Create", "Write", "DescribeConfigs"),
        ),
        "tag": (
            *_topics("orders trades quotes reference", "Read"),
            *_topics("journal", "Read", "Write"),
            *_topics("alerts metrics", "Describe"),
            Grant("group", "fairbook-tag", ("Read",)),
            READERS,
        ),
        "detect": (
            *_topics("journal", "Read"),
            *_topics("alerts metrics", "Read", "Write"),
            *_topics("orders trades quotes reference", "Describe"),
            Grant("group", "fairbook-detect", ("Read",)),
            READERS,
        ),
        "land": (
            *_topics("journal alerts metrics", "Read"),
            *_topics("orders trades quotes reference", "Describe"),
            Grant("group", "fairbook-land", ("Read",)),
        ),
        "alerts": (*_topics("alerts", "Read"), Grant("group", "alerts", ("Read",), prefixed=True)),
        "status": (
            *_topics("orders trades quotes journal alerts metrics", "Describe"),
            Grant("group", "fairbook-tag", ("Describe",)),
            Grant("group", "fairbook-detect", ("Describe",)),
            READERS,
        ),
    }
)
WHO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "venue": "publishes orders, trades, quotes",
        "operator": "topics create and check, reference load",
        "tag": "worker tag",
        "detect": "worker detect",
        "land": "worker land",
        "alerts": "a program that reads alerts; its consumer group's name begins with `alerts`",
        "status": "status",
    }
)


class Line(NamedTuple):
    """One line of the table: a grant of a kind, with names as the cluster has them."""

    kind: str
    principal: str
    grant: Grant

    @property
    def pattern(self) -> str:
        """The resource's name; with * behind it: every name that begins so."""
        return f"{self.grant.name}*" if self.grant.prefixed else self.grant.name


def lines(settings: Settings, kinds: Collection[str] = GRANTS, principal: str = PRINCIPAL) -> list[Line]:
    """Return what the kinds need; `principal`: who they are, with {kind} in its place.

    SettingsError for a kind that is none of GRANTS, and for a principal that is no `Type:name`.
    """
    if unknown := [kind for kind in kinds if kind not in GRANTS]:
        raise SettingsError(f"kind {unknown[0]!r}: expected one of {', '.join(GRANTS)}")
    if not all(principal.partition(":")) or principal.replace("{kind}", "").count("{"):
        raise SettingsError(f"principal {principal!r}: expected Type:name, such as {PRINCIPAL}")
    return [
        Line(kind, principal.replace("{kind}", kind), grant._replace(name=settings.prefix + grant.name))
        for kind in kinds
        for grant in GRANTS[kind]
    ]


NAMES: Final = ("kind", "principal", "operations", "resource", "name")


def table(wanted: Sequence[Line]) -> Content:
    """Return the lines for people; a * behind a name: every name that begins so."""
    return Content(list(NAMES), [False] * len(NAMES), [_cells(line) for line in wanted], keys=2)


def markdown(wanted: Sequence[Line]) -> Iterator[str]:
    """Return the table of infra/kafka/README.md."""
    yield "| kind | what it runs | may |"
    yield "|---|---|---|"
    for kind in dict.fromkeys(line.kind for line in wanted):
        said: dict[tuple[str, str], list[str]] = {}
        for line in wanted:
            if line.kind == kind:
                operations = ", ".join(line.grant.operations)
                said.setdefault((operations, line.grant.resource), []).append(line.pattern)
        may = "; ".join(
            f"{operations} {resource} {', '.join(f'`{name}`' for name in names)}"
            for (operations, resource), names in said.items()
        )
        yield f"| `{kind}` | {WHO[kind]} | {may} |"


def _cells(line: Line) -> list[str]:
    return [line.kind, line.principal, ", ".join(line.grant.operations), line.grant.resource, line.pattern]


def count(wanted: Sequence[Line]) -> int:
    """Return how many ACLs the lines are: one an operation."""
    return len(dict.fromkeys(bindings(wanted)))


def script(settings: Settings, wanted: Sequence[Line]) -> Iterator[str]:
    """Return the same as commands of Kafka's own tool, for whoever administers the cluster."""
    server = settings.broker or "HOST:PORT"
    for line in wanted:
        grant = line.grant
        yield shlex.join(
            [
                *("kafka-acls.sh", "--bootstrap-server", server, "--command-config", "admin.properties"),
                *("--add", "--allow-principal", line.principal),
                *(word for operation in grant.operations for word in ("--operation", operation)),
                *(f"--{grant.resource}", grant.name),
                *(("--resource-pattern-type", "prefixed") if grant.prefixed else ()),
            ]
        )


def apply(settings: Settings, wanted: Sequence[Line]) -> int:
    """Set the ACLs that are missing and return how many those were; none is ever taken away.

    SettingsError where the cluster has no ACLs, or does not let us.
    """
    admin = topics.connect(settings)
    try:
        there = set(admin.describe_acls(_ANY, request_timeout=topics.SECONDS).result())
        new = [binding for binding in dict.fromkeys(bindings(wanted)) if binding not in there]
        for future in (admin.create_acls(new, request_timeout=topics.SECONDS) if new else {}).values():
            future.result()
    except KafkaException as error:
        raise SettingsError(
            f"the ACLs could not be set ({error.args[0].str()}): expected the log-in of who administers the "
            "cluster; `--as script` writes what they can run"
        ) from None
    return len(new)


_ANY = AclBindingFilter(  # its stubs do not know that None, too, is any
    ResourceType.ANY,
    None,  # type: ignore[arg-type]
    ResourcePatternType.ANY,
    None,  # type: ignore[arg-type]
    None,  # type: ignore[arg-type]
    AclOperation.ANY,
    AclPermissionType.ANY,
)


def bindings(wanted: Iterable[Line]) -> Iterator[AclBinding]:
    """Return the lines as the cluster has them, one an operation."""
    for line in wanted:
        pattern = ResourcePatternType.PREFIXED if line.grant.prefixed else ResourcePatternType.LITERAL
        for operation in line.grant.operations:
            yield AclBinding(
                ResourceType[line.grant.resource.upper()], line.grant.name, pattern, line.principal, "*",
                _OPERATIONS[operation], AclPermissionType.ALLOW,
            )  # fmt: skip


_OPERATIONS: Final[Mapping[Operation, AclOperation]] = MappingProxyType(
    {
        "Read": AclOperation.READ,
        "Write": AclOperation.WRITE,
        "Create": AclOperation.CREATE,
        "Describe": AclOperation.DESCRIBE,
        "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    }
)


def require(settings: Settings, kind: str) -> None:
    """Ask the cluster whether this log-in may do what its kind needs. Topics that are not there pass.

    SettingsError, in one line, that names what it may not do; BrokerAway where the cluster does not answer.
    """
    admin = topics.connect(settings)
    refused = [
        f"{operation} {line.grant.resource} {line.pattern}"
        for line in lines(settings, [kind])
        for operation in _refused(admin, line.grant)
    ]
    if refused:
        who = settings.properties.get("sasl.username", "this log-in")
        raise SettingsError(
            f"{who} may not {', '.join(refused)}: ask who administers the cluster for what "
            f"`fairbook topics acls --kind {kind}` lists"
        )


def _refused(admin: AdminClient, grant: Grant) -> Iterator[Operation]:
    allowed = _allowed(admin, grant)
    if allowed is not None:
        yield from (operation for operation in grant.operations if _OPERATIONS[operation] not in allowed)


def _allowed(admin: AdminClient, grant: Grant) -> set[AclOperation] | None:
    """Return what we may do with a resource; None: it is not there, or the cluster does not tell."""
    what = f"what may be done with {grant.resource} {grant.name}"
    try:
        told = topics.answered(what, lambda seconds: _described(admin, grant, seconds)).authorized_operations
    except KafkaException as error:
        code = error.args[0].code()
        if code in topics.NOT_LET:
            return set()
        if code in _NOT_THERE:
            return None
        raise
    return set(told) if told else None


def _described(admin: AdminClient, grant: Grant, seconds: float) -> Any:
    options: dict[str, Any] = {"include_authorized_operations": True, "request_timeout": seconds}
    if grant.resource == "topic":
        return admin.describe_topics(TopicCollection([grant.name]), **options)[grant.name].result()
    return admin.describe_consumer_groups([grant.name], **options)[grant.name].result()


_NOT_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)
