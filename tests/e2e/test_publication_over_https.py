"""Operators that write their mailboxes over FHIR, by certificate, and what is then seen of them."""

import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fhir.resources.R4B import get_fhir_model_class

from simulators import registers
from simulators.operators import Operator
from simulators.patience import until
from simulators.space import NORTH, SOUTH, Identity, TrustSpace
from vaguemestre import config, directory_parts
from vaguemestre.directory import tables
from vaguemestre.documents.fhir.systems import MAILBOX
from vaguemestre.evidence import journal
from vaguemestre.evidence.journal import Recorded

PUBLISHED = "published@" + NORTH.domain


@pytest.fixture(scope="module")
def place(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that serves the directory, with a register of every quirk."""
    folder = tmp_path_factory.mktemp("directory")
    running = Operator(space, folder, SOUTH, ("claire",), directory={"listen": "127.0.0.1:0", "rate": 0.0})
    where = directory_parts.place(config.load(folder / "vaguemestre.toml", {}))
    with registers.opened(where, *registers.QUIRKS):
        running.start()
        yield running
    running.close()


@contextmanager
def _as(place: Operator, space: TrustSpace, identity: Identity | None) -> Iterator[httpx.Client]:
    """A client under a certificate, or none."""
    tls = ssl.create_default_context(cafile=str(space.authorities))
    if identity is not None:
        tls.load_cert_chain(identity.certificate, identity.key)
    base = f"https://localhost:{place.ports['directory']}/fhir/v2/"
    with httpx.Client(base_url=base, verify=tls, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def north(place: Operator, space: TrustSpace) -> Iterator[httpx.Client]:
    """The operator of the north, as the directory's client."""
    with _as(place, space, space.identity(NORTH)) as client:
        yield client


@pytest.fixture(scope="module")
def anybody(place: Operator, space: TrustSpace) -> Iterator[httpx.Client]:
    """Somebody without a certificate."""
    with _as(place, space, None) as client:
        yield client


def _contact(address: str, kind: str = "PER", *parts: dict[str, Any], **others: Any) -> dict[str, Any]:
    told = [{"url": "type", "valueCode": kind}, *parts]
    return {"system": "email", "value": address, "extension": [{"url": MAILBOX, "extension": told}]} | others


def _patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [
        {"name": "operation", "part": [
            {"name": name, **(value if isinstance(value, dict) else {"valueCode" if name == "type" else "valueString": value})}
            for name, value in each.items()
        ]} for each in operations
    ]}  # fmt: skip


def _insert(kind: str, contact: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "insert",
        "path": f"{kind}.telecom",
        "index": {"valueInteger": 0},
        "value": {"valueContactPoint": contact},
    }


def _set(kind: str, address: str, part: str, value: Any, verb: str = "replace") -> dict[str, Any]:
    path = f"{kind}.telecom.where(value = '{address}').extension('{MAILBOX}').extension('{part}').value"
    return {"type": verb, "path": path, "value": {"valueBoolean" if isinstance(value, bool) else "valueString": value}}


def _delete(kind: str, address: str) -> dict[str, Any]:
    return {"type": "delete", "path": f"{kind}.telecom.where(value = '{address}')"}


def _send(
    client: httpx.Client, path: str, *operations: dict[str, Any], status: int = 200, **headers: str
) -> dict[str, Any]:
    answer = client.patch(path, json=_patch(*operations), headers={"Content-Type": "application/fhir+json"} | headers)
    assert answer.status_code == status, answer.text
    get_fhir_model_class(answer.json()["resourceType"]).model_validate(answer.json())
    return dict(answer.json())


def _addresses(resource: dict[str, Any]) -> list[str]:
    return [each["value"] for each in resource.get("telecom", ())]


def _publications(place: Operator) -> list[Recorded]:
    """What the journal says of publications, once a refusal was the last."""
    entries = place.stores.database.read(lambda connection: journal.log(connection, limit=1000))
    found = [each for each in entries if each.event.startswith("publication")]
    return found if found and found[-1].event == "publication-refusal" else []


def _new(domain: str = NORTH.domain) -> str:
    return f"{uuid.uuid4().hex[:12]}@{domain}"


def test_what_is_published_is_seen_at_once(north: httpx.Client, anybody: httpx.Client) -> None:
    address = _new()
    before = anybody.get("Practitioner/003-4").json()
    written = _send(north, "Practitioner/003-4", _insert("Practitioner", _contact(address, rank=1)))
    assert address in _addresses(written)
    after = anybody.get("Practitioner/003-4").json()
    assert address in _addresses(after)
    assert int(after["meta"]["versionId"]) > int(before["meta"]["versionId"])
    found = anybody.get("Practitioner", params={"mailbox-mss": address}).json()
    assert [each["resource"]["id"] for each in found["entry"]] == ["003-4"]
    since = {"_lastUpdated": f"ge{after['meta']['lastUpdated']}", "_id": "003-4"}
    assert anybody.get("Practitioner", params=since).json()["total"] == 1


