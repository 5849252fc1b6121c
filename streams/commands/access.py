"""`fairbook topics acls`: who may do what on the cluster."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from streams.commands.options import connected
from streams.settings import Settings
from streams.text_table import console


class Form(StrEnum):
    """How ACLs are printed."""

    table = "table"
    script = "script"
    markdown = "markdown"


@connected
def topics_acls(
    settings: Settings,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only these: venue, operator, tag, detect, land, alerts, status. Repeatable."),
    ] = None,
    principal: Annotated[
        str, typer.Option(metavar="TYPE:NAME", help="Who they are on the cluster; {kind} is filled in.")
    ] = "User:fairbook-{kind}",
    form: Annotated[
        Form, typer.Option("--as", help="script: commands of Kafka's own kafka-acls.sh.")
    ] = Form.table,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set those that are missing; takes none away.")
    ] = False,
) -> None:
    """The least that each kind of worker or person may do on a cluster with ACLs: shown, or set.

    One principal for several kinds: --kind tag --kind detect --kind land --principal User:fairbook
    """
    from streams import acls, text_table

    wanted = acls.lines(settings, kind or acls.GRANTS, principal)
    if apply:
        made = acls.apply(settings, wanted)
        print(f"{made} ACLs set, {acls.count(wanted) - made} were there")
    elif form is Form.script:
        print("\n".join(acls.script(settings, wanted)))
    elif form is Form.markdown:
        print("\n".join(acls.markdown(wanted)))
    else:
        text_table.show(console(), acls.table(wanted))
