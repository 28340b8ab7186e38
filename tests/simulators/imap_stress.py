"""Several sessions on one mailbox that do all sorts of things at once, each holding the server to what it said.

A `Watcher` keeps a session's view: which UID stands at which sequence number, with which flags and MODSEQ, changed only by
what the server tells. What must hold, at every answer:

- a sequence number means the message it meant until an EXPUNGE or VANISHED says otherwise; neither comes while a command
  that names messages by number (FETCH, STORE, SEARCH) is under way, nor for a message that is not there;
- EXISTS never takes messages away; new messages stand at the end, with UIDs above all UIDs seen before;
- the MODSEQ of a message never falls;
- a UID has one content, for ever and for every session; only messages that somebody marked \\Deleted, or moved, go.

At the end all sessions see the same: the same UIDs, flags and MODSEQs as a session that looks afresh. RFC 9051 §2.3.1, §7.4,
§7.5.1; RFC 7162.
"""

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulators.imap_answers import Answer, Untagged, expand
from simulators.imap_peer import ImapPeer, flag_set, items_of
from simulators.letters import letter

_BY_NUMBER = ("FETCH", "STORE", "SEARCH")
_FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "un", "deux")


@dataclass(slots=True)
class Ledger:
    """What all sessions together know of the mailbox. Every change is made under its lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    contents: dict[int, str] = field(default_factory=dict)  # of UIDs whose content somebody knows
    appended: dict[int, str] = field(default_factory=dict)  # UIDs acknowledged to an APPEND or COPY
    doomed: set[int] = field(default_factory=set)  # UIDs that somebody meant to delete or move
    gone: set[int] = field(default_factory=set)  # UIDs told to be expunged

    def learn(self, uid: int, name: str) -> None:
        """A message of this UID has this content."""
        with self.lock:
            assert self.contents.setdefault(uid, name) == name, f"UID {uid} is {name} and {self.contents[uid]}"

    def promise(self, uid: int, name: str) -> None:
        """The server said that a message was put in under this UID."""
        with self.lock:
            assert uid not in self.appended, f"UID {uid} was given twice: {name} and {self.appended[uid]}"
            self.appended[uid] = name
        self.learn(uid, name)

    def doom(self, uids: list[int]) -> None:
        """Somebody is about to delete these."""
        with self.lock:
            self.doomed.update(uids)

    def lose(self, uid: int) -> None:
        """A session was told that this is expunged. Whether somebody deleted it is known at the end."""
        with self.lock:
            self.gone.add(uid)


@dataclass(slots=True)
class Message:
    """A message in a view: what is known of it. UID 0: not told yet."""

    uid: int = 0
    flags: frozenset[str] | None = None
    modseq: int = 0


class Watcher:
    """A session and its view of the mailbox."""

    def __init__(self, peer: ImapPeer, ledger: Ledger, *, qresync: bool) -> None:
        self.peer, self.ledger, self.qresync = peer, ledger, qresync
        self.view: list[Message] = []
        self._verb = "SELECT"
        self._highest = 0  # UID told of so far
        peer.heard = self._hear
        if qresync:
            self.peer.ok("ENABLE QRESYNC")
        seen = peer.select("INBOX", "(CONDSTORE)")
        self.validity = seen.uid_validity
        assert len(self.view) == seen.exists
        self.refresh()

    def run(self, *parts: str | bytes) -> Answer:
        """A command, its untagged answers held against the view."""
        words = str(parts[0]).split(" ", 2)
        self._verb = f"UID {words[1]}" if words[0] == "UID" else words[0]
        answer = self.peer.command(*parts)
        self._verb = ""
        assert answer.status in ("OK", "NO"), f"{parts!r:.200}: {answer.status} {answer.text}"
        return answer

    def refresh(self) -> None:
        """Ask for all that the view may lack."""
        if self.view:
            self.run("UID FETCH 1:* (UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (SUBJECT)])")

    def quiet(self) -> None:
        """Wait for all news: NOOP until one brings none."""
        while self.run("NOOP").untagged:
            pass

    def known(self) -> list[int]:
        """UIDs of the view."""
        return [each.uid for each in self.view if each.uid]

    # What the server tells

    def _hear(self, told: Untagged) -> None:
        match told.name:
            case "EXISTS":
                assert told.number is not None
                assert told.number >= len(self.view), f"EXISTS {told.number} after {len(self.view)}"
                self.view += [Message() for _ in range(told.number - len(self.view))]
            case "EXPUNGE":
                assert not self.qresync, "EXPUNGE after ENABLE QRESYNC"
                assert told.number is not None
                self._allowed(told)
                assert 1 <= told.number <= len(self.view), f"EXPUNGE {told.number} of {len(self.view)}"
                self._lose(self.view.pop(told.number - 1))
            case "VANISHED":
                if told.values[0] != ("EARLIER",):
                    assert self.qresync, "VANISHED without ENABLE QRESYNC"
                    self._allowed(told)
                    self._vanish(set(expand(str(told.values[0]))))
            case "FETCH":
                self._fetched(told)

    def _allowed(self, told: Untagged) -> None:
        assert self._verb not in _BY_NUMBER, f"{told.octets!r} during {self._verb}"

    def _lose(self, message: Message) -> None:
        if message.uid:
            self.ledger.lose(message.uid)

    def _vanish(self, uids: set[int]) -> None:
        for uid in uids:
            place = self._place_of(uid)
            assert place is not None, f"VANISHED {uid}, which was not here: {self.known()}"
            self.view.pop(place)
            self.ledger.lose(uid)

    def _place_of(self, uid: int) -> int | None:
        """Where a UID stands: where it was told to, or where a message of unknown UID may be it."""
        candidate = None
        for place, message in enumerate(self.view):
            if message.uid == uid:
                return place
            if message.uid > uid:
                break
            candidate = place if not message.uid else None
        return candidate

    def _fetched(self, told: Untagged) -> None:
        assert told.number is not None
        assert 1 <= told.number <= len(self.view), f"FETCH {told.number} of {len(self.view)}"
        items, message = items_of(told), self.view[told.number - 1]
        if "UID" in items:
            self._number(told.number, int(items["UID"]))
        if "MODSEQ" in items:
            modseq = int(items["MODSEQ"][0])
            assert modseq >= message.modseq, f"MODSEQ of UID {message.uid} fell from {message.modseq} to {modseq}"
            message.modseq = modseq
        if "FLAGS" in items:
            message.flags = flag_set(items["FLAGS"])
        elif self._verb.endswith("STORE"):
            message.flags = None  # a silent STORE leaves it to the client to know them
        for name, value in items.items():
            if name.startswith("BODY[") and message.uid:
                self.ledger.learn(message.uid, _name_of(value))

    def _number(self, number: int, uid: int) -> None:
        message = self.view[number - 1]
        assert message.uid in (0, uid), f"number {number} was UID {message.uid} and is {uid}"
        message.uid = uid
        before = max((each.uid for each in self.view[: number - 1]), default=0)
        after = min((each.uid for each in self.view[number:] if each.uid), default=uid + 1)
        assert before < uid < after, f"UID {uid} at {number} stands between {before} and {after}"


class Rowdy(threading.Thread):
    """A session that does things at random; `failure` is what it found wrong."""

    def __init__(self, name: str, watcher: Watcher, other: str, steps: int, seed: int) -> None:
        super().__init__(name=name)
        self.watcher, self.other, self.steps = watcher, other, steps
        self.chance = random.Random(seed)
        self.failure: BaseException | None = None
        self._count = 0
        self._deeds: list[tuple[int, Callable[[], object]]] = [
            (20, self._fetch),
            (20, self._store),
            (12, self._append),
            (8, self._expunge),
            (8, self._uid_expunge),
            (6, self._copy),
            (6, self._move),
            (8, self._search),
            (6, self._noop),
            (6, self._idle),
        ]

    def run(self) -> None:
        """Do so many things, then wait for all news."""
        weights = [weight for weight, _ in self._deeds]
        try:
            for _ in range(self.steps):
                (deed,) = self.chance.choices([deed for _, deed in self._deeds], weights)
                deed()
        except BaseException as failure:
            self.failure = failure

    def _some(self) -> str:
        """Sequence numbers, as a set; the view is not empty."""
        size = len(self.watcher.view)
        first = self.chance.randint(1, size)
        return f"{first}:{min(size, first + self.chance.randint(0, 4))}"

    def _some_uids(self) -> list[int]:
        known = self.watcher.known()
        return sorted(self.chance.sample(known, min(len(known), self.chance.randint(1, 4)))) if known else []

    def _fetch(self) -> None:
        if self.watcher.view:
            items = self.chance.choice(
                ["(UID FLAGS)", "(UID FLAGS MODSEQ)", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "UID"]
            )
            uid = self.chance.choice(["", "UID "])
            self.watcher.run(f"{uid}FETCH {self._some() if not uid else '1:*'} {items}")

    def _store(self) -> None:
        if self.watcher.view:
            flags = " ".join(self.chance.sample(_FLAGS, self.chance.randint(1, 2)))
            sign = self.chance.choice("+-")
            silent = self.chance.choice(["", ".SILENT"])
            self.watcher.run(f"STORE {self._some()} {sign}FLAGS{silent} ({flags})")

    def _append(self) -> None:
        self._count += 1
        name = f"{self.name}-{self._count}"
        answer = self.watcher.run("APPEND INBOX ", letter(name))
        assert answer.status == "OK", answer.text
        self.watcher.ledger.promise(int(answer.code.split()[2]), name)

    def _doom(self) -> list[int]:
        uids = self._some_uids()
        self.watcher.ledger.doom(uids)
        if uids:
            self.watcher.run(rf"UID STORE {_set(uids)} +FLAGS.SILENT (\Deleted)")
        return uids

    def _expunge(self) -> None:
        self._doom()
        self.watcher.run("EXPUNGE")

    def _uid_expunge(self) -> None:
        if uids := self._doom():
            self.watcher.run(f"UID EXPUNGE {_set(uids)}")

    def _copy(self) -> None:
        if uids := self._some_uids():
            self._copied(self.watcher.run(f"UID COPY {_set(uids)} INBOX"))

    def _move(self) -> None:
        if uids := self._some_uids():
            self.watcher.ledger.doom(uids)
            self.watcher.run(f"UID MOVE {_set(uids)} {self.other}")

    def _copied(self, answer: Answer) -> None:
        if answer.code.startswith("COPYUID"):
            _, _, source, target = answer.code.split(" ")
            for old, new in zip(expand(source), expand(target), strict=True):
                name = self.watcher.ledger.contents.get(old)
                if name is not None:
                    self.watcher.ledger.promise(new, name)
                if old in self.watcher.ledger.doomed:  # the copy has its flags
                    self.watcher.ledger.doom([new])

    def _search(self) -> None:
        criteria = self.chance.choice(["UNSEEN", "FLAGGED", "KEYWORD un", "SUBJECT r", "ALL"])
        answer = self.watcher.run(f"SEARCH {criteria}")
        for each in answer.of("SEARCH"):
            assert all(1 <= number <= len(self.watcher.view) for number in each.values if isinstance(number, int))

    def _noop(self) -> None:
        self.watcher.run("NOOP")

    def _idle(self) -> None:
        with self.watcher.peer.idling(), contextlib.suppress(TimeoutError):
            self.watcher.peer.next_untagged(self.chance.uniform(0.01, 0.1))


def agree(watchers: list[Watcher], fresh: ImapPeer) -> None:
    """All sessions see what a session sees that looks afresh; nothing promised is lost, nothing came from nowhere."""
    for each in watchers:
        each.quiet()
    told = {each.uid: each for each in _afresh(fresh)}
    for watcher in watchers:
        ledger = watcher.ledger
        unnumbered = [each for each in watcher.view if not each.uid]
        mine = {each.uid: each for each in watcher.view if each.uid}
        assert len(watcher.view) == len(told)
        assert set(mine) <= set(told)
        assert len(unnumbered) == len(set(told) - set(mine))
        for uid, message in mine.items():
            # What was never told to be different must be so: flags that a session was told are those of now.
            if message.flags is not None:
                assert message.flags == told[uid].flags, f"flags of UID {uid}: {message.flags}, {told[uid].flags}"
        watcher.refresh()
        assert {each.uid: (each.flags, each.modseq) for each in watcher.view} == {
            uid: (each.flags, each.modseq) for uid, each in told.items()
        }
        lost = set(ledger.appended) - set(told) - ledger.doomed
        assert not lost, f"acknowledged and not there: {lost}"
        assert not ledger.gone & set(told), "expunged, and there again"
        assert ledger.gone <= ledger.doomed, f"gone, and nobody deleted it: {ledger.gone - ledger.doomed}"


def _afresh(fresh: ImapPeer) -> list[Message]:
    if not fresh.select().exists:
        return []
    found: list[dict[str, Any]] = [items_of(each) for each in fresh.ok("FETCH 1:* (UID FLAGS MODSEQ)").of("FETCH")]
    return [Message(int(each["UID"]), flag_set(each["FLAGS"]), int(each["MODSEQ"][0])) for each in found]


def _name_of(header: Any) -> str:
    return bytes(header).decode().removeprefix("Subject:").strip()


def _set(uids: list[int]) -> str:
    return ",".join(map(str, uids))
