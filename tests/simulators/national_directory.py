"""The national directory's FHIR service, as it behaves: snapshots, opaque pages, absolute `next`, and its bad days.

What holds here: a search sees the resources as they were at its first page; `next` is an absolute address of the public
gateway, whatever address was asked; `total` is there on some pages only; changes older than 30 days are refused; a key is
asked for; calls that come too fast are refused with Retry-After. `trouble` makes the next calls fail, in order.
"""

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vaguemestre.directory import identifiers

Resource = dict[str, Any]
KEY = "a-key-of-nobody"
GATEWAY = "https://gateway.api.esante.example/fhir/v2"
_AS = "https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/"
_NOS = "https://mos.esante.gouv.fr/NOS/"


@dataclass
class NationalDirectory:
    """The service: resources by kind and id, each with the time it was last written."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    resources: dict[str, dict[str, tuple[datetime, Resource]]] = field(default_factory=dict)
    trouble: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    calls: list[tuple[float, str]] = field(default_factory=list)
    rate: float = 1000.0
    absolute: bool = True
    pages: dict[str, tuple[list[Resource], int]] = field(default_factory=dict)
    base: str = ""

    def put(self, *resources: Resource, ago: timedelta = timedelta()) -> None:
        """Write resources, as of some time ago."""
        for each in resources:
            at = self.now - ago
            each["meta"] = {"lastUpdated": at.isoformat(), "source": "https://annuaire.sante.fr"}
            self.resources.setdefault(each["resourceType"], {})[each["id"]] = (at, json.loads(json.dumps(each)))

    def withdraw(self, kind: str, technical_id: str) -> None:
        """Withdraw a resource: its identifiers and `active: false` alone."""
        _, was = self.resources[kind][technical_id]
        self.put({"resourceType": kind, "id": technical_id, "identifier": was["identifier"], "active": False})

    def forget(self, kind: str, technical_id: str) -> None:
        """Make a resource vanish without a word, as after 30 days."""
        del self.resources[kind][technical_id]

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, str], Resource]:
        """What a GET gives: status, headers, body."""
        parts = path.removeprefix("/fhir/v2/").split("/")
        if parts == ["_page"]:
            return self._page(query.get("id", [""])[0])
        kind, *rest = parts
        if rest:
            found = self.resources.get(kind, {}).get(rest[0])
            return (200, {}, found[1]) if found else (404, {}, _outcome("not-found", "Unknown resource"))
        wanted = self.resources.get(kind, {}).values()
        for text in query.get("_lastUpdated", []):
            since = datetime.fromisoformat(text.removeprefix("ge"))
            if self.now - since > timedelta(days=30):
                return 400, {}, _outcome("processing", "_lastUpdated is more than 30 days ago")
            wanted = [each for each in wanted if each[0] >= since]
        token = secrets.token_urlsafe(16)
        self.pages[token] = [resource for _, resource in wanted], int(query.get("_count", ["50"])[0])
        return self._page(token)

    def _page(self, token: str) -> tuple[int, dict[str, str], Resource]:
        found = self.pages.pop(token, None)
        if found is None:
            return 410, {}, _outcome("processing", "The page has expired")
        resources, count = found
        entries = [
            {"fullUrl": f"{GATEWAY}/{each['resourceType']}/{each['id']}", "resource": each} for each in resources
        ]
        bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "entry": entries[:count], "link": []}
        if len(resources) % 2:
            bundle["total"] = len(resources)
        if resources[count:]:
            token = secrets.token_urlsafe(16)
            self.pages[token] = resources[count:], count
            where = GATEWAY if self.absolute else ""
            bundle["link"].append({"relation": "next", "url": f"{where}/_page?id={token}"})
        bundle["link"].append({"relation": "self", "url": GATEWAY})
        if not entries:
            del bundle["entry"]
        return 200, {}, bundle


@contextmanager
def serving(directory: NationalDirectory) -> Iterator[str]:
    """Serve it on loopback; gives its base address."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            moment = time.monotonic()
            directory.calls.append((moment, self.path))
            lately = sum(1 for at, _ in directory.calls if moment - at < 1)
            if self.headers.get("ESANTE-API-KEY") != KEY:
                status, headers, body = 401, {}, _outcome("security", "Unauthorized")
            elif lately > directory.rate:
                status, headers, body = 429, {"Retry-After": "1"}, _outcome("throttled", "Rate limit exceeded")
            elif directory.trouble:
                status, headers = directory.trouble.popleft()
                body = _outcome("exception", "upstream request timeout")
            else:
                status, headers, body = directory.answer(parts.path, parse_qs(parts.query))
            if status == 0:  # the connection breaks
                self.close_connection = True
                return
            content = json.dumps(body).encode()
            self.send_response_only(status)
            for name, value in {"Date": format_datetime(directory.now, usegmt=True), **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/fhir/v2"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def rpps(number: int) -> str:
    """The RPPS number of somebody who does not exist."""
    payload = 9_980_000_000 + number
    return f"{payload}{identifiers.key(payload)}"


def finess(number: int) -> str:
    """The FINESS number of a place that does not."""
    payload = 99_800_000 + number
    return f"{payload}{identifiers.key(payload)}"


def mailbox(
    address: str, kind: str = "PER", *, code_alone: bool = False, old: bool = False, **said: str | bool
) -> Resource:
    """A mailbox: `code_alone` as valueCode, `old` with its type in TRE_R256 and the elements that were removed since."""
    system = f"{_NOS}TRE_R256-TypeMessagerie/FHIR/TRE-R256-TypeMessagerie" if old else (
        f"{_NOS}TRE_R257-TypeBAL/FHIR/TRE-R257-TypeBAL"
    )  # fmt: skip
    concept = {"coding": [{"system": system, "code": kind}]}
    told: list[Resource] = [
        {"url": "type", "valueCode": kind} if code_alone else {"url": "type", "valueCodeableConcept": concept}
    ]
    if old:
        told.append({"url": "phone", "valueString": "0199000000"})
        told.append({"url": "digitization", "valueBoolean": True})
    for name, value in said.items():
        told.append({"url": name, "valueBoolean" if isinstance(value, bool) else "valueString": value})
    return {
        "extension": [{"url": f"{_AS}as-ext-mailbox-mss-metadata", "extension": told}],
        "system": "email",
        "value": address,
    }


def practitioner(number: int, family: str, given: str, *boxes: Resource, specialty: str = "") -> Resource:
    """A dentist."""
    own = rpps(number)
    codes = [
        [("TRE_R48-DiplomeEtatFrancais", "DE07"), ("TRE_R14-TypeDiplome", "DE")],
        [("TRE_G15-ProfessionSante", "40"), ("TRE_R09-CategorieProfessionnelle", "C")],
    ]
    if specialty:
        codes.append([("TRE_R38-SpecialiteOrdinale", specialty), ("TRE_R04-TypeSavoirFaire", "S")])
    return {
        "resourceType": "Practitioner",
        "id": f"003-{5_000_000 + number}-77",
        "extension": [
            {
                "url": f"{_AS}as-ext-smartcard",
                "extension": [
                    {"url": "type", "valueCodeableConcept": {"coding": [{"code": "CPS"}]}},
                    {"url": "number", "valueString": f"280{number:07d}"},
                    {"url": "period", "valuePeriod": {"start": "2024-03-01T00:00:00+01:00", "end": "2027-03-01"}},
                ],
            }
        ],
        "identifier": [
            _identifier("IDNPS", "urn:oid:1.2.250.1.71.4.2.1", f"8{own}"),
            _identifier("RPPS", "https://rpps.esante.gouv.fr", own),
        ],
        "active": True,
        "name": [{"use": "usual", "family": family, "given": given.split(), "prefix": ["MME"], "suffix": ["DR"]}],
        "telecom": list(boxes),
        "qualification": [{"code": _concept(*each)} for each in codes],
    }


def practitioner_role(
    number: int, person: Resource, place: Resource | None, *boxes: Resource, mode: str = "L"
) -> Resource:
    """Somebody practising somewhere."""
    made = {
        "resourceType": "PractitionerRole",
        "id": f"005-{6_000_000 + number}-88",
        "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": f"10{number:08d}"}],
        "active": True,
        "practitioner": {"reference": f"Practitioner/{person['id']}"},
        "code": [
            _concept(("TRE_R22-GenreActivite", "GENR01")),
            _concept(("TRE_R23-ModeExercice", mode)),
            _concept(("TRE_R21-Fonction", "FON-01")),
        ],
        "telecom": list(boxes),
    }
    if place is not None:
        made["organization"] = {"reference": f"Organization/{place['id']}"}
    return made


