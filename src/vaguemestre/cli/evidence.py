"""`vaguemestre evidence`: read the journal, check that nobody rewrote it, erase the people it names."""

from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre import ids
from vaguemestre.cli.presentation import AsJson, ConfigFile, identifier, iso, load, moment, refusals, show
from vaguemestre.documents.encoded_words import printable
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.journal import Recorded

_MANY = 1_000_000
app = typer.Typer(help="Le journal / The journal.", no_args_is_help=True)


@app.command("log")
def log_(
    config: ConfigFile,
    message: Annotated[
        str | None, typer.Option("--message", help="Only this message's (or account's) entries.")
    ] = None,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Entries after this number, oldest first.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """Show entries, the last ones by default; one JSON object a line with --json."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        found = stores.database.read(_read, message, after, limit)
    if as_json:
        for entry in found:
            show(True, _facts(entry), [])
        return
    for entry in found:
        print(line(entry))


@app.command()
def verify(config: ConfigFile, as_json: AsJson = False) -> None:
    """Recompute the whole chain."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        verdict = stores.database.read(journal.verify)
    facts = {
        "ok": verdict.broken_at is None,
        "entries": verdict.entries,
        "head": verdict.head,
        "broken_at": verdict.broken_at,
    }
    if verdict.broken_at is None:
        lines = [
            f"Journal intact : {verdict.entries} entrées, tête {verdict.head}",
            f"The journal is whole: {verdict.entries} entries, head {verdict.head}",
        ]
    else:
        lines = [
            f"Journal altéré à l'entrée {verdict.broken_at} : comparez avec une sauvegarde.",
            f"The journal was altered at entry {verdict.broken_at}: compare with a backup.",
        ]
    show(as_json, facts, lines)
    if verdict.broken_at is not None:
        raise typer.Exit(1)


@app.command()
def erase(
    config: ConfigFile,
    message: Annotated[str, typer.Argument(metavar="MESSAGE-ID", help="A message's (or account's) identifier.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it: it cannot be undone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase the addresses of a message (or account) from its entries; what happened stays, and the chain is whole.

    Back-ups made before keep them, and so do the entries of notifications about it, which are messages of their own.
    """
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        subject = ids.to_text(identifier(message))
        if not yes:
            count = stores.database.read(_named, subject)
            raise VaguemestreError(
                f"{count} entries of {subject} name people. Nothing is erased yet: add --yes, it cannot be undone.",
                f"{count} entrées de {subject} nomment des personnes. Rien n'est encore effacé : ajoutez --yes ; "
                "c'est sans retour.",
            )
        count = stores.database.write(journal.erase, subject)
    lines = [f"{count} entrées ne nomment plus personne / {count} entries name nobody any more"]
    show(as_json, {"ok": count > 0, "entries": count}, lines)
    if not count:
        raise typer.Exit(1)


def line(entry: Recorded) -> str:
    """An entry on one line, for people."""
    personal = {"": "[effacé / erased]"} if entry.personal is None else entry.personal
    texts = [f"{key}={value}" for key, value in {**personal, **entry.facts}.items() if key != "digest" and value != ""]
    # A peer's words, its certificate's name among them, must not draw lines of their own here.
    said = printable(" ".join(texts))
    return f"{entry.seq:>6}  {moment(entry.at)}  {entry.event:<18} {entry.subject:<13}  {said}"


def _named(connection: Any, subject: str) -> int:
    return sum(bool(entry.personal) for entry in journal.log(connection, subject=subject, limit=_MANY))


def _read(connection: Any, message: str | None, after: int | None, limit: int) -> list[Recorded]:
    return journal.log(connection, subject=message, after=after or 0, limit=limit, newest=after is None)


def _facts(entry: Recorded) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": iso(entry.at),
        "event": entry.event,
        "subject": entry.subject,
        "facts": entry.facts,
        "personal": entry.personal,
        "hash": entry.hash,
    }
