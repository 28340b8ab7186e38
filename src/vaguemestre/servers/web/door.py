"""Every request of a browser passes here: where it comes from, who is signed in, and what a refusal says.

Kept true: a request that changes something comes from our own pages (Origin, Sec-Fetch-Site: no other site's form or script
gets past); its body is bounded and is a JSON object; who is signed in is known from a cookie that scripts cannot read and that
changes as it is used; what changes how somebody signs in wants a proof of some minutes ago. A refusal is JSON with its fact, in
French and English; what fails here is one general sentence to people, the cause in the log.

RFC 6265bis (`__Host-`, SameSite), Fetch Metadata; OWASP ASVS 5.0 chapters 3, 4, 7.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vaguemestre import log
from vaguemestre.enrolment.enrol import personal_account
from vaguemestre.enrolment.notices import Notices
from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.identity import known_places, sessions
from vaguemestre.identity.client_certificates import StandingFailure
from vaguemestre.identity.flows import NoFlowError
from vaguemestre.identity.model import Means, NotPermittedError, Person, RefusedIdentityError
from vaguemestre.identity.oidc import FlowError, SignInStoppedError
from vaguemestre.identity.sessions import Limits, Session
from vaguemestre.identity.throttle import Attempt, Throttle
from vaguemestre.identity.tokens import ProviderFailure
from vaguemestre.mailstore.model import AccountState, UnknownAccountError
from vaguemestre.servers.limits import Allowance, network
from vaguemestre.storage.database import Database

Read = TypeVar("Read")
_MOST_OCTETS = 65_536
_BODY_S = 10.0
_BURST, _RATE = 120, 10.0
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# In this order: each says that it is those after it, too.
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "Mac"),
    ("Linux", "Linux"),
)
_log = log.get("servers.web")


class NotSignedInError(VaguemestreError):
    """Nobody is signed in."""

    def __init__(self) -> None:
        super().__init__("Sign in to continue.", "Connectez-vous pour continuer.")


class ProofWantedError(VaguemestreError):
    """What is asked wants a proof of some minutes ago."""

    def __init__(self) -> None:
        super().__init__(
            "Confirm who you are again to change how you sign in.",
            "Confirmez à nouveau votre identité pour modifier vos moyens de connexion.",
        )


class ForeignRequestError(VaguemestreError):
    """The request comes from another site's page."""

    def __init__(self) -> None:
        super().__init__("This request does not come from our pages.", "Cette demande ne vient pas de nos pages.")


class MalformedRequestError(VaguemestreError):
    """The request is not what is expected here."""

    def __init__(self) -> None:
        super().__init__("This request cannot be read.", "Cette demande est illisible.")


class TooManyRequestsError(VaguemestreError):
    """The address asks for too much."""

    def __init__(self) -> None:
        super().__init__("Too many requests. Wait a little.", "Trop de demandes. Patientez un peu.")


