"""`vaguemestre enrolment`: what an administrator decides of mailboxes: requests of structures, hand-overs, closures."""

from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre.cli.presentation import AsJson, ConfigFile, iso, load, refusals, show, show_table
from vaguemestre.config import Config
from vaguemestre.enrolment import lifecycle, requests
from vaguemestre.enrolment.notices import Notices
from vaguemestre.enrolment.requests import MailboxRequest, RequestError
from vaguemestre.identity import model
from vaguemestre.identity.permissions import ADMINISTRATOR

app = typer.Typer(help="Demandes et vie des boîtes / Requests, and what becomes of mailboxes.", no_args_is_help=True)
Number = Annotated[str, typer.Argument(metavar="REQUEST", help="As `enrolment requests` shows it.")]
AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]
Rpps = Annotated[str, typer.Argument(metavar="RPPS")]


@app.command("requests")
def requests_(config: ConfigFile, as_json: AsJson = False) -> None:
    """Mailboxes of structures that were asked for, and wait for a decision."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        found = stores.database.read(requests.waiting)
    show_table(
        as_json,
        "requests",
        ("request", "kind", "address", "name", "structure", "asker", "asked_at"),
        [_facts(each) for each in found],
        "Aucune demande en attente / No request waits.",
    )


@app.command()
def grant(config: ConfigFile, request: Number, as_json: AsJson = False) -> None:
    """Open the mailbox that was asked for; who asked becomes its holder."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        account = stores.database.write(requests.grant, _number(request))
    facts = {"address": account.address, "kind": str(account.kind)}
    show(as_json, facts, [f"Boîte ouverte / Mailbox opened: {account.address} ({account.kind})"])


@app.command()
def refuse(
    config: ConfigFile,
    request: Number,
    reason: Annotated[str, typer.Option("--reason", help="In words for who asked.")],
    as_json: AsJson = False,
) -> None:
    """Refuse a request."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        stores.database.write(requests.refuse, _number(request), reason)
    show(as_json, {"refused": request}, [f"Demande refusée / Request refused: {request}"])


@app.command("hand-on")
def hand_on(
    config: ConfigFile,
    address: AddressArgument,
    rpps: Rpps,
    name: Annotated[str, typer.Option("--name", help="The new holder's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Give a practice's or structure's mailbox to another holder, in the place of those who held it."""
    with refusals(as_json):
        national_id = model.rpps(rpps)
        with composition.open_stores(load(config)) as stores:
            stores.database.write(lifecycle.hand_on, address, national_id, name, ADMINISTRATOR)
    show(as_json, {"address": address, "holder": national_id}, [f"Boîte transmise / Mailbox handed on: {address}"])


@app.command()
def close(
    config: ConfigFile,
    address: AddressArgument,
    reason: Annotated[str, typer.Option("--reason", help="Kept in the journal: retirement, departure…")] = "departure",
    kept_days: Annotated[int, typer.Option("--kept-days", min=1, help="Days until its mail may be erased.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Close a mailbox: it takes no more, its holder is told, its mail is kept for a while to be taken away."""
    with refusals(as_json):
        loaded = load(config)
        with composition.open_stores(loaded) as stores:
            notices = Notices(stores.blobs, _operator(loaded))
            closed = stores.database.write(
                lambda connection: lifecycle.close(
                    connection, address, reason, ADMINISTRATOR, notices, kept_ms=kept_days * 86_400_000
                )
            )
    facts = {"address": address, "kept_until": iso(closed.kept_until)}
    show(as_json, facts, [f"Boîte fermée, gardée jusqu'au / Mailbox closed, kept until {iso(closed.kept_until)}"])


@app.command()
def died(config: ConfigFile, rpps: Rpps, as_json: AsJson = False) -> None:
    """A professional died: close what they held alone, end what they could do elsewhere, write them nothing."""
    with refusals(as_json):
        national_id, loaded = model.rpps(rpps), load(config)
        with composition.open_stores(loaded) as stores:
            notices = Notices(stores.blobs, _operator(loaded))
            closed = stores.database.write(lifecycle.died, national_id, ADMINISTRATOR, notices)
    show(as_json, {"closed": len(closed)}, [f"Boîtes fermées / Mailboxes closed: {len(closed)}"])


def _operator(config: Config) -> str:
    return config.web.name if config.web is not None else config.hostname


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise RequestError("There is no such request.", "Cette demande n'existe pas.") from error


def _facts(asked: MailboxRequest) -> dict[str, Any]:
    return {
        "request": str(asked.id),
        "kind": str(asked.kind),
        "address": asked.address,
        "name": asked.name,
        "structure": asked.structure,
        "asker": asked.asker,
        "asked_at": iso(asked.asked_at),
    }
