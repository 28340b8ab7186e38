"""Signing in over any mail protocol: SASL messages to credentials, without I/O; nothing here judges them.

Kept true: what is malformed never becomes credentials; no error repeats what was sent, since a password typed in the
wrong place must not reach a log; a secret never shows in a `repr`.

Mechanisms, strongest first: OAUTHBEARER (RFC 7628), XOAUTH2 (spec clients §1, ECO.1.2.1), PLAIN (RFC 4616), LOGIN
(draft-murchison-sasl-login, for programs that know nothing else). EXTERNAL is not offered: an application's certificate
comes with PLAIN, whose login says which account (ECO.1.3.1), and its password may then be empty, which RFC 4616 forbids.

An exchange: `Exchange(mechanism)`, `start` with the initial response if there was one, then `receive` for each answer to a
challenge until credentials come. Where they are then refused, `refusal` is the challenge that bearer mechanisms send
before the protocol's own refusal (RFC 7628 §3.2.3); the client's answer to it carries nothing.
"""

import binascii
import re
from dataclasses import dataclass, field

import msgspec

from vaguemestre.errors import VaguemestreError

MECHANISMS = ("OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN")
MOST_OCTETS = 12_288  # of one decoded response: RFC 4954 §4 gives lines as much; a token of the profession takes 3,000
_MOST_NAME = 255  # RFC 4616 §2, for each part of PLAIN
_MOST_USER = 320
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
_PAIR = re.compile(r"([A-Za-z]+)=([\x20-\x7e\t\r\n]*)", re.DOTALL)  # RFC 7628 §3.1
_SASL_NAME = re.compile(r"=(2C|3D)")


class SaslError(VaguemestreError):
    """What was sent is not a message of the mechanism."""


class UnknownMechanismError(SaslError):
    """A mechanism that is not offered here."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A name and a password; `authorization` is whom to act for, empty where the client did not say."""

    authorization: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token; `user` is the account it shall open, empty where the client leaves it to the token."""

    user: str
    token: str = field(repr=False)


Credentials = Plain | Bearer


class Exchange:
    """One AUTHENTICATE or AUTH, from the server's side. Each step gives the next challenge, or the credentials."""

    def __init__(self, mechanism: str) -> None:
        """Raises UnknownMechanismError. The name's case does not matter (RFC 4422 §3.1 has it in upper case)."""
        self.mechanism = mechanism.upper()
        if self.mechanism not in MECHANISMS:
            raise UnknownMechanismError(
                "This server does not offer that way of signing in. Choose one that it announces.",
                "Ce serveur ne propose pas ce moyen de connexion. Choisissez l'un de ceux qu'il annonce.",
            )
        self._user: str | None = None

    def start(self, initial: bytes | None) -> bytes | Credentials:
        """Begin, with the initial response or None where the client sent none. Raises SaslError."""
        if initial is not None:
            return self.receive(initial)
        return b"Username:" if self.mechanism == "LOGIN" else b""

    def receive(self, response: bytes) -> bytes | Credentials:
        """Take the client's decoded response. Raises SaslError."""
        if self.mechanism != "LOGIN":
            return parse(self.mechanism, response)
        _refuse_long(response)
        if self._user is None:
            self._user = _name(response)
            return b"Password:"
        return Plain("", self._user, _text(response))

    def refusal(self, configuration: str = "") -> bytes | None:
        """The challenge to send before a refusal, or None; `configuration` is the address of the OpenID configuration."""
        if self.mechanism == "OAUTHBEARER":
            return _json(
                {"status": "invalid_token", **({"openid-configuration": configuration} if configuration else {})}
            )
        if self.mechanism == "XOAUTH2":
            return _json({"status": "401", "schemes": "bearer", "scope": "openid"})
        return None


def decode(line: bytes) -> bytes:
    """A response from its base64; `=` stands for an empty one (RFC 4954 §4, RFC 4959 §3). Raises SaslError."""
    if line == b"=":
        return b""
    if len(line) > MOST_OCTETS * 4 // 3 + 4:
        raise _malformed()
    try:
        return binascii.a2b_base64(line, strict_mode=True) if line else b""
    except binascii.Error as error:
        raise _malformed() from error


