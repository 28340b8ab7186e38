"""Filing: messages that their reader puts into a mailbox, whose content is sealed already.

What it keeps true: all messages of one filing are filed, or none is; content is durable before a row points to it.
"""

from collections.abc import Sequence
from itertools import islice

import msgspec
import sqlalchemy as sa

from vaguemestre.mailstore import messages
from vaguemestre.mailstore.model import Appended, NewMessage
from vaguemestre.storage.blobs import BlobStore, Sealed


class Filing(msgspec.Struct, frozen=True):
    """Messages, and their contents in the same order."""

    sealed: list[Sealed]
    new: list[NewMessage]


class Filer:
    """Files messages whose contents are in a store."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def file(self, connection: sa.Connection, filings: Sequence[Filing]) -> list[list[Appended]]:
        """Several filings (`Database.write_together`). Raises as `messages.append` within quota, and then files none."""
        self._store.insert(connection, [sealed for filing in filings for sealed in filing.sealed])
        new = [message for filing in filings for message in filing.new]
        appended = iter(messages.append(connection, new, within_quota=True))
        return [list(islice(appended, len(filing.new))) for filing in filings]
