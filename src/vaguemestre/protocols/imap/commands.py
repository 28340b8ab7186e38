r"""IMAP commands as values.

What stays true: a value exists only if the whole command obeys the grammar; mailbox names are decoded text (from modified
UTF-7 or UTF-8, by what the client enabled), INBOX in capitals; flags are `\Seen` in this case whatever the client's,
keywords as sent; literals are in their places.

Rules: values know nothing of the session; whether a command may come now is for the machine. APPEND is not here: it is a
series of events. `uid` says that `messages` are UIDs and that answers must be too.

RFC 9051 §6; RFC 3501 §6; the extension of each option stands beside it.
"""

from enum import Enum

import msgspec

from vaguemestre.protocols.imap.fetch_items import Item
from vaguemestre.protocols.imap.notifications import EventGroup
from vaguemestre.protocols.imap.search_keys import Key, Returned, SortKey, Threading
from vaguemestre.protocols.imap.sequence_sets import MessageSet, Partial, SequenceSet

# ---- any state


class Capability(msgspec.Struct, frozen=True):
    pass


class Noop(msgspec.Struct, frozen=True):
    pass


class Logout(msgspec.Struct, frozen=True):
    """Turns: the connection is `closed` once answered."""


class Id(msgspec.Struct, frozen=True):
    """What the client says of itself (RFC 2971), unverified; None for NIL. Field names as sent."""

    fields: tuple[tuple[str, str | None], ...] = ()


# ---- not authenticated


class StartTls(msgspec.Struct, frozen=True):
    """Turns: answer OK, shake hands, `tls_started()`; or refuse and `answered()`."""


class Authenticate(msgspec.Struct, frozen=True):
    """Turns. `mechanism` in capitals; `initial_response` decoded, None when absent. A secret: never log it."""

    mechanism: str
    initial_response: bytes | None = None


class Login(msgspec.Struct, frozen=True):
    """Turns. Octets decoded as UTF-8. A secret: never log it."""

    user: str
    password: str


# ---- authenticated


class Enable(msgspec.Struct, frozen=True):
    """Turns: call `enable(…)` with those that were granted. In capitals (RFC 5161)."""

    capabilities: tuple[str, ...]


class Resynchronization(msgspec.Struct, frozen=True):
    """SELECT … (QRESYNC …): what the client knows (RFC 7162 §3.2.5).

    `matched` is its sequence match data: message numbers and the UIDs that they had, as many of both.
    """

    uid_validity: int
    modseq: int
    known_uids: SequenceSet | None = None
    matched: tuple[SequenceSet, SequenceSet] | None = None


class Select(msgspec.Struct, frozen=True):
    """SELECT, or EXAMINE (`read_only`). Turns: call `selected(…)` or `unselected()`.

    `condstore`: (CONDSTORE) was given (RFC 7162 §3.1.8).
    """

    mailbox: str
    read_only: bool = False
    condstore: bool = False
    resynchronization: Resynchronization | None = None


class Create(msgspec.Struct, frozen=True):
    r"""`uses` are special-use attributes (`\Sent`), in the case of RFC 6154 where known. A trailing `/` is removed."""

    mailbox: str
    uses: tuple[str, ...] = ()


class Delete(msgspec.Struct, frozen=True):
    mailbox: str


class Rename(msgspec.Struct, frozen=True):
    source: str
    target: str


class Subscribe(msgspec.Struct, frozen=True):
    mailbox: str


class Unsubscribe(msgspec.Struct, frozen=True):
    mailbox: str


class StatusItem(Enum):
    """RFC 9051 §6.3.11; RECENT RFC 3501; HIGHESTMODSEQ RFC 7162; MAILBOXID RFC 8474; DELETED-STORAGE RFC 9208;
    APPENDLIMIT RFC 7889."""

    MESSAGES = b"MESSAGES"
    UIDNEXT = b"UIDNEXT"
    UIDVALIDITY = b"UIDVALIDITY"
    UNSEEN = b"UNSEEN"
    RECENT = b"RECENT"
    DELETED = b"DELETED"
    SIZE = b"SIZE"
    HIGHESTMODSEQ = b"HIGHESTMODSEQ"
    MAILBOXID = b"MAILBOXID"
    DELETED_STORAGE = b"DELETED-STORAGE"
    APPENDLIMIT = b"APPENDLIMIT"


class ListSelection(Enum):
    """Selection options of LIST (RFC 5258 §3.1, RFC 6154 §2)."""

    SUBSCRIBED = "SUBSCRIBED"
    REMOTE = "REMOTE"
    RECURSIVEMATCH = "RECURSIVEMATCH"
    SPECIAL_USE = "SPECIAL-USE"


class ListReturn(Enum):
    """Return options of LIST; STATUS is `List.status` (RFC 5258 §3.2, RFC 6154 §2)."""

    SUBSCRIBED = "SUBSCRIBED"
    CHILDREN = "CHILDREN"
    SPECIAL_USE = "SPECIAL-USE"


