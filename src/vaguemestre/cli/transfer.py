"""`vaguemestre account import`, `export`, `migrate`: an account's mail comes in whole, and goes out whole."""

import hashlib
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre import ids
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, octets, refusals, show
from vaguemestre.cli.progress import Bar
from vaguemestre.config import Config
from vaguemestre.documents.encoded_words import printable
from vaguemestre.errors import ConfigurationError
from vaguemestre.mailstore import accounts, mailboxes
from vaguemestre.mailstore.transfer import exportation, files, formats, importation
from vaguemestre.mailstore.transfer.formats import Format
from vaguemestre.mailstore.transfer.imap_line import Server
from vaguemestre.mailstore.transfer.model import FolderReport, Report
from vaguemestre.mailstore.transfer.remote import Notes, RemoteSource

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]
_PARTS = {"import": "Import", "export": "Export", "check": "Vérification / Check"}
_MOST_SHOWN = 20


def import_(
    config: ConfigFile,
    address: AddressArgument,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", exists=True, help="A file or a folder.")],
    format_: Annotated[
        Format | None, typer.Option("--format", case_sensitive=False, help="What SOURCE is; recognised without.")
    ] = None,
    mailbox: Annotated[
        str, typer.Option("--mailbox", "-m", help="Where the messages of a single mbox file go.")
    ] = mailboxes.INBOX,
    as_json: AsJson = False,
) -> None:
    """Take in mail from mbox, Maildir or a zip of EML. Run again, it goes on; what is there already stays single."""
    with refusals(as_json), composition.open_stores(loaded := load(config)) as stores:
        account = stores.database.read(accounts.get, address)
        with (
            files.alone(_lock(loaded, account.id)),
            closing(formats.source(source, format_, mailbox)) as opened,
            Bar(_PARTS) as bar,
        ):
            report = importation.run(stores.database, stores.blobs, address, opened, bar)
    _tell(as_json, report)


def export(
    config: ConfigFile,
    address: AddressArgument,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new file (zip), or a folder (mbox, maildir).")],
    format_: Annotated[Format, typer.Option("--format", case_sensitive=False)] = Format.ZIP,
    as_json: AsJson = False,
) -> None:
    """Write all mail of an account, in clear, to files that others read; then read them back to be sure."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        name = stores.database.read(accounts.get, address).address
        sink = formats.sink(target, format_, name)
        with Bar(_PARTS) as bar:
            report = exportation.run(
                stores.database, stores.blobs, address, sink, lambda: formats.source(target, format_), bar
            )
    _tell(as_json, report)


def migrate(
    config: ConfigFile,
    address: AddressArgument,
    host: Annotated[str, typer.Option("--host", help="The other operator's IMAP server.")],
    user: Annotated[str, typer.Option("--user", help="The name to sign in with there; ADDRESS without.")] = "",
    port: Annotated[int | None, typer.Option("--port", min=1, max=65_535, help="993, or 143 with --starttls.")] = None,
    starttls: Annotated[bool, typer.Option("--starttls", help="STARTTLS instead of TLS from the first octet.")] = False,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", exists=True, dir_okay=False, help="Its first line is the secret.")
    ] = None,
    token: Annotated[bool, typer.Option("--token", help="The secret is an OAuth access token (XOAUTH2).")] = False,
    ca: Annotated[
        Path | None, typer.Option("--ca", exists=True, dir_okay=False, help="Authorities to trust, PEM; the system's.")
    ] = None,
    afresh: Annotated[bool, typer.Option("--afresh", help="Forget what earlier runs noted: fetch all again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch all mail of an account from another operator, over IMAP. Run again, it goes on, and fetches what is new."""
    with refusals(as_json), composition.open_stores(loaded := load(config)) as stores:
        account = stores.database.read(accounts.get, address)
        server = Server(
            host,
            port or (143 if starttls else 993),
            not starttls,
            user or address,
            _secret(secret_file),
            token,
            str(ca) if ca else None,
        )
        with files.alone(_lock(loaded, account.id)):
            notes = _notes(loaded, account.id, server)
            if afresh:
                notes.unlink(missing_ok=True)
            with closing(RemoteSource(server, Notes(notes, ids.to_text(account.id)))) as source, Bar(_PARTS) as bar:
                report = importation.run(stores.database, stores.blobs, address, source, bar)
    _tell(as_json, report)


