"""`vaguemestre directory publish|reconcile|report|ldap-password`, `account listing`: our accounts in the directory."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from vaguemestre import app as composition
from vaguemestre import ids, publication_parts
from vaguemestre.cli.presentation import (
    AsJson,
    ConfigFile,
    identifier,
    iso,
    load,
    moment,
    refusals,
    show,
    show_table,
)
from vaguemestre.enrolment.publication import Comparison, Publisher
from vaguemestre.enrolment.publication import Report as Batch
from vaguemestre.errors import ConfigurationError
from vaguemestre.mailstore import accounts, publications
from vaguemestre.mailstore.publications import Facts, Outcome, Result

Done = TypeVar("Done")
_LEAST_PASSWORD = 12


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


def publish(config: ConfigFile, as_json: AsJson = False) -> None:
    """Tell the directory now of the accounts that were opened, changed or closed; say what it accepted, and why not."""
    with refusals(as_json):
        batch = _with_publisher(config, lambda publishing: publishing.publish())
    _show(batch, as_json)


def reconcile(config: ConfigFile, as_json: AsJson = False) -> None:
    """Compare what the directory shows of our domains with our accounts, and mend the differences."""
    with refusals(as_json):
        found = _with_publisher(config, lambda publishing: publishing.reconcile())
    facts = {
        **_facts(found.report),
        "agreeing": found.agreeing,
        "missing": found.missing,
        "different": found.different,
        "unknown": found.unknown,
        "held": found.held,
        "unseen": found.unseen,
    }
    show(as_json, facts, [*_found(found), *map(_line, found.report.results)])
    if found.held or found.report.count(Outcome.ACCEPTED) < len(found.report.results):
        raise typer.Exit(1)


def report(
    config: ConfigFile,
    batch: Annotated[str, typer.Option("--batch", metavar="ID", help="One batch; the latest of all without it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show how tellings went: accepted, refused and why, put off; and what waits."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        wanted = identifier(batch) if batch else None
        found = stores.database.read(publications.results, wanted)
        waiting = stores.database.read(publications.waiting)
    if as_json:
        rows = [
            {"address": address, "attempts": owed.attempts, "due_at": iso(due_at), "rule": rule}
            for address, owed, due_at, rule in waiting
        ]
        show(True, {"results": [_row(each) for each in found], "waiting": rows}, ())
        return
    columns = ("at", "batch", "address", "operation", "outcome", "rule", "fr")
    shown = [{**_row(each), "at": moment(each.at)} for each in found]
    show_table(False, "results", columns, shown, "Rien n'a été publié / Nothing was published.")
    for address, owed, _, rule in waiting:
        print(f"En attente / waiting: {address} ({owed.attempts}) {rule}".rstrip())


def listing(
    config: ConfigFile,
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    red_list: Annotated[
        Switch | None, typer.Option("--red-list", metavar="on|off", help="Hidden from everybody who searches.")
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option("--structure", metavar="ID", help="Who bears an ORG or APP: 1+FINESS, 3+SIRET, or F…, C…, R…."),
    ] = None,
    service: Annotated[str | None, typer.Option("--service", help="The service, of an ORG or APP.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What the mailbox is for.")] = None,
    responsible: Annotated[str | None, typer.Option("--responsible", help="Who answers for an ORG or APP.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what the directory is to show of an account; without an option, show what that is."""
    changes: dict[str, str | bool] = {
        name: value
        for name, value in (
            ("structure", structure),
            ("service", service),
            ("description", description),
            ("responsible", responsible),
        )
        if value is not None
    }
    if red_list is not None:
        changes["red_list"] = red_list is Switch.ON

    def change(connection: Any) -> tuple[str, Facts]:
        account = accounts.get(connection, address)
        return publications.describe(connection, account.id, **changes)

    def read(connection: Any) -> tuple[str, Facts]:
        return publications.listing(connection, accounts.get(connection, address).id)

    with refusals(as_json), composition.open_stores(load(config)) as stores:
        where, facts = stores.database.write(change) if changes else stores.database.read(read)
    named = {
        "structure": where,
        "service": facts.service,
        "description": facts.description,
        "responsible": facts.responsible,
        "red_list": facts.red_list,
    }
    red = "oui / yes" if facts.red_list else "non / no"
    lines = [
        f"Liste rouge / red list: {red}",
        *(f"{name}: {value}" for name, value in named.items() if value and name != "red_list"),
    ]
    show(as_json, {"address": address, **named}, lines)


def ldap_password(as_json: AsJson = False) -> None:
    """Read a password from standard input, and print what [directory.ldap] readers holds of it."""
    from vaguemestre.servers.ldap.readers import digest  # noqa: PLC0415 - for this command alone

    with refusals(as_json):
        password = sys.stdin.readline().rstrip("\r\n")
        if len(password) < _LEAST_PASSWORD:
            raise ConfigurationError(
                f"The password has fewer than {_LEAST_PASSWORD} characters.",
                f"Le mot de passe a moins de {_LEAST_PASSWORD} caractères.",
            )
        made = digest(password)
    show(as_json, {"digest": made}, [made])


def _with_publisher(config: ConfigFile, work: Callable[[Publisher], Awaitable[Done]]) -> Done:
    loaded = load(config)

    async def run() -> Done:
        with composition.open_stores(loaded) as stores:
            async with publication_parts.publisher(loaded, stores.database) as publishing:
                return await work(publishing)

    return asyncio.run(run())


def _show(batch: Batch, as_json: bool) -> None:
    empty = ["Rien à publier / Nothing to publish."]
    show(as_json, _facts(batch), [_line(each) for each in batch.results] or empty)
    if batch.count(Outcome.ACCEPTED) < len(batch.results):
        raise typer.Exit(1)


def _found(found: Comparison) -> list[str]:
    lines = [f"{found.agreeing} conformes / agree"]
    for words, names in (
        ("absentes / missing", found.missing),
        ("différentes / different", found.different),
        ("à retirer / to be withdrawn", found.unknown),
        ("trop nombreuses à retirer, à vérifier / too many to withdraw, have a look", found.held),
    ):
        if names:
            lines.append(f"{len(names)} {words}: {', '.join(names[:20])}")
    return lines


def _facts(batch: Batch) -> dict[str, Any]:
    counts = {str(outcome): batch.count(outcome) for outcome in Outcome}
    ok = counts[str(Outcome.ACCEPTED)] == len(batch.results)
    return {"ok": ok, "batch": ids.to_text(batch.batch), **counts, "results": [_row(each) for each in batch.results]}


def _row(result: Result) -> dict[str, Any]:
    return {
        "batch": ids.to_text(result.batch),
        "address": result.address,
        "operation": str(result.operation),
        "outcome": str(result.outcome),
        "rule": result.rule,
        "fr": result.fr,
        "en": result.en,
        "at": iso(result.at),
    }


def _line(result: Result) -> str:
    why = f" : {result.fr} / {result.en}" if result.rule else ""
    return f"{_OUTCOMES[result.outcome]} ({result.operation}) {result.address}{why}"


_OUTCOMES = {
    Outcome.ACCEPTED: "Acceptée / accepted",
    Outcome.REFUSED: "Refusée / refused",
    Outcome.PUT_OFF: "Remise à plus tard / put off",
}
