"""One operator publishes its accounts in the directory that another serves: opened, changed, closed, compared.

Spec directory §4. Both are ours, and speak through what the standard says alone: FHIR over mutual TLS.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from simulators import small_register
from simulators.operators import Operator, answer_of
from simulators.patience import until
from simulators.small_register import organization, practitioner
from simulators.space import NORTH, SOUTH, THIRD, TrustSpace
from vaguemestre import config, directory_parts
from vaguemestre.directory.register import Registers
from vaguemestre.directory.tables import addresses
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import accounts, publications, sharing
from vaguemestre.mailstore.model import AccountKind, AccountState
from vaguemestre.trust import certificates, updater

RPPS = "99700000013"
CLAIRE, HEART = SOUTH.address("claire"), SOUTH.address("cardiologie")


@pytest.fixture(scope="module")
def north(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Serves the directory, which knows one person and one hospital."""
    running = Operator(space, tmp_path_factory.mktemp("north"), NORTH, directory={"listen": "127.0.0.1:0"})
    place = directory_parts.place(config.load(running.config_file, {}))
    small_register.build(
        place, [practitioner(13, "Claire", "LEFÈVRE"), organization(2, "CH", "LYON", finess="690000120")]
    )
    yield running.start()
    running.close()


@pytest.fixture
def south(space: TrustSpace, north: Operator, tmp_path: Any) -> Iterator[Operator]:
    """Publishes there."""
    there = f"https://localhost:{north.ports['directory']}/fhir/v2"
    running = Operator(space, tmp_path, SOUTH, publication={"directory": there, "every": 0.2, "pause_scale": 0.001})
    yield running
    running.close()


def shown(north: Operator) -> dict[str, tuple[bool, bool, str]]:
    """What stands in the register: by address, whether it is active, on the red list, its service."""
    registers = Registers(directory_parts.place(config.load(north.config_file, {})))

    def read(connection: Any) -> dict[str, tuple[bool, bool, str]]:
        rows = connection.execute(addresses.select()).all()
        assert len({row.address for row in rows if row.active}) == len([row for row in rows if row.active]), (
            "shown twice"
        )
        return {row.address: (row.active, row.red_list, row.service) for row in rows}

    try:
        return registers.current().read(read)
    finally:
        registers.close()


def test_accounts_are_published_as_they_change(south: Operator, north: Operator) -> None:
    south.write(accounts.create, AccountKind.PER, CLAIRE, "Claire")
    south.write(sharing.bind_holder, CLAIRE, f"8{RPPS}", "Claire", ADMINISTRATOR)
    heart = south.write(accounts.create, AccountKind.ORG, HEART, "Cardiologie")
    south.command("account", "listing", HEART, "--structure", "1690000120", "--service", "Cardiologie")
    south.start()
    until(lambda: shown(north).keys() >= {CLAIRE, HEART}, "both are published")
    assert shown(north)[CLAIRE] == (True, False, "")
    assert shown(north)[HEART] == (True, False, "Cardiologie")
    south.command("account", "listing", CLAIRE, "--red-list", "on")
    south.command("account", "listing", HEART, "--service", "", "--responsible", "Dr Martin")
    until(lambda: shown(north)[CLAIRE][1] and not shown(north)[HEART][2], "both are changed")
    found = answer_of(south.command("directory", "reconcile", "--json"))
    assert (found["ok"], found["agreeing"], found["missing"], found["different"], found["unknown"]) == (
        True,
        2,
        [],
        [],
        [],
    )
    south.write(accounts.change_state, CLAIRE, AccountState.CLOSED)
    until(lambda: not shown(north)[CLAIRE][0], "it is withdrawn")
    assert south.read(publications.standing, heart.id).told
    reported = answer_of(south.command("directory", "report", "--json"))
    operations = [(each["address"], each["operation"], each["outcome"]) for each in reported["results"]]
    assert sorted(operations) == sorted(
        [
            (CLAIRE, "create", "accepted"),
            (HEART, "create", "accepted"),
            (CLAIRE, "change", "accepted"),
            (HEART, "change", "accepted"),
            (CLAIRE, "withdraw", "accepted"),
        ]
    )
    assert reported["waiting"] == []
    assert len(south.journal("publication")) == 5


def test_a_refusal_is_reported_with_the_directorys_reason(south: Operator) -> None:
    south.write(accounts.create, AccountKind.PER, SOUTH.address("inconnue"), "Inconnue")
    south.write(sharing.bind_holder, SOUTH.address("inconnue"), "899700000088", "Inconnue", ADMINISTRATOR)
    seen = south.command("directory", "publish", "--json")
    assert seen.exit_code == 1
    (result,) = answer_of(seen)["results"]
    assert (result["outcome"], result["rule"]) == ("refused", "unknown-bearer")
    assert len(result["fr"]) > 30


def test_the_directory_down_then_back(south: Operator, north: Operator) -> None:
    there = south.config_file.read_text()
    south.config_file.write_text(there.replace(str(north.ports["directory"]), "1"))
    south.write(accounts.create, AccountKind.ORG, SOUTH.address("urgences"), "Urgences")
    south.command("account", "listing", SOUTH.address("urgences"), "--structure", "1690000120")
    (result,) = answer_of(south.command("directory", "publish", "--json"))["results"]
    assert (result["outcome"], result["rule"]) == ("put-off", "unreachable")
    south.config_file.write_text(there)
    until(lambda: answer_of(south.command("directory", "publish", "--json"))["accepted"] == 1, "it is published")
    assert shown(north)[SOUTH.address("urgences")][0]


def test_nobody_publishes_for_another(space: TrustSpace, north: Operator) -> None:
    trusting = updater.tls_context(certificates.load_authorities(space.authorities.read_bytes()))
    identity = space.identity(THIRD)
    trusting.load_cert_chain(identity.certificate, identity.key)
    telecom = {"system": "email", "value": SOUTH.address("volee")}
    parts = [
        {"name": "type", "valueCode": "insert"},
        {"name": "path", "valueString": "Practitioner.telecom"},
        {"name": "index", "valueInteger": 0},
        {"name": "value", "valueContactPoint": telecom},
    ]
    body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    answer = httpx.patch(
        f"https://localhost:{north.ports['directory']}/fhir/v2/Practitioner",
        params={"identifier": f"https://rpps.esante.gouv.fr|{RPPS}"},
        json=body,
        headers={"Content-Type": "application/fhir+json"},
        verify=trusting,
    )
    assert answer.status_code in (400, 403), answer.text
    assert SOUTH.address("volee") not in shown(north)
