"""`vaguemestre account certificate`: the certificates by which software enters an account."""

from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509

from vaguemestre import app as composition
from vaguemestre.cli.people import AddressArgument
from vaguemestre.cli.presentation import AsJson, ConfigFile, iso, load, refusals, show, show_table
from vaguemestre.errors import ConfigurationError
from vaguemestre.identity.client_certificates import Binding, Presented
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import sharing
from vaguemestre.trust import certificates, names

app = typer.Typer(help="Les certificats de logiciels / Certificates of software.", no_args_is_help=True)

CertificateFile = Annotated[
    Path, typer.Option("--certificate", exists=True, dir_okay=False, metavar="PEM", help="The certificate, in PEM.")
]


@app.command()
def add(
    config: ConfigFile,
    address: AddressArgument,
    certificate: CertificateFile,
    exactly: Annotated[bool, typer.Option("--exactly", help="This one only, not the next of its name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let whoever holds a certificate of this name, issued by a configured authority, enter an account."""
    with refusals(as_json):
        presented = _presented(certificate, for_clients=True)
        with composition.open_stores(load(config)) as stores:
            bound = stores.database.write(_add, address, presented, exactly)
    show(as_json, _facts(bound), [f"{bound.subject} → {address}"])


@app.command("list")
def list_(config: ConfigFile, address: AddressArgument, as_json: AsJson = False) -> None:
    """List the certificates that open an account."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        found = stores.database.read(sharing.certificates, address)
    rows = [_facts(each) for each in found]
    show_table(as_json, "certificates", ("subject", "sha256", "added_at"), rows, "Aucun / None.")


@app.command()
def remove(config: ConfigFile, address: AddressArgument, certificate: CertificateFile, as_json: AsJson = False) -> None:
    """Let a certificate open an account no longer; its sessions end."""
    with refusals(as_json):
        presented = _presented(certificate, for_clients=False)
        with composition.open_stores(load(config)) as stores:
            ended = stores.database.write(sharing.remove_certificate, address, presented, ADMINISTRATOR)
    facts = {"address": address, "removed": [_facts(each) for each in ended]}
    show(as_json, facts, [f"Retiré / Removed: {each.subject} → {address}" for each in ended])


def _presented(path: Path, *, for_clients: bool) -> Presented:
    """Raises ConfigurationError, CertificateError, OSError."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigurationError(
            f"{path} is not a certificate in PEM.", f"{path} n'est pas un certificat au format PEM."
        ) from error
    if for_clients:
        certificates.refuse_as_client(found)
    return Presented(names.from_x509(found.subject), certificates.fingerprint(found))


def _add(connection: Any, address: str, presented: Presented, exactly: bool) -> Binding:
    return sharing.add_certificate(connection, address, presented, ADMINISTRATOR, exactly=exactly)


def _facts(binding: Binding) -> dict[str, Any]:
    return {"subject": binding.subject, "sha256": binding.sha256, "added_at": iso(binding.added_at)}
