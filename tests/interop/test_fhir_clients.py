"""The register as client programs of the national service ask for it: its documented calls, read by another library.

What holds here: every answer is parsed by `fhir.resources` (R4B, whose Practitioner, Organization and the like are those
of R4), which refuses any element, type or code that FHIR does not have; then by the rules of the public profiles.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fhir.resources.R4B import get_fhir_model_class
from starlette.applications import Starlette

from simulators import registers
from simulators.web import served
from vaguemestre.directory.register import Registers
from vaguemestre.documents.fhir.parameters import PARAMETERS, TYPES
from vaguemestre.servers import fhir
from vaguemestre.servers.fhir import Terms

AS = "https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/"
G15 = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"
R02 = "https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite"
HEADERS = {"ESANTE-API-KEY": "a key", "Accept": "application/fhir+xml;q=1.0, application/fhir+json;q=1.0"}


@pytest.fixture(scope="module", params=["sqlcipher", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registers]:
    """A register with every quirk, in use."""
    folder = tmp_path_factory.mktemp("register")
    with registers.placed(request, folder, request.param) as place, registers.opened(place, *registers.QUIRKS):
        found = Registers(place)
        yield found
        found.close()


@contextmanager
def _client(store: Registers, **terms: Any) -> Iterator[httpx.Client]:
    settings: dict[str, Any] = {"keys": {hashlib.sha256(b"a key").hexdigest(): "somebody"}, "rate": 0.0} | terms
    reading = fhir.Reading(store, Terms(**settings), bytes(32))
    with (
        served(Starlette(routes=fhir.application(reading))) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client(store: Registers) -> Iterator[httpx.Client]:
    """A program that reads."""
    with _client(store) as found:
        yield found


def _get(client: httpx.Client, path: str, status: int = 200, **headers: str) -> dict[str, Any]:
    """An answer, that another library reads too."""
    found = client.get(f"/fhir/v2/{path}", headers=HEADERS | headers)
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == "application/fhir+json; charset=utf-8"
    return _checked(found.json())


def _checked(resource: dict[str, Any]) -> dict[str, Any]:
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    return resource


def _found(client: httpx.Client, path: str) -> list[str]:
    """Ids found, page after page, as programs follow links."""
    bundle, ids = _get(client, path), []
    while True:
        ids += [each["resource"]["id"] for each in bundle.get("entry", ()) if each["search"]["mode"] == "match"]
        following = [each["url"] for each in bundle["link"] if each["relation"] == "next"]
        if not following:
            return ids
        answer = client.get(following[0], headers=HEADERS)
        assert answer.status_code == 200
        bundle = _checked(answer.json())


@pytest.mark.parametrize(
    ("path", "found"),
    [
        # The documentation's own calls, for people of this register.
        ("Practitioner?qualification-code=10&active=true", ["003-2", "003-3"]),
        (f"Practitioner?qualification-code={G15}%7C10&active=true", ["003-2", "003-3"]),
        ("Practitioner?qualification-code=10&_lastUpdated=ge2025-09-27", ["003-2", "003-3"]),
        ("Practitioner?identifier=99700000001", ["003-1"]),
        ("Practitioner?identifier=0591234567%2C899700000002", ["003-2", "003-8"]),
        ("Practitioner?_id=003-1", ["003-1"]),
        ("Practitioner?name:family=MARTIN&name:given=BENEDICTE", ["003-4"]),
        ("Practitioner?mailbox-mss:contains=%40", ["003-1", "003-3", "003-4", "003-5"]),
        ("Practitioner?mailbox-mss:contains=@medecin.mssante.fr", ["003-1"]),
        ("PractitionerRole?mailbox-mss:contains=%40", ["005-1"]),
        ("PractitionerRole?practitioner=003-1", ["005-1", "005-2"]),
        ("Organization?mailbox-mss:contains=@ch-etoile.mssante.fr", ["001-3"]),
        (f"Organization?type={R02}%7CSA05&mailbox-mss:contains=%40", ["001-3"]),
        (f"Organization?type={R02}%7CSA25,{R02}%7CSA05&mailbox-mss:contains=%40", ["001-3"]),
        ("Organization?name%3Acontains=%C3%A9toile", ["001-1", "001-2"]),
        ("Organization?name%3Aexact=Clinique%20de%20l'%C3%89toile", ["001-2"]),
        ("Organization?_lastUpdated=ge2022-08-05T14%3A51%3A04&_lastUpdated=lt2100&name=clin", ["001-2"]),
        ("Device?organization=001-3", ["002-1"]),
        ("HealthcareService?service-type=16", ["004-1"]),
        ("Practitioner?_has:PractitionerRole:practitioner:organization.address-postalcode=75", ["003-1", "003-2"]),
        ("Practitioner?_count=2&active=true", [f"003-{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9)]),
    ],
)
def test_documented_calls(client: httpx.Client, path: str, found: list[str]) -> None:
    assert _found(client, path) == found


@pytest.mark.parametrize("kind", TYPES)
def test_every_resource_fits_its_public_profile(client: httpx.Client, kind: str) -> None:
    bundle = _get(client, f"{kind}?_count=100")
    assert bundle["entry"]
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["fullUrl"] == f"{client.base_url}/fhir/v2/{kind}/{resource['id']}"
        assert resource == _get(client, f"{kind}/{resource['id']}")
        if kind in ("Practitioner", "PractitionerRole", "Organization"):
            _fits(resource)


def _fits(resource: dict[str, Any]) -> None:
    """The rules of as-dp-* (spec directory §1.2)."""
    kind = resource["resourceType"]
    assert resource["meta"]["profile"][-1] == f"{AS}as-dp-{kind.lower()}"
    assert resource["meta"]["source"] == "https://annuaire.sante.fr"
    if not resource["active"]:
        assert set(resource) <= {"resourceType", "id", "meta", "identifier", "active"} | ({"name"} & {*resource})
        assert "name" not in resource or kind == "Organization"
        return
    assert not {"gender", "birthDate", "photo", "communication"} & {*resource}
    assert kind == "Organization" or not {"address", "period", "specialty", "healthcareService"} & {*resource}
    for qualification in resource.get("qualification", ()):
        assert set(qualification) == {"code"}
        assert all(coding["system"] and coding["code"] for coding in qualification["code"]["coding"])
    if kind == "PractitionerRole":
        assert len(resource["identifier"]) == 1
        assert resource["practitioner"]["reference"].startswith("Practitioner/003-")
    if kind == "Organization":
        meanings = [each["valueCode"] for concept in resource["type"] for each in concept.get("extension", ())]
        assert meanings.count("organizationType") == 1
    for contact in resource.get("telecom", ()):
        extensions = {each["url"]: each for each in contact.get("extension", ())}
        if kind != "Organization":  # closed: secure mailboxes and nothing else
            assert extensions
        if extensions:
            told = {each["url"] for each in extensions[f"{AS}as-ext-mailbox-mss-metadata"]["extension"]}
            assert "type" in told
            assert not told - {"type", "description", "service"}


def test_a_practitioner_is_as_published(client: httpx.Client) -> None:
    found = _get(client, "Practitioner/003-1")
    assert [(each["type"]["coding"][0]["code"], each["system"], each["value"]) for each in found["identifier"]] == [
        ("IDNPS", "urn:oid:1.2.250.1.71.4.2.1", "899700000001"),
        ("RPPS", "https://rpps.esante.gouv.fr", "99700000001"),
    ]
    assert found["name"] == [
        {"use": "usual", "text": "Lefèvre-Noël Zoé", "family": "Lefèvre-Noël", "given": ["Zoé"], "prefix": ["MME"],
         "suffix": ["DR"]}
    ]  # fmt: skip
    assert [[coding["code"] for coding in each["code"]["coding"]] for each in found["qualification"]] == [
        ["40", "C"], ["SCD01", "S"], ["DE05", "DE"],
    ]  # fmt: skip
    card = found["extension"][0]
    assert card["url"] == f"{AS}as-ext-smartcard"
    assert [each["url"] for each in card["extension"]] == ["type", "number", "period"]
    assert [each["value"] for each in found["telecom"]] == ["zoe.lefevre@medecin.mssante.fr"]
    assert found["telecom"][0]["rank"] == 1


def test_an_organization_is_as_published(client: httpx.Client) -> None:
    found = _get(client, "Organization/001-1")
    assert [(each["type"]["coding"][0]["code"], each["value"]) for each in found["identifier"]] == [
        ("IDNST", "1990000010"), ("FINEG", "990000010"), ("SIRET", "99000001000017"), ("SIREN", "990000010"),
        ("RPPSRG", "F000000001"),
    ]  # fmt: skip
    (where,) = found["address"]
    assert where["line"] == ["96 B R DIDOT", "75014 PARIS CEDEX 14"]
    assert [each["url"].rpartition("-")[2] for each in where["_line"][0]["extension"]] == [
        "houseNumber", "buildingNumberSuffix", "streetNameType", "streetNameBase",
    ]  # fmt: skip
    assert (where["city"], where["district"], where["postalCode"]) == ("Paris", "75", "75014")
    assert where["extension"][0]["valueCoding"]["code"] == "75114"


def test_red_lists_are_shown_nowhere(client: httpx.Client) -> None:
    for kind in TYPES:
        assert "cachee@" not in client.get(f"/fhir/v2/{kind}?_count=1000", headers=HEADERS).text
    assert _found(client, "Practitioner?mailbox-mss:exact=cachee@medecin.mssante.fr") == []


def test_digitization_stands_behind_a_switch(store: Registers, client: httpx.Client) -> None:
    assert "digitization" not in client.get("/fhir/v2/PractitionerRole/005-1", headers=HEADERS).text
    with _client(store, digitization=True) as former:
        assert (
            '{"url":"digitization","valueBoolean":true}'
            in former.get("/fhir/v2/PractitionerRole/005-1", headers=HEADERS).text
        )


@pytest.mark.parametrize(
    ("path", "modes"),
    [
        ("PractitionerRole?_id=005-1&_include=PractitionerRole:practitioner", {"003-1": "include", "005-1": "match"}),
        ("PractitionerRole?_id=005-1&_include=*", {"003-1": "include", "001-1": "include", "005-1": "match"}),
        ("Practitioner?_id=003-1&_revinclude=PractitionerRole:practitioner",
         {"003-1": "match", "005-1": "include", "005-2": "include"}),
        ("Organization?_id=001-3&_include=Organization:partof&_revinclude=Device:organization",
         {"001-3": "match", "001-2": "include", "002-1": "include"}),
        ("Organization?_id=001-2&_revinclude=HealthcareService:organization", {"001-2": "match", "004-1": "include"}),
        ("Device?_include=Device:organization", {"002-1": "match", "001-3": "include"}),
        ("Practitioner?_id=003-2&_revinclude=PractitionerRole:practitioner&_include:iterate=PractitionerRole:organization",
         {"003-2": "match", "005-3": "include", "001-3": "include"}),
    ],
)  # fmt: skip
def test_what_is_included_says_so(client: httpx.Client, path: str, modes: dict[str, str]) -> None:
    assert {each["resource"]["id"]: each["search"]["mode"] for each in _get(client, path)["entry"]} == modes


def test_a_search_may_be_posted(client: httpx.Client) -> None:
    asked = client.post(
        "/fhir/v2/Practitioner/_search?active=true", headers=HEADERS, data={"family": "noël", "_count": "1"}
    )
    bundle = _checked(asked.json())
    assert [each["resource"]["id"] for each in bundle["entry"]] == ["003-1"]
    following = next(each["url"] for each in bundle["link"] if each["relation"] == "next")
    assert _checked(client.get(following, headers=HEADERS).json())["entry"][0]["resource"]["id"] == "003-2"
    assert _get(client, "Practitioner/_search?family=noël")["total"] == 3


def test_elements_are_those_asked_for(client: httpx.Client) -> None:
    (entry,) = _get(client, "Practitioner?_id=003-1&_elements=name,identifier")["entry"]
    assert set(entry["resource"]) == {"resourceType", "id", "meta", "name", "identifier"}
    assert entry["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert set(_get(client, "Practitioner/003-1?_elements=active")) == {"resourceType", "id", "meta", "active"}


def test_links_may_be_relative(store: Registers) -> None:
    with _client(store, relative=True) as client:
        links = {each["relation"]: each["url"] for each in _get(client, "Practitioner?_count=1")["link"]}
        assert links["self"] == "Practitioner?_count=1"
        assert links["next"].startswith("_page?id=")
        assert _get(client, links["next"])["entry"][0]["resource"]["id"] == "003-2"


def test_the_public_url_is_the_one_configured(store: Registers) -> None:
    with _client(store, base="https://public.example/fhir/v2") as client:
        bundle = _get(client, "Practitioner?_count=1")
        assert bundle["entry"][0]["fullUrl"] == "https://public.example/fhir/v2/Practitioner/003-1"
        assert all(each["url"].startswith("https://public.example/fhir/v2/") for each in bundle["link"])


def test_what_is_known_is_not_sent_again(client: httpx.Client) -> None:
    first = client.get("/fhir/v2/Practitioner/003-1", headers=HEADERS)
    assert first.headers["etag"] == 'W/"1"'
    assert first.headers["last-modified"].endswith("GMT")
    again = client.get("/fhir/v2/Practitioner/003-1", headers=HEADERS | {"If-None-Match": 'W/"1"'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/fhir/v2/Practitioner/003-1", headers=HEADERS | {"If-None-Match": 'W/"0"'}).status_code == 200


def test_the_capability_statement_tells_every_parameter(client: httpx.Client) -> None:
    found = _get(client, "metadata")
    told = {
        each["type"]: {one["name"]: one["type"] for one in each["searchParam"]} for each in found["rest"][0]["resource"]
    }
    assert told == {kind: {name: each.kind.value for name, each in known.items()} for kind, known in PARAMETERS.items()}
    assert client.get("/fhir/metadata", headers=HEADERS).json()["implementation"]["url"].endswith("/fhir")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("Practitioner?foo=bar", 400, "Parameter foo not found for resource Practitioner"),
        ("Practitioner?period=2020", 400, "Parameter period not found for resource Practitioner"),
        ("Practitioner?family:prefix=x", 400, "Modifier prefix is not supported"),
        ("Practitioner?_include=Device:organization", 400, "Parameter Device:organization not found"),
        ("Practitioner?_revinclude=Device:organization", 400, "Parameter Device:organization not found"),
        ("Practitioner?organization.name=x", 400, "Parameter organization.name not found"),
        ("Practitioner?_count=x", 400, "The _count parameter must be in the FHIR format"),
        ("Practitioner?_count=5000", 400, "The _count parameter is 1000 at most"),
        ("Practitioner?_total=perhaps", 400, "Parameter _total has no value perhaps"),
        ("Practitioner?_summary=text", 400, "Parameter _summary has no value text"),
        ("Practitioner?_sort=birthdate", 400, "Parameter _sort has no value birthdate"),
        ("Practitioner?_format=xml", 400, "Parameter _format has no value xml"),
        ("Practitioner?_lastUpdated=yesterday", 400, "yesterday"),
        ("Practitioner?family=%00", 400, "U+0000"),
        ("Practitioner?family=%E9", 400, "URL-encoded UTF-8"),
        ("Practitioner?identifier=" + ",".join(["1"] * 501), 400, "500 values at most"),
        ("Patient", 404, "Unknown resource type Patient"),
        ("Practitioner/003-99", 404, "Resource Practitioner/003-99 is not known"),
        ("Practitioner/001-1", 404, "Resource Practitioner/001-1 is not known"),
        ("Practitioner/003-1?family=x", 400, "Parameter family not found"),
        ("_page", 400, "Parameter id is missing"),
        ("_page?id=AAAA", 400, "not one that this service gave"),
        ("_page?id=" + "A" * 200, 400, "not one that this service gave"),
        ("Practitioner/003-1/_history/1/2", 404, "Not Found"),
    ],
)
def test_each_refusal_says_why(client: httpx.Client, path: str, status: int, words: str) -> None:
    found = _get(client, path, status)
    assert found["resourceType"] == "OperationOutcome"
    assert words in found["issue"][0]["diagnostics"]


def test_a_page_altered_is_refused(client: httpx.Client) -> None:
    links = {each["relation"]: each["url"] for each in _get(client, "Practitioner?_count=1")["link"]}
    sealed = links["next"].rpartition("=")[2]
    assert _get(client, f"_page?id={sealed}")["entry"]
    for place in (0, 30, len(sealed) - 2):
        altered = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        assert _get(client, f"_page?id={quote(altered)}", 400)["resourceType"] == "OperationOutcome"


def test_a_key_is_needed_where_keys_are(store: Registers, client: httpx.Client) -> None:
    for key in ("", "another"):
        found = client.get("/fhir/v2/Practitioner", headers={"ESANTE-API-KEY": key})
        assert found.status_code == 401
        assert _checked(found.json())["issue"][0]["code"] == "security"
    with _client(store, keys={}) as free:
        assert free.get("/fhir/v2/Practitioner").status_code == 200


def test_more_calls_than_allowed_wait(store: Registers) -> None:
    with _client(store, rate=3.0) as client:
        answers = [client.get("/fhir/v2/metadata", headers=HEADERS) for _ in range(12)]
    refused = [each for each in answers if each.status_code == 429]
    assert [each.status_code for each in answers[:3]] == [200] * 3
    assert refused
    assert refused[0].headers["retry-after"] == "1"
    assert _checked(refused[0].json())["issue"][0]["code"] == "throttled"
    assert Terms().rate == 17.0


def test_what_is_not_json_is_not_served(client: httpx.Client) -> None:
    found = client.get("/fhir/v2/Practitioner", headers=HEADERS | {"Accept": "application/xml"})
    assert (found.status_code, found.json()["resourceType"]) == (406, "OperationOutcome")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_nothing_else_may_be_done(client: httpx.Client, method: str) -> None:
    found = client.request(method, "/fhir/v2/Practitioner/003-1", headers=HEADERS)
    assert (found.status_code, found.json()["resourceType"]) == (405, "OperationOutcome")
