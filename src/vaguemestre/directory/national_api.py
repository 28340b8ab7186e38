"""Asking the national directory's FHIR service: at its pace, page after page, whatever it does.

What it keeps true: never more calls a second than allowed, those tried again included; the key goes to the address that is
configured and to no other, whatever a page says is next; what fails for a moment is tried again, later and later, as long
as the service asks (`Retry-After`); what cannot succeed says why at once.

Rules:
1. `next` is opaque: absolute or relative, its last segment and its query are asked of our own base, so that failing over
   to another address of the service needs nothing else.
2. Tried again: 429, 500, 502, 503, 504, time-outs, broken connections. Not: 400 (a defect of ours), 401 and 403 (the
   key), 404 and 410 on a page (its snapshot is gone: the caller begins that search anew).
3. `total` may be left out at any time, and is nothing to rely on.

Spec directory §1.1, §1.5; documentation of the service (17 calls a second, `_count` up to 200, server time-out 30 s).
"""

import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from vaguemestre import clock
from vaguemestre.errors import ConfigurationError, VaguemestreError

BASE = "https://gateway.api.esante.gouv.fr/fhir/v2"
CALLS_A_SECOND = 17.0
PAGE = 200
_TIMEOUT_S = 45.0  # the service gives up after 30
_LONGEST_PAUSE_S = 300.0
_MOST_OCTETS = 64 << 20
_AGAIN = frozenset({429, 500, 502, 503, 504})
_decode = msgspec.json.Decoder().decode


class NationalServiceError(VaguemestreError):
    """The national service did not give what was asked; it may later."""

    rule = "national-service"


class PageGoneError(NationalServiceError):
    """The snapshot that a page belongs to is no more: the search must begin anew."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one call gave: resources, what to ask next (empty at the end), the service's time (Unix ms)."""

    resources: list[dict[str, Any]]
    following: str
    at: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one call was answered."""

    status: int
    headers: httpx.Headers
    content: bytes


class Pace:
    """Calls evenly spaced: no more than `rate` of them begin in any second. `sleep` and `now` are for tests."""

    def __init__(
        self,
        rate: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._between, self._sleep, self._now = 1 / rate, sleep, now
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until a call may begin."""
        moment = self._now()
        start = max(moment, self._next)
        self._next = start + self._between
        if start > moment:
            await self._sleep(start - moment)

    async def pause(self, seconds: float) -> None:
        """Begin no call for so long."""
        await self._sleep(seconds)
        self._next = max(self._next, self._now())


