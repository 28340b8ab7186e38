"""The composition of what mail programs reach: from a Config to servers that listen, for those that read and those that send.

Imports of what not every process needs stand where it is made.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from OpenSSL import SSL

from vaguemestre import jobs
from vaguemestre.config import Imap, Ldap, address
from vaguemestre.config import Submission as Sending
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.jobs import Job
from vaguemestre.mailstore.views import Views
from vaguemestre.servers.limits import Admittance, ServerLimits, SharedAdmittance
from vaguemestre.servers.listener import Listener
from vaguemestre.servers.sign_in import SignIn
from vaguemestre.servers.stream import Stream
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.transport.submission import Submission

Shared = dict[str, tuple[socket.socket, Admittance]]
"""Sockets that processes share, by the name of their port, with what counts the connections of all of them."""

_POLL_S = 1.0  # what another process files, such as `vaguemestre send`, is seen this much later
_READING = ("imap", "imaps")


def share(imap: Imap, stack: contextlib.ExitStack) -> Shared:
    """Open the ports of programs that read, for processes that are about to be forked. Raises OSError.

    `stack` closes what only they need.
    """
    found: Shared = {}
    for name, place in zip(_READING, (imap.listen, imap.listen_tls), strict=True):
        if place:
            admittance = stack.enter_context(contextlib.closing(SharedAdmittance(_reading_limits(imap))))
            found[name] = socket_at(place), admittance
    return found


@contextlib.asynccontextmanager
async def reading(
    hostname: str,
    imap: Imap,
    shared: Shared,
    database: Database,
    blobs: BlobStore,
    door: SignIn,
    context: SSL.Context,
    catch_up: Callable[[int], Awaitable[None]],
) -> AsyncIterator[dict[str, int]]:
    """Serve programs that read, on ports of its own or on those that processes share."""
    from vaguemestre.mailstore.filing import Filer  # noqa: PLC0415
    from vaguemestre.mailstore.structures import Keeper  # noqa: PLC0415
    from vaguemestre.servers.imap.kept_texts import KeptTexts  # noqa: PLC0415
    from vaguemestre.servers.imap.session import MailAccess  # noqa: PLC0415
    from vaguemestre.servers.imap.session import Session as Reading  # noqa: PLC0415
    from vaguemestre.servers.imap.table import HANDLERS  # noqa: PLC0415

    limits = _reading_limits(imap)
    texts = KeptTexts()
    views, keeper = Views(database, texts.forget), Keeper(database)
    service = MailAccess(
        hostname,
        context,
        door,
        database,
        blobs,
        Filer(blobs),
        views,
        texts,
        keeper,
        limits,
        HANDLERS,
        catch_up,
    )
    polling = asyncio.create_task(jobs.run([Job("look for what other processes wrote", _POLL_S, views.poll)]))
    try:
        async with listening(_READING, imap, limits, partial(Reading, service), shared) as ports:
            yield ports
    finally:
        keeper.write()
        polling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await polling


@contextlib.asynccontextmanager
async def sending(
    hostname: str,
    submission: Sending,
    door: SignIn,
    context: SSL.Context,
    accepting: Submission,
    recorder: Recorder,
    queued: Callable[[], None],
) -> AsyncIterator[dict[str, int]]:
    """Serve programs that send; gives the ports. `queued` is called when mail is."""
    from vaguemestre.servers.submission import MailSending, SubmissionSession  # noqa: PLC0415

    limits = ServerLimits(
        connections=submission.connections,
        connections_per_address=submission.connections_per_address,
        message_size=submission.message_size,
        recipients=submission.recipients,
    )
    service = MailSending(hostname, context, door, accepting, recorder, limits, queued)
    session = partial(SubmissionSession, service)
    async with listening(("submission", "submissions"), submission, limits, session) as ports:
        yield ports


@contextlib.asynccontextmanager
async def listening(
    names: tuple[str, str],
    where: Imap | Sending | Ldap,
    limits: ServerLimits,
    session: Callable[..., Stream],
    shared: Shared | None = None,
) -> AsyncIterator[dict[str, int]]:
    """Take connections where they begin in clear, and where with TLS; gives the ports by these names.

    `shared`: sockets that are open already, with what counts the connections of all who take them.
    """
    ports, listeners = {}, []
    for name, place, tls_first in zip(names, (where.listen, where.listen_tls), (False, True), strict=True):
        if place:
            found, admittance = (shared or {}).get(name) or (socket_at(place), None)
            ports[name] = int(found.getsockname()[1])
            listeners.append(Listener(found, limits, partial(session, tls_first=tls_first), admittance))
    for listener in listeners:
        await listener.start()
    try:
        yield ports
    finally:
        await asyncio.gather(*(listener.stop() for listener in listeners))


def socket_at(listen: str) -> socket.socket:
    """A socket that listens at host:port. Raises OSError, ConfigurationError."""
    host, port = address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)


def _reading_limits(imap: Imap) -> ServerLimits:
    return ServerLimits(
        connections=imap.connections,
        connections_per_address=imap.connections_per_address,
        message_size=imap.message_size,
    )
