"""Signing in, whole: each means on a real store, a provider and certificates; what attackers learn; how sessions end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from simulators.openid_provider import AUDIENCE, CLIENT, SECRET, OpenIdProvider, SigningKey
from simulators.patience import until_async
from simulators.people import MARIE, PAUL, People, address
from simulators.space import TrustSpace
from vaguemestre import ids
from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.journal import Recorded
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.identity import app_passwords, grants
from vaguemestre.identity.client_certificates import Presented, StandingFailure
from vaguemestre.identity.introspection import IntrospectionVerifier
from vaguemestre.identity.key_sets import KeySet, KeySetVerifier
from vaguemestre.identity.model import Means, Rights
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.identity.provider import Provider
from vaguemestre.identity.throttle import Attempt, Throttle
from vaguemestre.identity.tokens import Policy, ProviderFailure, TokenVerifier
from vaguemestre.identity.traces import Tracer
from vaguemestre.mailstore import accounts, sharing
from vaguemestre.mailstore.access import Access, Ending
from vaguemestre.mailstore.model import AccountKind, AccountState
from vaguemestre.protocols import sasl
from vaguemestre.protocols.sasl import Bearer, Credentials, Plain
from vaguemestre.servers.sign_in import Origin, Pace, SignIn, SignInRefusedError, TooManyAttemptsError
from vaguemestre.trust import certificates, names
from vaguemestre.trust.judge import Judge
from vaguemestre.trust.publisher import SIGNER_CN
from vaguemestre.trust.trusted_set import TrustedSet

HOME = Origin("192.0.2.1", "TLSv1.3 TLS_AES_256_GCM_SHA384", (), "imap")
CAFE = replace(HOME, ip="203.0.113.9")
QUICK = Pace(refusal=0.02, poll=0.02)
ROBOT_DN = "CN=labo.exemple.fr,OU=318751275100020,O=LABO,ST=Var (83),C=FR"


@dataclass
class Door:
    """A sign-in to be made anew for each test, on the store of its people."""

    people: People
    provider: OpenIdProvider
    tokens: Callable[[], TokenVerifier] | None = None
    judge: Judge | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, do: Callable[[SignIn], Awaitable[None]]) -> None:
        """Let `do` use it, then close it."""

        async def within() -> None:
            database = self.people.database
            made = SignIn(
                database,
                Recorder(database),
                Tracer(database),
                self.judge,
                self.tokens() if self.tokens is not None else None,
                **{"pace": QUICK, **self.options},
            )
            try:
                await do(made)
            finally:
                await made.close()

        asyncio.run(within())

    def by_keys(self) -> "Door":
        policy = Policy(self.provider.issuer, frozenset({AUDIENCE}))
        self.tokens = lambda: KeySetVerifier(KeySet(self.provider.certs, Provider()), policy)
        return self

    def by_asking(self) -> "Door":
        policy = Policy(self.provider.issuer, frozenset({AUDIENCE}))
        self.tokens = lambda: IntrospectionVerifier(self.provider.introspection, CLIENT, SECRET, Provider(), policy)
        return self

    def outcome(self, credentials: Credentials, origin: Origin = HOME) -> Access | VaguemestreError:
        """The access, or the error."""
        found: list[Access | VaguemestreError] = []

        async def try_once(sign_in: SignIn) -> None:
            try:
                found.append(await sign_in.authenticate(credentials, origin))
            except VaguemestreError as error:
                found.append(error)

        self.run(try_once)
        return found[0]

    def enter(self, credentials: Credentials, origin: Origin = HOME) -> Access:
        """The access."""
        found = self.outcome(credentials, origin)
        assert isinstance(found, Access), found
        return found

    def refused(self, credentials: Credentials, origin: Origin = HOME) -> str:
        """The rule, as the journal has it, of a refusal."""
        assert isinstance(self.outcome(credentials, origin), SignInRefusedError)
        rule: str = self.journal("sign-in-refusal")[-1].facts["rule"]
        return rule

    def journal(self, event: str) -> list[Recorded]:
        """What the journal has of an event, once all that waits is written."""
        self.people.database.write(lambda _: None)
        return [each for each in self.people.database.read(journal.log) if each.event == event]


class Unwaited(Throttle):
    """A throttle whose waits are noted rather than waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def begin(self, account: str, address: str) -> Attempt:
        attempt = super().begin(account, address)
        self.waits.append(attempt.wait)
        attempt.wait = 0.0
        return attempt


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    """A provider that each test leaves as it is."""
    found = OpenIdProvider()
    yield found
    found.close()


