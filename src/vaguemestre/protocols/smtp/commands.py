"""SMTP command lines as values.

What stays true: a command object exists only if its line obeys the grammar, with the parameters this server offers; its
xtext is decoded and holds printable characters only, so it can be put into a notification as it is.

Rules: parsing knows nothing of the session; whether a command may come now is for the machine. Verbs and keywords are
read in any case; a space after `FROM:` or `TO:` is forgiven, because so many senders write it.

RFC 5321 §4.1.1; RFC 1870 (SIZE); RFC 6152 (BODY); RFC 6531 (SMTPUTF8); RFC 3461 (RET, ENVID, NOTIFY, ORCPT);
RFC 3030 (BDAT); RFC 3207 (STARTTLS); RFC 4954 §4 (AUTH) and §5 (AUTH of MAIL).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from vaguemestre.protocols.smtp.addresses import Address, AddressError, read_path
from vaguemestre.protocols.smtp.faults import (
    ArgumentError,
    ChunkSizeError,
    ForwardPathError,
    ParameterError,
    ReversePathError,
    UnknownCommandError,
)


class Body(StrEnum):
    """What MAIL declares of the content (RFC 6152)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"


class Returned(StrEnum):
    """How much of the message a failure notification returns (RFC 3461 §4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


class Notify(StrEnum):
    """When the sender asks to be notified about a recipient (RFC 3461 §4.1)."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@dataclass(frozen=True, slots=True)
class Ehlo:
    name: str


@dataclass(frozen=True, slots=True)
class Helo:
    name: str


@dataclass(frozen=True, slots=True)
class StartTls:
    pass


@dataclass(frozen=True, slots=True)
class Auth:
    """`initial_response` is as sent: base64, "=" for empty, None when absent. A secret: never log it."""

    mechanism: str
    initial_response: str | None = None


class Mail(msgspec.Struct, frozen=True):
    """`reverse_path` None is the null path; `size` in octets as announced; `envid` decoded from xtext."""

    reverse_path: Address | None
    size: int | None = None
    body: Body | None = None
    smtputf8: bool = False
    ret: Returned | None = None
    envid: str | None = None


class Rcpt(msgspec.Struct, frozen=True):
    """`notify` empty means not given; `orcpt` is "address-type;address" with the address decoded from xtext."""

    forward_path: Address
    notify: frozenset[Notify] = frozenset()
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Data:
    pass


@dataclass(frozen=True, slots=True)
class Bdat:
    size: int
    last: bool


@dataclass(frozen=True, slots=True)
class Rset:
    pass


@dataclass(frozen=True, slots=True)
class Noop:
    pass


@dataclass(frozen=True, slots=True)
class Quit:
    pass


@dataclass(frozen=True, slots=True)
class Vrfy:
    text: str


@dataclass(frozen=True, slots=True)
class Expn:
    text: str


@dataclass(frozen=True, slots=True)
class Help:
    text: str


Command = (
    Ehlo | Helo | StartTls | Auth | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | Expn | Help
)  # fmt: skip

_name = re.compile(r"[!-~]{1,255}")
_mechanism = re.compile(r"[A-Za-z0-9_-]{1,20}")
_base64 = re.compile(r"=|[A-Za-z0-9+/]+={0,2}")
_chunk = re.compile(r"([0-9]{1,19})(?: +(LAST))?", re.IGNORECASE)
_size = re.compile(r"[0-9]{1,20}")
_xtext = re.compile(r"(?:[!-*,-<>-~\u0080-\U0010ffff]|\+[0-9A-F]{2})*")
_hexchar = re.compile(rb"\+([0-9A-F]{2})")
_address_type = re.compile(r"[A-Za-z0-9-]{1,64}")
ENVID_LIMIT = 100  # characters of xtext (RFC 3461 §4.4)
ORCPT_LIMIT = 500  # (RFC 3461 §4.2)
AUTH_LIMIT = 500  # characters that AUTH adds to MAIL (RFC 4954 §3)

