"""Views: open mailboxes in memory, one for all who look at the same, fed by what each commit announces.

What it keeps true: a view is what the store held at its `modseq`, never a mixture of two moments; changes are applied in the
order of their commits, whichever way they came; a picture, what one client was told, changes only when that client is told.

Why: a mail program asks for flags, UIDs and dates all the time, and a hop to a thread and a query cost more than the
answer. A view is loaded in one snapshot, then follows MailboxChange facts; where one is missing (another process wrote,
found by `poll`) it reads what changed since its own modseq.

Rules: everything here belongs to the thread of the event loop. An array of UIDs only ever grows at its end; an expunge
makes new arrays, so that pictures of before keep theirs, and sequence numbers do not move under anybody.
Standards: RFC 9051 §7.5 (what a client may be told, and when), RFC 7162 (modseq).
"""

import asyncio
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vaguemestre import log
from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.mailstore import changes
from vaguemestre.mailstore.changes import Loaded, MailboxChange, MailboxesChange, Placed
from vaguemestre.mailstore.model import UnknownMailboxError
from vaguemestre.storage.database import Database

_KEPT_ROWS = 1_000_000  # of views nobody looks at any more: some 60 MB
_LOG_KEPT = 20_000  # changes remembered for pictures that are behind; a picture further behind compares everything
_log = log.get("mailstore.views")

Mark = tuple[int, str]
"""Flags, and keywords one space apart: what is set on a message. Views keep each combination once."""


class View:
    """One mailbox as one reader sees it. Columns are side by side: place `n` of each is the same message."""

    def __init__(
        self, account_id: int, mailbox_id: int, reader: int, forget: Callable[[Sequence[int]], None] | None = None
    ) -> None:
        """`forget` is told of the contents of messages that are expunged."""
        self.account_id = account_id
        self.mailbox_id = mailbox_id
        self.reader = reader
        self.uid_validity = 0
        self.uid_next = 1
        self.modseq = 0
        self.gone = False
        self.uids = array("I")
        self.message_ids = array("q")
        self.blob_ids = array("q")
        self.thread_ids = array("q")
        self.modseqs = array("Q")
        self.marks = array("I")
        self.sizes = array("q")
        self.received = array("q")
        self.saved = array("q")
        self.mark_table: list[Mark] = []
        self.watchers: set[Callable[[], None]] = set()
        self.users = 0
        self._forget = forget
        self._mark_numbers: dict[Mark, int] = {}
        self._changed: list[int] = []  # UIDs, as they changed
        self._changed_before = 0  # how many of these were forgotten
        self._expunged: list[int] = []
        self._expunged_before = 0
        self._told = False

    def __len__(self) -> int:
        return len(self.uids)

    def place(self, uid: int) -> int:
        """Where a UID stands, or -1."""
        place = bisect_left(self.uids, uid)
        return place if place < len(self.uids) and self.uids[place] == uid else -1

    def mark(self, place: int) -> Mark:
        """What is set on a message."""
        return self.mark_table[self.marks[place]]

    def keywords(self) -> list[str]:
        """Every keyword some message has or had since the view was loaded, sorted."""
        return sorted({word for _, words in self.mark_table for word in words.split(" ") if word})

    @property
    def changes_seen(self) -> int:
        """How many changes there were; a picture remembers up to which it was told."""
        return self._changed_before + len(self._changed)

    @property
    def expunges_seen(self) -> int:
        """How many expunges there were."""
        return self._expunged_before + len(self._expunged)

    def changed_since(self, seen: int) -> list[int] | None:
        """UIDs changed since, or None when that was forgotten."""
        start = seen - self._changed_before
        return self._changed[start:] if start >= 0 else None

    def expunged_since(self, seen: int) -> list[int] | None:
        """UIDs expunged since, or None when that was forgotten."""
        start = seen - self._expunged_before
        return self._expunged[start:] if start >= 0 else None

    # --- feeding

    def fill(self, loaded: Loaded) -> None:
        """Become what was read."""
        self.uid_validity = loaded.mailbox.uid_validity
        self.uid_next = loaded.mailbox.uid_next
        self.modseq = loaded.mailbox.modseq
        self.uids, self.modseqs = array("I", loaded.uids), array("Q", loaded.modseqs)
        self.message_ids, self.blob_ids = array("q", loaded.message_ids), array("q", loaded.blob_ids)
        self.thread_ids, self.sizes = array("q", loaded.thread_ids), array("q", loaded.sizes)
        self.received, self.saved = array("q", loaded.received_at), array("q", loaded.saved_at)
        number = self._mark_number
        self.marks = array("I", [number(mark) for mark in zip(loaded.flags, loaded.keywords, strict=True)])

    def apply(self, change: MailboxChange) -> bool:
        """Take a change; false when one before it is missing."""
        if change.after <= self.modseq:
            return True
        if change.before != self.modseq:
            return False
        self.merge(change.for_reader(self.reader), change.expunged, change.after)
        return True

    def merge(self, placed: Sequence[Placed], expunged: Sequence[int], modseq: int) -> None:
        """Take what is known of messages at a modseq: each only where it is newer than what stands."""
        for each in placed:
            self._put(each)
        if expunged:
            self._remove(expunged)
        self.modseq = max(self.modseq, modseq)
        self._trim()
        self.tell()

    def tell(self) -> None:
        """Wake those who watch, once for all that comes before their turn."""
        if self.watchers and not self._told:
            self._told = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._told = False
        for watcher in list(self.watchers):
            try:
                watcher()
            except Exception as error:  # one client's trouble is not the others'
                _log.error("a watcher failed", error=type(error).__name__, exc_info=True)

    def _put(self, each: Placed) -> None:
        last = self.uids[-1] if self.uids else 0
        if each.uid > last:
            self._append(each)
            return
        place = self.place(each.uid)
        if place < 0:
            return  # expunged since
        if each.modseq <= self.modseqs[place]:
            return
        self.modseqs[place] = each.modseq
        self.marks[place] = self._mark_number((each.flags, each.keywords))
        self._changed.append(each.uid)

    def _append(self, each: Placed) -> None:
        self.uids.append(each.uid)
        self.message_ids.append(each.message_id)
        self.blob_ids.append(each.blob_id)
        self.thread_ids.append(each.thread_id)
        self.modseqs.append(each.modseq)
        self.marks.append(self._mark_number((each.flags, each.keywords)))
        self.sizes.append(each.size)
        self.received.append(each.received_at)
        self.saved.append(each.saved_at)
        self.uid_next = max(self.uid_next, each.uid + 1)

    def _remove(self, expunged: Sequence[int]) -> None:
        places = sorted({place for uid in expunged if (place := self.place(uid)) >= 0})
        if not places:
            return
        self._expunged += [self.uids[place] for place in places]
        if self._forget is not None:
            self._forget([self.blob_ids[place] for place in places])
        for name in _COLUMNS:
            setattr(self, name, _without(getattr(self, name), places))

    def _trim(self) -> None:
        if len(self._changed) > 2 * _LOG_KEPT:
            self._changed_before += len(self._changed) - _LOG_KEPT
            del self._changed[:-_LOG_KEPT]
        if len(self._expunged) > 2 * _LOG_KEPT:
            self._expunged_before += len(self._expunged) - _LOG_KEPT
            del self._expunged[:-_LOG_KEPT]

    def _mark_number(self, mark: Mark) -> int:
        number = self._mark_numbers.get(mark)
        if number is None:
            number = self._mark_numbers[mark] = len(self.mark_table)
            self.mark_table.append(mark)
        return number