def _lock(config: Config, account_id: int) -> Path:
    return config.data / "transfers" / f"{ids.to_text(account_id)}.lock"


def _notes(config: Config, account_id: int, server: Server) -> Path:
    """Where a migration's notes stand: one file an account here, a server and a name there."""
    there = hashlib.sha256(f"{server.host}\0{server.port}\0{server.user}".encode()).hexdigest()[:16]
    return config.data / "transfers" / f"{ids.to_text(account_id)}-{there}.notes"


def _secret(file: Path | None) -> str:
    if file is not None:
        secret = file.read_text("utf-8").partition("\n")[0]
    elif sys.stdin.isatty():
        secret = typer.prompt("Secret", hide_input=True, err=True)
    else:
        secret = sys.stdin.readline()
    secret = secret.rstrip("\r\n")
    if not secret or set(secret) & set("\0\r\n"):
        raise ConfigurationError(
            "There is no secret to sign in with: type it, or name a file with --secret-file.",
            "Il manque le secret pour s'identifier : saisissez-le, ou donnez un fichier par --secret-file.",
        )
    return secret


def _tell(as_json: bool, report: Report) -> None:
    facts = {
        "ok": report.whole,
        "format": report.kind,
        "folders": [_facts(folder) for folder in report.folders],
        "refused": report.refused,
        "set_aside": [
            {"folder": each.folder, "place": each.place, "fr": each.fr, "en": each.en} for each in report.set_aside
        ],
    }
    show(as_json, facts, _lines(report))
    if not report.whole:
        raise typer.Exit(1)


def _facts(folder: FolderReport) -> dict[str, Any]:
    return {
        "name": folder.name,
        "sources": folder.sources,
        "created": folder.created,
        "present": folder.present,
        "moved": folder.moved,
        "refused": folder.refused,
        "keywords_dropped": folder.dropped_keywords,
        "messages": folder.offered.count,
        "octets": folder.offered.octets,
        "digest": folder.offered.digest,
        "found": folder.found.count,
        "found_digest": folder.found.digest,
        "whole": folder.whole,
    }


def _lines(report: Report) -> list[str]:
    lines = []
    for folder in report.folders:
        counts = [
            (folder.created, "pris / taken" if report.folders[0].sources else "écrits / written"),
            (folder.present, "déjà là / there already"),
            (folder.moved, "déplacés ou supprimés depuis / moved or deleted since"),
            (folder.refused, "refusés / refused"),
            (folder.dropped_keywords, "mots-clés abandonnés / keywords dropped"),
        ]
        said = ", ".join(f"{count} {what}" for count, what in counts if count) or "vide / empty"
        mark = "✓" if folder.whole and not folder.refused else "✗"
        others = [each for each in folder.sources if each != folder.name]
        origin = f" ← {', '.join(map(printable, others))}" if others else ""
        lines.append(f"{mark} {printable(folder.name)}{origin} : {said}")
        if folder.whole:
            lines.append(f"    {folder.found.count} ({octets(folder.found.octets)}), {folder.found.digest[:16]}…")
        else:
            lines.append(
                f"    {folder.found.count} sur / of {folder.offered.count} retrouvés à l'identique / found as they were"
            )
    for each in report.set_aside[:_MOST_SHOWN]:
        lines += [f"! {each.folder}, {each.place} : {each.fr}", f"    {each.en}"]
    if report.refused > _MOST_SHOWN:
        lines.append(f"! … {report.refused - _MOST_SHOWN} (--json)")
    whole = "Tout est là, à l'identique. / All is there, octet for octet."
    return [*lines, whole if report.whole else "Tout n'est pas passé. / Not everything came through."]