_Verbs = Mapping[bytes, Callable[[str], Command]]


def parse_command(line: bytes, verbs: _Verbs | None = None) -> Command:
    """The command of one line, given without its CRLF, of those that peers may send unless told otherwise.

    Raises UnknownCommandError, ArgumentError, ParameterError, ReversePathError, ForwardPathError or ChunkSizeError.
    """
    verb, _, rest = line.partition(b" ")
    verbs = verbs or _VERBS
    parse = verbs.get(verb.upper())
    if parse is None:
        parse = verbs.get(verb.rstrip().upper())  # a tab or spaces before CRLF are forgiven (RFC 5321 §4.1.1)
        if parse is None:
            raise UnknownCommandError
    try:
        return parse(rest.decode("utf-8").strip(" \t"))
    except UnicodeDecodeError:
        raise (ChunkSizeError if parse is _bdat else ArgumentError) from None


def parse_submission_command(line: bytes) -> Command:
    """`parse_command` where AUTH is offered: MAIL may then say who wrote, which is believed of nobody (RFC 4954 §5)."""
    return parse_command(line, _SUBMISSION_VERBS)


def encode_xtext(text: str) -> str:
    """`text` as the value of ENVID or ORCPT; the inverse of what parsing does (RFC 3461 §4)."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{c.encode().hex().upper()}" for c in text)


def _named(kind: type[Ehlo] | type[Helo]) -> Callable[[str], Command]:
    def parse(text: str) -> Command:
        if _name.fullmatch(text) is None:
            raise ArgumentError
        return kind(text)

    return parse


def _bare(command: Command) -> Callable[[str], Command]:
    def parse(text: str) -> Command:
        if text:
            raise ArgumentError
        return command

    return parse


def _auth(text: str) -> Command:
    mechanism, _, initial = text.partition(" ")
    if _mechanism.fullmatch(mechanism) is None or (initial and _base64.fullmatch(initial) is None):
        raise ArgumentError
    return Auth(mechanism.upper(), initial or None)


def _bdat(text: str) -> Command:
    match = _chunk.fullmatch(text)
    if match is None:
        raise ChunkSizeError
    return Bdat(int(match[1]), match[2] is not None)


def _mail(text: str) -> Command:
    path, end = _reverse_path(text)
    return Mail(path, **_parameters(text, end, _MAIL_PARAMETERS))


def _submitted_mail(text: str) -> Command:
    path, end = _reverse_path(text)
    fields = _parameters(text, end, _SUBMITTED_MAIL_PARAMETERS)
    fields.pop("auth", None)
    return Mail(path, **fields)


def _reverse_path(text: str) -> tuple[Address | None, int]:
    try:
        path, end = read_path(text, _path_start(text, "FROM:"))
    except AddressError as error:
        raise ReversePathError(error.en, error.fr) from None
    if path is not None and not path.domain:
        raise ReversePathError("The sender's address needs a domain.", "L'adresse de l'expéditeur exige un domaine.")
    return path, end


def _rcpt(text: str) -> Command:
    try:
        path, end = read_path(text, _path_start(text, "TO:"))
    except AddressError as error:
        raise ForwardPathError(error.en, error.fr) from None
    if path is None:
        raise ForwardPathError(
            "The null path names nobody; give the recipient's address.",
            "Le chemin vide ne désigne personne ; donnez l'adresse du destinataire.",
        )
    return Rcpt(path, **_parameters(text, end, _RCPT_PARAMETERS))


def _path_start(text: str, keyword: str) -> int:
    start = len(keyword)
    if text[:start].upper() != keyword:
        raise ArgumentError
    while text.startswith(" ", start):
        start += 1
    return start


_Choice = TypeVar("_Choice", bound=StrEnum)
# Values are what the parameter's field holds, hence Any: each reader belongs to the field its keyword names.
_Readers = Mapping[str, Callable[[str], Any]]


def _parameters(text: str, start: int, readers: _Readers) -> dict[str, Any]:
    """The parameters after the path as fields of the command: the keyword, in lower case, is the field's name."""
    fields: dict[str, Any] = {}
    if start == len(text):
        return fields
    if text[start] != " ":
        raise ArgumentError
    for word in text[start:].split():
        keyword, equals, value = word.partition("=")
        field = keyword.lower()
        read = readers.get(field)
        if read is None or field in fields:
            raise ParameterError
        # No parameter here has an empty value, and SMTPUTF8 alone has none.
        if bool(equals) != bool(value) or bool(equals) is (field == "smtputf8"):
            raise ArgumentError
        fields[field] = read(value)
    return fields


