"""Search of the register over HTTP, used while somebody types.

What it keeps true: nobody reads the register here who may not: a key, or a network named as trusted; what one client asks
for is bounded. Searches are made in a process of their own; one that a newer keystroke of the same typist has overtaken
before its turn came is not made at all. What is typed stands in no log: it may name a patient's doctor.

Rules: a key is known by its digest alone. `GET /directory/search?q=…`, with `near`, `limit`, the criteria of
`directory.search.finder.Criteria` by their names, and `typing`, any word that stays the same while one person types in
one field. Errors are sentences in French and English, with a rule.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vaguemestre import log
from vaguemestre.directory.search.finder import MOST_RESULTS, Criteria
from vaguemestre.directory.search.process import Asked
from vaguemestre.errors import VaguemestreError
from vaguemestre.servers.limits import Allowance, network
from vaguemestre.servers.search_process import SearchProcess

PATH: Final = "/directory/search"
KEY_HEADER: Final = "esante-api-key"  # that of the FHIR face: one key for both
_CRITERIA = tuple(each.name for each in fields(Criteria))
_PARAMETERS = frozenset(("q", "near", "limit", "typing", *_CRITERIA))
_LONGEST = 500
_MOST_TYPISTS = 10_000
_HEADERS = {
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_log = log.get("servers.directory_search")


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may search, and how much.

    `keys`: SHA-256 (hex) of each key → who has it. `trusted`: networks whose clients need no key, such as 127.0.0.1/32
    for a proxy on this machine. With neither, nobody may. `rate`: searches a second of one client, `burst` at once; 0: any
    number.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    trusted: Sequence[IPv4Network | IPv6Network] = ()
    rate: float = 50.0
    burst: int = 100


class RefusedError(VaguemestreError):
    """A search that is not made: `status` is its HTTP code, `rule` its name."""

    def __init__(self, status: int, rule: str, en: str, fr: str) -> None:
        super().__init__(en, fr)
        self.status = status
        self.rule = rule


class SearchFace:
    """Answers requests of search."""

    def __init__(self, process: SearchProcess, terms: Terms) -> None:
        self._process = process
        self._keys = terms.keys
        self._trusted = terms.trusted
        self._allowance = Allowance(terms.burst, terms.rate) if terms.rate else None
        self._rate = terms.rate
        self._newest: OrderedDict[tuple[str, str], int] = (
            OrderedDict()
        )  # of each typist, the number of the last keystroke
        self._count = 0

    async def search(self, request: Request) -> Response:
        """GET /directory/search."""
        try:
            client = self._admitted(request)
            return await self._answer(request, client)
        except RefusedError as error:
            return _refusal(error.status, error.rule, error)
        except VaguemestreError as error:
            _log.error("search failed", error=error.en)
            return _refusal(503, "unavailable", _UNAVAILABLE)

    def _admitted(self, request: Request) -> str:
        """Who asks; raises RefusedError where they may not, or no more for now."""
        where = request.client.host if request.client is not None else ""
        key = request.headers.get(KEY_HEADER) or _bearer(request)
        who = self._keys.get(hashlib.sha256(key.encode()).hexdigest()) if key else None
        if who is None:
            if key or not self._is_trusted(where):
                raise RefusedError(
                    401, "no-key",
                    "An API key is needed, in the header ESANTE-API-KEY or Authorization: Bearer. Ask the operator for one.",
                    "Il faut une clé d'API, dans l'en-tête ESANTE-API-KEY ou Authorization: Bearer. Demandez-la à l'opérateur.",
                )  # fmt: skip
            who = network(where)
        if self._allowance is not None and not self._allowance.spend(who):
            raise RefusedError(
                429, "too-many",
                f"More than {self._rate:g} searches a second. Wait a second, then go on.",
                f"Plus de {self._rate:g} recherches par seconde. Attendez une seconde, puis reprenez.",
            )  # fmt: skip
        return who

    def _is_trusted(self, where: str) -> bool:
        try:
            address = ip_address(where.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(_within(mapped, each) for each in self._trusted)

    async def _answer(self, request: Request, client: str) -> Response:
        asked = request.query_params
        unknown = sorted(set(asked) - _PARAMETERS)
        if unknown:
            known = ", ".join(sorted(_PARAMETERS))
            raise RefusedError(
                400, "unknown-parameter",
                f"Unknown parameter: {unknown[0][:50]}. Those there are: {known}.",
                f"Paramètre inconnu : {unknown[0][:50]}. Voici ceux qui existent : {known}.",
            )  # fmt: skip
        if any(len(value) > _LONGEST for value in asked.values()):
            raise RefusedError(
                400, "too-long",
                f"A parameter is longer than {_LONGEST} characters.",
                f"Un paramètre dépasse {_LONGEST} caractères.",
            )  # fmt: skip
        criteria = Criteria(*(asked.get(name, "") for name in _CRITERIA))
        typist = (client, asked["typing"]) if asked.get("typing") else None
        number = self._keystroke(typist)
        found = await self._process.search(
            Asked(asked.get("q", ""), criteria, asked.get("near", ""), _limit(asked)),
            lambda: typist is None or self._newest.get(typist, number) == number,
        )
        if found is None:
            return Response(status_code=204, headers=_HEADERS)
        return Response(found, media_type="application/json", headers=_HEADERS)

    def _keystroke(self, typist: tuple[str, str] | None) -> int:
        self._count += 1
        if typist is not None:
            self._newest[typist] = self._count
            self._newest.move_to_end(typist)
            if len(self._newest) > _MOST_TYPISTS:
                self._newest.popitem(last=False)
        return self._count


def routes(face: SearchFace) -> list[Route]:
    """The routes of search, to be served beside others."""
    return [Route(PATH, face.search, methods=["GET"])]


def application(face: SearchFace) -> Starlette:
    """Search alone."""
    return Starlette(routes=routes(face))


_UNAVAILABLE = VaguemestreError(
    "The directory cannot be searched for now. Try again in a moment.",
    "La recherche dans l'annuaire est indisponible. Réessayez dans un instant.",
)


def _limit(asked: Mapping[str, str]) -> int:
    text = asked.get("limit", "10")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_RESULTS):
        raise RefusedError(
            400, "limit",
            f"limit is a number from 1 to {MOST_RESULTS}.",
            f"limit est un nombre de 1 à {MOST_RESULTS}.",
        )  # fmt: skip
    return int(text)


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _within(address: object, trusted: IPv4Network | IPv6Network) -> bool:
    return address in trusted if getattr(address, "version", 0) == trusted.version else False


def _refusal(status: int, rule: str, error: VaguemestreError) -> Response:
    body = msgspec.json.encode({"ok": False, "rule": rule, "fr": error.fr, "en": error.en})
    more = {"Retry-After": "1"} if status in (429, 503) else {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(body, status, {**_HEADERS, **more}, "application/json")