@pytest.mark.parametrize(
    ("path", "kind", "address_kind"),
    [
        ("Practitioner/003-1", "Practitioner", "PER"),
        ("Practitioner/003-5", "Practitioner", "CAB"),
        ("PractitionerRole/005-3", "PractitionerRole", "PER"),
        ("Organization/001-3", "Organization", "ORG"),
        ("Organization/001-3", "Organization", "APP"),
        ("Practitioner?identifier=https://rpps.esante.gouv.fr|99700000013", "Practitioner", "PER"),
        ("Practitioner?identifier=urn:oid:1.2.250.1.71.4.2.1|899700000013", "Practitioner", "PER"),
        ("PractitionerRole?identifier=https://rpps.esante.gouv.fr|1010399870", "PractitionerRole", "PER"),
        ("Organization?identifier=http://finess.sante.gouv.fr|990000010", "Organization", "ORG"),
    ],
)
def test_each_kind_is_published_changed_and_withdrawn_at_its_bearer(
    north: httpx.Client, anybody: httpx.Client, path: str, kind: str, address_kind: str
) -> None:
    address = _new()
    written = _send(north, path, _insert(kind, _contact(address, address_kind)))
    seen = f"{kind}/{written['id']}"
    assert address in _addresses(anybody.get(seen).json())
    _send(north, path, _set(kind, address, "listeRouge", True))
    assert address not in anybody.get(seen).text
    assert anybody.get(kind, params={"mailbox-mss": address}).json()["total"] == 0
    _send(north, path, _set(kind, address, "listeRouge", False))
    assert address in anybody.get(seen).text
    _send(north, path, _delete(kind, address))
    assert address not in anybody.get(seen).text
    assert address in _addresses(_send(north, path, _insert(kind, _contact(address, address_kind))))  # once more
    _send(north, path, _delete(kind, address))


@pytest.fixture(autouse=True)
def _real_number(place: Operator) -> None:
    """Somebody whose number holds its key: what an operator names is checked."""
    where = directory_parts.place(config.load(place.folder / "vaguemestre.toml", {}))
    opened = where.open()
    people = tables.practitioners
    chosen = people.update().where(people.c.id == 7).values(rpps="99700000013", national_id="899700000013")
    opened.write(lambda connection: connection.execute(chosen).rowcount)
    opened.close()


def test_several_operations_are_one_change(place: Operator, north: httpx.Client, anybody: httpx.Client) -> None:
    old, new = _new(), _new()
    _send(north, "Organization/001-2", _insert("Organization", _contact(old, "ORG")))
    version = int(anybody.get("Organization/001-2").json()["meta"]["versionId"])
    written = _send(
        north, "Organization/001-2",
        _insert("Organization", _contact(new, "ORG")), _set("Organization", new, "description", "Secrétariat"),
        _set("Organization", new, "responsible", "Mme Y"), _delete("Organization", old),
    )  # fmt: skip
    assert int(written["meta"]["versionId"]) == version + 1
    assert _addresses(written) == [new]
    told = {each["url"]: each for each in written["telecom"][0]["extension"][1]["extension"]}
    assert told["responsible"]["valueString"] == "Mme Y"  # to its operator
    public = anybody.get("Organization/001-2").json()
    assert "Mme Y" not in str(public)
    assert "Secrétariat" in str(public)
    assert "listeRouge" not in str(public)


def test_one_refused_and_nothing_is_written(north: httpx.Client, anybody: httpx.Client) -> None:
    address = _new()
    before = anybody.get("Practitioner/003-9").json()
    _send(
        north, "Practitioner/003-9",
        _insert("Practitioner", _contact(address)), _insert("Practitioner", _contact(_new(SOUTH.domain))), status=403,
    )  # fmt: skip
    assert anybody.get("Practitioner/003-9").json() == before


def test_an_operator_sees_its_own_mailboxes_whole(north: httpx.Client, anybody: httpx.Client) -> None:
    address = _new()
    hidden = _contact(
        address, "ORG", {"url": "listeRouge", "valueBoolean": True}, {"url": "responsible", "valueString": "M. Z"}
    )
    _send(north, "Organization/001-5", _insert("Organization", hidden))
    asked = {"mailbox-mss:contains": f"@{NORTH.domain}", "_id": "001-5"}
    assert anybody.get("Organization", params=asked).json()["total"] == 0
    (entry,) = north.get("Organization", params=asked).json()["entry"]
    assert "M. Z" in str(entry)
    assert "'valueBoolean': True" in str(entry)
    assert "cachee@" not in north.get("Practitioner/003-2").text  # another's stays hidden
    _send(north, "Organization/001-5", _delete("Organization", address))