@pytest.fixture
def door(place: Any, provider: OpenIdProvider) -> Door:
    """A door without a provider nor authorities; the test runs once on each store."""
    return Door(People(place.open()), provider)


@pytest.fixture
def judge(space: TrustSpace) -> Judge:
    """What tells whether a certificate of the space is good, by its CRLs."""
    trusted = TrustedSet(certificates.load_authorities(space.authorities.read_bytes()), SIGNER_CN)
    for name in ("root.crl", "issuing.crl"):
        trusted.add_crl((space.folder / "authority" / name).read_bytes(), space.now)
    return Judge(trusted, ocsp=False)


def chain_of(space: TrustSpace, dn: str, kind: str = "good", **how: Any) -> tuple[bytes, ...]:
    issuer = space.authority.issuing.der
    return (space.issue(dn, kind, **how).credential.der, issuer)


def bind(people: People, local_part: str, dn: str) -> None:
    presented = Presented(names.parse(dn), "00" * 32)
    people.database.write(sharing.add_certificate, address(local_part), presented, ADMINISTRATOR)


def plain(local_part: str, secret: str) -> Plain:
    return Plain("", address(local_part), secret)


def bearer(local_part: str, token: str) -> Bearer:
    """As XOAUTH2 brings it."""
    found = sasl.parse("XOAUTH2", f"user={address(local_part)}\1auth=Bearer {token}\1\1".encode())
    assert isinstance(found, Bearer)
    return found


# What lets in


def test_a_device_enters_with_its_app_password(door: Door) -> None:
    secret = door.people.doctor()
    found = door.enter(plain("marie", secret))
    assert (found.means, found.protocol) == (Means.APP_PASSWORD, "imap")
    (entry,) = door.journal("sign-in")
    assert entry.facts["means"] == "app-password"
    assert entry.facts["tls"] == HOME.tls
    assert entry.personal == {"mailbox": address("marie"), "person": MARIE, "ip": HOME.ip}
    (device,) = door.people.database.read(sharing.devices, address("marie"))
    assert device.used_at is not None


@pytest.mark.parametrize("verified", ["by_keys", "by_asking"])
def test_a_person_enters_with_a_token_of_pro_sante_connect(door: Door, verified: str) -> None:
    door.people.doctor()
    getattr(door, verified)()
    found = door.enter(bearer("marie", door.provider.token()))
    assert found.person is not None
    assert (found.person.national_id, found.means) == (MARIE, Means.TOKEN)
    assert door.journal("sign-in")[0].facts["means"] == "token"


def test_the_session_outlives_the_token(door: Door) -> None:
    door.people.doctor()
    token = door.provider.token(exp=int(time.time()) + 1)

    async def journey(sign_in: SignIn) -> None:
        ended: list[str] = []
        access = await sign_in.authenticate(bearer("marie", token), HOME)
        sign_in.follow(access, ended.append)
        await asyncio.sleep(1.2)
        assert ended == []

    policy = Policy(door.provider.issuer)
    door.tokens = lambda: KeySetVerifier(KeySet(door.provider.certs, Provider()), policy)
    door.run(journey)


def test_oauthbearer_without_an_account_opens_the_persons_own(door: Door) -> None:
    door.people.doctor()
    found = door.by_keys().enter(Bearer("", door.provider.token()))
    assert found.account.address == address("marie")


