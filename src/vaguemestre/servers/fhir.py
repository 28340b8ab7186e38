"""The register over FHIR: read and searched as the national service is, written by operators.

What it keeps true: a client program written for the national service works when its base URL is changed; whatever goes
wrong is said in an OperationOutcome, in words; what one client asks for is bounded, so that it takes nothing from others.

Rules: who shows an operator's certificate needs no key, and is shown the mailboxes of its own domains whole. A key, where
keys are asked for, is known by its digest alone. The link to the next page holds the search and its
place, sealed: nobody reads or makes one. An answer is made in a reader's thread, JSON included.

R4 RESTful API; spec directory §1.1, §1.5; ADR 11.
"""

import asyncio
import base64
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

import msgspec
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from vaguemestre import clock, log
from vaguemestre.directory.fhir.reading import CostlyError, Cursor, GoneError, Reader
from vaguemestre.documents.fhir import bundles, matching, search
from vaguemestre.documents.fhir.parameters import PARAMETERS
from vaguemestre.documents.fhir.resources import Shape
from vaguemestre.documents.fhir.search import SearchError
from vaguemestre.documents.fhir.systems import Json
from vaguemestre.errors import ConfigurationError, StorageFailure, VaguemestreError
from vaguemestre.servers.limits import Allowance, network
from vaguemestre.storage.database import Database

