"""`vaguemestre queue`: what waits for other operators."""

from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre import clock, ids
from vaguemestre.cli.presentation import AsJson, ConfigFile, identifier, iso, load, moment, refusals, show, show_table
from vaguemestre.transport import queue
from vaguemestre.transport.queue import Queued

app = typer.Typer(help="Les messages en attente / What waits to be relayed.", no_args_is_help=True)

Row = Annotated[str | None, typer.Argument(metavar="[ID]", help="One entry; all without it.")]


@app.command("list")
def list_(config: ConfigFile, as_json: AsJson = False) -> None:
    """List what waits, the oldest first, with the last answer."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        found = stores.database.read(queue.listing)
    rows = [_facts(row, as_json) for row in found]
    columns = ("id", "message", "to", "due_at", "attempts", "held", "last_reply")
    show_table(as_json, "queue", columns, rows, "La file est vide / The queue is empty.")


@app.command()
def retry(config: ConfigFile, entry: Row = None, as_json: AsJson = False) -> None:
    """Try now."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        count = stores.database.write(queue.hasten, _identifier(entry), clock.now_ms())
    _report(as_json, count, "à tenter maintenant / to be tried now")


@app.command()
def hold(config: ConfigFile, entry: Row = None, as_json: AsJson = False) -> None:
    """Keep from being tried."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        count = stores.database.write(queue.hold, _identifier(entry), True)
    _report(as_json, count, "retenus / held")


@app.command()
def release(config: ConfigFile, entry: Row = None, as_json: AsJson = False) -> None:
    """Let go of what was held."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        count = stores.database.write(queue.hold, _identifier(entry), False)
    _report(as_json, count, "libérés / released")


@app.command()
def cancel(config: ConfigFile, entry: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Give up one entry; its author is told."""
    with refusals(as_json):
        loaded = load(config)
        with composition.open_stores(loaded) as stores:
            count = stores.database.write(composition.notifier(loaded, stores).cancel, _identifier(entry))
    _report(as_json, int(count), "annulés / cancelled")


def _report(as_json: bool, count: int, what: str) -> None:
    show(as_json, {"ok": count > 0, "count": count}, [f"{count} {what}"])
    if not count:
        raise typer.Exit(1)


def _identifier(text: str | None) -> int | None:
    return None if text is None else identifier(text)


def _facts(row: Queued, as_json: bool) -> dict[str, Any]:
    return {
        "id": ids.to_text(row.id),
        "message": ids.to_text(row.blob_id),
        "to": row.recipient.address,
        "due_at": iso(row.due_at) if as_json else moment(row.due_at),
        "expires_at": iso(row.expires_at),
        "attempts": row.attempts,
        "held": row.held,
        "last_reply": row.last_reply,
    }