def test_software_enters_with_its_certificate(door: Door, space: TrustSpace, judge: Judge) -> None:
    door.people.account("labo", AccountKind.APP)
    bind(door.people, "labo", ROBOT_DN)
    door.judge = judge
    found = door.enter(plain("labo", ""), replace(HOME, chain=chain_of(space, ROBOT_DN)))
    assert (found.person, found.means) == (None, Means.CERTIFICATE)
    (entry,) = door.journal("sign-in")
    assert entry.personal == {"mailbox": address("labo"), "ip": HOME.ip}


# What does not


@pytest.mark.parametrize(
    ("rule", "credentials"),
    [
        ("bad-secret", plain("marie", "0" * 28)),
        ("bad-secret", plain("marie", "")),
        ("unknown-account", plain("nobody", "0" * 28)),
        ("unknown-account", Plain("", "not an address", "0" * 28)),
        ("tokens-not-accepted", Bearer(address("marie"), "a.b.c")),
    ],
)
def test_what_proves_nothing_lets_nobody_in(door: Door, rule: str, credentials: Credentials) -> None:
    door.people.doctor()
    assert door.refused(credentials) == rule


def test_acting_for_somebody_else_is_refused(door: Door) -> None:
    secret = door.people.doctor()
    door.people.doctor("paul", PAUL)
    assert door.refused(Plain(address("paul"), address("marie"), secret)) == "bad-secret"
    assert door.enter(Plain(address("marie").upper(), address("marie"), secret)).account.address == address("marie")


@pytest.mark.parametrize(
    ("rule", "forge"),
    [
        ("token-expired", lambda p: p.token(exp=int(time.time()) - 31)),
        ("token-issuer", lambda p: p.token(iss="https://elsewhere.example")),
        ("token-audience", lambda p: p.token(aud="other")),
        ("token-algorithm", lambda p: p.unsigned()),
        ("token-algorithm", lambda p: p.confused()),
        ("token-key", lambda p: p.token(SigningKey("unknown"))),
        ("token-signature", lambda p: p.token(SigningKey("first"))),
        ("no-grant", lambda p: p.token(SubjectNameID=PAUL)),
        ("token-malformed", lambda p: "abc"),
    ],
)
def test_a_token_that_is_not_good_lets_nobody_in(door: Door, rule: str, forge: Callable[[OpenIdProvider], str]) -> None:
    door.people.doctor()
    assert door.by_keys().refused(bearer("marie", forge(door.provider))) == rule


def test_whose_good_token_was_turned_away_is_in_the_journal(door: Door) -> None:
    door.people.doctor()
    door.by_keys().refused(bearer("marie", door.provider.token(SubjectNameID=PAUL)))
    (entry,) = door.journal("sign-in-refusal")
    assert entry.personal == {"mailbox": address("marie"), "person": PAUL, "ip": HOME.ip}


def test_a_token_does_not_open_the_account_of_software(door: Door) -> None:
    door.people.doctor()
    door.people.account("labo", AccountKind.APP)
    assert door.by_keys().refused(bearer("labo", door.provider.token())) == "no-grant"


@pytest.mark.parametrize("state", [AccountState.SUSPENDED, AccountState.CLOSED])
def test_an_account_that_is_not_active_lets_nobody_in(door: Door, state: AccountState) -> None:
    secret = door.people.doctor()
    door.people.database.write(accounts.change_state, address("marie"), state)
    assert door.refused(plain("marie", secret)) == f"account-{state}"
    assert door.by_keys().refused(bearer("marie", door.provider.token())) == f"account-{state}"


def test_a_revoked_device_lets_nobody_in(door: Door) -> None:
    secret = door.people.doctor()
    door.people.database.write(sharing.revoke_app_password, address("marie"), "", "Phone", ADMINISTRATOR)
    assert door.refused(plain("marie", secret)) == "bad-secret"


