"""`vaguemestre mailbox`: look into an account, as its administrator."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre import ids
from vaguemestre.cli.presentation import AsJson, ConfigFile, iso, load, moment, octets, refusals, show, show_table
from vaguemestre.errors import VaguemestreError
from vaguemestre.mailstore import accounts, mailboxes, messages
from vaguemestre.mailstore import search as searching
from vaguemestre.mailstore.model import Flag, Listed, Mailbox
from vaguemestre.mailstore.search import Field
from vaguemestre.storage.blobs import BlobStore

app = typer.Typer(help="Les dossiers et les messages d'un compte / An account's mailboxes.", no_args_is_help=True)

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]
Name = Annotated[str, typer.Option("--mailbox", "-m", help="The mailbox.")]


@app.command("list")
def list_(
    config: ConfigFile,
    address: AddressArgument,
    name: Annotated[str | None, typer.Option("--mailbox", "-m", help="List this mailbox's messages.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the mailboxes of an account; or the newest messages of one."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        boxes, found = stores.database.read(_look, address, name, limit)
    if name is None:
        rows = [_mailbox_facts(mailbox) for mailbox in boxes]
        show_table(as_json, "mailboxes", ("name", "role", "total", "unseen", "uid_next"), rows, "")
        return
    rows = [_message_facts(message) for message in found]
    if as_json:
        show_table(True, "messages", (), rows, "")
        return
    for row, message in zip(rows, found, strict=True):
        row.update(size=octets(message.size), received_at=moment(message.received_at), flags=" ".join(row["flags"]))
    columns = ("uid", "received_at", "from", "subject", "size", "flags")
    show_table(False, "messages", columns, rows, "Dossier vide / Empty mailbox.")


@app.command("show")
def show_(
    config: ConfigFile,
    address: AddressArgument,
    uid: Annotated[int, typer.Argument(min=1)],
    name: Name = "INBOX",
    save: Annotated[Path | None, typer.Option("--save", help="Write the message, as received, to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a message: its summary, or with --save - its whole source."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        message = stores.database.read(_find, address, name, uid)
        if save is not None:
            reader = stores.database.read(stores.blobs.open, message.blob_id)
            if str(save) == "-":
                sys.stdout.buffer.writelines(reader.chunks())
                return
            with save.open("wb") as file:
                file.writelines(reader.chunks())
    facts = _message_facts(message)
    show(as_json, facts, [f"{key:12} {value}" for key, value in facts.items()])


@app.command()
def search(
    config: ConfigFile,
    address: AddressArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    field: Annotated[Field, typer.Option("--in", help="Where to look.")] = Field.TEXT,
    limit: Annotated[int, typer.Option(min=1, help="How many to list, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Find the messages of an account that hold a text, whatever its case, accents and punctuation."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        count, found = stores.database.read(_search, stores.blobs, address, field, text, limit)
    rows = [{"mailbox": name, **_message_facts(message)} for name, message in found]
    if as_json:
        show(True, {"count": count, "messages": rows}, [])
        return
    for row, (_, message) in zip(rows, found, strict=True):
        row.update(received_at=moment(message.received_at))
    columns = ("mailbox", "uid", "received_at", "from", "subject")
    show_table(False, "messages", columns, rows, "Aucun message / No message.")
    if count > len(rows):
        print(f"{count} messages, les plus récents ci-dessus / the newest above")


def _search(
    connection: Any, store: BlobStore, address: str, field: Field, text: str, limit: int
) -> tuple[int, list[tuple[str, Listed]]]:
    account = accounts.get(connection, address)
    found = searching.matching(connection, store, account.id, field, text)
    return len(found), searching.listing(connection, account.id, found, limit=limit)


def _look(connection: Any, address: str, name: str | None, limit: int) -> tuple[list[Mailbox], list[Listed]]:
    account = accounts.get(connection, address)
    if name is None:
        return mailboxes.listing(connection, account.id), []
    mailbox = mailboxes.named(connection, account.id, name)
    return [mailbox], messages.listing(connection, mailbox.id, limit=limit)


def _find(connection: Any, address: str, name: str, uid: int) -> Listed:
    account = accounts.get(connection, address)
    found = messages.find(connection, mailboxes.named(connection, account.id, name).id, uid)
    if found is None:
        raise VaguemestreError(f"There is no message {uid} in {name}.", f"Il n'y a pas de message {uid} dans {name}.")
    return found


def _mailbox_facts(mailbox: Mailbox) -> dict[str, Any]:
    return {
        "name": mailbox.name,
        "role": str(mailbox.role) if mailbox.role else None,
        "total": mailbox.total,
        "unseen": mailbox.unseen,
        "uid_validity": mailbox.uid_validity,
        "uid_next": mailbox.uid_next,
        "modseq": mailbox.modseq,
    }


def _message_facts(message: Listed) -> dict[str, Any]:
    noted = message.summary
    return {
        "uid": message.uid,
        "id": ids.to_text(message.blob_id),
        "thread": ids.to_text(message.thread_id),
        "received_at": iso(message.received_at),
        "from": ", ".join(name or address for name, address in noted.from_),
        "to": ", ".join(address for _, address in noted.to),
        "subject": noted.subject,
        "message_id": noted.message_id,
        "attachments": noted.has_attachment,
        "size": message.size,
        "flags": [str(flag.name).lower() for flag in Flag if flag in message.flags],
        "modseq": message.modseq,
    }
