"""Our own directory, followed as the nation's: what one serves over FHIR, the other holds."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from simulators.operators import OperatorFactory, answer_of, run_command
from simulators.space import SOUTH, TrustSpace
from vaguemestre import config as configuration
from vaguemestre import directory_parts
from vaguemestre.directory import tables
from vaguemestre.directory.fictitious import edition
from vaguemestre.directory.fictitious.population import FLAWLESS, Fiction
from vaguemestre.directory.register import Place
from vaguemestre.storage import keys


def _register(place: Place) -> dict[str, set[Any]]:
    """What matters of a register, whatever its numbers."""
    people, places, activities, addresses = (
        tables.practitioners, tables.organizations, tables.activities, tables.addresses,
    )  # fmt: skip
    named = ("civility", "title", "family", "given", "profession", "category")
    where = (
        "finess",
        "siret",
        "name",
        "sign",
        "sector",
        "number",
        "street",
        "postcode",
        "commune",
        "city",
        "department",
        "phone",
    )
    wanted = {
        "people": sa.select(people.c.national_id, *(people.c[name] for name in named)).where(people.c.active),
        "places": sa.select(places.c.technical_id, *(places.c[name] for name in where)).where(places.c.active),
        "activities": sa.select(
            people.c.national_id, places.c.technical_id, activities.c.mode, activities.c.function, activities.c.genre
        )
        .select_from(activities)
        .join(people, people.c.id == activities.c.practitioner_id)
        .join(places, places.c.id == activities.c.organization_id, isouter=True)
        .where(activities.c.active),
        "addresses": sa.select(addresses.c.address, addresses.c.kind, people.c.national_id, places.c.technical_id)
        .select_from(addresses)
        .join(people, people.c.id == addresses.c.practitioner_id, isouter=True)
        .join(places, places.c.id == addresses.c.organization_id, isouter=True)
        .where(addresses.c.active, sa.not_(addresses.c.red_list)),
    }
    opened = place.open()
    try:
        return {
            name: {
                tuple(row) for row in opened.read(lambda connection, chosen=chosen: connection.execute(chosen).all())
            }
            for name, chosen in wanted.items()
        }
    finally:
        opened.close()


def test_what_one_directory_serves_another_holds(operator: OperatorFactory, space: TrustSpace, tmp_path: Path) -> None:
    served = operator(SOUTH, directory={"listen": "127.0.0.1:0", "rate": 0.0})
    theirs = directory_parts.place(configuration.load(served.folder / "vaguemestre.toml", {}))
    edition.make(theirs, Fiction(300, defects=FLAWLESS))
    served.start()
    (tmp_path / "data").mkdir()
    keys.create(tmp_path / "data" / "operator.keys")
    (tmp_path / "key").write_text("whatever", "ascii")
    own = tmp_path / "follower.toml"
    own.write_text(
        f'data = "data"\n[directory]\napi = "https://localhost:{served.ports["directory"]}/fhir/v2"\n'
        f'api_key = "key"\napi_rate = 1000.0\napi_authorities = "{space.authorities}"\n',
        "utf-8",
    )
    facts = answer_of(run_command("directory", "pull", "-c", str(own), "--json"))
    assert (facts["ok"], facts["refusals"]) == (True, [])
    ours = directory_parts.place(configuration.load(own, {}))
    there, here = _register(theirs), _register(ours)
    for name in there:
        assert here[name] == there[name], name
        assert len(here[name]) > 50
    again = answer_of(run_command("directory", "pull", "-c", str(own), "--everything", "--json"))
    assert again["revision"] == 0


def test_a_directory_of_unknown_authorities_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    keys.create(tmp_path / "data" / "operator.keys")
    (tmp_path / "key").write_text("whatever", "ascii")
    own = tmp_path / "follower.toml"
    own.write_text('data = "data"\n[directory]\napi_key = "key"\napi_authorities = "nowhere.pem"\n', "utf-8")
    refused = run_command("directory", "pull", "-c", str(own), "--json")
    assert refused.exit_code == 2
    assert "nowhere.pem" in answer_of(refused)["fr"]
