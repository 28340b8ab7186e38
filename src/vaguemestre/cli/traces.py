"""`vaguemestre account trace`: what was done in an account, by whom (CONF.17, CONF.18)."""

from datetime import datetime
from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre import clock, ids
from vaguemestre.cli.people import AddressArgument
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals, show_table
from vaguemestre.identity.traces import Trace
from vaguemestre.mailstore import sharing


def _local(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise typer.BadParameter(f"{text} : date attendue, par exemple 2026-03-01 ou 2026-03-01T12:00") from error


Since = Annotated[datetime | None, typer.Option("--since", parser=_local, metavar="DATE", help="From then on.")]
Until = Annotated[datetime | None, typer.Option("--until", parser=_local, metavar="DATE", help="Before then.")]


def trace(
    config: ConfigFile,
    address: AddressArgument,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The last so many.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Show who did what in an account, when (local time), and the outcome; never what mail said."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        found = stores.database.read(
            sharing.traces_of,
            address,
            clock.to_ms(since) if since else 0,
            clock.to_ms(until) if until else None,
            limit,
        )
    rows = [_facts(each) for each in found]
    columns = ("at", "national_id", "name", "protocol", "action", "request", "target", "outcome", "times")
    show_table(as_json, "traces", columns, rows, "Aucune trace / No trace.")


def _facts(trace: Trace) -> dict[str, Any]:
    return {
        "at": clock.from_ms(trace.at).astimezone().isoformat(timespec="milliseconds"),
        "national_id": trace.national_id,
        "name": trace.name,
        "session": ids.to_text(trace.session),
        "protocol": trace.protocol,
        "action": trace.action,
        "request": trace.request,
        "target": trace.target,
        "outcome": trace.outcome,
        "times": trace.times,
    }
