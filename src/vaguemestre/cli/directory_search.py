"""`vaguemestre directory search`: who is behind an address, and at which address to write to somebody."""

import sys
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from vaguemestre import directory_parts
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals
from vaguemestre.cli.progress import Bar
from vaguemestre.directory.search.answers import Address, Answer, Found, Location
from vaguemestre.directory.search.finder import MOST_RESULTS, Criteria, Finder
from vaguemestre.documents.encoded_words import printable

_PARTS = {"search": "Index de recherche / Search index"}
_KINDS = {
    "PER": ("personnelle", "cyan"),
    "ORG": ("structure", "magenta"),
    "APP": ("application", "yellow"),
    "CAB": ("cabinet", "green"),
}
_SOURCES = {"extraction": "annuaire national", "national-api": "annuaire national (API)", "operator": "opérateur"}
_MATCHES = {"sound": "se prononce pareil / sounds alike", "mistake": "orthographe proche / close spelling"}
_APART = {
    "profession": "le seul de cette profession / the only one of this profession",
    "department": "le seul du département / the only one of the département",
    "profession department": "le seul de cette profession dans le département / the only one of both",
    "identifier": "vérifiez le numéro RPPS / check the RPPS number",
}
_NONE = "Personne ne correspond. / Nobody matches. "


def search(
    config: ConfigFile,
    words: Annotated[list[str] | None, typer.Argument(metavar="[WORDS]…")] = None,
    near: Annotated[str, typer.Option("--near", metavar="PLACE", help="Closest first: postcode, town, 13.")] = "",
    profession: Annotated[str, typer.Option("--profession", metavar="P", help="dentiste, 40…")] = "",
    know_how: Annotated[str, typer.Option("--know-how", metavar="K", help="orthopédie, SCD01…")] = "",
    town: Annotated[str, typer.Option("--town", metavar="TOWN")] = "",
    postcode: Annotated[str, typer.Option("--postcode", metavar="N", help="Whole or its first digits.")] = "",
    department: Annotated[str, typer.Option("--department", metavar="D", help="13, 2A, or its name.")] = "",
    organization: Annotated[str, typer.Option("--organization", metavar="O", help="FINESS, SIRET or name.")] = "",
    service: Annotated[str, typer.Option("--service", metavar="S")] = "",
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="PER, ORG, APP, CAB.")] = "",
    address: Annotated[str, typer.Option("--address", metavar="PART", help="Any part of an address.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST_RESULTS, metavar="N")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find people and structures by any words: name, profession, town, RPPS, FINESS, address. Mistakes are forgiven."""
    criteria = Criteria(profession, know_how, town, postcode, department, organization, service, kind, address)
    with refusals(as_json):
        loaded = load(config)
        with Bar(_PARTS) as bar:
            directory_parts.refresh_search(loaded, bar)
        finder = Finder(directory_parts.shelf(loaded))
        try:
            answer = finder.search(" ".join(words or ()), criteria=criteria, near=near, limit=limit)
        finally:
            finder.close()
    if as_json:
        print(msgspec.json.encode(answer).decode())
    else:
        console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
        for part in _shown(answer):
            console.print(part)
    if not answer.results:
        raise typer.Exit(1)


def _shown(answer: Answer) -> list[Any]:
    parts: list[Any] = [_person(number, found) for number, found in enumerate(answer.results, 1)]
    foot = Text(style="dim")
    if not answer.results:
        foot.append(_NONE)
    if answer.ignored:
        foot.append(f"Sans tenir compte de / Leaving out : {printable(', '.join(answer.ignored))}. ")
    if answer.more:
        foot.append("D'autres correspondent : précisez, ou --limit. / There are more. ")
    if answer.as_of:
        foot.append(f"Annuaire du / Register of {answer.as_of}.")
    return [*parts, foot]


def _person(number: int, found: Found) -> Group:
    head = Text(f"{number:>2}  ", style="dim")
    head.append(printable(found.name), style="bold")
    if found.withdrawn:
        head.append("  RETIRÉ DE L'ANNUAIRE / WITHDRAWN", style="bold red")
    if found.written_to:
        head.append("  ✉ déjà écrit / written to", style="green")
    if found.match in _MATCHES:
        head.append(f"  ≈ {_MATCHES[found.match]}", style="italic yellow")
    lines: list[Text] = []
    about = " · ".join(printable(code.label) for code in (*found.professions, *found.know_how))
    number_shown = f"RPPS {found.rpps}" if found.rpps else found.identifier
    lines.append(Text.assemble((about, "default"), (f"{' · ' if about else ''}{printable(number_shown)}", "dim")))
    lines += [_place(place) for place in found.places[:4]]
    if len(found.places) > 4:
        lines.append(Text(f"… et {len(found.places) - 4} autres lieux / more places", style="dim"))
    lines += [_address(each, found.places) for each in found.addresses]
    if not found.addresses and not found.withdrawn:
        lines.append(Text("aucune adresse MSSanté / no MSSanté address", style="red"))
    if found.namesakes is not None:
        apart = _APART[" ".join(found.namesakes.told_apart_by)]
        count = f"{found.namesakes.count} homonyme{'s' if found.namesakes.count > 1 else ''}"
        lines.append(Text(f"⚠ {count} / namesakes : {apart}", style="yellow"))
    return Group(head, *(Padding(line, (0, 0, 0, 4), expand=False) for line in lines), Text())


def _place(place: Location) -> Text:
    where = " ".join(filter(None, (place.postcode, place.city)))
    text = Text("⌂ ", style="dim")
    text.append(printable(" — ".join(filter(None, (place.name, place.sign)))), style="default")
    text.append(printable("".join(f", {part}" for part in (place.line, where) if part)), style="default")
    if place.finess:
        text.append(f"  FINESS {place.finess}", style="dim")
    return text


def _address(each: Address, places: list[Location]) -> Text:
    name, colour = _KINDS.get(each.kind, (each.kind, "white"))
    text = Text("✉ ", style=colour)
    text.append(printable(each.address), style=f"bold {colour}")
    facts = [f"{each.kind} {name}"]
    if each.preferred:
        facts.append("préférée / preferred")
    facts += [printable(part) for part in (each.service, each.description) if part]
    if each.at is not None and len(places) > 1:
        facts.append(printable(places[each.at].city))
    text.append(f"  {' · '.join(facts)}", style="default")
    source = _SOURCES.get(each.source, each.source)
    text.append(f"\n  publiée par / by {printable(each.publisher)}, {source}, {each.confirmed_on}", style="dim")
    return text
