"""What a client may ask, as values. Text is Unicode; what was not UTF-8 holds U+FFFD and matches nothing.

RFC 4511 §4; filters §4.5.1.7; controls §4.1.11.
"""

from dataclasses import dataclass, field
from enum import IntEnum


class Scope(IntEnum):
    """How far below the base a search looks (§4.5.1.2)."""

    BASE = 0
    ONE_LEVEL = 1
    SUBTREE = 2


# ---- filters


@dataclass(frozen=True, slots=True)
class And:
    """All of them; none is true (RFC 4526)."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them; none is false (RFC 4526)."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    part: "Filter"


@dataclass(frozen=True, slots=True)
class Equality:
    """A value equals this."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Substrings:
    """A value begins with `initial`, holds each of `any` in order after it, then ends with `final`."""

    attribute: str
    initial: str
    any: tuple[str, ...]
    final: str


@dataclass(frozen=True, slots=True)
class GreaterOrEqual:
    """A value comes at this one or after it."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class LessOrEqual:
    """A value comes at this one or before it."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Present:
    """There is a value."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Approximate:
    """A value is about this one, as the server understands it."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Extensible:
    """A value matches by a rule named, of an attribute or of all; an empty text is what the client left out."""

    rule: str
    attribute: str
    value: str
    dn_attributes: bool


@dataclass(frozen=True, slots=True)
class UnknownFilter:
    """A kind of filter that RFC 4511 does not have: Undefined."""


Filter = (
    And
    | Or
    | Not
    | Equality
    | Substrings
    | GreaterOrEqual
    | LessOrEqual
    | Present
    | Approximate
    | Extensible
    | UnknownFilter
)


# ---- operations


@dataclass(frozen=True, slots=True)
class Simple:
    """A password, perhaps none."""

    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sasl:
    """A mechanism of SASL and what it sent, None where nothing."""

    mechanism: str
    credentials: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bind:
    """Who the client is (§4.2); `credentials` None where it is of a kind RFC 4511 does not have."""

    version: int
    name: str
    credentials: Simple | Sasl | None


@dataclass(frozen=True, slots=True)
class Unbind:
    """Good-bye (§4.3)."""


@dataclass(frozen=True, slots=True)
class Search:
    """Entries sought (§4.5.1). Limits are 0 where the client sets none; `scope` None is one nobody knows."""

    base: str
    scope: Scope | None
    size_limit: int
    time_limit: int
    types_only: bool
    filter: Filter
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """Has this entry this value (§4.10)?"""

    entry: str
    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """An operation whose answer is not wanted any more (§4.11)."""

    message_id: int


@dataclass(frozen=True, slots=True)
class Extended:
    """An operation named by its OID (§4.12); `value` None where there is none."""

    name: str
    value: bytes | None = field(repr=False)


class Write(IntEnum):
    """An operation that would write; the value is the tag of its response (§4.6 to §4.9)."""

    MODIFY = 7
    ADD = 9
    DELETE = 11
    MODIFY_DN = 13


Operation = Bind | Unbind | Search | Compare | Abandon | Extended | Write


@dataclass(frozen=True, slots=True)
class Control:
    """What goes with an operation; `value` None where there is none."""

    type: str
    critical: bool
    value: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """A whole message. Answer it under its number, Unbind and Abandon excepted."""

    message_id: int
    operation: Operation
    controls: tuple[Control, ...] = ()