def _read_size(value: str) -> int:
    if _size.fullmatch(value) is None:
        raise ArgumentError
    return int(value)


def _read_body(value: str) -> Body:
    return _one_of(_BODIES, value)


def _read_ret(value: str) -> Returned:
    return _one_of(_RETURNED, value)


def _one_of(choices: Mapping[str, _Choice], value: str) -> _Choice:
    choice = choices.get(value.upper())
    if choice is None:
        raise ArgumentError
    return choice


@lru_cache(maxsize=64)
def _read_notify(value: str) -> frozenset[Notify]:
    try:
        asked = frozenset(Notify(word) for word in value.upper().split(","))
    except ValueError:
        raise ArgumentError from None
    if Notify.NEVER in asked and len(asked) > 1:
        raise ArgumentError
    return asked


def _read_envid(value: str) -> str:
    if len(value) > ENVID_LIMIT or not value.isascii():
        raise ArgumentError
    return _decoded_xtext(value)


def _read_orcpt(value: str) -> str:
    kind, semicolon, address = value.partition(";")
    if len(value) > ORCPT_LIMIT or not semicolon or not address or _address_type.fullmatch(kind) is None:
        raise ArgumentError
    decoded = _decoded_xtext(address)
    if not decoded.isascii() and kind.lower() != "utf-8":  # RFC 6533 §3
        raise ArgumentError
    return f"{kind.lower()};{decoded}"


def _read_auth(value: str) -> str:
    if len(value) > AUTH_LIMIT:
        raise ArgumentError
    return _decoded_xtext(value)


def _decoded_xtext(value: str) -> str:
    if _xtext.fullmatch(value) is None:
        raise ArgumentError
    octets = _hexchar.sub(lambda match: bytes.fromhex(match[1].decode()), value.encode())
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ArgumentError from None
    if not text.isprintable():  # a CR or LF hidden in xtext would forge fields of a notification
        raise ArgumentError
    return text


_BODIES = {body.value: body for body in Body}
_RETURNED = {returned.value: returned for returned in Returned}
_MAIL_PARAMETERS: _Readers = {
    "size": _read_size,
    "body": _read_body,
    "smtputf8": lambda _: True,
    "ret": _read_ret,
    "envid": _read_envid,
}
_SUBMITTED_MAIL_PARAMETERS: _Readers = {**_MAIL_PARAMETERS, "auth": _read_auth}
_RCPT_PARAMETERS: _Readers = {"notify": _read_notify, "orcpt": _read_orcpt}

_VERBS: _Verbs = {
    b"EHLO": _named(Ehlo),
    b"HELO": _named(Helo),
    b"STARTTLS": _bare(StartTls()),
    b"AUTH": _auth,
    b"MAIL": _mail,
    b"RCPT": _rcpt,
    b"DATA": _bare(Data()),
    b"BDAT": _bdat,
    b"RSET": _bare(Rset()),
    b"NOOP": lambda _: Noop(),
    b"QUIT": _bare(Quit()),
    b"VRFY": Vrfy,
    b"EXPN": Expn,
    b"HELP": Help,
}
_SUBMISSION_VERBS: _Verbs = {**_VERBS, b"MAIL": _submitted_mail}
