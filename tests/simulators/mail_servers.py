"""IMAP servers as checks see them: where one listens, who signs in, what it says that it can do. The same checks run on each.

`SERVERS` names those that are checked; `ours-postgresql` needs a database, and runs what is marked `both_stores` only. Any
other server is checked too where the environment names it: IMAP_SERVER=host:port (TLS at once), IMAP_CA=a PEM file of its
authority, IMAP_LOGINS=a file of logins, user and password a line; each login's mailboxes are emptied before they are used.
"""

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path

from simulators.dovecot import PASSWORD, Dovecot
from simulators.imap_peer import ImapPeer, Login, quoted
from simulators.operators import Operator
from simulators.ports import free_port
from simulators.space import SOUTH, TrustSpace
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import AccountKind
from vaguemestre.servers.imap import session

# What Dovecot 2.3 offers once signed in, with quotas and compression. A test asks it.
_DOVECOT = """
IMAP4REV1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS THREAD=ORDEREDSUBJECT
MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH
ESORT SEARCHRES WITHIN CONTEXT=SEARCH LIST-STATUS BINARY MOVE SNIPPET=FUZZY PREVIEW=FUZZY PREVIEW STATUS=SIZE SAVEDATE
LITERAL+ NOTIFY SPECIAL-USE COMPRESS=DEFLATE QUOTA
"""


@dataclass(slots=True)
class MailServer:
    """A running server. `starttls_port` is 0 where it is not to be tried; `restart` stops and starts it, its mail kept;
    `web_port` is where it tells mail programs of itself, by HTTPS, 0 where it does not."""

    name: str
    tls_port: int
    starttls_port: int
    context: ssl.SSLContext
    newcomer: Callable[[], Login]
    restart: Callable[[], None] | None = None
    web_port: int = 0
    processes: int = 1  # that serve sessions and share what only memory holds
    opened: list[ImapPeer] = field(default_factory=list)

    def connect(self) -> ImapPeer:
        """A connection over TLS, nobody signed in."""
        peer = ImapPeer.connect(self.tls_port, self.context, implicit=True)
        self.opened.append(peer)
        return peer

    def open(self, login: Login, mailbox: str = "") -> ImapPeer:
        """Sign in, and select a mailbox where one is named."""
        peer = self.connect()
        peer.login(login)
        if mailbox:
            peer.select(mailbox)
        return peer

    def close_sessions(self) -> None:
        """Cut every connection made here."""
        for each in self.opened:
            each.cut()
        self.opened.clear()


@contextmanager
def dovecot(space: TrustSpace, folder: Path) -> Iterator[MailServer]:
    """Debian's Dovecot."""
    del folder
    identity = space.identity(SOUTH)
    running = Dovecot(identity.certificate, identity.key, plugins=True, durable=False)
    numbers = count(1)
    try:
        running.start()
        context = ssl.create_default_context(cafile=str(space.authorities))
        yield MailServer(
            "dovecot",
            running.tls_port,
            running.port,
            context,
            lambda: Login(f"u{next(numbers)}", PASSWORD),
            running.restart,
        )
    finally:
        running.close()


@contextmanager
def ours(space: TrustSpace, folder: Path, database: str = "", fronts: int = 2) -> Iterator[MailServer]:
    """This project's, on a file of its own or on the PostgreSQL database of a URL, which has its tables.

    As `serve` runs it on several cores: sessions of one account are in several processes.
    """
    port = free_port(2)
    imap = {"listen": f"127.0.0.1:{port}", "listen_tls": f"127.0.0.1:{port + 1}"}
    storage, processes = {"database": database}, {"workers": fronts}
    operator = Operator(
        space, folder / "operator", SOUTH, imap=imap, smtp=processes, identity={"app_passwords": True}, storage=storage
    )
    start = operator.start_process if fronts else operator.start
    numbers = count(1)

    def newcomer() -> Login:
        person = f"u{next(numbers)}"
        operator.write(accounts.create, AccountKind.PER, SOUTH.address(person), person)
        return Login(*operator.let_in(person))

    def restart() -> None:
        operator.stop()
        start()

    try:
        start()
        context = ssl.create_default_context(cafile=str(space.authorities))
        name = "ours-postgresql" if database else "ours" if fronts else "ours-alone"
        yield MailServer(name, port + 1, port, context, newcomer, restart, processes=max(1, fronts))
    finally:
        operator.close()


def alone(space: TrustSpace, folder: Path) -> AbstractContextManager[MailServer]:
    """This project's, in one process."""
    return ours(space, folder, fronts=0)


@contextmanager
def other(space: TrustSpace, folder: Path) -> Iterator[MailServer]:
    """The server that the environment names."""
    del space, folder
    context = ssl.create_default_context(cafile=os.environ["IMAP_CA"])
    lines = Path(os.environ["IMAP_LOGINS"]).read_text("utf-8").splitlines()
    logins = cycle(Login(*line.split(" ", 1)) for line in lines)
    port = int(os.environ["IMAP_SERVER"].rpartition(":")[2])

    def newcomer() -> Login:
        login = next(logins)
        with ImapPeer.connect(port, context, implicit=True) as peer:
            peer.login(login)
            _empty(peer)
        return login

    yield MailServer("other", port, 0, context, newcomer)


def offers(name: str) -> frozenset[str]:
    """What a server says that it can do, in capitals."""
    if name == "dovecot":
        return frozenset(_DOVECOT.split())
    if name in ("ours", "ours-postgresql", "ours-alone"):
        return frozenset(
            each.upper() for each in (*session.ALWAYS, *session.SIGNED_IN, "COMPRESS=DEFLATE", "APPENDLIMIT")
        )
    context = ssl.create_default_context(cafile=os.environ["IMAP_CA"])
    login = Login(*Path(os.environ["IMAP_LOGINS"]).read_text("utf-8").splitlines()[0].split(" ", 1))
    with ImapPeer.connect(int(os.environ["IMAP_SERVER"].rpartition(":")[2]), context, implicit=True) as peer:
        peer.login(login)
        return peer.capabilities()


SERVERS = {"dovecot": dovecot, "ours": ours, "ours-postgresql": ours, "ours-alone": alone} | (
    {"other": other} if "IMAP_SERVER" in os.environ else {}
)


def _empty(peer: ImapPeer) -> None:
    for each in peer.ok('LIST "" *').of("LIST"):
        name = each.values[2]
        text = name.decode() if isinstance(name, bytes) else str(name)
        if text.upper() != "INBOX":
            peer.command(f"DELETE {quoted(text)}")
        else:
            peer.select()
            peer.command(r"STORE 1:* +FLAGS.SILENT (\Deleted)")
            peer.ok("EXPUNGE")
            peer.ok("CLOSE")