def parse(mechanism: str, response: bytes) -> Credentials:
    """The credentials in a mechanism's only response. LOGIN has two: see `Exchange`. Raises SaslError."""
    _refuse_long(response)
    match mechanism:
        case "PLAIN":
            return _plain(response)
        case "XOAUTH2":
            return _xoauth2(response)
        case "OAUTHBEARER":
            return _oauthbearer(response)
    raise UnknownMechanismError(
        "This way of signing in has no single response.", "Ce moyen de connexion ne tient pas en une réponse."
    )


def _plain(response: bytes) -> Plain:
    """[authzid] NUL authcid NUL passwd (RFC 4616 §2), the password possibly empty."""
    parts = response.split(b"\0")
    if len(parts) != 3 or max(map(len, parts)) > _MOST_NAME:
        raise _malformed()
    authorization = _name(parts[0]) if parts[0] else ""
    return Plain(authorization, _name(parts[1]), _text(parts[2]))


def _xoauth2(response: bytes) -> Bearer:
    """user= BAL ^A auth=Bearer token ^A ^A (spec clients §1)."""
    user, *rest = response.split(b"\1")
    if not user.startswith(b"user=") or len(rest) != 3 or rest[1:] != [b"", b""]:
        raise _malformed()
    return Bearer(_name(user[5:]), _token(_text(rest[0]).removeprefix("auth="), rest[0].startswith(b"auth=")))


def _oauthbearer(response: bytes) -> Bearer:
    """gs2-header ^A *(key=value ^A) ^A (RFC 7628 §3.1, RFC 5801 §4); channel binding is not offered."""
    head, *pairs = response.split(b"\1")
    flag, comma, rest = _text(head).partition(",")
    authorization, ending, nothing = rest.partition(",")
    if flag not in ("n", "y") or not comma or not ending or nothing or len(pairs) < 2 or pairs[-2:] != [b"", b""]:
        raise _malformed()
    values: dict[str, str] = {}
    for pair in pairs[:-2]:
        match = _PAIR.fullmatch(_text(pair))
        if match is None or match[1] in values:
            raise _malformed()
        values[match[1]] = match[2]
    return Bearer(_authorized(authorization), _token(values.get("auth", ""), "auth" in values))


def _authorized(text: str) -> str:
    """a=saslname, with `,` and `=` written =2C and =3D (RFC 5801 §4); may be left out."""
    if not text:
        return ""
    plain = _SASL_NAME.sub("", text.removeprefix("a="))
    if not text.startswith("a=") or "=" in plain:
        raise _malformed()
    return _name(_SASL_NAME.sub(lambda found: "," if found[1] == "2C" else "=", text[2:]).encode())


def _token(value: str, present: bool) -> str:
    """The token of an Authorization value; the scheme's case does not matter (RFC 9110 §11.1)."""
    scheme, _, token = value.partition(" ")
    token = token.strip(" ")
    if not present or scheme.lower() != "bearer" or not _TOKEN.fullmatch(token):
        raise _malformed()
    return token


def _name(data: bytes) -> str:
    """A user's name: printable, not empty, not too long."""
    text = _text(data)
    if not text or len(text) > _MOST_USER or not text.isprintable():
        raise _malformed()
    return text


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed() from error
    if "\0" in text:
        raise _malformed()
    return text


def _refuse_long(response: bytes) -> None:
    if len(response) > MOST_OCTETS:
        raise _malformed()


def _json(values: dict[str, str]) -> bytes:
    return msgspec.json.encode(values)


def _malformed() -> SaslError:
    return SaslError(
        "The sign-in message is malformed. Check the account's settings, or update the mail program.",
        "Le message de connexion est mal formé. Vérifiez les réglages du compte, ou mettez le logiciel à jour.",
    )