KEY_HEADER = "esante-api-key"
PREFIXES = ("/fhir/v2", "/fhir")
_TYPE = "application/fhir+json; charset=utf-8"
_MOST_BODY = 262_144
_BODY_S = 10.0
_BOUND = b"vaguemestre fhir page 1"
_HEADERS = {
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=63072000",
    "Vary": "Accept, ESANTE-API-KEY",
}
_JSON_TYPES = ("json", "*/*", "application/*")
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(list[Any]).decode
_log = log.get("servers.fhir")
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the register is read.

    `base`: the public URL, that of the request where empty; `relative`: links to pages relative to it. `keys`: SHA-256
    (hex) of each key → who has it; none: no key is asked for. `rate`: requests a second of one client, 0 for any.
    `most` resources a page; `limit` seconds a search.
    """

    base: str = ""
    relative: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
    rate: float = 17.0
    most: int = 1000
    limit: float = 10.0
    digitization: bool = False
    version: str = ""


class AnswerError(Exception):
    """An answer that ends a request: its status, FHIR issue type and words."""

    def __init__(self, status: int, code: str, en: str, fr: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(en)
        self.status, self.code, self.en, self.fr = status, code, en, fr
        self.headers = dict(headers or {})


Handler = Callable[[Request], Awaitable[Response]]


class Register(Protocol):
    """Whatever gives the register in use."""

    def current(self) -> Database:
        """The register to read now."""
        ...


class Reading:
    """The read face: what each request is answered."""

    def __init__(
        self,
        registers: Register,
        terms: Terms,
        page_key: bytes,
        domains: Callable[[Sequence[bytes]], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        """`page_key`: 32 bytes that seal the links to pages; the same on machines that stand in for one another.

        `domains`: those that the owner of a certificate, DER chain, may speak for.
        """
        self.registers = registers
        self._domains = domains
        self.terms = terms
        self.reader = Reader(Shape(digitization=terms.digitization), terms.limit)
        self._seal = AESGCM(page_key)
        self._started = clock.now().isoformat(timespec="seconds")

    async def metadata(self, request: Request) -> Response:
        """GET /metadata."""
        made = bundles.capabilities(
            self.base(request), self.terms.version, self._started, writes="PATCH" in request.scope["writes"],
            secured=bool(self.terms.keys),
        )  # fmt: skip
        return answer(_written(made, request.query_params.get("_pretty") == "true"))

    async def resource(self, request: Request) -> Response:
        """GET /Type/id, unless the client has it already (ETag)."""
        kind, identifier = kind_of(request), request.path_params["id"]
        database = self.registers.current()
        if known := request.headers.get("if-none-match"):
            version = await database.read_at_once(self.reader.version, kind, identifier)
            if version is not None and _tag(version) in {each.strip() for each in known.split(",")}:
                return Response(status_code=304, headers={"ETag": _tag(version)})
        found = await database.read_at_once(self.reader.read, kind, identifier, self.shape(request))
        if found is None:
            raise not_known(kind, identifier)
        return resource_answer(
            _chosen(found, parameters(request)), pretty=request.query_params.get("_pretty") == "true"
        )

    async def find(self, request: Request) -> Response:
        """GET /Type, GET and POST /Type/_search."""
        kind, pairs = kind_of(request), parameters(request)
        if request.method == "POST":
            pairs += _pairs(await body(request))
        return await self._page(request, kind, pairs, None)

    async def page(self, request: Request) -> Response:
        """GET /_page?id=…"""
        sealed = request.query_params.get("id", "")
        if not sealed:
            raise AnswerError(
                400, "processing", "Parameter id is missing for _page", "Le paramètre id de _page manque."
            )
        kind, pairs, cursor = self._open(sealed)
        return await self._page(request, kind, pairs, cursor)

    async def _page(self, request: Request, kind: str, pairs: Pairs, cursor: Cursor | None) -> Response:
        asked = search.read(kind, pairs, self.terms.most)
        base, own, shape = self.base(request), str(request.url.query), self.shape(request)

        def make(connection: sa.Connection) -> bytes:
            page = self.reader.find(connection, asked, clock.now_ms(), cursor, shape)
            following = ""
            if page.next is not None:
                following = f"_page?id={self._sealed(kind, pairs, page.next)}"
                following = following if self.terms.relative else f"{base}/{following}"
            matches = page.matches
            if asked.elements:
                matches = [bundles.part(each, asked.elements) for each in matches]
            path = "_page" if cursor is not None else kind
            link = f"{path}?{own if cursor is not None else urlencode(pairs)}".rstrip("?")
            made = bundles.searchset(
                base, matches, page.included, page.total, following, link if self.terms.relative else f"{base}/{link}"
            )
            return _written(made, asked.pretty)

        return answer(await self.registers.current().read_async(make))

    def own_domains(self, request: Request) -> frozenset[str]:
        """The domains of the operator that asks, by the certificate it shows."""
        chain = client_chain(request)
        return self._domains(chain) if chain else frozenset()

    def shape(self, request: Request) -> Shape:
        """How resources are shown to who asks."""
        return Shape(self.terms.digitization, self.own_domains(request))

    def base(self, request: Request) -> str:
        """The URL of the service, as the client knows it."""
        return self.terms.base or f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"

    def _sealed(self, kind: str, pairs: Pairs, cursor: Cursor) -> str:
        state = [kind, list(pairs), cursor.edition, cursor.revision, cursor.begun, list(cursor.after)]
        nonce = os.urandom(12)
        sealed = nonce + self._seal.encrypt(nonce, _encode(state), _BOUND)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def _open(self, sealed: str) -> tuple[str, list[tuple[str, str]], Cursor]:
        try:
            octets = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            kind, pairs, edition, revision, begun, after = _decode(self._seal.decrypt(octets[:12], octets[12:], _BOUND))
        except (ValueError, InvalidTag, msgspec.MsgspecError) as error:
            raise AnswerError(
                400, "processing", "Parameter id of _page is not one that this service gave",
                "Le paramètre id de _page n'a pas été donné par ce service.",
            ) from error  # fmt: skip
        cursor = Cursor(edition, revision, begun, tuple(after))
        return kind, [(name, value) for name, value in pairs], cursor


def application(reading: Reading, writing: "Mapping[str, Handler] | None" = None) -> list[Mount]:
    """The FHIR face under each of its prefixes. `writing`: what answers PATCH, by path, where operators may write."""
    writing = writing or {}
    guard = _Guard(reading, "PATCH" if writing else "")
    routes = [
        Route("/metadata", guard(reading.metadata), methods=["GET"]),
        Route("/_page", guard(reading.page), methods=["GET"]),
        Route("/{kind}/_search", guard(reading.find), methods=["GET", "POST"]),
    ]
    for path, read in (("/{kind}", reading.find), ("/{kind}/{id}", reading.resource)):
        by_method: dict[str, Handler] = {"GET": read, "HEAD": read}
        if path in writing:
            by_method["PATCH"] = writing[path]
        routes.append(Route(path, guard(_by_method(by_method)), methods=[*by_method]))
    handlers: Any = {HTTPException: _http_error}
    inner = Starlette(routes=routes, exception_handlers=handlers)
    return [Mount(prefix, inner) for prefix in PREFIXES]


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    async def one(request: Request) -> Response:
        return await handlers[request.method](request)

    return one


class _Guard:
    """Stands before each request: who asks, how often; and makes an answer of whatever goes wrong."""

    def __init__(self, reading: Reading, writes: str) -> None:
        terms = reading.terms
        self._reading = reading
        self._terms = terms
        self._writes = writes
        self._allowance = Allowance(max(1, int(terms.rate)), terms.rate) if terms.rate else None

    def __call__(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            request.scope["writes"] = self._writes
            try:
                self._admit(request)
                found = await handler(request)
            except Exception as error:  # whatever it is, the client is told and the server goes on
                found = refusal(error)
            found.headers.update(_HEADERS)
            return found

        return guarded

    def _admit(self, request: Request) -> None:
        client = network(request.client.host) if request.client else ""
        if request.method == "PATCH" or self._reading.own_domains(request):  # who writes shows a certificate
            client = f"operator {client}"
        elif self._terms.keys:
            key = request.headers.get(KEY_HEADER, "")
            holder = self._terms.keys.get(hashlib.sha256(key.encode()).hexdigest()) if key else None
            if holder is None:
                raise AnswerError(
                    401, "security", "An API key is needed in the header ESANTE-API-KEY.",
                    "Une clé d'API est nécessaire dans l'en-tête ESANTE-API-KEY.",
                )  # fmt: skip
            client = f"key {holder}"
        if self._allowance is not None and not self._allowance.spend(client):
            raise AnswerError(
                429, "throttled", f"There were more than {self._terms.rate:g} requests a second. Wait a second.",
                f"Il y a eu plus de {self._terms.rate:g} requêtes par seconde. Attendez une seconde.", {"Retry-After": "1"},
            )  # fmt: skip
        accepted = request.headers.get("accept", "*/*").lower()
        if not any(each in accepted for each in _JSON_TYPES):
            raise AnswerError(406, "not-supported", "Only application/fhir+json is served.",
                              "Seul application/fhir+json est servi.")  # fmt: skip


def refusal(error: Exception) -> Response:
    """The one table from error to reply."""
    headers: Mapping[str, str] = {}
    match error:
        case AnswerError():
            status, code, en, fr, headers = error.status, error.code, error.en, error.fr, error.headers
        case SearchError():
            status, code, en, fr = 400, error.code, error.en, error.fr
        case GoneError():
            status, code, en, fr = 410, "expired", error.en, error.fr
        case CostlyError():
            status, code, en, fr = 400, "too-costly", error.en, error.fr
        case StorageFailure() | ConfigurationError():
            _log.error("a request failed", error=type(error).__name__, reason=str(error))
            status, code, headers = 503, "transient", {"Retry-After": "5"}
            en, fr = "The register cannot be read for now.", "Le registre ne peut pas être lu pour l'instant."
        case VaguemestreError():
            status, code, en, fr = 400, "processing", error.en, error.fr
        case ClientDisconnect() | TimeoutError():
            status, code, en, fr = 408, "timeout", "The request took too long.", "La requête a pris trop de temps."
        case HTTPException():
            return _http_outcome(error)
        case _:
            _log.error("a request failed", error=type(error).__name__, exc_info=error)
            status, code, en, fr = 500, "exception", "Unknown error", "Erreur inconnue"
    return answer(_encode(bundles.outcome(code, en, fr)), status, headers)


async def _http_error(_: Request, error: HTTPException) -> Response:
    return _http_outcome(error)


def _http_outcome(error: HTTPException) -> Response:
    code = "not-supported" if error.status_code == 405 else "not-found"
    made = bundles.outcome(code, str(error.detail))
    return answer(_encode(made), error.status_code, dict(error.headers or {}) | _HEADERS)


def answer(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as FHIR sends it."""
    return Response(content, status, dict(headers or {}), _TYPE)


