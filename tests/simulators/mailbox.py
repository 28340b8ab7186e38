"""A mailbox account for tests of the mailstore: short ways to fill it, and what a mail program would see of it."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from vaguemestre.documents.headers import Summary
from vaguemestre.mailstore import accounts, changes, flags, integrity, mailboxes, messages, placements
from vaguemestre.mailstore.changes import MailboxChange, Placed
from vaguemestre.mailstore.flags import Change, FlagsChanged
from vaguemestre.mailstore.model import NO_FLAGS, AccountKind, Appended, Flag, Mailbox, NewMessage
from vaguemestre.mailstore.placements import Copied, Expunged
from vaguemestre.storage import blobs
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

ADDRESS = "cabinet@a.mssante.fr"
SIZE = 20


class Box:
    """An account, through one Database. `facts` are those told since it was made."""

    def __init__(
        self, database: Database, store: BlobStore, address: str = ADDRESS, *, own_reading: bool = False
    ) -> None:
        self.database = database
        self.store = store
        self.facts: list[object] = []
        self.account = database.write(accounts.create, AccountKind.CAB, address, "Cabinet")
        if own_reading:
            database.write(accounts.change_own_reading, address, True)
        self.inbox = self.id("INBOX")
        database.listen(self.facts.extend)

    def id(self, name: str) -> int:
        """The identifier of a mailbox."""
        return self.mailbox(name).id

    def mailbox(self, name: str, reader: int = 0) -> Mailbox:
        """A mailbox as it is."""
        return self.database.read(mailboxes.status, self.account.id, name, reader)

    def names(self) -> list[str]:
        """Names of all mailboxes but the special-use ones, sorted."""
        found = self.database.read(mailboxes.listing, self.account.id)
        return sorted(each.name for each in found if each.role is None)

    def content(self, content: bytes = b"x" * SIZE) -> int:
        """New content; its identifier."""
        sealed = self.store.seal(content)
        self.database.write(blobs.insert, [sealed])
        return sealed.id

    def append(self, mailbox: str = "INBOX", count: int = 1, **facts: Any) -> list[Appended]:
        """Append messages, each of its own content but where `blob_id` says."""
        wanted = {"size": SIZE, "received_at": 1_000, "summary": Summary(), **facts}
        known = {"account_id": self.account.id, "mailbox_id": self.id(mailbox)}
        new = [NewMessage(**{**known, "blob_id": 0, **wanted}) for _ in range(count)]
        if "blob_id" not in facts:
            new = [msgspec.structs.replace(each, blob_id=self.content()) for each in new]
        return self.database.write(messages.append, new)

    def change(
        self,
        uids: Iterable[int],
        how: Change,
        marks: Flag = NO_FLAGS,
        *keywords: str,
        mailbox: str = "INBOX",
        **more: Any,
    ) -> FlagsChanged:
        """Change marks of messages."""
        known = self.id(mailbox)
        return self.database.write(
            flags.change, flags.Wanted(known, list(uids), how, marks, frozenset(keywords), **more)
        )

    def copy(self, uids: Iterable[int], target: str, source: str = "INBOX") -> Copied:
        """Copy messages."""
        return self.database.write(placements.copy, self.id(source), list(uids), self.id(target))

    def move(self, uids: Iterable[int], target: str, source: str = "INBOX") -> Copied:
        """Move messages."""
        return self.database.write(placements.move, self.id(source), list(uids), self.id(target))

    def expunge(
        self, uids: Sequence[int] | None = None, mailbox: str = "INBOX", *, only_deleted: bool = False
    ) -> Expunged:
        """Expunge messages; objects are not discarded."""
        known = self.id(mailbox)
        return self.database.write(
            lambda connection: placements.expunge(connection, known, uids, only_deleted=only_deleted)
        )

    def create(self, name: str) -> Mailbox:
        """Make a mailbox."""
        return self.database.write(mailboxes.create, self.account.id, name)

    def rename(self, name: str, new_name: str) -> None:
        """Rename a mailbox."""
        self.database.write(mailboxes.rename, self.account.id, name, new_name)

    def delete(self, name: str) -> list[str]:
        """Delete a mailbox; objects are not discarded."""
        return self.database.write(mailboxes.delete, self.account.id, name)

    def placed(self, mailbox: str = "INBOX", reader: int = 0) -> list[Placed]:
        """Every message of a mailbox."""
        return rows(self.database.read(changes.load, self.id(mailbox), reader))

    def since(self, modseq: int, mailbox: str = "INBOX", reader: int = 0) -> tuple[list[Placed], list[int], bool]:
        """What became of a mailbox."""
        return self.database.read(changes.since, self.id(mailbox), modseq, reader)

    def told(self, mailbox: str = "INBOX") -> list[MailboxChange]:
        """Facts told of a mailbox."""
        mailbox_id = self.id(mailbox)
        return [fact for fact in self.facts if isinstance(fact, MailboxChange) and fact.mailbox_id == mailbox_id]

    def anomalies(self) -> dict[str, list[str]]:
        """What `integrity` finds."""
        found = self.database.read(integrity.check, self.store, _ignore)
        return {kind: sentences for kind, sentences in found.items() if sentences}


def rows(loaded: changes.Loaded) -> list[Placed]:
    """The columns of a loaded mailbox, as rows."""
    columns = (
        loaded.uids,
        loaded.message_ids,
        loaded.blob_ids,
        loaded.thread_ids,
        loaded.modseqs,
        loaded.flags,
        loaded.keywords,
        loaded.sizes,
        loaded.received_at,
        loaded.saved_at,
    )
    return [Placed(*values) for values in zip(*columns, strict=True)]


def applied(before: dict[int, Placed], placed: Iterable[Placed], expunged: Iterable[int]) -> dict[int, Placed]:
    """A mailbox after some changes, by UID."""
    gone = set(expunged)
    after = before | {each.uid: each for each in placed}
    return {uid: each for uid, each in after.items() if uid not in gone}


def _ignore(_: int) -> None:
    """Nobody watches the progress of a check."""
