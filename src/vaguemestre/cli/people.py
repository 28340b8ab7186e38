"""`vaguemestre account holder|grant|ungrant|holders|own-reading|sign-out`: who may enter an account."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre.cli.presentation import AsJson, ConfigFile, iso, load, refusals, show, show_table
from vaguemestre.errors import ConfigurationError
from vaguemestre.identity import model
from vaguemestre.identity.grants import Grant
from vaguemestre.identity.model import Rights, rights_text
from vaguemestre.identity.permissions import ADMINISTRATOR, Part
from vaguemestre.mailstore import accounts, sharing

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]
Rpps = Annotated[str, typer.Option("--rpps", metavar="NUMBER", help="The person's RPPS number.")]
NationalId = Annotated[
    str, typer.Option("--national-id", metavar="ID", help="Or their identifier as Pro Santé Connect gives it.")
]
Name = Annotated[str, typer.Option("--name", help="The person's name.")]


class Switch(StrEnum):
    """A setting that is on or off."""

    ON = "on"
    OFF = "off"


def holder(
    config: ConfigFile,
    address: AddressArgument,
    rpps: Rpps = "",
    national_id: NationalId = "",
    name: Name = "",
    as_json: AsJson = False,
) -> None:
    """Bind a person to an account as its holder: a PER has one, a shared one may have several."""
    with refusals(as_json):
        who = named(rpps, national_id)
        with composition.open_stores(load(config)) as stores:
            given = stores.database.write(sharing.bind_holder, address, who, name, ADMINISTRATOR)
    show(as_json, _facts(given), [f"Titulaire / Holder: {given.person.name} ({given.person.national_id}) → {address}"])


def grant(
    config: ConfigFile,
    address: AddressArgument,
    rpps: Rpps = "",
    national_id: NationalId = "",
    name: Name = "",
    rights: Annotated[str, typer.Option("--rights", help="Some of read, write, send.")] = "read,write",
    label: Annotated[str, typer.Option("--label", help="How colleagues see the person there.")] = "",
    responsible: Annotated[bool, typer.Option("--responsible", help="May decide who else comes in.")] = False,
    auditor: Annotated[bool, typer.Option("--auditor", help="Sees who did what there, and no mail.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a person into an account, or change what they may do there; their sessions under way then end."""
    with refusals(as_json):
        if responsible and auditor:
            raise ConfigurationError(
                "Say --responsible or --auditor, not both.", "Dites --responsible ou --auditor, pas les deux."
            )
        part = Part.RESPONSIBLE if responsible else Part.AUDITOR if auditor else Part.DELEGATE
        who, allowed = named(rpps, national_id), model.parse_rights(rights)
        shown = model.label(label) if label else ""
        with composition.open_stores(load(config)) as stores:
            given = stores.database.write(_grant, address, who, name, allowed, shown, part)
    words = f"{given.person.name} ({given.person.national_id}) : {rights_text(given.rights)} → {address}"
    show(as_json, _facts(given), [words])


def ungrant(
    config: ConfigFile,
    address: AddressArgument,
    rpps: Rpps = "",
    national_id: NationalId = "",
    as_json: AsJson = False,
) -> None:
    """Let a person, holder included, into an account no longer: their sessions and devices there end."""
    with refusals(as_json):
        who = named(rpps, national_id)
        with composition.open_stores(load(config)) as stores:
            stores.database.write(sharing.end_grant, address, who, ADMINISTRATOR)
    facts = {"address": address, "national_id": who, "ended": True}
    show(as_json, facts, [f"Accès terminé / Access ended: {who} → {address}"])


def holders(config: ConfigFile, address: AddressArgument, as_json: AsJson = False) -> None:
    """List who may enter an account, and what they may do."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        found = stores.database.read(sharing.holders, address)
    rows = [_facts(each) for each in found]
    columns = ("national_id", "name", "part", "rights", "label", "granted_at")
    show_table(as_json, "holders", columns, rows, "Personne / Nobody.")


def sign_out(config: ConfigFile, address: AddressArgument, as_json: AsJson = False) -> None:
    """End every session of an account; people may sign in again."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        stores.database.write(sharing.sign_out, address, ADMINISTRATOR)
    show(as_json, {"address": address, "signed_out": True}, [f"Sessions closes / Sessions ended: {address}"])


def own_reading(
    config: ConfigFile,
    address: AddressArgument,
    switch: Annotated[Switch, typer.Argument(metavar="on|off")],
    as_json: AsJson = False,
) -> None:
    """Let each person of a shared account have their own read and unread, or all the same; sessions under way end."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        changed = stores.database.write(accounts.change_own_reading, address, switch is Switch.ON)
    words = "chacun la sienne / each their own" if changed.own_reading else "commune / shared"
    facts = {"address": changed.address, "own_reading": changed.own_reading}
    show(as_json, facts, [f"Lecture / Reading: {words} → {changed.address}"])


def named(rpps: str, national_id: str, *, needed: bool = True) -> str:
    """The national identifier that options name, or an empty text where none is needed.

    Raises NationalIdError, ConfigurationError.
    """
    if bool(rpps) == bool(national_id) and (needed or rpps):
        raise ConfigurationError(
            "Say who: either --rpps NUMBER or --national-id ID.",
            "Dites qui : soit --rpps NUMÉRO, soit --national-id IDENTIFIANT.",
        )
    return model.rpps(rpps) if rpps else model.national_id(national_id) if national_id else ""


def _grant(connection: Any, address: str, who: str, name: str, rights: Rights, label: str, part: Part) -> Grant:
    return sharing.grant(connection, address, who, name, rights, ADMINISTRATOR, label=label, part=part)


def _facts(grant: Grant) -> dict[str, Any]:
    return {
        "national_id": grant.person.national_id,
        "name": grant.person.name,
        "part": str(grant.part),
        "rights": rights_text(grant.rights),
        "label": grant.label,
        "granted_at": iso(grant.granted_at),
    }
