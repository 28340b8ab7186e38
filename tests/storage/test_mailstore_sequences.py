"""Any sequence of verbs, from two processes on one store, gives what a simple model says.

After each verb: every mailbox is as the model has it, for each reader; what changed since any past modseq, applied to the
mailbox of then, gives the mailbox of now; so does a view fed by what is told; nothing is found that must not be.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.conftest import Place
from tests.simulators.mailbox import SIZE, Box, applied, rows

from vaguemestre.documents.headers import Summary
from vaguemestre.mailstore import accounts, changes, flags, mailboxes, messages, placements
from vaguemestre.mailstore.changes import MailboxChange, Placed
from vaguemestre.mailstore.flags import Change
from vaguemestre.mailstore.model import Flag, NewMessage
from vaguemestre.storage import blobs
from vaguemestre.storage.blobs import BlobStore

READERS = (0, 7, 8)
NAMES = ("INBOX", "a", "a/b", "b", "c")
SEEN = Flag.SEEN

marks = st.sampled_from(
    [Flag(0), Flag.SEEN, Flag.SEEN, Flag.DELETED, Flag.DELETED | Flag.SEEN, Flag.FLAGGED, Flag.SEEN | Flag.ANSWERED]
)
keywords = st.frozensets(st.sampled_from(["$Forwarded", "$FORWARDED", "urgent", "x"]), max_size=2)
places = st.frozensets(st.integers(0, 9), min_size=1, max_size=4)
readers = st.sampled_from(READERS)


@dataclass(frozen=True)
class Message:
    """A message in a mailbox, as the model has it. `own` is what a person sees, where reading is their own."""

    message_id: int
    blob_id: int
    flags: Flag
    keywords: frozenset[str]
    own: dict[int, bool] = field(default_factory=dict)

    def seen_by(self, reader: int) -> Flag:
        """The flags a reader sees."""
        seen = self.own.get(reader, SEEN in self.flags)
        return self.flags | SEEN if seen else self.flags & ~SEEN


@dataclass
class Folder:
    """A mailbox, as the model has it, and what it was at each modseq before."""

    id: int
    uid_validity: int
    messages: dict[int, Message] = field(default_factory=dict)
    uid_next: int = 1
    spelled: dict[str, str] = field(default_factory=dict)
    past: list[tuple[int, dict[int, dict[int, Placed]]]] = field(default_factory=list)
    views: dict[int, tuple[int, dict[int, Placed]]] = field(default_factory=dict)

    def learn(self, words: frozenset[str]) -> frozenset[str]:
        """Keywords as this mailbox spells them."""
        return frozenset(self.spelled.setdefault(word.lower(), word) for word in sorted(words))

    def put(self, message: Message) -> None:
        """A message comes."""
        self.messages[self.uid_next] = replace(message, keywords=self.learn(message.keywords), own=dict(message.own))
        self.uid_next += 1


class Sequences(RuleBasedStateMachine):
    """The verbs, on the store and on the model."""

    place: Place
    store: BlobStore
    count = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).count += 1
        known = self.place.opened or [self.place.open(), self.place.open()]
        self.box = Box(known[0], self.store, f"{self.count}@a.mssante.fr")
        self.other = known[1]  # another process: what it does is not told here
        self.own_reading = self.turns = False
        self.folders: dict[str, Folder] = {}
        self.validities: set[int] = set()
        self.highest = 0
        for each in known[0].read(mailboxes.listing, self.box.account.id):
            self.folders[each.name] = Folder(each.id, each.uid_validity)
            self.validities.add(each.uid_validity)

    def write(self, elsewhere: bool, verb: Any, *arguments: Any, **options: Any) -> Any:
        """Do a verb, here or in the other process."""
        database = self.other if elsewhere else self.box.database
        return database.write(lambda connection: verb(connection, *arguments, **options))

    def folder(self, data: Any, label: str = "mailbox") -> Folder:
        """One of the mailboxes there are."""
        return self.folders[data.draw(st.sampled_from([name for name in NAMES if name in self.folders]), label)]

    def uids(self, folder: Folder, chosen: frozenset[int]) -> list[int]:
        """Some UIDs, in no order; one may be of a message that is no more, or never was."""
        here = sorted(folder.messages)
        return list({here[place % len(here)] if place < 9 and here else 1 + place % 3 for place in chosen})

    @initialize(own=st.booleans(), turns=st.booleans())
    def begin(self, own: bool, turns: bool) -> None:
        """With own reading, or without, or changing."""
        self.own_reading, self.turns = own, turns
        self.write(False, accounts.change_own_reading, self.box.account.address, own)
        self.create("a", False)
        for name in ("INBOX", "INBOX", "a"):
            self._append([self.folders[name]] * 2, Flag(0), frozenset(), False)
        self._change(self.folders["INBOX"], [1, 2], Change.ADD, SEEN, frozenset(), 7, None, False)

    @rule(data=st.data(), count=st.integers(1, 3), flag=marks, words=keywords, elsewhere=st.booleans())
    def append(self, data: Any, count: int, flag: Flag, words: frozenset[str], elsewhere: bool) -> None:
        """Messages of one content come to one mailbox or several at once."""
        self._append([self.folder(data) for _ in range(count)], flag, words, elsewhere)

    def _append(self, chosen: list[Folder], flag: Flag, words: frozenset[str], elsewhere: bool) -> None:
        blob_id = self.box.content()
        new = [
            NewMessage(self.box.account.id, each.id, blob_id, SIZE, 1_000, Summary(), flag, words) for each in chosen
        ]
        appended = self.write(elsewhere, messages.append, new)
        for each, put in zip(chosen, appended, strict=True):
            assert put.uid == each.uid_next
            each.put(Message(put.message_id, blob_id, flag, words))

    @rule(
        data=st.data(),
        chosen=places,
        how=st.sampled_from(Change),
        flag=marks,
        words=keywords,
        reader=readers,
        condition=st.one_of(st.none(), st.integers(0, 40)),
        elsewhere=st.booleans(),
    )
    def change(
        self,
        data: Any,
        chosen: frozenset[int],
        how: Change,
        flag: Flag,
        words: frozenset[str],
        reader: int,
        condition: int | None,
        elsewhere: bool,
    ) -> None:
        """Marks change; those of messages changed after the condition do not."""
        folder = self.folder(data)
        self._change(folder, self.uids(folder, chosen), how, flag, words, reader, condition, elsewhere)

    @rule(data=st.data(), chosen=places, reader=readers, seen=st.booleans())
    def read(self, data: Any, chosen: frozenset[int], reader: int, seen: bool) -> None:
        """Somebody reads, or leaves for later."""
        folder, how = self.folder(data), Change.ADD if seen else Change.REMOVE
        self._change(folder, self.uids(folder, chosen), how, SEEN, frozenset(), reader, None, False)

    def _change(
        self,
        folder: Folder,
        uids: list[int],
        how: Change,
        flag: Flag,
        words: frozenset[str],
        reader: int,
        condition: int | None,
        elsewhere: bool,
    ) -> None:
        before = {each.uid: each for each in self.box.database.read(changes.find, folder.id, uids)}
        told = self.write(elsewhere, flags.change, flags.Wanted(folder.id, uids, how, flag, words, condition, reader))
        refused = [] if condition is None else [uid for uid, each in sorted(before.items()) if each.modseq > condition]
        assert told.modified == refused
        reader = reader if self.own_reading else 0
        spelled = dict(folder.spelled)
        if how is Change.REMOVE:
            wanted = frozenset(folder.spelled[word.lower()] for word in words if word.lower() in folder.spelled)
        else:
            wanted = folder.learn(words)
        changed = []
        for uid in sorted(before.keys() - set(refused)):
            message = folder.messages[uid]
            seen = message.seen_by(reader)
            now = {Change.ADD: seen | flag, Change.REMOVE: seen & ~flag, Change.REPLACE: flag}[how]
            held = {
                Change.ADD: message.keywords | wanted,
                Change.REMOVE: message.keywords - wanted,
                Change.REPLACE: wanted,
            }[how]
            if (now, held) == (seen, message.keywords):
                continue
            changed.append((uid, now, " ".join(sorted(held))))
            own = dict(message.own)
            shared = now & ~SEEN | message.flags & SEEN if reader else now
            if reader:
                own[reader] = SEEN in now
            elif (message.flags ^ now) & SEEN:
                own = {}
            folder.messages[uid] = replace(message, flags=shared, keywords=held, own=own)
        if not changed:
            folder.spelled = spelled
        assert [(each.uid, each.flags, each.keywords) for each in told.changed] == changed
        assert all(each.modseq == told.modseq > before[each.uid].modseq for each in told.changed)

    @rule(data=st.data(), chosen=places, elsewhere=st.booleans(), moved=st.booleans())
    def copy_or_move(self, data: Any, chosen: frozenset[int], elsewhere: bool, moved: bool) -> None:
        """Messages get another place, in another mailbox or the same; or change place."""
        source, target = self.folder(data, "from"), self.folder(data, "to")
        uids = self.uids(source, chosen)
        first = target.uid_next
        verb = placements.move if moved else placements.copy
        copied = self.write(elsewhere, verb, source.id, uids, target.id)
        found = sorted(uid for uid in uids if uid in source.messages)
        for uid in found:
            target.put(source.messages[uid])
        for uid in found if moved else ():
            del source.messages[uid]
        assert copied.source == found
        assert copied.target == list(range(first, first + len(found)))
        assert copied.uid_validity == target.uid_validity

    @rule(data=st.data(), chosen=st.one_of(st.none(), places), only_deleted=st.booleans(), elsewhere=st.booleans())
    def expunge(self, data: Any, chosen: frozenset[int] | None, only_deleted: bool, elsewhere: bool) -> None:
        """Messages are no more."""
        folder = self.folder(data)
        uids = None if chosen is None else self.uids(folder, chosen)
        gone = self.write(elsewhere, placements.expunge, folder.id, uids, only_deleted=only_deleted)
        wanted = folder.messages if uids is None else set(uids)
        expected = [
            uid
            for uid, message in sorted(folder.messages.items())
            if uid in wanted and (not only_deleted or Flag.DELETED in message.flags)
        ]
        assert gone.uids == expected
        assert gone.objects == []
        for uid in expected:
            del folder.messages[uid]

    @rule(data=st.data(), verb=st.sampled_from(["create", "delete", "rename", "rename_inbox"]), elsewhere=st.booleans())
    def arrange(self, data: Any, verb: str, elsewhere: bool) -> None:
        """Mailboxes are made, deleted and renamed."""
        name, new = data.draw(st.sampled_from(NAMES[1:]), "name"), data.draw(st.sampled_from(NAMES[1:]), "new name")
        if verb == "rename":
            self.rename(name, new)
        else:
            getattr(self, verb)(name, elsewhere)

    def create(self, name: str, elsewhere: bool) -> None:
        """A mailbox is made, with its superior."""
        if name in self.folders:
            return
        self.write(elsewhere, mailboxes.create, self.box.account.id, name)
        self._know()
        assert name in self.folders
        assert name.split("/", maxsplit=1)[0] in self.folders

    def delete(self, name: str, elsewhere: bool) -> None:
        """A mailbox is deleted; its inferiors stay."""
        if name not in self.folders:
            return
        objects = self.write(elsewhere, mailboxes.delete, self.box.account.id, name)
        assert objects == []
        del self.folders[name]
        self._know()

    def rename_inbox(self, new: str, elsewhere: bool) -> None:
        """The messages of INBOX move to a new mailbox."""
        if new in self.folders:
            return
        self.write(elsewhere, mailboxes.rename, self.box.account.id, "inbox", new)
        self._know()
        inbox, target = self.folders["INBOX"], self.folders[new]
        for _, message in sorted(inbox.messages.items()):
            target.put(message)
        inbox.messages = {}

    def rename(self, old: str, new: str) -> None:
        """A mailbox and its inferiors get another name; all else of them stays."""
        moved = {name: new + name[len(old) :] for name in self.folders if name == old or name.startswith(old + "/")}
        if (
            not moved
            or new in self.folders
            or new.startswith(old + "/")
            or not self.folders.keys().isdisjoint(moved.values())
        ):
            return
        self.write(False, mailboxes.rename, self.box.account.id, old, new)
        self.folders = {moved.get(name, name): folder for name, folder in self.folders.items()}
        self._know()

    @precondition(lambda self: self.turns)
    @rule(own=st.booleans())
    def change_own_reading(self, own: bool) -> None:
        """Reading becomes each person's own, or everybody's."""
        self.write(False, accounts.change_own_reading, self.box.account.address, own)
        self.own_reading = own
        if not own:
            for folder in self.folders.values():
                folder.messages = {uid: replace(each, own={}) for uid, each in folder.messages.items()}

    def _know(self) -> None:
        """The mailboxes there are now; new ones have a UIDVALIDITY that none ever had."""
        found = {each.name: each for each in self.box.database.read(mailboxes.listing, self.box.account.id)}
        for name, each in found.items():
            if name not in self.folders:
                assert each.uid_validity > max(self.validities)
                self.folders[name] = Folder(each.id, each.uid_validity)
            self.validities.add(each.uid_validity)
        assert {name: each.id for name, each in found.items()} == {name: each.id for name, each in self.folders.items()}

    @invariant()
    def the_store_is_the_model(self) -> None:
        """Every mailbox, its counts, and what changed since; for each reader."""
        told = [fact for fact in self.box.facts if isinstance(fact, MailboxChange)]
        self.box.facts.clear()
        self.box.database.read(self._check, told)

    def _check(self, connection: sa.Connection, told: list[MailboxChange]) -> None:
        for name in self.folders.keys() & set(NAMES):
            folder, now = self.folders[name], {}
            for reader in READERS:
                loaded = changes.load(connection, folder.id, reader)
                placed = {each.uid: each for each in rows(loaded)}
                now[reader] = placed
                self._compare(folder, reader, placed)
                held = loaded.mailbox
                assert held.unseen == sum(not each.flags & SEEN for each in placed.values())
                assert held.deleted == sum(bool(each.flags & Flag.DELETED) for each in placed.values())
                assert (held.total, held.octets) == (len(placed), SIZE * len(placed))
                assert (held.uid_next, held.uid_validity) == (folder.uid_next, folder.uid_validity)
                assert set(held.keywords) == set(folder.spelled.values())
                self._follow(connection, folder, reader, told, held.modseq, placed)
            if folder.past and folder.past[-1][0] == held.modseq:
                assert folder.past[-1][1] == now
                continue
            assert not folder.past or folder.past[-1][0] < held.modseq
            folder.past.append((held.modseq, now))
            for modseq, then in folder.past[:1] + folder.past[-3:-1]:
                for reader in READERS[:2]:
                    changed, gone, complete = changes.since(connection, folder.id, modseq, reader)
                    assert complete
                    assert applied(then[reader], changed, gone) == now[reader]
                    assert all(each.modseq > modseq for each in changed)
                    assert [each.uid for each in changed] == sorted(each.uid for each in changed)

    def _compare(self, folder: Folder, reader: int, placed: dict[int, Placed]) -> None:
        assert [(each.uid, each.message_id, each.blob_id, each.flags, each.keywords) for each in placed.values()] == [
            (uid, each.message_id, each.blob_id, each.seen_by(reader), " ".join(sorted(each.keywords)))
            for uid, each in sorted(folder.messages.items())
        ]

    def _follow(
        self,
        connection: sa.Connection,
        folder: Folder,
        reader: int,
        told: list[MailboxChange],
        modseq: int,
        now: dict[int, Placed],
    ) -> None:
        """A view that hears what is told, and asks where it missed something, is the mailbox."""
        at, view = folder.views.get(reader, (modseq, now))
        for fact in told:
            if fact.mailbox_id == folder.id and fact.before == at:
                view, at = applied(view, fact.for_reader(reader), fact.expunged), fact.after
        if at != modseq:
            changed, gone, _ = changes.since(connection, folder.id, at, reader)
            view, at = applied(view, changed, gone), modseq
        assert view == now
        folder.views[reader] = at, view

    def teardown(self) -> None:
        """Nothing is found that must not be; contents that nothing needs are gone, the others are there."""
        assert self.box.anomalies() == {}
        needed = {each.blob_id for folder in self.folders.values() for each in folder.messages.values()}
        here = sa.select(blobs.blobs.c.id).where(blobs.blobs.c.id > self.box.account.id)
        kept = self.box.database.read(lambda connection: set(connection.execute(here).scalars()))
        assert kept == needed


def test_any_sequence_of_verbs_gives_what_the_model_says(place: Place, blob_store: BlobStore) -> None:
    machine = type("Machine", (Sequences,), {"place": place, "store": blob_store})
    place.open()
    place.open()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
        ),
    )
