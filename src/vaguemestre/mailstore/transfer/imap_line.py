"""A line to another operator's IMAP server: over TLS that is verified, and bounded whatever the server says.

What holds here: the secret is sent once the certificate is verified for the host asked for, and stands in no error; a
server that sends more than a command may be answered is left; mailboxes are opened to be read only. The standard library
speaks, `imap_answers` reads.

Standards: RFC 3501, RFC 9051; RFC 2342 (namespaces), RFC 6154 (special use); RFC 4616 (PLAIN), XOAUTH2.
"""

import imaplib
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from vaguemestre.documents.encoded_words import printable
from vaguemestre.errors import VaguemestreError
from vaguemestre.mailstore.transfer import imap_answers
from vaguemestre.mailstore.transfer.imap_answers import Described, Listed

Result = TypeVar("Result")

_TIMEOUT_S = 60
_LARGEST_ANSWER = 96 * 1024 * 1024  # of all that one command is answered; two million UIDs take some 60
_DESCRIPTION = "(UID FLAGS INTERNALDATE RFC822.SIZE)"


class RemoteError(VaguemestreError):
    """The other operator's server cannot be used; the sentence says why."""


class LineLostError(RemoteError):
    """The line broke, or cannot be made: it may be tried again."""

    def __init__(self, host: str, why: str, *, made: bool = True) -> None:
        if not made:
            super().__init__(
                f"{host} cannot be reached ({why}). Check the name, the port, and whether it speaks TLS at once or STARTTLS.",
                f"{host} est injoignable ({why}). Vérifiez le nom, le port, et s'il parle TLS d'emblée ou STARTTLS.",
            )
            return
        super().__init__(
            f"The connection to {host} was lost ({why}). Run the command again: it goes on where it stopped.",
            f"La connexion à {host} a été perdue ({why}). Relancez la commande : elle reprend où elle s'était arrêtée.",
        )


class RefusedError(RemoteError):
    """The server refused one command; the next may go."""

    def __init__(self, host: str, said: str) -> None:
        super().__init__(
            f"{host} refused what was asked of it: {said}", f"{host} a refusé ce qui lui était demandé : {said}"
        )


class SignInError(RemoteError):
    """The server does not let us in."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} refused the name or the secret. Check them; the name is often the address.",
            f"{host} a refusé l'identifiant ou le secret. Vérifiez-les ; l'identifiant est souvent l'adresse.",
        )


class Server(msgspec.Struct, frozen=True):
    """Where to connect and as whom. `token`: the secret is an OAuth access token. `ca`: a PEM file; the system's without."""

    host: str
    port: int
    implicit: bool
    user: str
    secret: str
    token: bool = False
    ca: str | None = None

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port})"


class _Counting(imaplib.IMAP4):
    """Counts what the server sends since `received` was set to 0."""

    received = 0

    def read(self, size: int) -> bytes:
        self._count(size)
        return super().read(size)

    def readline(self) -> bytes:
        line = super().readline()
        self._count(len(line))
        return line

    def _count(self, size: int) -> None:
        self.received += size
        if self.received > _LARGEST_ANSWER:
            raise imaplib.IMAP4.abort("it sends more than was asked of it")


class _CountingImplicit(_Counting, imaplib.IMAP4_SSL):
    """The same, with TLS from the first octet."""