def test_app_passwords_that_the_operator_does_not_allow_let_nobody_in(door: Door) -> None:
    secret = door.people.doctor()
    door.options["allow_app_passwords"] = False
    assert door.refused(plain("marie", secret)) == "bad-secret"


@pytest.mark.parametrize("kind", ["expired", "revoked", "foreign", "other", "none", "server"])
def test_a_certificate_that_is_not_good_lets_no_software_in(
    door: Door, space: TrustSpace, judge: Judge, kind: str
) -> None:
    dn = space.revoked.credential.certificate.subject.rfc4514_string() if kind in ("revoked", "expired") else ROBOT_DN
    door.people.account("labo", AccountKind.APP)
    bind(door.people, "labo", dn)
    door.judge = judge
    issuer = space.authority.issuing.der
    chain = {
        "expired": (space.expired.credential.der, issuer),
        "revoked": (space.revoked.credential.der, issuer),
        "foreign": (space.foreign(ROBOT_DN).credential.der, issuer),
        "other": chain_of(space, ROBOT_DN.replace("labo", "autre")),
        "none": (),
        "server": (b"no certificate",),
    }[kind]
    expected = "certificate-not-bound" if kind == "other" else "certificate-needed"
    assert door.refused(plain("labo", ""), replace(HOME, chain=chain)) == expected


# What is learnt


def test_refusals_are_told_in_the_same_words(door: Door) -> None:
    secret = door.people.doctor()
    door.people.account("labo", AccountKind.APP)
    door.by_keys()
    tries: list[Credentials] = [
        plain("marie", "wrong"),
        plain("nobody", "wrong"),
        plain("labo", secret),
        bearer("marie", door.provider.unsigned()),
        bearer("marie", door.provider.token(SubjectNameID=PAUL)),
        bearer("nobody", door.provider.token()),
    ]
    told: set[tuple[str, str]] = set()

    async def journey(sign_in: SignIn) -> None:
        for number, credentials in enumerate(tries):
            with pytest.raises(SignInRefusedError) as refused:
                await sign_in.authenticate(credentials, replace(HOME, ip=f"192.0.2.{number}"))
            told.add((refused.value.en, refused.value.fr))
            assert refused.value.__cause__ is None
            assert refused.value.__suppress_context__

    door.run(journey)
    assert len(told) == 1
    assert len(door.journal("sign-in-refusal")) == len(tries)