def organization(
    number: int, name: str, *boxes: Resource, legal: bool = False, parent: Resource | None = None
) -> Resource:
    """A place of practice, or a legal entity."""
    own = finess(number)
    made: Resource = {
        "resourceType": "Organization",
        "id": f"001-01-{number}",
        "identifier": [
            _identifier("IDNST", "urn:oid:1.2.250.1.71.4.2.2", f"1{own}"),
            _identifier("FINEJ" if legal else "FINEG", "http://finess.sante.gouv.fr", own),
            _identifier("RPPSRG", "https://rppsrang.esante.gouv.fr", f"F{own}"),
        ],
        "active": True,
        "type": [_concept(("TRE_R02-SecteurActivite", "SA01")), _concept(("TRE_R66-CategorieEtablissement", "355"))],
        "name": name,
        "alias": ["L'hôpital"],
        "telecom": [
            {"system": "phone", "value": "0199000001", "rank": 1},
            {"system": "fax", "value": "0199000002"},
            *boxes,
        ],
        "address": [
            {
                "extension": [
                    {
                        "url": "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-address-insee-code",
                        "valueCoding": {"code": "75114"},
                    }
                ],
                "line": ["96 R DIDOT"],
                "_line": [
                    {
                        "extension": [
                            {
                                "url": "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-houseNumber",
                                "valueString": "96",
                            },
                            {
                                "url": "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-streetNameType",
                                "valueString": "R",
                            },
                            {
                                "url": "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-streetNameBase",
                                "valueString": "DIDOT",
                            },
                        ]
                    }
                ],
                "city": "Paris",
                "district": "75",
                "postalCode": "75014",
            }
        ],
    }
    if parent is not None:
        made["partOf"] = {"reference": f"Organization/{parent['id']}"}
    return made


def device(number: int, owner: Resource) -> Resource:
    """A heavy device of a hospital."""
    return {
        "resourceType": "Device",
        "id": f"002-{number}",
        "identifier": [{"system": "https://arhgos.ars.sante.fr", "value": f"AR-{number}"}],
        "status": "active",
        "owner": {"reference": f"Organization/{owner['id']}"},
    }


def _identifier(kind: str, system: str, value: str) -> Resource:
    coding = {"system": "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0203", "code": kind}
    return {"use": "official", "type": {"coding": [coding]}, "system": system, "value": value}


def _concept(*codings: tuple[str, str]) -> Resource:
    return {
        "coding": [{"system": f"{_NOS}{name}/FHIR/{name.replace('_', '-', 1)}", "code": code} for name, code in codings]
    }


def _outcome(code: str, diagnostics: str) -> Resource:
    issue = {"severity": "error", "code": code, "diagnostics": diagnostics}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
