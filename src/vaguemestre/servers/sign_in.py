"""Signing in, for every protocol of mail programs: from credentials to access, and the end of that access.

Kept true: nobody learns from a refusal, its words or its time, whether the account exists, the secret was wrong or the means
was; failures wait longer and longer, and never make others wait (`identity.throttle`); what was let in, and what was not,
is journalled, without a secret; a session ends soon after the account is suspended, the grant or the app password is
revoked, or the operator says so, whichever process did it.

Flow: wait (throttle) → proof (token, app password, certificate) → `mailstore.access` → journal.
What fails for our own reasons (the store, the provider of identity, the news of revocations) counts against nobody.

Tokens are verified here and now only: the session outlives them (spec clients §1: they last two minutes). Traces of what is
done in a session go through here too, since here it is known who does it (CONF.17, CONF.18).
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vaguemestre import ids, log
from vaguemestre.clock import now_ms
from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.identity import app_passwords
from vaguemestre.identity.client_certificates import Presented, StandingFailure
from vaguemestre.identity.model import Means, RefusedIdentityError
from vaguemestre.identity.standings import AccessChange
from vaguemestre.identity.throttle import Throttle
from vaguemestre.identity.tokens import TokenVerifier
from vaguemestre.identity.traces import Tracer
from vaguemestre.mailstore import access as entrance
from vaguemestre.mailstore.access import Access, AccessRefusedError, Ending
from vaguemestre.protocols import sasl
from vaguemestre.storage.database import Database
from vaguemestre.trust.judge import Judge

_log = log.get("servers.sign_in")
_USE_NOTED_MS = 3_600_000
_MOST_USES = 10_000
_MOST_LOGGED_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class Origin:
    """Where somebody signs in from: their address, the TLS session in words, the certificates they sent (DER, leaf first)."""

    ip: str
    tls: str
    chain: tuple[bytes, ...]
    protocol: str


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds: a refusal is never told sooner than `refusal`; whether sessions may go on is asked each `poll`."""

    refusal: float = 0.25
    poll: float = 2.0


class SignInRefusedError(VaguemestreError):
    """Nobody is let in, for a reason that only the journal knows."""

    def __init__(self, refused: RefusedIdentityError) -> None:
        super().__init__(refused.en, refused.fr)


class TooManyAttemptsError(VaguemestreError):
    """So many attempts on one account are under way from one address that another is not heard; it may be later."""

    def __init__(self) -> None:
        super().__init__(
            "Too many sign-ins at once. Try again in a moment.",
            "Trop de connexions en même temps. Réessayez dans un instant.",
        )


