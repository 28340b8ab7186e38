"""What a connection is about: CAPABILITY, ID, STARTTLS, signing in, ENABLE, IDLE, COMPRESS, LOGOUT.

What it keeps true: no secret is asked for or taken before TLS (the machine sees to it), none is ever logged; a refused
sign-in leaves the connection usable.
Standards: RFC 9051 §6.1 to §6.3, RFC 2971, RFC 5161, RFC 2177, RFC 4959, RFC 4978, RFC 7628, RFC 8437 not offered.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols import sasl
from vaguemestre.protocols.imap import commands, events, response_codes, responses
from vaguemestre.servers.imap.answers import DEFERRED, Answer
from vaguemestre.servers.imap.errors import AnswerError
from vaguemestre.servers.sign_in import SignInRefusedError

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Session

_ENABLED = ("CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "IMAP4REV2")
_VERSION = version("vaguemestre")


async def capability(session: "Session", tag: bytes, command: commands.Capability) -> Answer:
    """CAPABILITY."""
    session.say(responses.capability(session.capabilities()))
    return Answer("CAPABILITY")


async def noop(session: "Session", tag: bytes, command: commands.Noop) -> Answer:
    """NOOP: what changed is told before every answer."""
    return Answer("NOOP")


async def identify(session: "Session", tag: bytes, command: commands.Id) -> Answer:
    """ID: who we are; what the client says of itself is not kept."""
    session.say(responses.identification([("name", "Vaguemestre"), ("version", _VERSION)]))
    return Answer("ID")


async def logout(session: "Session", tag: bytes, command: commands.Logout) -> Answer:
    """LOGOUT."""
    session.say(responses.bye("Au revoir"))
    session.unselect()
    return Answer("LOGOUT")


async def start_tls(session: "Session", tag: bytes, command: commands.StartTls) -> Answer:
    """STARTTLS: the answer goes in clear, then everything is ciphertext."""
    if session.machine.tls_active:
        raise AnswerError("BAD", b"", "TLS is active already.", "TLS est déjà actif.")
    session.say(responses.ok(tag, "Begin TLS now"))
    session.secure()
    return DEFERRED


async def login(session: "Session", tag: bytes, command: commands.Login) -> Answer:
    """LOGIN: a password as in PLAIN."""
    return await _enter(session, sasl.Plain("", command.user, command.password))


async def authenticate(session: "Session", tag: bytes, command: commands.Authenticate) -> Answer:
    """AUTHENTICATE, with or without an initial response."""
    session.exchange = sasl.Exchange(command.mechanism)
    return await _go_on(session, session.exchange.start(command.initial_response))


async def answer_challenge(session: "Session", tag: bytes, event: events.SaslResponse | events.SaslCancelled) -> Answer:
    """What the client answers a challenge with."""
    exchange = session.exchange
    if session.refused is not None:  # its answer to the challenge that said why says nothing
        error, session.refused = session.refused, None
        raise error
    if isinstance(event, events.SaslCancelled) or exchange is None:
        raise AnswerError("BAD", b"", "Sign-in cancelled.", "Connexion abandonnée.")
    return await _go_on(session, exchange.receive(event.data))


async def _go_on(session: "Session", step: bytes | sasl.Credentials) -> Answer:
    if isinstance(step, bytes):
        session.machine.challenge(step)
        return DEFERRED
    try:
        return await _enter(session, step)
    except AnswerError as error:
        challenge = session.exchange.refusal() if session.exchange is not None else None
        if challenge is None:
            raise
        session.refused = error
        session.machine.challenge(challenge)
        return DEFERRED


async def _enter(session: "Session", credentials: sasl.Credentials) -> Answer:
    try:
        access = await session.service.sign_in.authenticate(credentials, session.origin())
    except SignInRefusedError as error:
        raise AnswerError("NO", b"AUTHENTICATIONFAILED", error.en, error.fr) from error
    except VaguemestreError as error:  # not now: our trouble or the provider's, or too many at once
        raise AnswerError("NO", b"UNAVAILABLE", error.en, error.fr) from error
    session.enter(access)
    return Answer("Signed in", response_codes.capability(session.capabilities()))


async def enable(session: "Session", tag: bytes, command: commands.Enable) -> Answer:
    """ENABLE: those known are granted, QRESYNC brings CONDSTORE (RFC 7162 §3.2.3)."""
    granted = [name for name in command.capabilities if name in _ENABLED]
    session.enable(*granted)
    if "QRESYNC" in granted:
        session.enable("CONDSTORE")
    session.say(responses.enabled(granted))
    return Answer("ENABLE")


async def idle(session: "Session", tag: bytes, command: commands.Idle) -> Answer:
    """IDLE: from now on changes are told at once, until DONE."""
    session.tell_news()
    session.machine.start_idle()
    session.idling = tag
    return DEFERRED


async def compress(session: "Session", tag: bytes, command: commands.Compress) -> Answer:
    """COMPRESS: the answer goes as it is, then everything is deflated."""
    if session.deflate is not None:
        raise AnswerError("NO", b"COMPRESSIONACTIVE", "Compression is active already.", "Déjà compressé.")
    if command.algorithm != "DEFLATE":
        raise AnswerError("NO", b"", "This compression is not offered.", "Cette compression n'est pas offerte.")
    session.say(responses.ok(tag, "DEFLATE active"))
    session.compress()
    return DEFERRED
