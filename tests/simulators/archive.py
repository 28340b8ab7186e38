"""An archive to search: accounts whose messages are delivered, indexed and deleted in one line each."""

from collections.abc import Sequence

import sqlalchemy as sa

from vaguemestre.documents.headers import split_head, summary
from vaguemestre.mailstore import accounts, concordances, indexing, mailboxes, messages, placements, queries, search
from vaguemestre.mailstore.extraction import Extractor
from vaguemestre.mailstore.indexer import Indexer
from vaguemestre.mailstore.model import AccountKind, NewMessage, Role
from vaguemestre.mailstore.search import Field
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

MARIE, KARIM = "marie@a.mssante.fr", "karim@a.mssante.fr"


class Archive:
    """Marie's and Karim's accounts on one store."""

    def __init__(self, database: Database, store: BlobStore, extractor: Extractor) -> None:
        self.database = database
        self.store = store
        self.extractor = extractor
        self.indexer = Indexer(database, store, extractor)
        self.accounts = {
            address: database.write(accounts.create, AccountKind.PER, address, address).id for address in (MARIE, KARIM)
        }

    def deliver(self, *contents: bytes | str, to: str = MARIE) -> list[int]:
        """Put messages in an inbox; their identifiers, in order."""
        return self.database.write(self._deliver, [_octets(each) for each in contents], self.accounts[to])

    def _deliver(self, connection: sa.Connection, contents: Sequence[bytes], account_id: int) -> list[int]:
        inbox = mailboxes.with_role(connection, account_id, Role.INBOX)
        sealed = [self.store.seal(content) for content in contents]
        self.store.insert(connection, sealed)
        new = [
            NewMessage(account_id, inbox.id, each.id, each.size, 1_000, summary(content[: split_head(content)]))
            for each, content in zip(sealed, contents, strict=True)
        ]
        return [put.message_id for put in messages.append(connection, new)]

    def index(self) -> int:
        """Index all that waits; how many messages did."""
        total = 0
        while count := self.indexer.work():
            total += count
        return total

    def delete(self, *message_ids: int, of: str = MARIE) -> None:
        """Expunge messages."""
        self.database.write(self._delete, list(message_ids), self.accounts[of])

    def _delete(self, connection: sa.Connection, message_ids: list[int], account_id: int) -> None:
        inbox = mailboxes.with_role(connection, account_id, Role.INBOX)
        uids = [placed[0] for placed in queries.ALL_PLACED.run(connection, inbox.id) if placed[1] in message_ids]
        placements.expunge(connection, inbox.id, uids, only_deleted=False)

    def find(self, text: str, field: Field = Field.TEXT, *, of: str = MARIE, among: set[int] | None = None) -> set[int]:
        """The messages that hold a text."""
        return self.database.read(
            lambda connection: search.matching(
                connection, self.store, self.accounts[of], field, text, among, extractor=self.extractor
            )
        )

    def find_field(self, name: str, text: str = "", *, among: set[int] | None = None) -> set[int]:
        """Marie's messages with a field that holds a text."""
        return self.database.read(search.header_matching, self.store, self.accounts[MARIE], name, text, among)

    def held(self, *, of: str = MARIE) -> list[int]:
        """The message of each entry of an account's concordances, deleted ones too."""
        return self.database.read(self._held, self.accounts[of])

    def _held(self, connection: sa.Connection, account_id: int) -> list[int]:
        ring = self.store.ring
        return [owner for opened, _ in concordances.opened(connection, ring, account_id) for owner in opened.owners]

    def octets(self, *, of: str = MARIE) -> bytes:
        """All that an account's concordances say, opened."""
        return self.database.read(self._octets, self.accounts[of])

    def _octets(self, connection: sa.Connection, account_id: int) -> bytes:
        kept = concordances.of_account(connection, account_id)
        return b"".join(concordances.whole(connection, self.store.ring, each) for each in kept)

    def waiting(self, of: str | None = None) -> int:
        """How many messages are not indexed."""
        return self.database.read(indexing.pending, self.accounts[of] if of else None)


def _octets(content: bytes | str) -> bytes:
    return content if isinstance(content, bytes) else content.replace("\n", "\r\n").encode()
