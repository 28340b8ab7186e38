"""Verbs: the writes that front processes may ask of the writer, by name, with what goes and comes across the line.

What it keeps true: a front has nothing written but by a function of this list, with an argument of its type.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry
from vaguemestre.identity import app_passwords, traces
from vaguemestre.mailstore import flags, mailboxes, placements, structures
from vaguemestre.mailstore.filing import Filer, Filing
from vaguemestre.mailstore.flags import FlagsChanged
from vaguemestre.mailstore.model import Appended, Mailbox
from vaguemestre.mailstore.placements import Copied, Expunged
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database


class Verb:
    """A function given to `write_async`, whose arguments are `argument`, a tuple; or, `together`, to `write_together`."""

    def __init__(self, fn: Callable[..., Any], argument: Any, result: Any, *, together: bool = False) -> None:
        self.name = name(fn)
        self._fn = fn
        self._together = together
        self.read_argument = msgspec.msgpack.Decoder(argument).decode
        self.read_result = msgspec.msgpack.Decoder(result).decode

    def run(self, database: Database, argument: Any) -> "asyncio.Future[Any]":
        """Have it written. Raises StorageFailure."""
        if self._together:
            return database.write_together(self._fn, argument)
        return asyncio.ensure_future(database.write_async(self._fn, *argument))


class Errand:
    """What a front asks for that is no write of its own: a coroutine of the writer's, with an argument, that gives nothing."""

    def __init__(self, name: str, fn: Callable[[Any], Awaitable[None]], argument: Any) -> None:
        self.name = name
        self._fn = fn
        self.read_argument = msgspec.msgpack.Decoder(argument).decode
        self.read_result = msgspec.msgpack.Decoder(None).decode

    def run(self, database: Database, argument: Any) -> "asyncio.Future[Any]":
        """Have it done."""
        del database
        return asyncio.ensure_future(self._fn(argument))


CATCH_UP = "catch_up"


def name(fn: Callable[..., Any]) -> str:
    """How a function is named on the line."""
    return f"{fn.__module__}.{fn.__qualname__}"


def of_mail_programs(store: BlobStore, catch_up: Callable[[int], Awaitable[None]]) -> dict[str, Verb | Errand]:
    """What sessions of mail programs write, and their signing in; and `catch_up`, which has an account's words indexed."""
    account_and_name = tuple[int, str]
    verbs: Sequence[Verb | Errand] = (
        Errand(CATCH_UP, catch_up, int),
        Verb(flags.change_all, flags.Wanted, FlagsChanged, together=True),
        Verb(placements.expunge_deleted, tuple[int, list[int]], Expunged, together=True),
        Verb(Filer(store).file, Filing, list[Appended], together=True),
        Verb(structures.keep_all, dict[int, bytes], None, together=True),
        Verb(placements.copy, tuple[int, list[int], int], Copied),
        Verb(placements.move, tuple[int, list[int], int], Copied),
        Verb(mailboxes.create, account_and_name, Mailbox),
        Verb(mailboxes.rename, tuple[int, str, str], None),
        Verb(mailboxes.delete, account_and_name, list[str]),
        Verb(mailboxes.subscribe, account_and_name, None),
        Verb(mailboxes.unsubscribe, account_and_name, None),
        Verb(journal.append, Entry, int, together=True),
        Verb(traces.append, list[traces.Row], None, together=True),
        Verb(app_passwords.note_use, tuple[int, int], None, together=True),
    )
    return {verb.name: verb for verb in verbs}
