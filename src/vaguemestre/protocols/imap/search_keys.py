"""What SEARCH, SORT and THREAD look for, as a tree of values.

What stays true: texts are decoded from the command's charset; a tree is no deeper than the machine's limit, so whoever
walks it may recurse.

Rules: ANSWERED, UNSEEN, KEYWORD … are all HasFlag; BCC, CC, FROM, SUBJECT, TO are all Header; NEW is
`And(HasFlag recent, Not HasFlag \\Seen)`; a list of keys is And.
RFC 9051 §6.4.4; RFC 3501 §6.4.4 (NEW, OLD, RECENT); RFC 5032 (OLDER, YOUNGER); RFC 7162 §3.1.5 (MODSEQ);
RFC 8474 §4.3; RFC 8514 §4.3.
"""

from datetime import date
from enum import Enum, IntFlag

import msgspec

from vaguemestre.protocols.imap.sequence_sets import MessageSet, Partial


class All(msgspec.Struct, frozen=True):
    """Every message."""


class HasFlag(msgspec.Struct, frozen=True):
    r"""`flag` as in STORE: `\Seen` in this case, keywords as sent; `\Recent` is among them."""

    flag: str


class Header(msgspec.Struct, frozen=True):
    """The header field holds the text; an empty text asks for any message that has the field. `name` in lower case."""

    name: str
    text: str


class Body(msgspec.Struct, frozen=True):
    text: str


class Text(msgspec.Struct, frozen=True):
    """Header or body holds the text."""

    text: str


class Day(Enum):
    """Which date of a message; the day alone counts, in the zone it was written in."""

    RECEIVED = "INTERNALDATE"
    SENT = "Date header field"
    SAVED = "SAVEDATE"


class When(Enum):
    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"


class Dated(msgspec.Struct, frozen=True):
    """BEFORE, ON, SINCE and their SENT… and SAVED… forms."""

    which: Day
    when: When
    day: date


class Larger(msgspec.Struct, frozen=True):
    octets: int


class Smaller(msgspec.Struct, frozen=True):
    octets: int


class Older(msgspec.Struct, frozen=True):
    """INTERNALDATE at least `seconds` ago."""

    seconds: int


class Younger(msgspec.Struct, frozen=True):
    """INTERNALDATE at most `seconds` ago."""

    seconds: int


class Uids(msgspec.Struct, frozen=True):
    messages: MessageSet


class Numbers(msgspec.Struct, frozen=True):
    """Message sequence numbers; `$` stands here too."""

    messages: MessageSet


class ModSeq(msgspec.Struct, frozen=True):
    r"""mod-sequence at least `value`; `entry` (`/flags/\\draft`) and `kind` (all, priv, shared) may be ignored."""

    value: int
    entry: str = ""
    kind: str = ""


class SaveDateSupported(msgspec.Struct, frozen=True):
    """Every message if the mailbox keeps save dates."""


class EmailId(msgspec.Struct, frozen=True):
    id: str


class ThreadId(msgspec.Struct, frozen=True):
    id: str


class Not(msgspec.Struct, frozen=True):
    key: "Key"


class Or(msgspec.Struct, frozen=True):
    left: "Key"
    right: "Key"


class And(msgspec.Struct, frozen=True):
    keys: tuple["Key", ...]


Key = (
    All
    | HasFlag
    | Header
    | Body
    | Text
    | Dated
    | Larger
    | Smaller
    | Older
    | Younger
    | Uids
    | Numbers
    | ModSeq
    | SaveDateSupported
    | EmailId
    | ThreadId
    | Not
    | Or
    | And
)


def uses(key: Key, kind: type[Key]) -> bool:
    """Is there a key of this kind in the tree? A search that uses ModSeq enables CONDSTORE, and tells mod-sequences."""
    match key:
        case Not(inner):
            return isinstance(key, kind) or uses(inner, kind)
        case Or(left, right):
            return isinstance(key, kind) or uses(left, kind) or uses(right, kind)
        case And(keys):
            return isinstance(key, kind) or any(uses(each, kind) for each in keys)
    return isinstance(key, kind)


class Return(IntFlag):
    """RETURN options of SEARCH and SORT (RFC 4731, 5182, 5267)."""

    MIN = 1
    MAX = 2
    COUNT = 4
    ALL = 8
    SAVE = 16
    UPDATE = 32
    CONTEXT = 64


class Returned(msgspec.Struct, frozen=True):
    """What an extended search wants back; `RETURN ()` has become ALL. PARTIAL is asked by `partial`."""

    options: Return
    partial: Partial | None = None


class SortBy(Enum):
    """RFC 5256 §3, RFC 5957 (display)."""

    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"


class SortKey(msgspec.Struct, frozen=True):
    by: SortBy
    reverse: bool = False


class Threading(Enum):
    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"
