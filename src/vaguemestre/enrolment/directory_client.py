"""Writing to the certified directory, as an operator: FHIRPath PATCH over mutual TLS; and reading what it shows of ours.

What it keeps true: an answer that is late, too long, or not what FHIR says is a DirectoryFailure, to be tried again; one
that says no is a DirectoryRefusal, with the directory's own words. Pages are followed only on the directory's own host.

Spec directory §4 (conditional PATCH, its errors), §1.5 (bundles, paging, OperationOutcome); HL7 FHIR R4 §2.1.0.12.2.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import httpx
import msgspec

from vaguemestre.documents.fhir import mailboxes, systems
from vaguemestre.documents.fhir.mailboxes import MailboxError
from vaguemestre.errors import ConfigurationError, VaguemestreError
from vaguemestre.mailstore.publications import Bearer, Facts, Told

_TIMEOUT_S = 30.0  # the national service's own
_MOST_OCTETS = 32 * 1024 * 1024
_MOST_PAGES = 20_000
_PAGE = 200
_FHIR = "application/fhir+json"
_LONGEST_WORDS = 500
TYPES = ("Practitioner", "PractitionerRole", "Organization")

_RULES = {
    400: "malformed",
    401: "not-authenticated",
    403: "not-allowed",
    404: "unknown-bearer",
    409: "conflict",
    410: "unknown-bearer",
    412: "several-bearers",
    422: "not-acceptable",
}
_OF_ALL = (401, 403)  # nothing the account is: everything would be refused alike


class DirectoryFailure(VaguemestreError):
    """The directory could not be reached, or answers nothing that can be used; `pause` is how long it asked to wait."""

    def __init__(self, detail: str, pause: float | None = None) -> None:
        super().__init__(f"The directory does not answer: {detail}.", f"L'annuaire ne répond pas : {detail}.")
        self.pause = pause


class DirectoryRefusal(VaguemestreError):
    """The directory says no; `of_all` where it would to anything."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"The directory refuses ({status}): {words}", f"L'annuaire refuse ({status}) : {words}")
        self.rule = _RULES.get(status, "refused")
        self.of_all = status in _OF_ALL


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is found: its type, and a search by identifier (`system|value`) or its own id."""

    type: str
    identifier: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """An address that the directory shows, and where: the resource, and its identifiers (`system|value`)."""

    place: Place
    told: Told
    identifiers: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Row:
    """What `mailboxes.write` writes."""

    address: str
    kind: str
    service: str
    description: str
    responsible: str
    red_list: bool
    rank: int | None = None
    digitization: bool | None = None


def place_of(bearer: Bearer) -> Place:
    """Where the directory has a bearer."""
    if bearer.person:
        if bearer.person.startswith("8"):
            return Place("Practitioner", f"{systems.RPPS}|{bearer.person[1:]}")
        return Place("Practitioner", f"{systems.IDNPS}|{bearer.person}")
    structure = bearer.structure
    if structure[:1].isalpha():  # the register's own identifier of a structure
        return Place("Organization", f"{systems.RPPS_RANK}|{structure}")
    by_number = {"1": systems.FINESS, "3": systems.SIRENE}.get(structure[:1])
    if by_number:
        return Place("Organization", f"{by_number}|{structure[1:]}")
    return Place("Organization", f"{systems.IDNST}|{structure}")


class DirectoryClient:
    """The HTTP client of one directory, by the address of its FHIR API. `close` it."""

    def __init__(self, base: str, tls: ssl.SSLContext | None, timeout: float = _TIMEOUT_S) -> None:
        """`tls` holds the operator's certificate; None, for tests on loopback without TLS. Raises ConfigurationError."""
        self._base = base.rstrip("/") + "/"
        parts = urlsplit(self._base)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise ConfigurationError(
                f"The directory must be reached over https: {base}.", f"L'annuaire doit être joint en https : {base}."
            )
        limits = httpx.Limits(max_connections=4, max_keepalive_connections=2)
        self._client = httpx.AsyncClient(verify=tls if tls is not None else True, timeout=timeout, limits=limits)
        self._timeout = timeout

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def create(self, place: Place, told: Told) -> None:
        """Show an address. Raises DirectoryFailure, DirectoryRefusal."""
        facts = told.facts
        row = _Row(told.address, told.kind, facts.service, facts.description, facts.responsible, facts.red_list)
        contact = mailboxes.write(row, restricted=True)
        path = f"{place.type}.telecom"
        await self._patch(place, [_operation("insert", path, "valueContactPoint", contact, index=0)])

    async def change(self, place: Place, address: str, before: Facts, after: Facts) -> None:
        """Change what may be changed of an address. Raises DirectoryFailure, DirectoryRefusal."""
        mailbox = f"{_telecom(place, address)}.extension('{systems.MAILBOX}')"
        operations = []
        for url, old, new in _differences(before, after):
            path = f"{mailbox}.extension('{url}')"
            if isinstance(new, bool):
                operations.append(_operation("replace", f"{path}.value", "valueBoolean", new))
            elif not new:
                operations.append(_operation("delete", path))
            elif old:
                operations.append(_operation("replace", f"{path}.value", "valueString", new))
            else:
                value = {"url": url, "valueString": new}
                operations.append(_operation("insert", f"{mailbox}.extension", "valueExtension", value, index=0))
        if operations:
            await self._patch(place, operations)

    async def withdraw(self, place: Place, address: str) -> None:
        """Show an address no more. Raises DirectoryFailure, DirectoryRefusal."""
        await self._patch(place, [_operation("delete", _telecom(place, address))])

    async def find(self, place: Place) -> list[Shown]:
        """The addresses that the bearer has, as they are shown to us. Raises DirectoryFailure, DirectoryRefusal."""
        query = {"identifier": place.identifier} if place.identifier else {"_id": place.id}
        found = []
        async for resource in self._search(place.type, query):
            found += _shown(resource)
        return found

    async def of_domain(self, type_: str, domain: str) -> AsyncIterator[Shown]:
        """Every address of a domain under resources of a type. Raises DirectoryFailure, DirectoryRefusal."""
        query = {"mailbox-mss:contains": f"@{domain}", "_count": str(_PAGE)}
        async for resource in self._search(type_, query):
            for each in _shown(resource):
                if each.told.address.lower().endswith(f"@{domain}"):
                    yield each

    async def _search(self, type_: str, query: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        url: str | None = str(httpx.URL(urljoin(self._base, type_), params=query))
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            bundle = await self._ask("GET", url)
            if bundle.get("resourceType") != "Bundle":
                raise DirectoryFailure("what it answers to a search is no Bundle")
            for entry in _objects(bundle.get("entry")):
                resource = entry.get("resource")
                if isinstance(resource, dict) and resource.get("resourceType") == type_:
                    yield resource
            url = self._next(bundle, url)

    def _next(self, bundle: dict[str, Any], url: str) -> str | None:
        links = (each.get("url") for each in _objects(bundle.get("link")) if each.get("relation") == "next")
        link = next(links, None)
        if not isinstance(link, str):
            return None
        joined = urljoin(url, link)
        if urlsplit(joined)[:2] != urlsplit(self._base)[:2]:
            raise DirectoryFailure("its next page is on another host")
        return joined

    async def _patch(self, place: Place, operations: list[dict[str, Any]]) -> None:
        body = msgspec.json.encode({"resourceType": "Parameters", "parameter": operations})
        url = urljoin(self._base, f"{place.type}/{place.id}" if place.id else place.type)
        query = {} if place.id else {"identifier": place.identifier}
        await self._ask("PATCH", str(httpx.URL(url, params=query)), body)

    async def _ask(self, method: str, url: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Accept": _FHIR, **({"Content-Type": _FHIR} if body is not None else {})}
        received = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream(method, url, content=body, headers=headers) as response,
            ):
                async for piece in response.aiter_bytes():
                    received += piece
                    if len(received) > _MOST_OCTETS:
                        raise DirectoryFailure("its answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise DirectoryFailure(type(error).__name__) from error
        status = response.status_code
        if status == 429 or status >= 500 or 300 <= status < 400:
            raise DirectoryFailure(f"HTTP {status}", _pause(response.headers.get("Retry-After", "")))
        answer = _object(bytes(received))
        if status >= 400:
            raise DirectoryRefusal(status, _words(answer))
        if answer is None:
            raise DirectoryFailure("its answer is no JSON object")
        return answer


def tls_context(trusting: ssl.SSLContext, certificate: str, key: str) -> ssl.SSLContext:
    """TLS that trusts as `trusting` does, and shows the operator's certificate. Raises ConfigurationError."""
    try:
        trusting.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The certificate {certificate} and its key cannot be used to publish.",
            f"Le certificat {certificate} et sa clé ne peuvent pas servir à publier.",
        ) from error
    return trusting


def _telecom(place: Place, address: str) -> str:
    return f"{place.type}.telecom.where(value = '{_quoted(address)}')"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _operation(kind: Literal["insert", "replace", "delete"], path: str, *value: Any, index: int | None = None) -> Any:
    parts: list[dict[str, Any]] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    if index is not None:
        parts.append({"name": "index", "valueInteger": index})
    if value:
        parts.append({"name": "value", value[0]: value[1]})
    return {"name": "operation", "part": parts}


def _differences(before: Facts, after: Facts) -> Iterator[tuple[str, str | bool, str | bool]]:
    pairs = (
        ("service", before.service, after.service),
        ("description", before.description, after.description),
        ("responsible", before.responsible, after.responsible),
        ("listeRouge", before.red_list, after.red_list),
    )
    return ((url, old, new) for url, old, new in pairs if old != new)


def _shown(resource: dict[str, Any]) -> list[Shown]:
    """The mailboxes of a resource; contacts that are none, or cannot be read, are passed over."""
    place = Place(str(resource.get("resourceType")), id=str(resource.get("id")))
    known = frozenset(f"{each.get('system')}|{each.get('value')}" for each in _objects(resource.get("identifier")))
    found = []
    for contact in _objects(resource.get("telecom")):
        if not mailboxes.is_mailbox(contact):
            continue
        try:
            each = mailboxes.read(contact)
        except MailboxError:
            continue
        facts = Facts(each.service or "", each.description or "", each.responsible or "", bool(each.red_list))
        found.append(Shown(place, Told(each.address, each.kind, Bearer(), facts), known))
    return found


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _object(received: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(received)
    except msgspec.DecodeError:
        return None
    return value if isinstance(value, dict) else None


def _words(outcome: dict[str, Any] | None) -> str:
    """What an OperationOutcome says, or nothing more than that it refuses."""
    issues = _objects((outcome or {}).get("issue"))
    said = [str(text) for each in issues for text in (each.get("diagnostics"),) if text]
    return " ".join(said)[:_LONGEST_WORDS] or "no reason given / sans raison donnée"


def _pause(header: str) -> float | None:
    """Retry-After in seconds; a date is left to our own pauses."""
    return min(float(header), 86_400.0) if header.isascii() and header.isdigit() else None
