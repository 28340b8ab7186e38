"""Who may read the directory by LDAP: operators by their certificate, programs by a name and a password.

What it keeps true: a certificate opens only while the trust space lists its name and it is not revoked, as
`trust.admission` says; a password is known by its digest alone; nobody learns from a refusal, its words or its time,
whether the name exists; failures wait longer and longer (`identity.throttle`), and never make others wait; who was let
in, and who was not, is journalled without a secret.

RFC 4513 §5 (bind), RFC 4422 Appendix A (EXTERNAL); digests are PHC texts of Argon2id (RFC 9106).
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.identity.throttle import Throttle
from vaguemestre.protocols.ldap import names
from vaguemestre.protocols.ldap.names import Name
from vaguemestre.protocols.ldap.results import ResultCode
from vaguemestre.servers.ldap.errors import RefusedError
from vaguemestre.servers.ldap.tree import folded_name
from vaguemestre.trust.judge import Judge

_REFUSAL_S = 0.25
_MEMORY_KIB, _PASSES, _LANES = 19_456, 2, 1  # what OWASP's sheet of password storage asks at least
_MOST_PASSWORD = 1024


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: the authorization identity of RFC 4513 §5.2.1.8, empty where anonymous."""

    identity: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """From where: the network address, TLS in words, the certificates sent (DER, leaf first)."""

    ip: str
    tls: str
    chain: tuple[bytes, ...]


def digest(password: str) -> str:
    """What the configuration holds of a password: a PHC text."""
    made = Argon2id(salt=os.urandom(16), length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB)
    return made.derive_phc_encoded(password.encode())


class Readers:
    """The door of the directory. Used from one event loop."""

    def __init__(
        self,
        passwords: Mapping[str, str],
        judge: Judge | None,
        recorder: Recorder | None,
        *,
        anonymous: bool = False,
        throttle: Throttle | None = None,
    ) -> None:
        """`passwords`: digests by distinguished name. Raises DnSyntaxError."""
        self._digests: dict[Name, str] = {folded_name(names.parse(dn)): held for dn, held in passwords.items()}
        self._judge = judge
        self._recorder = recorder
        self._anonymous = anonymous
        self._throttle = throttle or Throttle()
        self._nobody = digest(os.urandom(16).hex())

    @property
    def mechanisms(self) -> Sequence[str]:
        """The mechanisms of SASL to announce."""
        return ("EXTERNAL",) if self._judge is not None else ()

    @property
    def stranger(self) -> Reader | None:
        """Who reads without saying who they are: None where nobody may."""
        return Reader() if self._anonymous else None

    async def with_password(self, dn: str, password: bytes, caller: Caller) -> Reader:
        """Raises DnSyntaxError, RefusedError."""
        name = folded_name(names.parse(dn))
        if not name and not password:
            if self._anonymous:
                return Reader()
            raise RefusedError(
                ResultCode.INAPPROPRIATE_AUTHENTICATION,
                "This directory is not read anonymously: sign in with a name and a password, or with a certificate.",
                "Cet annuaire ne se lit pas anonymement : connectez-vous par nom et mot de passe, ou par certificat.",
            )
        if not password:  # RFC 4513 §5.1.2: taken for success, it would let anybody in
            raise RefusedError(
                ResultCode.UNWILLING_TO_PERFORM,
                "The password is missing.",
                "Le mot de passe manque.",
            )
        attempt = self._throttle.begin(dn.lower()[:256], caller.ip)
        began = asyncio.get_running_loop().time()
        try:
            if attempt.wait is None:
                raise _busy()
            if attempt.wait:
                await asyncio.sleep(attempt.wait)
            held = self._digests.get(name)
            good = await asyncio.to_thread(_verify, password, held or self._nobody)
        except BaseException:
            attempt.abandoned()
            raise
        if held is None or not good:
            attempt.failed()
            self._record(Event.SIGN_IN_REFUSAL, caller, "password", {"rule": "wrong-name-or-password"})
            late = began + (attempt.wait or 0) + _REFUSAL_S - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, late))
            raise RefusedError(
                ResultCode.INVALID_CREDENTIALS,
                "The name or the password is wrong.",
                "Le nom ou le mot de passe est incorrect.",
            )
        attempt.succeeded()
        self._record(Event.SIGN_IN, caller, "password", {"reader": dn})
        return Reader(f"dn:{dn}")

    async def with_certificate(self, wanted: str, caller: Caller) -> Reader:
        """`wanted` is whom to act for, empty or the certificate's own name. Raises RefusedError."""
        if self._judge is None or not caller.chain:
            raise RefusedError(
                ResultCode.INAPPROPRIATE_AUTHENTICATION,
                "No certificate was presented: present the operator's one over TLS.",
                "Aucun certificat n'a été présenté : présentez celui de l'opérateur en TLS.",
            )
        decided = self._judge.decide(caller.chain, None)
        if self._judge.may_learn(decided, caller.chain):
            decided = await self._judge.learn(caller.chain, None)
        subject = decided.evidence.subject
        if decided.allowed and wanted and not _is(wanted, subject):
            raise RefusedError(
                ResultCode.INVALID_CREDENTIALS,
                "This certificate does not act for somebody else.",
                "Ce certificat n'agit pas pour quelqu'un d'autre.",
            )
        if not decided.allowed:
            self._record(Event.SIGN_IN_REFUSAL, caller, "certificate", {"rule": decided.rule, "certificate": subject})
            code = ResultCode.BUSY if decided.temporary else ResultCode.INVALID_CREDENTIALS
            raise RefusedError(code, decided.en, decided.fr)
        self._record(Event.SIGN_IN, caller, "certificate", {"reader": subject})
        return Reader(f"dn:{subject}")

    def _record(self, event: Event, caller: Caller, means: str, facts: dict[str, str]) -> None:
        if self._recorder is not None:
            entry = Entry(
                event, "", {"means": means, "protocol": "ldap", "tls": caller.tls, **facts}, {"ip": caller.ip}
            )
            self._recorder.record(f"ldap {event} {means} {caller.ip}", entry)


def _verify(password: bytes, held: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password[:_MOST_PASSWORD], held)
    except (InvalidKey, ValueError):
        return False
    return len(password) <= _MOST_PASSWORD


def _is(wanted: str, subject: str) -> bool:
    try:
        return folded_name(names.parse(wanted.removeprefix("dn:"))) == folded_name(names.parse(subject))
    except VaguemestreError:
        return False


def _busy() -> RefusedError:
    return RefusedError(
        ResultCode.BUSY,
        "Too many sign-ins at once. Try again in a moment.",
        "Trop de connexions en même temps. Réessayez dans un instant.",
    )