class SignIn:
    """The door of one process, shared by its servers; made in its event loop. `close` it before the database."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        tracer: Tracer,
        judge: Judge | None = None,
        tokens: TokenVerifier | None = None,
        *,
        allow_app_passwords: bool = True,
        throttle: Throttle | None = None,
        pace: Pace = Pace(),
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._tracer = tracer
        self._judge = judge
        self._tokens = tokens
        self._allow_app_passwords = allow_app_passwords
        self._throttle = throttle or Throttle()
        self._pace = pace
        self._uses: dict[int, int] = {}
        self._followed: dict[int, tuple[Access, Callable[[str], None]]] = {}
        self._next_follower = 0
        self._watch: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        database.listen(self._hear)

    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms to announce, once TLS is on. PLAIN is always one: software enters with it (ECO.1.3.1)."""
        bearer = ("OAUTHBEARER", "XOAUTH2") if self._tokens is not None else ()
        return (*bearer, *(("PLAIN", "LOGIN") if self._allow_app_passwords else ("PLAIN",)))

    async def authenticate(self, credentials: sasl.Credentials, origin: Origin) -> Access:
        """Let somebody in. Cancelling it is safe; the connection can be used for another try.

        Raises SignInRefusedError; and, where nobody knows yet and they may try again later, TooManyAttemptsError,
        StorageFailure, ProviderFailure, StandingFailure.
        """
        account = (credentials.user or "").strip().lower()
        attempt = self._throttle.begin(account, origin.ip)
        told_from = asyncio.get_running_loop().time() + self._pace.refusal + (attempt.wait or 0.0)
        try:
            if attempt.wait is None:
                self._record_refusal(RefusedIdentityError("too-many-at-once"), credentials, account, origin)
                raise TooManyAttemptsError
            if attempt.wait:
                await asyncio.sleep(attempt.wait)
            access = await self._prove(credentials, account, origin)
        except RefusedIdentityError as refused:
            attempt.failed()
            self._record_refusal(refused, credentials, account, origin)
            await asyncio.sleep(max(0.0, told_from - asyncio.get_running_loop().time()))
            raise SignInRefusedError(refused) from None  # no trace of the reason for whoever prints it
        except BaseException:
            attempt.abandoned()
            raise
        attempt.succeeded()
        self._record(access, origin)
        self._note_use(access)
        return access

    def follow(self, access: Access, end: Callable[[str], None]) -> Callable[[], None]:
        """Call `end` once, with an `Ending`, when the session of this access may not go on.

        Returns what stops following. `access.SessionEndedError(ending)` has the words.
        """
        self._next_follower += 1
        follower = self._next_follower
        self._followed[follower] = (access, end)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_followed(), name="follow sessions")
        return lambda: self._followed.pop(follower, None) and None

    def trace(self, access: Access, action: str, outcome: str, request: str = "", target: str = "") -> None:
        """Keep a trace of what was done in a session: words such as open, read, send; `target` a number in text."""
        person_id = access.person.id if access.person else 0
        self._tracer.note(
            access.account.id, person_id, access.session, access.protocol, action, outcome, request, target
        )

    async def close(self) -> None:
        """Follow nobody any more, and write the traces that wait."""
        self._followed.clear()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._tokens is not None:
            await self._tokens.close()
        await self._tracer.close()

    async def _prove(self, credentials: sasl.Credentials, account: str, origin: Origin) -> Access:
        """Raises RefusedIdentityError, StorageFailure, ProviderFailure, StandingFailure."""
        if isinstance(credentials, sasl.Bearer):
            found = await self._with_token(credentials, account)
        else:
            found = await self._with_secret(credentials, account, origin)
        chain = origin.chain if found.means is Means.CERTIFICATE else ()
        return replace(found, session=ids.next_id(), protocol=origin.protocol, chain=chain)

    async def _with_token(self, credentials: sasl.Bearer, account: str) -> Access:
        if self._tokens is None:
            raise RefusedIdentityError("tokens-not-accepted")
        claims = await self._tokens.verify(credentials.token)
        return await self._database.read_at_once(entrance.with_token, account, claims.national_id)

    async def _with_secret(self, credentials: sasl.Plain, account: str, origin: Origin) -> Access:
        presented, unknown = await self._presented(origin.chain)
        other = credentials.authorization.lower() not in ("", account)
        secret = "" if other or not self._allow_app_passwords else credentials.password
        try:
            found = await self._database.read_at_once(entrance.with_secret, account, secret, presented)
        except AccessRefusedError:
            if unknown is not None:
                raise unknown from None
            raise
        if other:
            raise AccessRefusedError("other-authorization", found.account)
        return found

    async def _presented(self, chain: tuple[bytes, ...]) -> tuple[Presented | None, StandingFailure | None]:
        """The certificate that was sent, where it is good; a bad one is as good as none; or what keeps us from telling."""
        if not chain or self._judge is None:
            return None, None
        found = await self._judge.identify(chain)
        admission = found.admission
        if found.name is None:
            return None, StandingFailure(admission.en, admission.fr) if admission.temporary else None
        return Presented(found.name, admission.evidence.sha256), None

    def _record(self, access: Access, origin: Origin) -> None:
        facts = {"means": str(access.means), "protocol": origin.protocol, "tls": origin.tls}
        facts["session"] = ids.to_text(access.session)
        if access.secret_id:
            facts["secret"] = ids.to_text(access.secret_id)
        personal = {"mailbox": access.account.address, "ip": origin.ip}
        if access.person is not None:
            personal["person"] = access.person.national_id
        cause = f"sign-in {access.account.id} {access.means} {origin.ip}"
        self._recorder.record(cause, Entry(Event.SIGN_IN, ids.to_text(access.account.id), facts, personal))

    def _record_refusal(
        self, refused: RefusedIdentityError, credentials: sasl.Credentials, account: str, origin: Origin
    ) -> None:
        means = "token" if isinstance(credentials, sasl.Bearer) else "password"
        facts = {"rule": refused.rule, "means": means, "protocol": origin.protocol, "tls": origin.tls}
        personal = {"ip": origin.ip}
        if "@" in account and len(account) <= _MOST_LOGGED_ADDRESS:  # else perhaps a password in the wrong place
            personal["mailbox"] = account
        subject = ""
        if isinstance(refused, AccessRefusedError):
            subject = ids.to_text(refused.account.id) if refused.account else ""
            if refused.national_id:
                personal["person"] = refused.national_id
        self._recorder.record(f"sign-in-refusal {origin.ip}", Entry(Event.SIGN_IN_REFUSAL, subject, facts, personal))

    def _note_use(self, access: Access) -> None:
        """Remember when an app password was last used, once an hour: programs sign in at each connection."""
        at = now_ms()
        if access.means is not Means.APP_PASSWORD or at - self._uses.get(access.secret_id, 0) < _USE_NOTED_MS:
            return
        if len(self._uses) >= _MOST_USES:
            self._uses.clear()
        self._uses[access.secret_id] = at
        try:
            noted = self._database.write_together(app_passwords.note_use, (access.secret_id, at))
        except StorageFailure:
            return  # closing: the date is a convenience
        noted.add_done_callback(_notice)

    async def _watch_followed(self) -> None:
        """Look at all sessions each `poll`, for what other processes did, and at once after what this one did."""
        while self._followed:
            self._changed.clear()
            try:
                await self._look()
            except VaguemestreError as error:  # a store that fails for a while ends nobody's session
                _log.error("sessions could not be checked", error=error.en)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.poll):
                    await self._changed.wait()

    def _hear(self, facts: Sequence[object]) -> None:
        """From the writer's thread, after a commit."""
        if self._followed and any(isinstance(fact, AccessChange) for fact in facts):
            with contextlib.suppress(RuntimeError):  # the loop is closed: its sessions are gone
                self._loop.call_soon_threadsafe(self._changed.set)

    async def _look(self) -> None:
        followed = dict(self._followed)
        accesses = [access for access, _ in followed.values()]
        reasons = await self._database.read_async(entrance.endings, accesses)
        for follower, (access, end), reason in zip(followed, followed.values(), reasons, strict=True):
            ending = reason or self._ending_of_chain(access.chain)
            if ending and self._followed.pop(follower, None) is not None:
                try:
                    end(ending)
                except Exception as error:  # a defect in one session must not keep the others going
                    _log.error("a session could not be ended", error=type(error).__name__, exc_info=True)

    def _ending_of_chain(self, chain: Sequence[bytes]) -> str:
        """Software goes on as long as its certificate is good, as operators do; what is unknown for now ends nothing."""
        if not chain or self._judge is None:
            return ""
        admission = self._judge.known(chain).admission
        return "" if admission.allowed or admission.temporary else Ending.CERTIFICATE_BAD


def _notice(done: "asyncio.Future[None]") -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.error("the use of an app password could not be noted", error=str(error))