def test_what_is_sent_twice_changes_nothing(north: httpx.Client) -> None:
    address = _new()
    first = _send(north, "Practitioner/003-3", _insert("Practitioner", _contact(address)))
    again = _send(north, "Practitioner/003-3", _insert("Practitioner", _contact(address)))
    assert again == first
    gone = _send(north, "Practitioner/003-3", _delete("Practitioner", address))
    assert _send(north, "Practitioner/003-3", _delete("Practitioner", address)) == gone


def test_a_whole_mailbox_may_be_replaced(north: httpx.Client) -> None:
    address = _new()
    _send(north, "Organization/001-1", _insert("Organization", _contact(address, "ORG")))
    replace = {"type": "replace", "path": f"Organization.telecom.where(value = '{address}')"}
    rest = _contact(address, "ORG", {"url": "service", "valueString": "Accueil"}, rank=3)
    written = _send(north, "Organization/001-1", replace | {"value": {"valueContactPoint": rest}})
    (box,) = [each for each in written["telecom"] if each["value"] == address]
    assert box["rank"] == 3
    assert "Accueil" in str(box)
    added = {"type": "insert", "path": f"Organization.telecom.where(value = '{address}').extension('{MAILBOX}').extension",
             "value": {"valueExtension": {"url": "description", "valueString": "Ajoutée"}}}  # fmt: skip
    assert "Ajoutée" in str(_send(north, "Organization/001-1", added))
    gone = {"type": "delete", "path": added["path"] + "('description')"}
    assert "Ajoutée" not in str(_send(north, "Organization/001-1", gone))
    other = replace | {"value": {"valueContactPoint": _contact(_new(), "ORG")}}
    _send(north, "Organization/001-1", other, status=400)
    _send(north, "Organization/001-1", replace | {"value": {"valueContactPoint": _contact(address, "APP")}}, status=400)


BOX = "mailbox@" + NORTH.domain


@pytest.mark.parametrize(
    ("path", "operation", "status", "words"),
    [
        ("Practitioner/003-1", _insert("Practitioner", _contact("x@sud.mssante.fr")), 403, "not listed for sud.mssante.fr"),
        ("Practitioner/003-1", _insert("Practitioner", _contact("x@example.org")), 400, "not an MSSanté address"),
        ("Practitioner/003-1", _insert("Practitioner", _contact("x y@nord.mssante.fr")), 400, "not an MSSanté address"),
        ("Practitioner/003-1", _insert("Practitioner", _contact(BOX, "ORG")), 400, "borne by Organization"),
        ("Organization/001-1", _insert("Organization", _contact(BOX, "PER")), 400, "borne by Practitioner"),
        ("Practitioner/003-1", _insert("Practitioner", _contact(BOX, "XXX")), 400, "its type is none of"),
        ("Practitioner/003-1", _insert("Practitioner", {"system": "email", "value": BOX}), 400, "has a type"),
        ("Practitioner/003-1", _insert("Practitioner", {"system": "phone", "value": "0145"}), 400, "not email"),
        ("Practitioner/003-1",
         _insert("Practitioner", _contact(BOX, "PER", {"url": "responsible", "valueString": "M. X"})), 400, "no responsible"),
        ("Practitioner/003-1", _set("Practitioner", BOX, "listeRouge", True), 400, "has no mailbox"),
        ("Organization/001-3", _set("Organization", BOX, "digitization", "yes"), 400, "true or false"),
        ("Practitioner/003-1", {"type": "delete", "path": "Practitioner.name"}, 400, "leads to no element"),
        ("Practitioner/003-1", {"type": "delete", "path": "Practitioner.telecom"}, 400, "leads to no element"),
        ("Practitioner/003-1", {"type": "delete", "path": "Organization.telecom.where(value = 'a')"}, 400, "leads to no element"),
        ("Practitioner/003-1", {"type": "move", "path": "Practitioner.telecom"}, 400, "not add, insert"),
        ("Practitioner/003-99", _insert("Practitioner", _contact(BOX)), 404, "is not known"),
        ("Practitioner/003-6", _insert("Practitioner", _contact(BOX)), 404, "withdrawn"),
        ("Practitioner?identifier=https://rpps.esante.gouv.fr|99700000021", _insert("Practitioner", _contact(BOX)),
         404, "No resource"),
        ("Practitioner?identifier=https://rpps.esante.gouv.fr|99700000001", _insert("Practitioner", _contact(BOX)), 400, ""),
        ("Practitioner?identifier=99700000013", _insert("Practitioner", _contact(BOX)), 400, "system|value"),
        ("Practitioner?family=noel", _insert("Practitioner", _contact(BOX)), 400, "by its identifier alone"),
        ("Practitioner", _insert("Practitioner", _contact(BOX)), 400, "needs ?identifier="),
        ("Organization?identifier=https://finess.esante.gouv.fr|990000010,https://finess.esante.gouv.fr|990000028",
         _insert("Organization", _contact(BOX, "ORG")), 412, "Several"),
        ("Device/002-1", _insert("Device", _contact(BOX)), 405, "not written"),
    ],
)  # fmt: skip
def test_each_refusal_says_why(
    north: httpx.Client, path: str, operation: dict[str, Any], status: int, words: str
) -> None:
    found = _send(north, path, operation, status=status)
    assert found["resourceType"] == "OperationOutcome"
    assert words in found["issue"][0]["diagnostics"]


