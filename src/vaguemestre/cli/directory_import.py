"""`vaguemestre directory import` and `status`: the register takes files in, and says where it stands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vaguemestre import directory_parts
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals, show
from vaguemestre.cli.progress import Bar
from vaguemestre.directory import importation
from vaguemestre.directory.intake import Summary, Terms
from vaguemestre.documents.encoded_words import printable

_PARTS = {
    "compare": "Comparaison / Comparison",
    "passages": "Passages",
    "people": "Personnes / People",
    "addresses": "Adresses / Addresses",
    "indexes": "Index / Indexes",
    "difference": "Différence / Difference",
    "search": "Index de recherche / Search index",
}


def import_(
    config: ConfigFile,
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", exists=True, dir_okay=False)],
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Compare everything, not only what the files have new.")
    ] = False,
    accept_withdrawals: Annotated[
        bool, typer.Option("--accept-withdrawals", help="Withdraw however many the files no longer name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take the public extraction files (ZIP or text) into the register: all of them, then what has changed since."""
    with refusals(as_json), Bar(_PARTS) as bar:
        loaded = load(config)
        limit = directory_parts.settings(loaded).withdrawal_limit
        terms = Terms(rebuild=rebuild, withdrawal_limit=limit, accept_withdrawals=accept_withdrawals)
        summary = importation.run(directory_parts.place(loaded), files, bar, terms)
        directory_parts.refresh_search(loaded, bar)
        directory_parts.count_adoption(directory_parts.place(loaded))
    show(as_json, _facts(summary), _lines(summary))


def _facts(summary: Summary) -> dict[str, Any]:
    return {
        "ok": True,
        "full": summary.full,
        "revision": summary.revision,
        "stamp": summary.stamp,
        "files": [
            {
                "name": each.name,
                "kind": each.kind,
                "stamp": each.stamp,
                "missing_columns": each.layout.missing,
                "unknown_columns": each.layout.unknown,
            }
            for each in summary.files
        ],
        "passed_over": summary.passed_over,
        **{
            name: {"created": counts.created, "changed": counts.changed, "withdrawn": counts.withdrawn}
            for name, counts in summary.tally.named()
        },
        "refused": summary.refusals.count,
        "refusals": [
            {"file": each.file, "line": each.line, "fr": each.fr, "en": each.en} for each in summary.refusals.first
        ],
    }


def _lines(summary: Summary) -> list[str]:
    lines = []
    for name, counts in summary.tally.named():
        lines.append(f"{name}: {counts.created} / {counts.changed} / {counts.withdrawn}")
    lines += [f"! {printable(each.file)}, {each.line} : {each.fr} / {each.en}" for each in summary.refusals.first[:20]]
    return lines
