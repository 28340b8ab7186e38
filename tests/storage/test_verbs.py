"""What a front has written goes across the line as it is, once, and is told to the front before it is answered."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tests.conftest import Place
from tests.simulators.mailbox import Box

from vaguemestre.documents.headers import Summary
from vaguemestre.errors import StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, changes, flags, mailboxes, placements
from vaguemestre.mailstore.changes import MailboxChange, MailboxesChange
from vaguemestre.mailstore.filing import Filer, Filing
from vaguemestre.mailstore.flags import Change
from vaguemestre.mailstore.model import Flag, MailboxExistsError, NewMessage, QuotaExceededError
from vaguemestre.servers import verbs, workers
from vaguemestre.servers.workers import Front, RemoteDesk
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.transport.intake import Desk


@pytest.fixture
def box(database: Database, blob_store: BlobStore) -> Box:
    """An account with three messages in its inbox."""
    box = Box(database, blob_store)
    box.append(count=3)
    return box


CAUGHT_UP: list[int] = []


class Told:
    """A front's database, and what it heard in which order: facts, and the answers to those who wrote."""

    def __init__(self, database: Database, desk: RemoteDesk) -> None:
        self.database = database
        self.heard: list[object] = []
        self.desk = desk
        database.listen(self.heard.extend)

    async def written(self, fn: Any, item: Any) -> Any:
        """Have an item written, and note when it was answered."""
        result = await self.database.write_together(fn, item)
        self.heard.append(result)
        return result


async def caught_up(account_id: int) -> None:
    if not account_id:
        raise StorageFailure("There is no such account.", "Il n'y a pas de tel compte.")
    CAUGHT_UP.append(account_id)


@asynccontextmanager
async def front(place: Place, box: Box) -> AsyncIterator[Told]:
    """A front of the box's store, whose writer is the box's database, in one event loop."""
    ours, theirs = socket.socketpair()
    desk, writer = RemoteDesk(), Front(0, ours)
    await desk.open(theirs)
    known = verbs.of_mail_programs(box.store, caught_up)
    workers.pass_on(box.database, [writer])
    await writer.begin(cast(Desk, None), box.database, known)
    await asyncio.wait_for(desk.begun.wait(), 10)
    told = Told(place.open(elsewhere=desk.write), desk)
    desk.follow(known, told.database.told)
    try:
        yield told
    finally:
        told.database.close()
        writer._frames._transport.close()
        desk._frames._transport.close()
        await asyncio.wait_for(desk.ended.wait(), 10)


def new_message(box: Box, blob_id: int, size: int) -> NewMessage:
    summary = Summary(subject="Résumé", from_=(("Marie", "marie@a.mssante.fr"),))
    return NewMessage(
        box.account.id, box.inbox, blob_id, size, 5, summary, Flag.SEEN | Flag.DRAFT, frozenset({"$a"}), 9
    )


def test_what_was_announced_is_heard_before_who_wrote_it_is_answered(place: Place, box: Box) -> None:
    async def journey() -> None:
        async with front(place, box) as told:
            wanted = flags.Wanted(box.inbox, [1, 3], Change.ADD, Flag.SEEN | Flag.FLAGGED, frozenset({"$b"}))
            result = await told.written(flags.change_all, wanted)
            assert [each.uid for each in result.changed] == [1, 3]
            change, answer = told.heard
            assert isinstance(change, MailboxChange)
            assert list(change.placed) == result.changed == box.placed()[::2]
            assert answer is result

    asyncio.run(journey())


def test_a_front_files_deletes_and_reads_what_it_wrote(place: Place, box: Box) -> None:
    async def journey() -> None:
        async with front(place, box) as told:
            sealed = box.store.seal(b"Subject: x\r\n\r\ny")
            filing = Filing([sealed], [new_message(box, sealed.id, sealed.size)])
            (appended,) = await told.written(Filer(box.store).file, filing)
            (placed,) = told.database.read(changes.find, box.inbox, [appended.uid])
            assert (placed.flags, placed.keywords, placed.saved_at) == (Flag.SEEN | Flag.DRAFT, "$a", 9)
            wanted = flags.Wanted(box.inbox, [appended.uid], Change.ADD, Flag.DELETED)
            await told.written(flags.change_all, wanted)
            gone = await told.written(placements.expunge_deleted, (box.inbox, [1, appended.uid]))
            assert gone.uids == [appended.uid]
            assert [each.uid for each in box.placed()] == [1, 2, 3]
            assert box.anomalies() == {}

    asyncio.run(journey())


def test_mailboxes_are_made_and_refused_with_the_facts_own_class_and_words(place: Place, box: Box) -> None:
    async def journey() -> None:
        async with front(place, box) as told:
            made = await told.database.write_async(mailboxes.create, box.account.id, "Patients/2026")
            assert made == box.mailbox("Patients/2026")
            assert MailboxesChange(box.account.id) in told.heard
            with pytest.raises(MailboxExistsError) as refused:
                await told.database.write_async(mailboxes.create, box.account.id, "Patients/2026")
            assert "Patients/2026" in refused.value.fr
            assert refused.value.fr != refused.value.en

    asyncio.run(journey())


def test_one_that_is_refused_fails_alone(place: Place, box: Box) -> None:
    box.database.write(accounts.change_quota, box.account.address, 3 * 20 + 100)

    async def journey() -> None:
        async with front(place, box) as told:
            file = Filer(box.store).file
            small, large = box.store.seal(b"x" * 50), box.store.seal(b"x" * 200)
            outcomes = await asyncio.gather(
                *(
                    told.database.write_together(file, Filing([each], [new_message(box, each.id, each.size)]))
                    for each in (large, small)
                ),
                return_exceptions=True,
            )
            assert isinstance(outcomes[0], QuotaExceededError)
            assert len(cast(Sequence[Any], outcomes[1])) == 1
            assert box.mailbox("INBOX").total == 4

    asyncio.run(journey())


def test_a_journal_entry_reaches_the_chain(place: Place, box: Box) -> None:
    async def journey() -> None:
        async with front(place, box) as told:
            entry = Entry(Event.SIGN_IN, "someone", {"protocol": "imap"}, {"ip": "192.0.2.1"})
            assert await told.database.write_together(journal.append, entry) > 0
        (last,) = box.database.read(lambda connection: journal.log(connection, newest=True, limit=1))
        assert (last.subject, last.personal) == ("someone", {"ip": "192.0.2.1"})
        assert box.database.read(journal.verify).broken_at is None

    asyncio.run(journey())


def test_what_is_no_verb_or_not_of_its_type_is_not_written(place: Place, box: Box) -> None:
    async def journey() -> None:
        async with front(place, box) as told:
            with pytest.raises(KeyError):
                await told.database.write_async(accounts.change_quota, box.account.address, 1)
            with pytest.raises(StorageFailure):
                await told.database.write_together(flags.change_all, cast(Any, {"mailbox_id": "DROP"}))
            with pytest.raises(TypeError):
                told.database.write(mailboxes.create, box.account.id, "x")
        assert box.placed()[0].flags == 0

    asyncio.run(journey())


def test_the_writer_catches_up_with_an_account_for_a_front(place: Place, box: Box) -> None:
    async def journey() -> None:
        async with front(place, box) as told:
            await told.desk.catch_up(box.account.id)
            assert CAUGHT_UP.pop() == box.account.id
            with pytest.raises(StorageFailure, match="no such account"):
                await told.desk.catch_up(0)

    asyncio.run(journey())