def resource_answer(resource: Json, *, pretty: bool = False) -> Response:
    """One resource, with its version and date as HTTP says them."""
    headers = {
        "ETag": _tag(int(resource["meta"]["versionId"])),
        "Last-Modified": formatdate(matching.updated(resource) // 1000, usegmt=True),
    }
    return answer(_written(resource, pretty), 200, headers)


def client_chain(request: Request) -> tuple[bytes, ...]:
    """The certificates that the client showed, DER, its own first; empty where it showed none."""
    return getattr(request.state, "client_chain", ())


def kind_of(request: Request) -> str:
    """The type of resource in the path."""
    kind = str(request.path_params["kind"])
    if kind not in PARAMETERS:
        raise AnswerError(
            404, "not-supported", f"Unknown resource type {kind[:64]}", f"Type de ressource inconnu : {kind[:64]}"
        )
    return kind


def not_known(kind: str, identifier: str) -> AnswerError:
    """There is no such resource."""
    return AnswerError(
        404, "not-found", f"Resource {kind}/{identifier[:64]} is not known",
        f"La ressource {kind}/{identifier[:64]} n'est pas connue.",
    )  # fmt: skip


def parameters(request: Request) -> list[tuple[str, str]]:
    """Names and values of the URL, in order."""
    return _pairs(request.scope["query_string"])


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            text.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=1000
        )
    except ValueError as error:  # not ASCII, not UTF-8 within, too many
        raise AnswerError(
            400, "processing", "The parameters cannot be read: they are URL-encoded UTF-8.",
            "Les paramètres ne peuvent pas être lus : ils sont en UTF-8, encodés pour une URL.",
        ) from error  # fmt: skip


async def body(request: Request) -> bytes:
    """The whole body, bounded in size and time."""
    received = bytearray()
    async with asyncio.timeout(_BODY_S):
        async for chunk in request.stream():
            received += chunk
            if len(received) > _MOST_BODY:
                raise AnswerError(413, "too-long", "The request is too large.", "La requête est trop grande.")
    return bytes(received)


def _chosen(resource: Json, pairs: Pairs) -> Json:
    """A resource as the parameters of a read ask."""
    elements: frozenset[str] = frozenset()
    for name, value in pairs:
        if name not in ("_elements", "_format", "_pretty", "_summary"):
            raise search.unknown(name, resource["resourceType"])
        elements |= search.read(resource["resourceType"], [(name, value)]).elements
    return bundles.part(resource, elements) if elements else resource


def _tag(version: int) -> str:
    return f'W/"{version}"'


def _written(made: Json, pretty: bool) -> bytes:
    written = _encode(made)
    return msgspec.json.format(written, indent=2) if pretty else written