class ImapLine:
    """One connection, signed in. Every method raises RemoteError, LineLostError where it may be tried again."""

    def __init__(self, server: Server) -> None:
        """Connect and sign in. Raises SignInError too."""
        self._server = server
        self._made = False
        self._line = self._guarded(self._connect)
        self._made = True
        try:
            self._sign_in()
            self._capabilities = self._ask_capabilities()
        except BaseException:
            self.close()
            raise

    def listing(self) -> list[Listed]:
        """The mailboxes of the account itself, but for those that only show messages of others."""
        spaces: list[Any] = []
        if "NAMESPACE" in self._capabilities:
            spaces = self._command("NAMESPACE")
        wanted = ("RETURN", "(SPECIAL-USE)") if {"SPECIAL-USE", "LIST-EXTENDED"} <= self._capabilities else ()
        found = self._command("LIST", '""', '"*"', *wanted)
        return self._guarded(lambda: imap_answers.listed(found, spaces))

    def subscribed(self) -> frozenset[bytes]:
        """The mailboxes that the person's programs are to show, as the wire spells them."""
        found = self._command("LSUB", '""', '"*"')
        return self._guarded(lambda: frozenset(each.wire for each in imap_answers.listed(found, [])))

    def count(self, wire: bytes) -> int:
        """How many messages a mailbox has; 0 where the server does not say."""
        found = self._command("STATUS", _quoted(wire), "(MESSAGES)")
        return self._guarded(lambda: imap_answers.count(found))

    def examine(self, wire: bytes) -> tuple[int, int]:
        """Open a mailbox without changing anything: its UIDVALIDITY and the count of its messages."""

        def select() -> tuple[Any, Any, Any]:
            name: Any = _quoted(wire)
            return (*self._line.select(name, readonly=True), self._line.response("UIDVALIDITY")[1])

        self._line.received = 0
        said, count, validity = self._guarded(select)
        if said != "OK":
            raise self._refused(count)
        return self._guarded(lambda: (int(validity[0] or 0), int(count[0] or 0)))

    def uids(self) -> list[int]:
        """The UIDs of the mailbox that is open, in order."""
        return sorted({each.uid for each in self._fetch("1:*", "(UID)")})

    def describe(self, uids: Sequence[int]) -> list[Described]:
        """What the server says of messages of the mailbox that is open, without their content."""
        return self._fetch(_among(uids), _DESCRIPTION)

    def bodies(self, uids: Sequence[int]) -> list[Described]:
        """The content of messages, whole."""
        return self._fetch(_among(uids), "(UID BODY.PEEK[])")

    def body(self, uid: int, start: int, length: int) -> bytes | None:
        """At most `length` octets of a message's content, from `start`; None where the server gives none."""
        found = [each for each in self._fetch(str(uid), f"(UID BODY.PEEK[]<{start}.{length}>)") if each.uid == uid]
        return found[-1].body if found else None

    def close(self) -> None:
        """Say goodbye."""
        with suppress(imaplib.IMAP4.error, OSError, ValueError):
            self._line.logout()
        self.cut()

    def cut(self) -> None:
        """End it without a word."""
        with suppress(OSError, ValueError):
            self._line.shutdown()

    def _connect(self) -> _Counting:
        server = self._server
        context = ssl.create_default_context(cafile=server.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if server.implicit:
            return _CountingImplicit(server.host, server.port, ssl_context=context, timeout=_TIMEOUT_S)
        line = _Counting(server.host, server.port, timeout=_TIMEOUT_S)
        try:
            line.starttls(context)
        except BaseException:
            line.shutdown()
            raise
        return line

    def _sign_in(self) -> None:
        server, line = self._server, self._line
        if server.token:
            mechanism, answer = "XOAUTH2", f"user={server.user}\1auth=Bearer {server.secret}\1\1"
        else:
            mechanism, answer = "PLAIN", f"\0{server.user}\0{server.secret}"
        answers = iter([answer.encode()])  # to a second question, which tells of a failure, nothing
        try:
            if server.token or "AUTH=PLAIN" in line.capabilities:
                self._guarded(lambda: line.authenticate(mechanism, lambda _: next(answers, b"")))
            else:
                self._guarded(lambda: line.login(_quoted(server.user.encode()).decode("latin-1"), server.secret))
        except RefusedError as error:
            raise SignInError(server.host) from error

    def _ask_capabilities(self) -> frozenset[str]:
        words = self._guarded(self._line.capability)[1]
        return frozenset(b" ".join(word for word in words if word).decode("ascii", "replace").upper().split())

    def _fetch(self, uids: str, items: str) -> list[Described]:
        found = self._command("UID", "FETCH", uids, items, answers="FETCH")
        return self._guarded(lambda: imap_answers.described(found))

    def _command(self, name: str, *arguments: str | bytes, answers: str = "") -> list[Any]:
        """What a command was answered, untagged: parsed values. Raises RemoteError where it was refused."""

        def run() -> tuple[str, list[Any], list[Any]]:
            said, why = self._line.xatom(name, *arguments)  # type: ignore[arg-type]
            return said, why, self._line.response(answers or name)[1]

        self._line.received = 0
        self._guarded(lambda: self._line.response(answers or name))  # what was said unasked before
        said, why, found = self._guarded(run)
        if said != "OK":
            raise self._refused(why)
        return self._guarded(lambda: imap_answers.values(found))

    def _guarded(self, run: Callable[[], Result]) -> Result:
        host = self._server.host
        try:
            return run()
        except ssl.SSLCertVerificationError as error:
            raise RemoteError(
                f"The certificate of {host} is not to be trusted: {error.verify_message}. Nothing was sent.",
                f"Le certificat de {host} n'est pas digne de confiance : {error.verify_message}. Rien n'a été envoyé.",
            ) from error
        except (imaplib.IMAP4.abort, OSError) as error:
            raise LineLostError(host, printable(str(error))[:200], made=self._made) from error
        except imaplib.IMAP4.error as error:
            raise self._refused([str(error).encode()]) from error
        except (ValueError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise LineLostError(host, "what it says cannot be read", made=self._made) from error

    def _refused(self, why: Sequence[Any]) -> RefusedError:
        said = b" ".join(each for each in why if isinstance(each, bytes)).decode("utf-8", "replace")
        return RefusedError(self._server.host, printable(said)[:200])


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _among(uids: Sequence[int]) -> str:
    """A set of UIDs, neighbours as ranges."""
    ranges: list[list[int]] = []
    for uid in uids:
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1][1] = uid
        else:
            ranges.append([uid, uid])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in ranges)
