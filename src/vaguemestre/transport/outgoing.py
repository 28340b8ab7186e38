"""Outgoing: a message as its author's program hands it over, completed and sealed as it streams in.

What it keeps true: nothing leaves under a name its author may not use, whatever the header says, and no header that
readers would read differently; blind copies stay blind; content stands in clear nowhere. Of a shared account, the copy that
is kept says which person wrote (colleagues see it, the recipients do not).

Flow: servers/submission, or `submission.submit` → `write` as content comes → `finish` → `submission.accept`.
Standards: RFC 6409 §6.1, §8; RFC 5321 §4.4 (trace); RFC 3848, RFC 6531 §4.3 (what it came by).
"""

from dataclasses import dataclass

import msgspec

from vaguemestre import clock, ids
from vaguemestre.documents import fields, submitted
from vaguemestre.documents.compose import new_message_id
from vaguemestre.documents.headers import Summary, split_head, summary
from vaguemestre.errors import VaguemestreError
from vaguemestre.mailstore.model import Account, AccountKind
from vaguemestre.storage.blobs import BlobStore, BlobWriter, Sealed

_HEAD_LIMIT = 262_144


class SenderRefusedError(VaguemestreError):
    """The author may not send as this address, or at all."""


class HeaderError(VaguemestreError):
    """The message's header cannot be sent as it is."""


class HeaderSizeError(HeaderError):
    """The header is larger than one may be."""

    def __init__(self) -> None:
        super().__init__(
            "Not sent. The message's header is too large: name fewer recipients in it.",
            "Message non envoyé. Son en-tête est trop grand : nommez-y moins de destinataires.",
        )


class MalformedHeaderError(HeaderError):
    """Something stands in the header that is no field."""

    def __init__(self) -> None:
        super().__init__(
            "Not sent. A line of the message's header is no header field: the program that wrote it must be corrected.",
            "Message non envoyé. Une ligne de son en-tête n'est pas un champ : le logiciel qui l'a écrit est à corriger.",
        )


class NoAuthorError(HeaderError):
    """A field that says who wrote names no address."""

    def __init__(self) -> None:
        super().__init__(
            "Not sent. The sender named in the message has no address: choose your own address as the sender.",
            "Message non envoyé. L'expéditeur indiqué n'a pas d'adresse : choisissez votre adresse d'expéditeur.",
        )


class TooLargeError(VaguemestreError):
    """The message is larger than this operator carries."""

    def __init__(self, limit: int) -> None:
        megabytes = limit // (1024 * 1024)
        super().__init__(
            f"Not sent. The message exceeds {megabytes} MB: send fewer or smaller attachments.",
            f"Message non envoyé. Il dépasse {megabytes} Mo : envoyez moins de pièces jointes, ou de plus petites.",
        )


@dataclass(frozen=True, slots=True)
class Author:
    """Who sends: from which account, as which addresses; `person` is who acts for a shared account, by name, or empty."""

    account: Account
    addresses: tuple[str, ...]
    person: str = ""
    person_id: str = ""

    @property
    def shared(self) -> bool:
        """Whether colleagues see what was sent."""
        return bool(self.person) and self.account.kind in (AccountKind.ORG, AccountKind.CAB)


class Written(msgspec.Struct, frozen=True):
    """A message wholly taken; `copy` is what is filed in Sent, or None: the same content, or one that says who wrote."""

    sealed: Sealed
    copy: Sealed | None
    summary: Summary
    eight_bit: bool


class Outgoing:
    """One message being handed over. `write` may touch the disk once `spooled`; then it belongs in a thread."""

    def __init__(
        self,
        store: BlobStore,
        author: Author,
        hostname: str,
        size_limit: int,
        *,
        keep_copy: bool = True,
        protocol: str = "",
    ) -> None:
        """`protocol`: what it came by, as a Received line names it (RFC 3848), or nothing where it came by none."""
        self._author = author
        self._protocol = protocol
        self._limit = size_limit
        self._hostname = hostname
        self._writer = store.writer()
        self._keep_copy = keep_copy
        self._copy = store.writer() if keep_copy and author.shared else None
        self._head = bytearray()
        self._summary: Summary | None = None
        self._eight_bit = False

    @property
    def spooled(self) -> bool:
        """Whether content goes to a file by now."""
        return self._writer.spooled

    def write(self, content: bytes) -> None:
        """Take content as it comes. Raises SenderRefusedError, HeaderError, TooLargeError, StorageFailure."""
        self._eight_bit = self._eight_bit or not content.isascii()
        if self._summary is not None:
            self._keep(content)
            return
        self._head += content
        end = split_head(bytes(self._head))
        if end < len(self._head):
            self._end_head(end)
        elif len(self._head) > _HEAD_LIMIT:
            raise HeaderSizeError

    def finish(self) -> Written:
        """Seal the end. Raises as `write` does; then nothing is kept."""
        try:
            if self._summary is None:
                self._end_head(len(self._head))
            assert self._summary is not None  # noqa: S101 - just made
            sealed = self._writer.finish()
            copy = self._copy.finish() if self._copy is not None else sealed if self._keep_copy else None
        except BaseException:
            self.abandon()
            raise
        return Written(sealed, copy, self._summary, self._eight_bit)

    def abandon(self) -> None:
        """Forget it."""
        self._writer.abandon()
        if self._copy is not None:
            self._copy.abandon()

    def _end_head(self, end: int) -> None:
        head, rest = bytes(self._head[:end]), bytes(self._head[end:])
        self._head.clear()
        self._check(head)
        account = self._author.account
        identifier = new_message_id(account.address.rpartition("@")[2])
        head = submitted.completed(head, (account.name, account.address), clock.now(), identifier)
        self._summary = summary(head)
        trace = _trace(self._hostname, self._protocol, self._writer)
        self._writer.write(trace, digested=False)
        if self._copy is not None:
            said = f"{self._author.person} <{self._author.person_id}>"
            self._copy.write(trace + fields.text_field(submitted.SENT_BY, said), digested=False)
        self._keep(head)
        self._keep(rest)

    def _check(self, head: bytes) -> None:
        if len(head) > _HEAD_LIMIT:
            raise HeaderSizeError
        if submitted.malformed(head):
            raise MalformedHeaderError
        for address in submitted.authors(head):
            if not address:
                raise NoAuthorError
            if address not in self._author.addresses:
                raise may_not_send_as(address)

    def _keep(self, content: bytes) -> None:
        self._writer.write(content)
        if self._copy is not None:
            self._copy.write(content)
        if self._writer.size > self._limit:
            raise TooLargeError(self._limit)


def may_not_send_as(address: str) -> SenderRefusedError:
    """Somebody writes as an address that is not theirs."""
    return SenderRefusedError(
        f"Not sent. You may not write as {address}: choose your own address as the sender.",
        f"Message non envoyé. Vous ne pouvez pas écrire en tant que {address} : choisissez votre adresse d'expéditeur.",
    )


def _trace(hostname: str, protocol: str, writer: BlobWriter) -> bytes:
    """A Received line: no address of the author's machine, which is nobody's business."""
    by = f"{hostname} (Vaguemestre){protocol and ' with ' + protocol}"
    return f"Received: by {by} id {ids.to_text(writer.id)};\r\n\t{clock.rfc5322(clock.now())}\r\n".encode()
