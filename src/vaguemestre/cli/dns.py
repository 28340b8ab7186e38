"""`vaguemestre dns`: the records that a domain must publish."""

from typing import Annotated

import typer

from vaguemestre import app as composition
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals, show
from vaguemestre.config import Config
from vaguemestre.documents import zone
from vaguemestre.documents.zone import Record
from vaguemestre.errors import VaguemestreError


def dns(
    config: ConfigFile,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="One of the operator's domains.")],
    as_json: AsJson = False,
) -> None:
    """Print the DNS records to publish for DOMAIN, as a fragment of its zone file."""
    domain = domain.lower().removesuffix(".")
    with refusals(as_json):
        found = _records(load(config), domain)
    rows = [{"name": each.name, "type": each.type, "value": each.value} for each in found]
    show(as_json, {"domain": domain, "ttl": zone.TTL, "records": rows}, [zone.fragment(domain, found).rstrip("\n")])


def _records(config: Config, domain: str) -> list[Record]:
    if domain not in config.domains:
        served = ", ".join(config.domains)
        raise VaguemestreError(
            f"{domain} is not a domain of this operator ({served}).",
            f"{domain} n'est pas un domaine de cet opérateur ({served}).",
        )
    return composition.zone_records(config, domain)