class List(msgspec.Struct, frozen=True):
    """LIST, plain or extended. `reference` and `patterns` as decoded text; `*` and `%` are wildcards.

    `extended`: the command used options or several patterns, so that RFC 5258's rules apply; an empty single pattern in
    a plain LIST asks for the hierarchy delimiter.
    """

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[ListSelection] = frozenset()
    returns: frozenset[ListReturn] = frozenset()
    status: tuple[StatusItem, ...] = ()
    extended: bool = False


class Lsub(msgspec.Struct, frozen=True):
    reference: str
    pattern: str


class Namespace(msgspec.Struct, frozen=True):
    pass


class Status(msgspec.Struct, frozen=True):
    mailbox: str
    items: tuple[StatusItem, ...]


class Idle(msgspec.Struct, frozen=True):
    """Turns: `start_idle()`, then IdleDone comes; or refuse and `answered()`."""


class GetQuota(msgspec.Struct, frozen=True):
    root: str


class GetQuotaRoot(msgspec.Struct, frozen=True):
    mailbox: str


class SetQuota(msgspec.Struct, frozen=True):
    """Limits by resource name in capitals (RFC 9208 §4.1.3)."""

    root: str
    limits: tuple[tuple[str, int], ...]


class Notify(msgspec.Struct, frozen=True):
    """NOTIFY SET, or NONE without `groups`; `status`: tell the state of the mailboxes first (RFC 5465)."""

    groups: tuple[EventGroup, ...] = ()
    status: bool = False


class Compress(msgspec.Struct, frozen=True):
    """Turns: answer, then put `compression.Deflate` under the machine. `algorithm` in capitals (RFC 4978)."""

    algorithm: str


# ---- selected


class Check(msgspec.Struct, frozen=True):
    pass


class Close(msgspec.Struct, frozen=True):
    """Turns: call `unselected()`. Expunges, unless read-only."""


class Unselect(msgspec.Struct, frozen=True):
    """Turns: call `unselected()`."""


class Expunge(msgspec.Struct, frozen=True):
    """EXPUNGE, or UID EXPUNGE of `uids` (RFC 4315)."""

    uids: MessageSet | None = None


class Search(msgspec.Struct, frozen=True):
    """`returns` None for a SEARCH without RETURN: * SEARCH to rev1 clients, * ESEARCH to rev2's."""

    key: Key
    uid: bool = False
    returns: Returned | None = None


class Sort(msgspec.Struct, frozen=True):
    """RFC 5256, RFC 5267 (RETURN), RFC 5957 (display)."""

    order: tuple[SortKey, ...]
    key: Key
    uid: bool = False
    returns: Returned | None = None


class Thread(msgspec.Struct, frozen=True):
    """RFC 5256."""

    algorithm: Threading
    key: Key
    uid: bool = False


class Fetch(msgspec.Struct, frozen=True):
    """`changed_since` a mod-sequence (RFC 7162 §3.1.4.1); `vanished` only with it, `uid` and QRESYNC; `partial` RFC 9394.

    `items` always begin with UID where `uid` is set.
    """

    messages: MessageSet
    items: tuple[Item, ...]
    uid: bool = False
    changed_since: int | None = None
    vanished: bool = False
    partial: Partial | None = None


class StoreHow(Enum):
    """What to do with the flags given."""

    REPLACE = ""
    ADD = "+"
    REMOVE = "-"


class Store(msgspec.Struct, frozen=True):
    """`unchanged_since` a mod-sequence (RFC 7162 §3.1.3); `silent`: the client does not want the new flags told."""

    messages: MessageSet
    how: StoreHow
    flags: frozenset[str]
    uid: bool = False
    silent: bool = False
    unchanged_since: int | None = None


class Copy(msgspec.Struct, frozen=True):
    messages: MessageSet
    mailbox: str
    uid: bool = False


class Move(msgspec.Struct, frozen=True):
    messages: MessageSet
    mailbox: str
    uid: bool = False


class CancelUpdate(msgspec.Struct, frozen=True):
    """Tags of searches whose updates are to stop (RFC 5267 §4.3.3)."""

    tags: tuple[bytes, ...]


Command = (
    Capability
    | Noop
    | Logout
    | Id
    | StartTls
    | Authenticate
    | Login
    | Enable
    | Select
    | Create
    | Delete
    | Rename
    | Subscribe
    | Unsubscribe
    | List
    | Lsub
    | Namespace
    | Status
    | Idle
    | GetQuota
    | GetQuotaRoot
    | SetQuota
    | Notify
    | Compress
    | Check
    | Close
    | Unselect
    | Expunge
    | Search
    | Sort
    | Thread
    | Fetch
    | Store
    | Copy
    | Move
    | CancelUpdate
)

TURNING = (Logout, StartTls, Authenticate, Login, Enable, Select, Idle, Compress, Close, Unselect)
"""Commands whose answer changes how what follows is read: the machine is PAUSED until `answered()`."""