_COLUMNS = (
    "uids",
    "message_ids",
    "blob_ids",
    "thread_ids",
    "modseqs",
    "marks",
    "sizes",
    "received",
    "saved",
)


def _without(column: "array[int]", places: Sequence[int]) -> "array[int]":
    """A new array without some places, given in order."""
    kept, start = array(column.typecode), 0
    for place in places:
        kept += column[start:place]
        start = place + 1
    kept += column[start:]
    return kept


@dataclass(frozen=True, slots=True)
class News:
    """What to tell a client. Sequence numbers are the client's after `expunged` took effect, which goes first."""

    expunged: list[int] = field(default_factory=list)
    """Sequence numbers, highest first, each as it counts before any of these is told."""
    vanished: list[int] = field(default_factory=list)
    """The UIDs of the same, ascending."""
    exists: int | None = None
    changed: list[tuple[int, int]] = field(default_factory=list)
    """Sequence number and place in the view of each message whose marks changed."""


class Picture:
    """A mailbox as one client knows it: what it was told so far."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.uids = view.uids
        self.count = len(view.uids)
        self._changes_seen = view.changes_seen
        self._expunges_seen = view.expunges_seen
        self._silenced: dict[int, int] = {}

    def sequence(self, uid: int) -> int:
        """The client's sequence number of a UID, or 0."""
        place = bisect_left(self.uids, uid, 0, self.count)
        return place + 1 if place < self.count and self.uids[place] == uid else 0

    def place(self, sequence: int) -> int:
        """Where a message stands in the view, by the client's number; -1 when it was expunged since."""
        if self.uids is self.view.uids:
            return sequence - 1
        return self.view.place(self.uids[sequence - 1])

    def highest_uid(self) -> int:
        """The client's last UID, 0 where it knows none."""
        return self.uids[self.count - 1] if self.count else 0

    def silence(self, uid: int, modseq: int) -> None:
        """The client made this change itself, and asked not to be told of it."""
        self._silenced[uid] = modseq

    @property
    def behind(self) -> bool:
        """Whether there is anything to tell."""
        view = self.view
        return (
            view.changes_seen != self._changes_seen
            or self.uids is not view.uids
            or self.count != len(view.uids)
            or view.expunges_seen != self._expunges_seen
        )

    def news(self, *, expunges: bool = True, flags: bool = True) -> News | None:
        """Catch up, and return what to tell; without `expunges` messages that are gone stay, and keep their numbers."""
        if not self.behind:
            return None
        view, known = self.view, self.highest_uid()
        expunged: list[int] = []
        vanished: list[int] = []
        before = self.count
        if self.uids is not view.uids:
            if expunges:
                vanished, expunged = self._gone()
                self.uids, self.count = view.uids, len(view.uids)
            else:
                self._grow_alone(known)
        else:
            self.count = len(view.uids)
        if expunges:
            self._expunges_seen = view.expunges_seen
        exists = self.count if self.count != before - len(expunged) else None
        return News(expunged, vanished, exists, self._changed(known) if flags else [])

    def _gone(self) -> tuple[list[int], list[int]]:
        """UIDs of known messages that were expunged, ascending, and their numbers, highest first."""
        gone: Sequence[int] | None = self.view.expunged_since(self._expunges_seen)
        if gone is None:
            present = set(self.view.uids)
            gone = [uid for uid in self.uids[: self.count] if uid not in present]
        known = sorted((number, uid) for uid in gone if (number := self.sequence(uid)))
        return [uid for _, uid in known], [number for number, _ in reversed(known)]

    def _grow_alone(self, known: int) -> None:
        """Take in what is new while keeping what is gone: an array of one's own."""
        view = self.view
        start = bisect_left(view.uids, known + 1)
        if start < len(view.uids) or self.count != len(self.uids):
            self.uids = self.uids[: self.count] + view.uids[start:]
            self.count = len(self.uids)

    def _changed(self, known: int) -> list[tuple[int, int]]:
        view = self.view
        uids: Sequence[int] | None = view.changed_since(self._changes_seen)
        if uids is None:
            uids = view.uids
        self._changes_seen = view.changes_seen
        told = []
        for uid in sorted(set(uids)):
            place = view.place(uid)
            if uid > known or place < 0:
                continue
            if self._silenced.get(uid) == view.modseqs[place]:
                continue
            if number := self.sequence(uid):
                told.append((number, place))
        self._silenced.clear()
        return told