def test_the_address_and_the_type_never_change(north: httpx.Client) -> None:
    address = _new()
    _send(north, "Organization/001-1", _insert("Organization", _contact(address, "ORG")))
    found = _send(north, "Organization/001-1", _set("Organization", address, "type", "APP"), status=400)
    assert "does not change" in found["issue"][0]["diagnostics"]
    path = f"Organization.telecom.where(value = '{address}').value"
    value = {"type": "replace", "path": path, "value": {"valueString": _new()}}
    assert "does not change" in str(_send(north, "Organization/001-1", value, status=400))


def test_a_version_that_is_no_more_is_refused(north: httpx.Client) -> None:
    tag = north.get("Practitioner/003-8").headers["etag"]
    _send(north, "Practitioner/003-8", _insert("Practitioner", _contact(_new())), **{"If-Match": tag})
    _send(north, "Practitioner/003-8", _insert("Practitioner", _contact(_new())), status=412, **{"If-Match": tag})


def test_who_shows_no_good_certificate_writes_nothing(
    place: Operator, space: TrustSpace, anybody: httpx.Client
) -> None:
    wanted = _insert("Practitioner", _contact(BOX))
    assert "no certificate" in _send(anybody, "Practitioner/003-1", wanted, status=401)["issue"][0]["diagnostics"]
    cases = (
        (space.expired, 401), (space.revoked, 401), (space.foreign(NORTH.dn), 401),
        (space.issue("CN=nobody,O=NOBODY,C=FR", "unlisted"), 403),
    )  # fmt: skip
    for identity, status in cases:
        with _as(place, space, identity) as client:
            _send(client, "Practitioner/003-1", wanted, status=status)
            assert client.get("Practitioner/003-1").status_code == 200  # reading is another matter


def test_what_is_not_a_patch_is_refused(north: httpx.Client) -> None:
    for content, media, status in (
        (b"{", "application/fhir+json", 400), (b"{}", "application/fhir+json", 400), (b"[]", "application/json", 400),
        (b'{"resourceType":"Parameters","parameter":[]}', "application/fhir+json", 400),
        (b"{}", "application/json-patch+json", 415), (b"x" * 300_000, "application/fhir+json", 413),
    ):  # fmt: skip
        answer = north.patch("Practitioner/003-1", content=content, headers={"Content-Type": media})
        assert (answer.status_code, answer.json()["resourceType"]) == (status, "OperationOutcome")


def test_what_is_written_is_reported_and_journalled(place: Operator, north: httpx.Client) -> None:
    address = _new()
    written = _send(north, "Practitioner/003-9", _insert("Practitioner", _contact(address)))
    _send(north, "Practitioner/003-9", _insert("Practitioner", _contact(_new(SOUTH.domain))), status=403)
    entries = until(lambda: _publications(place), "both journalled")[-2:]
    assert [each.event for each in entries] == ["publication", "publication-refusal"]
    assert entries[1].facts["rule"] == "domain-not-own"
    assert entries[0].facts["revision"] == int(written["meta"]["versionId"])
    assert address not in str(entries[0].facts)
    where = directory_parts.place(config.load(place.folder / "vaguemestre.toml", {})).open()
    summary = sa.select(tables.revisions.c.summary).where(tables.revisions.c.id == entries[0].facts["revision"])
    report = where.read(lambda connection: connection.execute(summary).scalar_one())
    assert f'"address":"{address}"' in report
    assert '"done":"published"' in report
    where.close()
