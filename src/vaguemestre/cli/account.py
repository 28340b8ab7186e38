"""`vaguemestre account`: the accounts (BAL) of an operator."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre import ids
from vaguemestre.cli import client_certificates, devices, people, traces
from vaguemestre.cli.presentation import AsJson, ConfigFile, iso, load, octets, refusals, show, show_table
from vaguemestre.config import Config
from vaguemestre.errors import VaguemestreError
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import Account, AccountKind, AccountState
from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.transport.envelope import domain_of

app = typer.Typer(help="Les comptes (BAL) / The accounts.", no_args_is_help=True)
app.command("holder")(people.holder)
app.command("grant")(people.grant)
app.command("ungrant")(people.ungrant)
app.command("holders")(people.holders)
app.command("own-reading")(people.own_reading)
app.command("sign-out")(people.sign_out)
app.command("trace")(traces.trace)
app.add_typer(devices.app, name="password")
app.add_typer(client_certificates.app, name="certificate")

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]
Quota = Annotated[int, typer.Option("--quota-mb", min=1, help="Room for mail, in megabytes (10^6 octets).")]


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


@app.command()
def add(
    config: ConfigFile,
    address: AddressArgument,
    name: Annotated[str, typer.Option("--name", help="What correspondents see.")] = "",
    kind: Annotated[AccountKind, typer.Option("--kind", case_sensitive=False)] = AccountKind.PER,
    quota_mb: Quota = accounts.DEFAULT_QUOTA // 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Open an account: PER a person, ORG a structure, APP a machine, CAB a shared practice."""
    with refusals(as_json):
        loaded = load(config)
        written = _of_this_operator(loaded, address)
        with composition.open_stores(loaded) as stores:
            made = stores.database.write(_create, kind, written, name or written, quota_mb * 1_000_000)
    show(as_json, _facts(made), [f"Compte ouvert / Account opened: {made.address} ({made.kind}), {octets(made.quota)}"])


@app.command("list")
def list_(config: ConfigFile, as_json: AsJson = False) -> None:
    """List the accounts with their use."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        found = stores.database.read(accounts.listing)
    rows = [_facts(account) for account in found]
    columns = ("address", "kind", "name", "state", "messages", "used", "quota")
    show_table(as_json, "accounts", columns, rows, "Aucun compte / No account.")


@app.command()
def quota(config: ConfigFile, address: AddressArgument, quota_mb: Quota, as_json: AsJson = False) -> None:
    """Change the room of an account."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        changed = stores.database.write(accounts.change_quota, address, quota_mb * 1_000_000)
    show(as_json, _facts(changed), [f"{changed.address} : {octets(changed.used)} / {octets(changed.quota)}"])


@app.command()
def alias(
    config: ConfigFile,
    address: AddressArgument,
    other: Annotated[str, typer.Argument(metavar="OTHER")],
    as_json: AsJson = False,
) -> None:
    """Give an account another address."""
    with refusals(as_json):
        loaded = load(config)
        written = _of_this_operator(loaded, other)
        with composition.open_stores(loaded) as stores:
            changed = stores.database.write(accounts.add_address, address, written)
    show(as_json, _facts(changed), [f"{written} → {changed.address}"])


@app.command("keep-sent")
def keep_sent(
    config: ConfigFile,
    address: AddressArgument,
    keep: Annotated[Switch, typer.Argument(metavar="on|off")],
    as_json: AsJson = False,
) -> None:
    """File what programs send in Sent; off, as at first, for programs that file their own copy, as most do."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        changed = stores.database.write(accounts.change_keeps_sent, address, keep is Switch.ON)
    words = "copie classée dans Sent / copy filed in Sent" if changed.keeps_sent else "sans copie / no copy"
    show(as_json, _facts(changed), [f"{changed.address} : {words}"])


@app.command()
def suspend(config: ConfigFile, address: AddressArgument, as_json: AsJson = False) -> None:
    """Keep anybody from entering or sending; mail still comes in."""
    _change_state(config, address, AccountState.SUSPENDED, as_json)


@app.command()
def close(config: ConfigFile, address: AddressArgument, as_json: AsJson = False) -> None:
    """Take no more mail; what is there stays, and nobody else gets the address."""
    _change_state(config, address, AccountState.CLOSED, as_json)


@app.command()
def reopen(config: ConfigFile, address: AddressArgument, as_json: AsJson = False) -> None:
    """Make a suspended or closed account active again."""
    _change_state(config, address, AccountState.ACTIVE, as_json)


def _change_state(config: ConfigFile, address: str, state: AccountState, as_json: bool) -> None:
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        changed = stores.database.write(accounts.change_state, address, state)
    show(as_json, _facts(changed), [f"{changed.address} : {changed.state}"])


def _of_this_operator(config: Config, address: str) -> str:
    """The address in its one spelling. Raises AddressError, VaguemestreError for a domain that comes to another's server."""
    written = Address.parse(address).text
    if domain_of(written) not in config.domains:
        served = ", ".join(config.domains)
        raise VaguemestreError(
            f"{written} is not in a domain of this operator ({served}).",
            f"{written} n'est pas dans un domaine de cet opérateur ({served}).",
        )
    return written


def _create(connection: Any, kind: AccountKind, address: str, name: str, quota: int) -> Account:
    return accounts.create(connection, kind, address, name, quota=quota)


def _facts(account: Account) -> dict[str, Any]:
    return {
        "id": ids.to_text(account.id),
        "address": account.address,
        "kind": str(account.kind),
        "name": account.name,
        "state": str(account.state),
        "messages": account.messages,
        "used": account.used,
        "quota": account.quota,
        "keeps_sent": account.keeps_sent,
        "created_at": iso(account.created_at),
    }
