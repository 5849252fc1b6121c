"""Who is who on Hyperliquid, as far as it is known: the reference data of every source from that chain."""

from __future__ import annotations

from collections.abc import Iterable

from schemas import codec

VAULTS = {
    "0x010461c14e146ac35fe42271bdc1134ee31c703a": "HLP Strategy A",
    "0x31ca8395cf837de08b24da3f660e77761dfb974b": "HLP Strategy B",
}


def who_is_who(what: str, command: str, listed: str, registered: Iterable[str]) -> str:
    """Return the text of a `reference.toml` (SPEC.md 2.4), in force for all time.

    `what`: named in its first line; `command`: the `fairbook ingest` that writes it; `listed`: its
    [[instruments]]; `registered`: for which of them the vaults are affiliated market makers.
    """
    instruments = codec.encode(list(registered)).decode()
    tables = [REFERENCE.format(what=what, command=command, listed=listed)]
    for account, name in VAULTS.items():
        tables.append(
            f'# {name}\n[[accounts]]\naccount = "{account}"\nentity = "hlp"\n\n'
            f'[[mm_registrations]]\naccount = "{account}"\ninstruments = {instruments}\n'
            "affiliated = true\n"
        )
    return "\n".join(tables)


REFERENCE = """\
# Hyperliquid, {what}. Public chain data; written by `fairbook ingest {command}`.
#
# Who is affiliated is NOT in the chain's records. That the two wallets below are "HLP Strategy A" and "HLP
# Strategy B", child vaults of the protocol's own market-making vault (Hyperliquidity Provider), is what
# public repositories on GitHub say of them, not the venue: verify it before anything rests on it. That the
# operator controls these vaults and has registered them as market makers is this file's assumption. Every
# other wallet counts as a client and as an owner of its own: one person may have several.

[defaults]
unlisted_accounts = "client"

{listed}
[[entities]]
id = "hyperliquid"
name = "Hyperliquid (operator of the venue)"
operator = true

[[entities]]
id = "hlp"
name = "Hyperliquidity Provider vaults (HLP)"

[[affiliations]]
parent = "hyperliquid"
child = "hlp"
control = true
"""
