"""APPEND: messages filed by their reader, sealed as they stream in.

What it keeps true: content is in clear nowhere; all messages of one APPEND are filed in one transaction or none is
(RFC 3502 §3); a refusal comes before the client sends what it would send in vain, wherever the protocol lets it.

A message that was not written in lines ended by CRLF is kept as it came, whatever it is: a mailbox takes what its owner
files. CATENATE's parts (RFC 4469) come from the client or from messages of the same account.
Standards: RFC 9051 §6.3.12, RFC 3502, RFC 4469, RFC 4315 §3, RFC 7889, RFC 6855 §4.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from vaguemestre import clock, log
from vaguemestre.documents.headers import HEAD_LIMIT, Summary, split_head, summary
from vaguemestre.identity.model import Rights
from vaguemestre.mailstore import accounts, mailboxes
from vaguemestre.mailstore.filing import Filing
from vaguemestre.mailstore.model import Flag, Mailbox, NewMessage, QuotaExceededError, UnknownMailboxError
from vaguemestre.protocols.imap import events, response_codes
from vaguemestre.servers.imap import urls
from vaguemestre.servers.imap.answers import Answer
from vaguemestre.servers.imap.errors import AnswerError, outcome, refusal
from vaguemestre.servers.imap.store import split_flags
from vaguemestre.storage.blobs import BlobWriter, Sealed

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Session

_SPOOL_STEP = 262_144
_MOST_MESSAGES = 1000
_log = log.get("servers.imap.append")


class Message:
    """One message being filed."""

    def __init__(self, event: events.AppendMessage, writer: BlobWriter) -> None:
        self.writer = writer
        self.flags, self.keywords = split_flags(event.flags)
        self.date = event.date
        self.head = bytearray()

    def write(self, data: bytes) -> None:
        """Take content. May wait for the disk once `writer.spooled`. Raises StorageFailure."""
        if len(self.head) < HEAD_LIMIT:
            self.head += data[: HEAD_LIMIT - len(self.head)]
        self.writer.write(data)

    def finish(self, data: bytes) -> "Whole":
        """Seal the end. Raises StorageFailure."""
        if data:
            self.write(data)
        head = bytes(self.head)
        return Whole(self, self.writer.finish(), summary(head[: split_head(head)]))


class Whole:
    """A message that came in whole."""

    def __init__(self, message: Message, sealed: Sealed, noted: Summary) -> None:
        self.flags: Flag = message.flags
        self.keywords = message.keywords
        self.date = message.date
        self.sealed = sealed
        self.noted = noted


class Appending:
    """One APPEND, from its mailbox's name to its answer."""

    def __init__(self, session: "Session", event: events.AppendStarts) -> None:
        self._session = session
        self._tag = event.tag
        self._name = event.mailbox
        self._mailbox: Mailbox | None = None
        self._room = 0
        self._size = 0
        self._message: Message | None = None
        self._wholes: list[Whole] = []
        self._held = bytearray()

    async def take(self, event: events.Event) -> None:
        """The next thing that the client sends."""
        session = self._session
        try:
            match event:
                case events.AppendMessage():
                    await self._begin(event)
                case events.AppendLiteral():
                    self._offered(event.size)
                    session.machine.accept_literal()
                case events.AppendContent():
                    await self._content(event.data)
                case events.AppendUrl():
                    await self._from_url(event.url)
                case events.AppendMessageEnds():
                    await self._finish()
                case events.AppendEnds():
                    answer = await self._file()
                    session.appending = None
                    session.answer(self._tag, None, answer)
                    session.machine.answered()
        except Exception as error:
            if session.appending is self:
                session.appending = None
            self.abandon()
            if isinstance(event, events.AppendEnds):
                session.refuse(self._tag, error)
                session.machine.answered()
            else:
                session.machine.refuse_append(refusal(self._tag, error))
            session.trace_refused("APPEND", outcome(error))

    def abandon(self) -> None:
        """Forget what came."""
        if self._message is not None:
            self._message.writer.abandon()
            self._message = None
        self._wholes = []  # what of them is in packs or objects has no row: it is swept

    async def _begin(self, event: events.AppendMessage) -> None:
        session = self._session
        if self._mailbox is None:
            session.may(Rights.WRITE)
            try:
                self._mailbox, self._room = await session.service.database.read_at_once(
                    _target, session.account().account.id, self._name
                )
            except UnknownMailboxError as error:
                raise AnswerError("NO", b"TRYCREATE", error.en, error.fr) from error
        if len(self._wholes) >= _MOST_MESSAGES:
            raise AnswerError("NO", b"LIMIT", f"At most {_MOST_MESSAGES} messages at once.")
        self._size = 0
        self._message = Message(event, session.service.blobs.writer())

    def _offered(self, size: int) -> None:
        """A part of `size` octets is announced: refuse what is too large, or has no room."""
        limit = self._session.service.limits.message_size
        self._size += size
        if self._size > limit:
            raise AnswerError(
                "NO",
                b"TOOBIG",
                f"A message has {limit // 1_000_000} MB at most.",
                f"Un message a {limit // 1_000_000} Mo au plus.",
            )
        taken = sum(whole.sealed.size for whole in self._wholes) + self._size
        if taken > self._room:
            raise QuotaExceededError

    async def _content(self, data: bytes) -> None:
        message = self._message
        if message is None:
            return
        if not message.writer.spooled:
            message.write(data)
            return
        self._held += data
        if len(self._held) >= _SPOOL_STEP:
            held, self._held = bytes(self._held), bytearray()
            await self._session.aside(message.write, held)

    async def _from_url(self, url: str) -> None:
        """A part that is in the mailstore already (RFC 4469 §3)."""
        reader = await urls.find(self._session, url)
        self._offered(reader.size)
        chunks = iter(reader.chunks())
        while (chunk := await self._session.aside(_next, chunks)) is not None:
            await self._content(chunk)

    async def _finish(self) -> None:
        message = self._message
        if message is None:
            return
        held, self._held = bytes(self._held), bytearray()
        if message.writer.spooled:
            whole = await self._session.aside(message.finish, held)
        else:
            whole = message.finish(held)
        if not whole.sealed.size:
            raise AnswerError("NO", b"", "An empty message is not kept.", "Un message vide n'est pas conservé.")
        self._message = None
        self._wholes.append(whole)

    async def _file(self) -> Answer:
        session, mailbox = self._session, self._mailbox
        assert mailbox is not None  # noqa: S101 - a message began before the end
        now = clock.now_ms()
        filing = Filing(
            [whole.sealed for whole in self._wholes],
            [
                NewMessage(
                    session.account().account.id,
                    mailbox.id,
                    whole.sealed.id,
                    whole.sealed.size,
                    whole.date if whole.date is not None else now,
                    whole.noted,
                    whole.flags,
                    whole.keywords,
                    now,
                )
                for whole in self._wholes
            ],
        )
        appended = await session.service.database.write_together(session.service.filer.file, filing)
        session.trace("append", mailbox.name, len(appended))
        self._wholes = []
        code = response_codes.append_uid(mailbox.uid_validity, [each.uid for each in appended])
        return Answer("APPEND", code)


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)


def _target(connection: sa.Connection, account_id: int, name: str) -> tuple[Mailbox, int]:
    """Where the messages go, and how many octets there is room for."""
    return mailboxes.named(connection, account_id, name), accounts.room(connection, account_id)
