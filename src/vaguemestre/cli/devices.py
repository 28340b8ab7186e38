"""`vaguemestre account password`: app passwords, one a device and person."""

from typing import Annotated, Any

import typer

from vaguemestre import app as composition
from vaguemestre import ids
from vaguemestre.cli.people import AddressArgument, NationalId, Rpps, named
from vaguemestre.cli.presentation import AsJson, ConfigFile, iso, load, refusals, show, show_table
from vaguemestre.errors import VaguemestreError
from vaguemestre.identity.app_passwords import AppPassword
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import sharing

app = typer.Typer(help="Les mots de passe d'application / App passwords.", no_args_is_help=True)

Label = Annotated[str, typer.Option("--label", help="The device, such as “Phone”.")]


@app.command()
def add(
    config: ConfigFile,
    address: AddressArgument,
    label: Label,
    rpps: Rpps = "",
    national_id: NationalId = "",
    as_json: AsJson = False,
) -> None:
    """Make the app password of a device and print it, this once; of a shared account, say whose."""
    with refusals(as_json):
        who = named(rpps, national_id, needed=False)
        loaded = load(config)
        if not loaded.identity.app_passwords:
            raise VaguemestreError(
                "This operator does not allow app passwords: [identity] app_passwords = true",
                "Cet opérateur n'autorise pas les mots de passe d'application : [identity] app_passwords = true",
            )
        with composition.open_stores(loaded) as stores:
            made = stores.database.write(sharing.add_app_password, address, who, label, ADMINISTRATOR)
    lines = [
        f"{made.password.label} ({made.password.person.name}) → {address}",
        made.secret,
        "À saisir dans l'appareil ; il ne sera plus montré. / Enter it in the device; it is not shown again.",
    ]
    show(as_json, {**_facts(made.password), "secret": made.secret}, lines)


@app.command("list")
def list_(config: ConfigFile, address: AddressArgument, as_json: AsJson = False) -> None:
    """List the devices that may enter an account, and when each last did."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        found = stores.database.read(sharing.devices, address)
    rows = [_facts(each) for each in found]
    columns = ("label", "name", "national_id", "created_at", "used_at")
    show_table(as_json, "app_passwords", columns, rows, "Aucun / None.")


@app.command()
def revoke(
    config: ConfigFile,
    address: AddressArgument,
    label: Label,
    rpps: Rpps = "",
    national_id: NationalId = "",
    as_json: AsJson = False,
) -> None:
    """Let a device in no longer; its sessions end."""
    with refusals(as_json):
        who = named(rpps, national_id, needed=False)
        with composition.open_stores(load(config)) as stores:
            revoked = stores.database.write(sharing.revoke_app_password, address, who, label, ADMINISTRATOR)
    words = f"Révoqué / Revoked: {revoked.label} ({revoked.person.name}) → {address}"
    show(as_json, {**_facts(revoked), "revoked": True}, [words])


def _facts(password: AppPassword) -> dict[str, Any]:
    return {
        "id": ids.to_text(password.id),
        "label": password.label,
        "name": password.person.name,
        "national_id": password.person.national_id,
        "created_at": iso(password.created_at),
        "used_at": iso(password.used_at) if password.used_at is not None else None,
    }
