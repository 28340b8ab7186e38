"""`vaguemestre directory import` and `status`: the register takes files in, and says where it stands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vaguemestre import clock, directory_parts
from vaguemestre.cli.presentation import AsJson, ConfigFile, iso, load, moment, refusals, show, show_table
from vaguemestre.cli.progress import Bar
from vaguemestre.directory import importation
from vaguemestre.directory.intake import Summary
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
_THINGS = {
    "practitioners": "personnes / people",
    "activities": "activités / activities",
    "qualifications": "titres / qualifications",
    "cards": "cartes / cards",
    "organizations": "structures / organizations",
    "addresses": "adresses / addresses",
}
_KINDS = {
    "activities": "Personne_activite",
    "know_how": "SavoirFaire",
    "diplomas": "Dipl_AutExerc",
    "cards": "Porteurs_CPS_CPF",
    "addresses": "Correspondance_MSSante",
}
_MOST_SHOWN = 20


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
        terms = directory_parts.terms(loaded, rebuild=rebuild, accept_withdrawals=accept_withdrawals)
        summary = importation.run(directory_parts.place(loaded), files, bar, terms)
        directory_parts.refresh_search(loaded, bar)
        directory_parts.count_adoption(directory_parts.place(loaded))
    _tell(as_json, summary)


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
        "doubts": dict(summary.doubts.counts),
        "doubtful": [
            {"identifier": text, "rule": flaw.rule, "fr": flaw.fr, "en": flaw.en} for text, flaw in summary.doubts.first
        ],
        "refused": summary.refusals.count,
        "refusals": [
            {"file": each.file, "line": each.line, "fr": each.fr, "en": each.en} for each in summary.refusals.first
        ],
    }


def _tell(as_json: bool, summary: Summary) -> None:
    if as_json:
        show(True, _facts(summary), [])
        return
    rows = [
        {
            "chose / thing": _THINGS[name],
            "créés / created": counts.created,
            "modifiés / changed": counts.changed,
            "retirés / withdrawn": counts.withdrawn,
        }
        for name, counts in summary.tally.named()
    ]
    show_table(False, "things", list(rows[0]), rows, "")
    print("\n".join(_lines(summary)))


def _lines(summary: Summary) -> list[str]:
    how = "registre nouveau / new register" if summary.full else "différence / difference"
    lines = [f"{how}, révision / revision {summary.revision}, {summary.stamp or '?'}"]
    for each in summary.files:
        for what, names in (
            ("colonnes absentes / missing columns", each.layout.missing),
            ("colonnes inconnues / unknown columns", each.layout.unknown),
        ):
            if names:
                lines.append(f"! {printable(each.name)} : {what} : {', '.join(map(printable, names))}")
    lines += [f"! {printable(each)}" for each in summary.passed_over]
    lines += [
        f"! {rule} : {count} identifiants douteux, pris tels quels / doubtful identifiers, taken as they are"
        for rule, count in summary.doubts.counts.items()
    ]
    lines += [
        f"! {printable(each.file)}, ligne / line {each.line or '?'} : {each.fr} / {each.en}"
        for each in summary.refusals.first[:_MOST_SHOWN]
    ]
    if summary.refusals.count > _MOST_SHOWN:
        lines.append(f"! … {summary.refusals.count} lignes refusées / lines refused (--json)")
    return lines


def status(config: ConfigFile, as_json: AsJson = False) -> None:
    """Say where the register stands: what is in it, the files it was made of and their age, its last changes."""
    with refusals(as_json):
        loaded = load(config)
        found = directory_parts.standing(loaded)
    now = clock.now_ms()
    still = found.still(directory_parts.settings(loaded).stale_after)
    facts = {
        "ok": not still,
        "edition": found.edition,
        "counts": found.counts,
        "files": [
            {
                "kind": each.kind,
                "name": each.name,
                "stamp": each.stamp,
                "age": round(each.age(now)),
                "still": each in still,
            }
            for each in found.files
        ],
        "changes": [
            {"revision": each.id, "at": iso(each.at), "origin": each.origin, "stamp": each.stamp}
            for each in found.changes
        ],
    }
    lines = [f"{count:>9} {_THINGS[name]}" for name, count in found.counts.items()]
    for each in found.files:
        mark = "!" if each in still else " "
        lines.append(f"{mark} {_KINDS[each.kind]} : {each.stamp or '?'}, {each.age(now) / 86_400:.1f} j / days")
    if still:
        lines += [
            "! La source n'avance plus : regardez d'où viennent les fichiers.",
            "! The source stands still: look at where the files come from.",
        ]
    lines += [f"  {moment(each.at)}  {each.id}  {each.origin} {each.stamp}" for each in found.changes]
    show(as_json, facts, lines)
    if still:
        raise typer.Exit(1)