def test_the_same_work_is_done_for_an_unknown_account_and_a_bad_secret(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.people.doctor()
    done: list[str] = []

    def watched(module: Any, name: str) -> None:
        right = getattr(module, name)

        def call(*args: Any) -> Any:
            done.append(f"{module.__name__}.{name}")
            return right(*args)

        monkeypatch.setattr(module, name, call)

    for module, name in ((accounts, "get"), (app_passwords, "find"), (app_passwords, "_digest"), (grants, "find")):
        watched(module, name)
    works = []
    for credentials in (plain("marie", "0" * 28), plain("nobody", "0" * 28), plain("marie", "")):
        done.clear()
        door.refused(credentials)
        works.append(list(done))
    assert len(works[0]) == 4
    assert works[0] == works[1] == works[2]


def test_a_refusal_is_never_told_at_once(door: Door) -> None:
    door.people.doctor()
    door.options["pace"] = Pace(refusal=0.3, poll=1)
    for credentials in (plain("marie", "wrong"), plain("nobody", "wrong"), Bearer(address("marie"), "a.b.c")):
        before = time.monotonic()
        assert isinstance(door.outcome(credentials), SignInRefusedError)
        assert time.monotonic() - before >= 0.29


def test_neither_secret_nor_token_is_journalled(door: Door) -> None:
    secret = door.people.doctor()
    token = door.provider.token()
    door.by_keys()
    door.enter(plain("marie", secret))
    door.outcome(bearer("marie", token[:-4] + "AAAA"))
    door.outcome(plain("marie", "hunter2-hunter2"))
    door.outcome(Plain("", "hunter3-typed-as-a-name", "x"))
    kept = repr(door.people.database.read(journal.log))
    for hidden in (secret, token[:40], token[-40:-4], "hunter2", "hunter3"):
        assert hidden not in kept


# What failing costs


def test_failing_makes_who_fails_wait_and_nobody_else(door: Door) -> None:
    secret = door.people.doctor()
    other = door.people.doctor("paul", PAUL)
    door.options["throttle"] = throttle = Unwaited()
    waits = throttle.waits

    async def journey(sign_in: SignIn) -> None:
        for _ in range(6):
            with pytest.raises(SignInRefusedError):
                await sign_in.authenticate(plain("marie", "wrong"), CAFE)
        assert waits[-1] is not None
        assert waits[-1] > 1
        await sign_in.authenticate(plain("marie", secret), HOME)
        assert waits[-1] == 0
        await sign_in.authenticate(plain("paul", other), CAFE)
        assert waits[-1] == 0

    door.run(journey)


def test_the_wait_is_a_wait_and_can_be_left(door: Door) -> None:
    secret = door.people.doctor()

    async def journey(sign_in: SignIn) -> None:
        for _ in range(2):
            with pytest.raises(SignInRefusedError):
                await sign_in.authenticate(plain("marie", "wrong"), CAFE)
        before = time.monotonic()
        await sign_in.authenticate(plain("marie", secret), CAFE)
        assert time.monotonic() - before >= 0.5
        for _ in range(4):
            with pytest.raises(SignInRefusedError):
                await sign_in.authenticate(plain("marie", "wrong"), CAFE)
        leaving = asyncio.create_task(sign_in.authenticate(plain("marie", secret), CAFE))
        await asyncio.sleep(0.05)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        access = await sign_in.authenticate(plain("marie", secret), HOME)
        assert access.person is not None

    door.run(journey)


def test_very_many_attempts_at_once_are_not_heard_and_leave_nothing_behind(door: Door) -> None:
    secret = door.people.doctor()
    door.options["pace"] = Pace(refusal=60)  # so that no other ends before the last begins, however slow the machine

    async def journey(sign_in: SignIn) -> None:
        tries = [asyncio.create_task(sign_in.authenticate(plain("nobody", "wrong"), CAFE)) for _ in range(160)]
        done, waiting = await asyncio.wait(tries, timeout=2)
        unheard = [each for each in done if isinstance(each.exception(), TooManyAttemptsError)]
        assert len(unheard) in (
            160 - 128,
            160 - 128 - 2,
        )  # two wait for nothing, and may be done before the next begins
        for each in waiting:
            each.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
        assert (await sign_in.authenticate(plain("marie", secret), CAFE)).person is not None

    door.run(journey)
    assert "too-many-at-once" in {entry.facts["rule"] for entry in door.journal("sign-in-refusal")}


def test_a_practice_that_comes_back_all_at_once_waits_for_nothing(door: Door) -> None:
    secret = door.people.doctor()
    door.options["throttle"] = throttle = Unwaited()

    async def journey(sign_in: SignIn) -> None:
        await asyncio.gather(*(sign_in.authenticate(plain("marie", secret), HOME) for _ in range(30)))

    door.run(journey)
    assert throttle.waits == [0] * 30


def test_refusals_without_end_do_not_fill_the_journal(door: Door) -> None:
    door.people.doctor()
    door.options["throttle"] = Unwaited()

    async def journey(sign_in: SignIn) -> None:
        for number in range(60):
            with pytest.raises(SignInRefusedError):
                await sign_in.authenticate(plain(f"guess{number}", "wrong"), CAFE)

    door.options["pace"] = Pace(refusal=0, poll=1)
    door.run(journey)
    assert len(door.journal("sign-in-refusal")) == 20


# What is nobody's fault


def test_an_outage_of_the_provider_refuses_nobody(door: Door) -> None:
    door.people.doctor()
    door.by_keys()
    with door.provider.down():
        assert isinstance(door.outcome(bearer("marie", door.provider.token())), ProviderFailure)
    assert door.journal("sign-in-refusal") == []


def test_a_store_that_fails_refuses_nobody(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = door.people.doctor()

    async def journey(sign_in: SignIn) -> None:
        async def fails(*_: object) -> None:
            raise StorageFailure("The disk is gone.")

        with monkeypatch.context() as patched:
            patched.setattr(door.people.database, "read_at_once", fails)
            for _ in range(5):
                with pytest.raises(StorageFailure):
                    await sign_in.authenticate(plain("marie", secret), HOME)
        before = time.monotonic()
        await sign_in.authenticate(plain("marie", secret), HOME)
        assert time.monotonic() - before < 0.5

    door.run(journey)


def test_news_of_revocations_that_are_late_refuse_no_software(door: Door, space: TrustSpace, judge: Judge) -> None:
    door.people.account("labo", AccountKind.APP)
    bind(door.people, "labo", ROBOT_DN)
    door.judge = Judge(TrustedSet(judge.trusted.authorities, SIGNER_CN), ocsp=False)
    origin = replace(HOME, chain=chain_of(space, ROBOT_DN))
    for local_part in ("labo", "nobody"):
        assert isinstance(door.outcome(plain(local_part, ""), origin), StandingFailure)
    assert door.journal("sign-in-refusal") == []


# How sessions end


@pytest.mark.parametrize("ending", ["suspended", "closed", "revoked", "ungranted", "changed", "signed-out"])
def test_another_process_ends_a_session(door: Door, place: Any, ending: str) -> None:
    door.people.account("urgences", AccountKind.ORG)
    door.people.delegate("urgences", MARIE, Rights.READ | Rights.WRITE)
    secret = door.people.device("urgences", MARIE)
    door.people.doctor("paul", PAUL)
    administrator = People(place.open())
    where = address("urgences")

    def end() -> str:
        write = administrator.database.write
        match ending:
            case "suspended" | "closed":
                write(accounts.change_state, where, AccountState(ending))
                return f"account-{ending}"
            case "revoked":
                write(sharing.revoke_app_password, where, MARIE, "Phone", ADMINISTRATOR)
                return Ending.APP_PASSWORD
            case "ungranted":
                write(sharing.end_grant, where, MARIE, ADMINISTRATOR)
                return Ending.GRANT
            case "changed":
                administrator.delegate("urgences", MARIE, Rights.READ)
                return Ending.RIGHTS
        write(sharing.sign_out, where, ADMINISTRATOR)
        return Ending.SIGN_OUT

    async def journey(sign_in: SignIn) -> None:
        access = await sign_in.authenticate(plain("urgences", secret), HOME)
        other = await sign_in.authenticate(plain("paul", door.people.device("paul", label="Autre")), HOME)
        ended: asyncio.Queue[str] = asyncio.Queue()
        left: list[str] = []
        sign_in.follow(access, ended.put_nowait)
        sign_in.follow(other, left.append)
        sign_in.follow(access, left.append)()
        await asyncio.sleep(0.1)
        assert ended.empty()
        reason = await asyncio.to_thread(end)
        async with asyncio.timeout(5):
            assert await ended.get() == reason
        await asyncio.sleep(0.1)
        assert (ended.empty(), left) == (True, [])

    door.run(journey)


def test_this_process_ends_a_session_at_once(door: Door) -> None:
    secret = door.people.doctor()
    door.options["pace"] = Pace(refusal=0, poll=3600)

    async def journey(sign_in: SignIn) -> None:
        access = await sign_in.authenticate(plain("marie", secret), HOME)
        ended: asyncio.Queue[str] = asyncio.Queue()
        sign_in.follow(access, ended.put_nowait)
        await asyncio.sleep(0.1)
        where = address("marie")
        await door.people.database.write_async(accounts.change_state, where, AccountState.SUSPENDED)
        async with asyncio.timeout(5):
            assert await ended.get() == Ending.SUSPENDED

    door.run(journey)


def test_a_session_that_fails_to_end_keeps_no_other_going(door: Door) -> None:
    secret = door.people.doctor()

    async def journey(sign_in: SignIn) -> None:
        ended: asyncio.Queue[str] = asyncio.Queue()

        def fails(_: str) -> None:
            raise ZeroDivisionError

        for end in (fails, ended.put_nowait):
            sign_in.follow(await sign_in.authenticate(plain("marie", secret), HOME), end)
        door.people.database.write(sharing.sign_out, address("marie"), ADMINISTRATOR)
        async with asyncio.timeout(5):
            assert await ended.get() == Ending.SIGN_OUT

    door.run(journey)


def test_a_certificate_revoked_meanwhile_ends_the_session_of_software(
    door: Door, space: TrustSpace, judge: Judge
) -> None:
    door.people.account("labo", AccountKind.APP)
    bind(door.people, "labo", ROBOT_DN)
    door.judge = judge
    chain = chain_of(space, ROBOT_DN)

    async def journey(sign_in: SignIn) -> None:
        access = await sign_in.authenticate(plain("labo", ""), replace(HOME, chain=chain))
        ended: asyncio.Queue[str] = asyncio.Queue()
        sign_in.follow(access, ended.put_nowait)
        await asyncio.sleep(0.1)
        assert ended.empty()
        judge.now = lambda: space.issue(ROBOT_DN).credential.certificate.not_valid_after_utc.replace(year=2100)
        async with asyncio.timeout(5):
            assert await ended.get() == Ending.CERTIFICATE_BAD

    door.run(journey)


def test_following_outlives_a_store_that_fails_for_a_while(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = door.people.doctor()

    async def journey(sign_in: SignIn) -> None:
        access = await sign_in.authenticate(plain("marie", secret), HOME)
        ended: asyncio.Queue[str] = asyncio.Queue()
        tried = 0

        async def fails(*_: object) -> None:
            nonlocal tried
            tried += 1
            raise StorageFailure("The disk is gone.")

        with monkeypatch.context() as patched:
            patched.setattr(door.people.database, "read_async", fails)
            sign_in.follow(access, ended.put_nowait)
            await until_async(lambda: tried >= 3, "three tries")
        assert ended.empty()
        door.people.database.write(sharing.sign_out, address("marie"), ADMINISTRATOR)
        async with asyncio.timeout(5):
            assert await ended.get() == Ending.SIGN_OUT

    door.run(journey)


def test_what_is_done_in_a_session_is_traced_to_its_person(door: Door) -> None:
    secret = door.people.doctor()

    async def journey(sign_in: SignIn) -> None:
        access = await sign_in.authenticate(plain("marie", secret), HOME)
        sign_in.trace(access, "open", "OK", "SELECT")
        sign_in.trace(access, "delete", "NO", "EXPUNGE", "42")

    door.run(journey)
    opened, deleted = door.people.database.read(sharing.traces_of, address("marie"), 0, None, 10)
    assert (opened.national_id, opened.action, opened.request, opened.outcome) == (MARIE, "open", "SELECT", "OK")
    assert (deleted.action, deleted.target, deleted.outcome) == ("delete", "42", "NO")
    (entry,) = door.journal("sign-in")
    assert entry.facts["session"] == ids.to_text(opened.session)


def test_what_is_announced_is_what_is_allowed(door: Door) -> None:
    announced: list[tuple[str, ...]] = []

    async def look(sign_in: SignIn) -> None:
        announced.append(sign_in.mechanisms())

    door.run(look)
    door.options["allow_app_passwords"] = False
    door.run(look)
    door.by_keys()
    door.run(look)
    assert announced == [("PLAIN", "LOGIN"), ("PLAIN",), ("OAUTHBEARER", "XOAUTH2", "PLAIN")]
