"""`vaguemestre directory pull`: the register follows the national directory's API."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from vaguemestre import directory_parts
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals, show
from vaguemestre.directory.absorption import Pulled
from vaguemestre.documents.encoded_words import printable


def pull(
    config: ConfigFile,
    everything: Annotated[bool, typer.Option("--everything", help="All of it, though changes would do.")] = False,
    accept_withdrawals: Annotated[
        bool, typer.Option("--accept-withdrawals", help="Withdraw however many the service no longer has.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Follow the national directory by its API: all of it the first time, then what changed. Cut, it goes on."""
    console = Console(stderr=True, highlight=False)
    with refusals(as_json):
        loaded = load(config)
        with console.status("Annuaire national / national directory…") as status:

            def progress(kind: str, count: int) -> None:
                status.update(f"Annuaire national / national directory: {kind} {count}")

            done = asyncio.run(
                directory_parts.pull(
                    loaded, everything=everything, accept_withdrawals=accept_withdrawals, progress=progress
                )
            )
    show(
        as_json,
        {
            "ok": True,
            "everything": not done.since,
            "revision": done.revision,
            "resources": done.resources,
            **{
                name: {"created": counts.created, "changed": counts.changed, "withdrawn": counts.withdrawn}
                for name, counts in done.tally.named()
            },
            "refused": done.refused_count,
            "refusals": done.refused,
        },
        _lines(done),
    )


def _lines(done: Pulled) -> list[str]:
    lines = [
        "Tout a été repris / all was pulled."
        if not done.since
        else "Les changements ont été pris / changes were pulled."
    ]
    if not done.revision:
        lines.append("Rien n'a changé / nothing changed.")
    lines += [
        f"{name}: +{counts.created} ~{counts.changed} -{counts.withdrawn}"
        for name, counts in done.tally.named()
        if counts.created or counts.changed or counts.withdrawn
    ]
    if done.refused_count:
        lines.append(f"Refusées / refused: {done.refused_count}")
    return lines + [f"! {printable(each)}" for each in done.refused[:20]]