class Service:
    """The service at an address, for one caller at a time. Use as a context."""

    def __init__(
        self,
        base: str,
        key: str,
        tls: ssl.SSLContext | None = None,
        pace: Pace | None = None,
        attempts: int = 8,
        chance: random.Random | None = None,
    ) -> None:
        self._base = base.rstrip("/")
        self._pace = pace or Pace(CALLS_A_SECOND)
        self._attempts = attempts
        self._chance = chance or random.Random()  # noqa: S311 - jitter is no secret
        self._client = httpx.AsyncClient(
            verify=tls if tls is not None else True,
            timeout=_TIMEOUT_S,
            headers={"ESANTE-API-KEY": key, "Accept": "application/fhir+json"},
            follow_redirects=False,
        )
        self.calls = 0

    async def __aenter__(self) -> "Service":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def search(self, kind: str, parameters: Mapping[str, str], count: int = PAGE) -> str:
        """What to ask for the first page of a search."""
        return f"{kind}?{httpx.QueryParams({**parameters, '_count': str(count)})}"

    async def page(self, asked: str) -> Page:
        """A page. Raises PageGoneError, NationalServiceError, ConfigurationError (the key, the request)."""
        answer = await self._get(asked)
        bundle = self._read(answer, asked)
        if bundle.get("resourceType") != "Bundle":
            raise _unusable(asked, "no Bundle")
        entries = bundle.get("entry") or []
        resources = [
            each["resource"] for each in entries if isinstance(each, dict) and isinstance(each.get("resource"), dict)
        ]
        links = [each for each in bundle.get("link") or [] if isinstance(each, dict)]
        following = next((str(each.get("url", "")) for each in links if each.get("relation") == "next"), "")
        return Page(resources, self.following(following), _date(answer))

    async def resource(self, kind: str, technical_id: str) -> dict[str, Any] | None:
        """One resource by its id; None where the service knows none."""
        try:
            answer = await self._get(f"{kind}/{technical_id}")
        except PageGoneError:
            return None
        return self._read(answer, kind)

    def following(self, url: str) -> str:
        """What to ask of our own base for a `next` of any form; empty where there is none."""
        parts = urlsplit(url)
        segment = parts.path.rstrip("/").rpartition("/")[2]
        return f"{segment}?{parts.query}" if segment and parts.query else ""

    async def _get(self, asked: str) -> _Answer:
        last: NationalServiceError | None = None
        for attempt in range(self._attempts):
            await self._pace.turn()
            self.calls += 1
            try:
                answer = await self._ask(asked)
            except (httpx.TransportError, httpx.DecodingError, ssl.SSLError) as error:
                last, wanted = _unreachable(self._base, error), None
            else:
                if answer.status == 200:
                    return answer
                last, wanted = self._refused(answer, asked), _retry_after(answer)
            if attempt + 1 < self._attempts:
                await self._pace.pause(self._wait(attempt, wanted))
        assert last is not None  # noqa: S101 - there is one attempt at least
        raise last

    async def _ask(self, asked: str) -> _Answer:
        """One call; no more is read than an answer may have."""
        content = bytearray()
        async with self._client.stream("GET", f"{self._base}/{asked}") as answer:
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > _MOST_OCTETS:
                    raise _unusable(asked, f"more than {_MOST_OCTETS >> 20} MB")
        return _Answer(answer.status_code, answer.headers, bytes(content))

    def _wait(self, attempt: int, wanted: float | None) -> float:
        """Seconds until the next attempt: as told, or twice as long each time; and a little more, by chance."""
        if wanted is not None:
            return min(wanted, _LONGEST_PAUSE_S) + self._chance.uniform(0, 1)
        return float(min(2**attempt, 60)) * self._chance.uniform(0.5, 1.5)

    def _refused(self, answer: _Answer, asked: str) -> NationalServiceError:
        """The error of an answer that may be asked for again; raises what may not."""
        status, told = answer.status, _outcome(answer)
        what = f"{status} {told}".strip()
        if status in (401, 403):
            raise ConfigurationError(
                f"The national directory refuses the key ({what}). Check `api_key` in [directory].",
                f"L'annuaire national refuse la clé ({what}). Vérifiez « api_key » dans [directory].",
            )
        if status in (404, 410) or (status == 400 and asked.startswith("_page")):
            raise PageGoneError(
                f"The national directory no longer has what was asked ({what}).",
                f"L'annuaire national n'a plus ce qui était demandé ({what}).",
            )
        if status not in _AGAIN:
            raise _unusable(asked, what)
        return NationalServiceError(f"The national directory answers {what}.", f"L'annuaire national répond {what}.")

    def _read(self, answer: _Answer, asked: str) -> dict[str, Any]:
        try:
            found = _decode(answer.content)
        except msgspec.DecodeError as error:
            raise _unusable(asked, "no JSON") from error
        if not isinstance(found, dict):
            raise _unusable(asked, "no resource")
        return found


def _outcome(answer: _Answer) -> str:
    """What an OperationOutcome says, in a line."""
    try:
        issues = _decode(answer.content).get("issue") or []
        told = "; ".join(str(each.get("diagnostics") or each.get("code") or "") for each in issues)
    except (msgspec.DecodeError, AttributeError, TypeError):
        return ""
    return "".join(each if each.isprintable() else " " for each in told)[:300]


def _retry_after(answer: _Answer) -> float | None:
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - clock.now()).total_seconds()) if text else None
    except (TypeError, ValueError):
        return None


def _date(answer: _Answer) -> int:
    try:
        return clock.to_ms(parsedate_to_datetime(answer.headers["Date"]))
    except (KeyError, TypeError, ValueError):
        return clock.now_ms()


def _unreachable(base: str, error: Exception) -> NationalServiceError:
    what = type(error).__name__ + (f": {error}" if str(error) else "")
    return NationalServiceError(
        f"The national directory at {base} cannot be reached ({what}).",
        f"L'annuaire national ({base}) est injoignable ({what}).",
    )


def _unusable(asked: str, what: str) -> NationalServiceError:
    kind = asked.partition("?")[0]
    return NationalServiceError(
        f"The national directory's answer about {kind} cannot be used: {what}.",
        f"La réponse de l'annuaire national sur {kind} est inutilisable : {what}.",
    )