_STATUS: tuple[tuple[type[VaguemestreError], int], ...] = (
    (TooManyRequestsError, 429),
    (NotSignedInError, 401),
    (RefusedIdentityError, 401),
    (ProofWantedError, 403),
    (ForeignRequestError, 403),
    (NotPermittedError, 403),
    (SignInStoppedError, 403),
    (MalformedRequestError, 400),
    (FlowError, 400),
    (NoFlowError, 400),
    (UnknownAccountError, 404),
    (ProviderFailure, 503),
    (StandingFailure, 503),
    (VaguemestreError, 409),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that passed: its body, where from, and who is signed in (None where that is not asked for)."""

    request: Request
    body: dict[str, Any]
    network: str
    session: Session | None

    @property
    def signed_in(self) -> Session:
        """Who is signed in. Raises NotSignedInError."""
        if self.session is None:
            raise NotSignedInError
        return self.session

    @property
    def person(self) -> Person:
        """Who is signed in. Raises NotSignedInError."""
        return self.signed_in.person

    @property
    def device(self) -> str:
        """What the browser says it is, in the words people know: “Firefox, Windows”."""
        return device(self.request.headers.get("user-agent", ""))

    def text(self, name: str) -> str:
        """A text of the body. Raises MalformedRequestError where there is none."""
        return self._value(name, str)

    def object(self, name: str) -> dict[str, Any]:
        """An object of the body. Raises MalformedRequestError where there is none."""
        return self._value(name, dict)

    def flag(self, name: str) -> bool:
        """A truth value of the body, false where there is none."""
        return self.body.get(name) is True

    def number(self, name: str) -> int:
        """A number of the path. Raises MalformedRequestError."""
        try:
            return int(self.request.path_params[name])
        except ValueError as error:
            raise MalformedRequestError from error

    def _value(self, name: str, kind: type[Read]) -> Read:
        value = self.body.get(name)
        if not isinstance(value, kind):
            raise MalformedRequestError
        return value


Answer = Callable[[Asked], Awaitable[Response]]


@dataclass(slots=True)
class Door:
    """One application's door. `origin` is where our pages come from; over http only on this machine."""

    database: Database
    origin: str
    limits: Limits = field(default_factory=Limits)
    allowance: Allowance = field(default_factory=lambda: Allowance(_BURST, _RATE))
    throttle: Throttle = field(default_factory=Throttle)
    notices: Notices | None = None

    @property
    def _secure(self) -> bool:
        return self.origin.startswith("https://")

    def _name(self, cookie: str) -> str:
        return f"__Host-{cookie}" if self._secure else cookie

    def route(
        self, method: str, path: str, answer: Answer, *, signed_in: bool = True, fresh: bool = False, page: bool = False
    ) -> Route:
        """A route: who must be signed in, and whether lately. `page`: a browser goes there, from other sites too."""

        async def guarded(request: Request) -> Response:
            renewed = ""
            try:
                asked, renewed = await self._pass(request, signed_in, fresh, page)
                response = await answer(asked)
            except VaguemestreError as error:
                response = refusal(error)
            except ClientDisconnect:
                response = Response(status_code=400)
            if renewed and not any(self._name("session") in value for value in response.headers.getlist("set-cookie")):
                self.keep_session(response, renewed)
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return Route(path, guarded, methods=[method])

    def keep_session(self, response: Response, secret: str) -> None:
        """Have the browser hold a session's secret; an empty one ends it."""
        self._set(response, "session", secret, self.limits.absolute // 1000)

    def keep_flow(self, response: Response, secret: str) -> None:
        """Have the browser hold a flow's secret; an empty one ends it."""
        self._set(response, "flow", secret, 600)

    def flow(self, asked: Asked) -> str:
        """The flow's secret that the browser holds."""
        return asked.request.cookies.get(self._name("flow"), "")

    @contextlib.asynccontextmanager
    async def attempt(self, who: str, asked: Asked) -> AsyncIterator[Attempt]:
        """An attempt to guess: it waits longer with each that failed, for who fails and nobody else (`identity.throttle`).

        Raises TooManyRequestsError.
        """
        attempt = self.throttle.begin(who, asked.network)
        if attempt.wait is None:
            attempt.abandoned()
            raise TooManyRequestsError
        try:
            await asyncio.sleep(attempt.wait)
            yield attempt
        except RefusedIdentityError:
            attempt.failed()
            raise
        except BaseException:
            attempt.abandoned()
            raise
        else:
            attempt.succeeded()

    async def begin(self, asked: Asked, response: Response, person: Person, means: Means) -> None:
        """Sign somebody in: any session that the browser had is ended, and a new one begun (no fixation).

        From where they never signed in before, they are told by a letter.
        """

        where = f"{asked.device}, {asked.network}" if asked.device else asked.network

        def write(connection: Any) -> str:
            if asked.session is not None:
                sessions.end(connection, asked.session.person.id, asked.session.id)
            if known_places.note(connection, person.id, asked.device, asked.network):
                self.tell(
                    connection,
                    person,
                    f"Une connexion à votre messagerie vient d'un appareil ou d'un réseau nouveau : {where}.",
                    f"A sign-in to your mailbox came from a new device or network: {where}.",
                )
            return sessions.begin(connection, person, means, asked.device, asked.network)[0]

        self.keep_session(response, await self.database.write_async(write))
        self.keep_flow(response, "")

    def tell(self, connection: Any, person: Person, fr: str, en: str) -> None:
        """A letter about how somebody signs in, to their own mailbox, where they have one."""
        account = personal_account(connection, person.national_id)
        if self.notices is not None and account is not None and account.state is not AccountState.CLOSED:
            self.notices.new_means(connection, account, fr, en)

    def _set(self, response: Response, cookie: str, secret: str, seconds: int) -> None:
        # Lax: a person comes back from Pro Santé Connect's site with it; what changes anything is checked by origin.
        response.set_cookie(
            self._name(cookie), secret, max_age=seconds if secret else 0, path="/", secure=self._secure, httponly=True,
            samesite="lax",
        )  # fmt: skip

    async def _pass(self, request: Request, signed_in: bool, fresh: bool, page: bool) -> tuple[Asked, str]:
        where = network(request.client.host if request.client else "")
        if not self.allowance.spend(where):
            raise TooManyRequestsError
        if not page:
            self._check_origin(request)
        session, renewed = await self._session(request, where)
        if signed_in and session is None:
            raise NotSignedInError
        if fresh and session is not None and not sessions.is_fresh(session, self.limits):
            raise ProofWantedError
        body = await _body(request) if request.method not in ("GET", "DELETE") else {}
        return Asked(request, body, where, session), renewed

    def _check_origin(self, request: Request) -> None:
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is not None and site not in ("same-origin", "none"):
            raise ForeignRequestError
        if request.method != "GET" and origin != self.origin:
            raise ForeignRequestError

    async def _session(self, request: Request, where: str) -> tuple[Session | None, str]:
        secret = request.cookies.get(self._name("session"), "")
        if not secret:
            return None, ""
        found = await self.database.read_at_once(sessions.look, secret, self.limits)
        if found is not None and not found[1]:
            return found[0], ""
        advanced = await self.database.write_async(sessions.advance, secret, where, self.limits)
        return (None, "") if advanced is None else advanced


def device(said: str) -> str:
    """A browser and its system, from what it says of itself (User-Agent); the first words where they are unknown."""
    browser = next((name for mark, name in _BROWSERS if mark in said), "")
    system = next((name for mark, name in _SYSTEMS if mark in said), "")
    return ", ".join(part for part in (browser, system) if part) or said[:40]


def refusal(error: VaguemestreError) -> Response:
    """A refusal as JSON: its fact, and its words."""
    if isinstance(error, StorageFailure):
        _log.error("a request failed", error=error.en)
        words = {
            "fr": "Un incident de notre côté empêche cette action. Réessayez dans un moment.",
            "en": "Something failed on our side. Try again in a moment.",
        }
        return JSONResponse({"error": "unavailable", **words}, 503, headers={"Retry-After": "10"})
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    fact = type(error).__name__.removesuffix("Error").removesuffix("Failure")
    if isinstance(error, RefusedIdentityError):
        fact = "RefusedIdentity"  # why, only the journal knows
    return JSONResponse({"error": fact, "fr": error.fr, "en": error.en}, status)


async def _body(request: Request) -> dict[str, Any]:
    received = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for piece in request.stream():
                received += piece
                if len(received) > _MOST_OCTETS:
                    raise MalformedRequestError
        return msgspec.json.decode(bytes(received), type=dict[str, Any]) if received else {}
    except (TimeoutError, msgspec.DecodeError, RecursionError) as error:
        raise MalformedRequestError from error