class Views:
    """The views of one process. `close` each view that was opened."""

    def __init__(self, database: Database, forget: Callable[[Sequence[int]], None] | None = None) -> None:
        """Call on the thread of the event loop that will use it. `forget` is told of contents whose messages are gone."""
        self._forget = forget
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._views: dict[tuple[int, int], View] = {}
        self._idle: OrderedDict[tuple[int, int], View] = OrderedDict()
        self._loading: dict[tuple[int, int], asyncio.Task[View]] = {}
        self._recent: dict[int, int] = {}
        self._refreshing: set[asyncio.Task[None]] = set()
        self._account_watchers: dict[int, set[Callable[[object], None]]] = {}
        self._missed: dict[tuple[int, int], list[MailboxChange]] = {}  # announced while a view is being read
        database.listen(self._hear)

    # --- opening

    def at_hand(self, mailbox_id: int, reader: int) -> View | None:
        """A view that is loaded already, opened; else None."""
        key = (mailbox_id, reader)
        view = self._views.get(key)
        if view is None or key in self._loading or view.gone:
            return None
        self._idle.pop(key, None)
        view.users += 1
        return view

    async def open(self, account_id: int, mailbox_id: int, reader: int = 0) -> View:
        """The view of a mailbox. Raises UnknownMailboxError, StorageFailure."""
        key = (mailbox_id, reader)
        while (view := self.at_hand(mailbox_id, reader)) is None:
            task = self._loading.get(key)
            if task is None:
                task = self._loading[key] = asyncio.ensure_future(self._load(account_id, mailbox_id, reader))
            await asyncio.shield(task)
        return view

    def close(self, view: View) -> None:
        """Let go of a view; it is kept a while for the next who opens it."""
        view.users -= 1
        key = (view.mailbox_id, view.reader)
        if view.users or self._views.get(key) is not view:
            return
        self._idle[key] = view
        rows = sum(len(each) for each in self._idle.values())
        while rows > _KEPT_ROWS or len(self._idle) > _KEPT_ROWS // 100:
            gone_key, gone = self._idle.popitem(last=False)
            del self._views[gone_key]
            rows -= len(gone)

    def recent_from(self, view: View, *, take: bool) -> int:
        """The first UID no client was told of as recent (RFC 3501 §2.3.2); with `take`, from now on they were told."""
        found = self._recent.get(view.mailbox_id, 1)
        if take:
            self._recent[view.mailbox_id] = view.uid_next
        return found

    def watch_account(self, account_id: int, hear: Callable[[object], None]) -> Callable[[], None]:
        """Call `hear(fact)` at every change in an account's mailboxes; returns what ends it."""
        watchers = self._account_watchers.setdefault(account_id, set())
        watchers.add(hear)

        def end() -> None:
            watchers.discard(hear)
            if not watchers and self._account_watchers.get(account_id) is watchers:
                del self._account_watchers[account_id]

        return end

    async def _load(self, account_id: int, mailbox_id: int, reader: int) -> View:
        key, view = (mailbox_id, reader), View(account_id, mailbox_id, reader, self._forget)
        missed: list[MailboxChange] = []
        self._views[key] = view
        self._missed[key] = missed
        try:
            view.fill(await self._database.read_async(changes.load, mailbox_id, reader))
        except BaseException:
            del self._views[key]
            raise
        finally:
            del self._missed[key]
            del self._loading[key]
        self._idle[key] = view
        for change in missed:
            self._take(view, change)
        return view

    # --- following

    def _hear(self, facts: Sequence[object]) -> None:
        """In the writer's thread; in the loop's own where another process writes."""
        mine = [fact for fact in facts if isinstance(fact, MailboxChange | MailboxesChange)]
        if not mine or not (self._views or self._account_watchers):
            return
        if threading.get_ident() == self._thread:
            self._follow(mine)
        else:
            try:
                self._loop.call_soon_threadsafe(self._follow, mine)
            except RuntimeError:  # the loop is closed: nobody looks any more
                return

    def _follow(self, facts: Sequence[Any]) -> None:
        for fact in facts:
            if isinstance(fact, MailboxChange):
                self._follow_change(fact)
            else:
                for view in [view for view in self._views.values() if view.mailbox_id in fact.deleted]:
                    self._lose(view)
            for hear in list(self._account_watchers.get(fact.account_id, ())):
                hear(fact)

    def _follow_change(self, change: MailboxChange) -> None:
        view = self._views.get((change.mailbox_id, 0))
        if view is not None:
            self._take(view, change)
        if any(key[1] for key in self._views):
            for key, each in list(self._views.items()):
                if key[0] == change.mailbox_id and key[1]:
                    self._take(each, change)

    def _take(self, view: View, change: MailboxChange) -> None:
        missed = self._missed.get((view.mailbox_id, view.reader))
        if missed is not None:
            missed.append(change)
        elif not view.apply(change):
            self._refresh([view])

    def _refresh(self, views: Sequence[View]) -> None:
        if views:
            task = asyncio.ensure_future(self._read_again(views))
            self._refreshing.add(task)
            task.add_done_callback(self._refreshing.discard)

    async def poll(self) -> None:
        """Look for what other processes wrote."""
        await self._read_again(list(self._views.values()))

    async def _read_again(self, views: Sequence[View]) -> None:
        """Bring views to what the store holds."""
        views = [view for view in views if (view.mailbox_id, view.reader) not in self._missed and not view.gone]
        if not views:
            return
        try:
            found = await self._database.read_async(changes.modseqs, sorted({view.mailbox_id for view in views}))
            for view in views:
                modseq = found.get(view.mailbox_id)
                if modseq is None:
                    self._lose(view)
                elif modseq > view.modseq:
                    await self._catch_up(view, modseq)
        except StorageFailure as error:
            _log.error("open mailboxes cannot be read again", error=error.en)

    async def _catch_up(self, view: View, modseq: int) -> None:
        """Read what changed; `modseq` is where the mailbox was at least."""
        try:
            news = await self._database.read_async(changes.since, view.mailbox_id, view.modseq, view.reader)
        except UnknownMailboxError:
            self._lose(view)
            return
        except VaguemestreError as error:
            _log.error("an open mailbox cannot be read again", error=error.en)
            return
        placed, expunged, complete = news
        if not complete:
            self._lose(view)
            return
        view.merge(placed, expunged, max((each.modseq for each in placed), default=modseq))

    def _lose(self, view: View) -> None:
        """The mailbox is gone, or too much happened: whoever looks must open it again."""
        view.gone = True
        if self._forget is not None:
            self._forget(view.blob_ids)
        key = (view.mailbox_id, view.reader)
        if self._views.get(key) is view:
            del self._views[key]
            self._idle.pop(key, None)
        view.tell()
