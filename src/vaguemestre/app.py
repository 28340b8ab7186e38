"""The composition root: from a Config to running parts, top to bottom.

What it keeps true: parts start from what they need to what needs them, and stop in reverse; a part that cannot start
says why and stops the start. A store is never created here but by `migrate`, so that a mistaken path never looks like an
empty operator.
"""

import asyncio
import contextlib
import gc
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from vaguemestre import clock, directory_parts, jobs, ldap_parts, log, mail_parts, publication_parts
from vaguemestre.config import Autoconfiguration, Config, Identity, Imap, Tls, Trust, address
from vaguemestre.documents import zone
from vaguemestre.documents.autoconfiguration import Service, Settings
from vaguemestre.documents.zone import Record
from vaguemestre.errors import ConfigurationError, VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.identity import traces
from vaguemestre.identity.tokens import TokenVerifier
from vaguemestre.identity.traces import Tracer
from vaguemestre.jobs import Job
from vaguemestre.mailstore import changes
from vaguemestre.mailstore.indexer import Indexer
from vaguemestre.protocols import tls
from vaguemestre.servers import workers
from vaguemestre.servers.limits import Admittance, ServerLimits, SharedAdmittance
from vaguemestre.servers.listener import Listener
from vaguemestre.servers.sign_in import SignIn
from vaguemestre.servers.smtp import Operator, Session
from vaguemestre.servers.verbs import of_mail_programs
from vaguemestre.servers.workers import Front, RemoteDesk
from vaguemestre.storage import database, keys, schema
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database, Elsewhere
from vaguemestre.storage.objects import FolderStore, ObjectStore, RemoteStore
from vaguemestre.storage.packs import PackStore
from vaguemestre.transport.bounces import Notifier
from vaguemestre.transport.delivery import Concurrency, Delivery
from vaguemestre.transport.intake import Desk, Intake
from vaguemestre.transport.reception import Reception
from vaguemestre.transport.retry import RetryPolicy
from vaguemestre.transport.routing import Host, Router
from vaguemestre.transport.submission import Submission
from vaguemestre.trust import certificates, updater
from vaguemestre.trust.judge import Judge
from vaguemestre.trust.publisher import Authority
from vaguemestre.trust.trusted_set import TrustedSet
from vaguemestre.trust.updater import Outcome, Refreshed

_RECEPTIONS_KEPT_MS = 10 * 86_400_000  # no peer goes on trying for ten days
_EXPUNGES_KEPT_MS = 90 * 86_400_000  # a mail program away for longer reads the mailbox anew (RFC 7162 §5.3)
_DAY_S = 86_400.0
_RENEW_AGAIN_S = 5.0
_QUESTION_LIFE_S = 30.0  # a mail program's: each document is there within milliseconds
_MOST_WORKERS = 3  # by default: one writer keeps no more of them busy, and each takes some 40 MB
_GC_THRESHOLDS = (
    20_000,
    20,
    50,
)  # a server's objects die young and hold no cycles: looking for them less often is enough
_log = log.get("app")


@dataclass(frozen=True, slots=True)
class Stores:
    """What an operator keeps: rows and content."""

    database: Database
    blobs: BlobStore


def database_path(config: Config) -> Path:
    """Where the encrypted file stands."""
    return config.data / "vaguemestre.db"


def keys_path(config: Config) -> Path:
    """Where the key file stands."""
    return config.key_file


def migrate(config: Config) -> str:
    """Make or upgrade the stores; returns the schema's version. Keys are made only where no store stands yet."""
    ring_path = keys_path(config)
    if not ring_path.exists() and not _stands(config):
        config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys.create(ring_path)
    opened = _open_database(config, keys.load(ring_path), create=True)
    try:
        return schema.migrate(opened)
    finally:
        opened.close()


def _stands(config: Config) -> bool:
    """Whether there is a store already: its mail would be lost with new keys, in silence."""
    if not config.storage.database:
        return database_path(config).exists()
    opened = database.open_postgresql(config.storage.database)
    try:
        return bool(opened.read(schema.current))
    finally:
        opened.close()


@contextlib.contextmanager
def open_stores(config: Config) -> Iterator[Stores]:
    """Open an operator's stores at the right version, and close them. Raises ConfigurationError, KeyFailure."""
    ring = keys.load(keys_path(config))
    opened = _open_database(config, ring)
    packs: PackStore | None = None
    try:
        schema.check(opened)
        packs = _packs(config)
        yield Stores(
            opened, BlobStore(ring, _objects(config), config.data / "spool", config.storage.inline_limit, packs)
        )
    finally:
        opened.close()
        if packs is not None:
            packs.close()


def _open_database(
    config: Config, ring: keys.Keyring, *, create: bool = False, elsewhere: Elsewhere | None = None
) -> Database:
    if config.storage.database:
        return database.open_postgresql(config.storage.database, elsewhere=elsewhere)
    return database.open_sqlcipher(database_path(config), ring.database, create=create, elsewhere=elsewhere)


def packs_folder(config: Config) -> Path:
    """Where contents of ordinary size stand, one after the other; only beside an embedded database."""
    return config.data / "packs"


def _packs(config: Config) -> PackStore | None:
    return None if config.storage.database else PackStore(packs_folder(config))


def objects_folder(config: Config) -> Path | None:
    """Where large contents stand on this machine; None when they are in a remote store."""
    where = config.storage.objects
    return None if "://" in where else Path(where) if where else config.data / "objects"


def _objects(config: Config) -> ObjectStore:
    folder = objects_folder(config)
    if folder is not None:
        return FolderStore(folder)
    from obstore.store import from_url  # noqa: PLC0415 - large, and only where content is remote

    return RemoteStore(from_url(config.storage.objects))


def notifier(config: Config, stores: Stores) -> Notifier:
    """What tells authors of their messages' fate."""
    return Notifier(stores.blobs, router(config), config.hostname, retry_policy(config))


def trusted_set(config: Config) -> TrustedSet:
    """What is in force, recalled from disk."""
    trust = _needed(config)[0]
    found = tuple(each for path in trust.authorities for each in _authorities(path).certificates)
    return TrustedSet(
        certificates.Authorities(found), trust.signer, config.data / "trust", timedelta(seconds=trust.grace)
    )


def _authorities(path: Path) -> certificates.Authorities:
    try:
        return certificates.load_authorities(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"The authorities' file {path} cannot be read: {error.strerror}.",
            f"Le fichier des autorités {path} ne peut pas être lu : {error.strerror}.",
        ) from error


def judge(config: Config, trusted: TrustedSet) -> Judge:
    """The judge of an operator."""
    trust = _needed(config)[0]
    return Judge(trusted, responder=trust.ocsp or None)


def router(config: Config) -> Router:
    """Where mail goes."""
    routes = {domain: Host(*address(route)) for domain, route in config.queue.routes.items()}
    return Router(frozenset(config.domains), routes)


def retry_policy(config: Config) -> RetryPolicy:
    """When to try again."""
    return RetryPolicy(config.queue.warn_after, config.queue.give_up_after, config.queue.pause_scale)


def submission(config: Config, stores: Stores, trusted: TrustedSet, message_size: int = 0) -> Submission:
    """What accepts messages from this operator's accounts, of the size that peers may send unless one is given."""
    return Submission(
        stores.database,
        stores.blobs,
        router(config),
        judge(config, trusted),
        notifier(config, stores),
        config.hostname,
        retry_policy(config),
        message_size or config.smtp.message_size,
    )


def sign_in(config: Config, stores: Stores, judging: Judge) -> SignIn:
    """The door of mail programs, shared by every protocol. Made in the event loop that serves them; `close` it.

    Raises ConfigurationError.
    """
    return SignIn(
        stores.database,
        Recorder(stores.database),
        Tracer(stores.database),
        judging,
        token_verifier(config.identity),
        allow_app_passwords=config.identity.app_passwords,
    )


def token_verifier(identity: Identity) -> TokenVerifier | None:
    """What verifies tokens, or None where no issuer is configured. `close` it. Raises ConfigurationError."""
    if not identity.issuer:
        return None
    # Libraries that few need: an operator without Pro Santé Connect, and front processes, go without.
    from vaguemestre.identity.introspection import IntrospectionVerifier  # noqa: PLC0415
    from vaguemestre.identity.key_sets import KeySet, KeySetVerifier, Rhythm  # noqa: PLC0415
    from vaguemestre.identity.provider import Provider  # noqa: PLC0415
    from vaguemestre.identity.tokens import Policy  # noqa: PLC0415

    skew = timedelta(seconds=identity.skew)
    policy = Policy(identity.issuer, frozenset(identity.audience), frozenset(identity.clients), skew)
    where = identity.introspection or identity.jwks or f"{identity.issuer.rstrip('/')}/protocol/openid-connect/certs"
    host = urlsplit(where).hostname or ""
    if not where.startswith("https://") and host not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigurationError(
            f"The provider of identity must be reached over https: {where}.",
            f"Le fournisseur d'identité doit être joint en https : {where}.",
        )
    trusting = updater.tls_context(_authorities(identity.authorities)) if identity.authorities else None
    if not identity.introspection:
        rhythm = Rhythm(refresh=identity.keys_refresh, kept=identity.keys_kept)
        return KeySetVerifier(KeySet(where, Provider(trusting), rhythm), policy)
    return IntrospectionVerifier(where, identity.client, _client_secret(identity), Provider(trusting), policy)


def _client_secret(identity: Identity) -> str:
    try:
        if identity.client and identity.client_secret is not None:
            return identity.client_secret.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The file of the client's secret {identity.client_secret} cannot be read.",
            f"Le fichier du secret du client {identity.client_secret} ne peut pas être lu.",
        ) from error
    raise ConfigurationError(
        "Introspection and browsers' sign-in need the client that we are there: [identity] client and client_secret.",
        "L'introspection et la connexion par navigateur demandent un client : [identity] client et client_secret.",
    )


def _needed(config: Config) -> tuple[Trust, Tls]:
    if config.trust is None or config.tls is None or not config.domains:
        raise ConfigurationError(
            "The configuration describes no operator: it needs [trust], [tls] and domains.",
            "La configuration ne décrit pas d'opérateur : il lui faut [trust], [tls] et domains.",
        )
    return config.trust, config.tls


@dataclass(frozen=True, slots=True)
class Entrance:
    """The open ports, and the processes that take connections on them; none: this one does.

    `reading` are the ports of programs that read, by name, where fronts serve them.
    """

    listening: socket.socket
    fronts: list[Front]
    reading: mail_parts.Shared = field(default_factory=dict)


def open_entrance(config: Config, workers_wanted: int) -> Entrance:
    """Open the port and start the processes. Before any thread or event loop. Raises OSError."""
    listening = mail_parts.socket_at(config.smtp.listen)
    with contextlib.ExitStack() as stack:
        reading: mail_parts.Shared = {}
        admittance = stack.enter_context(contextlib.closing(SharedAdmittance(_peers_limits(config))))
        if workers_wanted and config.imap is not None:
            reading = mail_parts.share(config.imap, stack)
        entrance = Entrance(listening, [], reading)
        fronts = workers.fork(workers_wanted, lambda line: uvloop.run(_front(config, entrance, admittance, line)))
    return Entrance(listening, fronts, reading)


def workers_of(config: Config) -> int:
    """How many front processes `serve` starts."""
    if config.trust is None:
        return 0
    if config.smtp.workers is not None:
        return config.smtp.workers
    return min(_MOST_WORKERS, max(0, (os.cpu_count() or 1) - 1))


@dataclass(frozen=True, slots=True)
class Running:
    """What runs: the port of each part, and the ends that should not come by themselves."""

    ports: dict[str, int]
    ended: list[asyncio.Event]


@contextlib.asynccontextmanager
async def running(config: Config, entrance: Entrance | None = None) -> AsyncIterator[Running]:
    """Run every part the configuration names. Everything is stopped on leaving."""
    ports: dict[str, int] = {}
    ended: list[asyncio.Event] = []
    async with contextlib.AsyncExitStack() as stack:
        if config.authority is not None:
            ports["authority"] = await stack.enter_async_context(_authority(config))
        if config.trust is not None or config.authority is None:
            entrance = entrance or Entrance(mail_parts.socket_at(config.smtp.listen), [])
            ports |= await stack.enter_async_context(_operator(config, entrance))
            ports["smtp"] = int(entrance.listening.getsockname()[1])
            ended = [front.ended for front in entrance.fronts]
        if config.autoconfiguration is not None:
            ports["autoconfiguration"] = await stack.enter_async_context(_autoconfiguration(config))
        _settle_memory()
        yield Running(ports, ended)


def _settle_memory() -> None:
    gc.collect()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.freeze()  # what stands now stands for good: later collections need not look at it again


@contextlib.asynccontextmanager
async def _authority(config: Config) -> AsyncIterator[int]:
    assert config.authority is not None  # noqa: S101 - the caller checked
    from vaguemestre.servers.authority import application  # noqa: PLC0415 - a web server: few need it
    from vaguemestre.servers.http import HttpServer  # noqa: PLC0415

    authority = Authority.open(config.authority.folder)
    server = HttpServer(application(authority), *address(config.authority.listen))

    async def renew_crls() -> None:
        await asyncio.to_thread(authority.publish_crls, clock.now())

    port = await server.start()
    renewing = asyncio.create_task(jobs.run([Job("renew CRLs", _DAY_S, renew_crls)]))
    try:
        yield port
    finally:
        await _cancel(renewing)
        await server.stop()


@contextlib.asynccontextmanager
async def _autoconfiguration(config: Config) -> AsyncIterator[int]:
    assert config.autoconfiguration is not None  # noqa: S101 - the caller checked
    from vaguemestre.servers import autoconfiguration, http  # noqa: PLC0415 - a web server: few need it

    own = config.autoconfiguration
    identity = Tls(own.certificate, own.key) if own.certificate and own.key else config.tls
    if not config.domains or identity is None or bool(own.certificate) != bool(own.key):
        raise ConfigurationError(
            "[autoconfiguration] needs domains to speak for, and a certificate with its key, its own or those of [tls].",
            "[autoconfiguration] demande des domaines, ainsi qu'un certificat et sa clé, à elle ou ceux de [tls].",
        )
    names = {config.hostname, own.host or config.hostname}
    web = autoconfiguration.application(settings(config), config.domains, names)
    server = http.HttpServer(
        web, *address(own.listen), http.server_context(identity.certificate, identity.key), _QUESTION_LIFE_S
    )
    port = await server.start()
    try:
        yield port
    finally:
        await server.stop()


def settings(config: Config) -> Settings:
    """What mail programs are told. STARTTLS first, as Référentiel #2 wants it. Raises ConfigurationError."""
    own = config.autoconfiguration or Autoconfiguration()
    imap, submission = own.imap or config.hostname, own.submission or config.hostname
    found = Settings(
        own.name,
        _services(imap, own.imap_port, own.imaps_port),
        _services(submission, own.submission_port, own.submissions_port),
        own.authentication,
    )
    if not found.imap or not found.submission or not found.authentication:
        raise ConfigurationError(
            "[autoconfiguration] offers too little: a port for IMAP, one for submission, a way to authenticate.",
            "[autoconfiguration] propose trop peu : il faut un port IMAP, un port d'envoi, un mode d'authentification.",
        )
    return found


def zone_records(config: Config, domain: str) -> list[Record]:
    """The DNS records to publish for one of the operator's domains. Raises ConfigurationError."""
    own, offered = config.autoconfiguration, settings(config)
    addresses = own.addresses if own else ()
    for each in addresses:
        try:
            ipaddress.ip_address(each)
        except ValueError as error:
            raise ConfigurationError(
                f"{each} is not a network address (IPv4 or IPv6).",
                f"{each} n'est pas une adresse réseau (IPv4 ou IPv6).",
            ) from error
    web = (own.host or config.hostname) if own else ""
    return zone.records(domain, config.hostname, offered.imap, offered.submission, web, addresses)


def _services(host: str, starttls: int, implicit: int) -> tuple[Service, ...]:
    return tuple(Service(host, port, tls) for port, tls in ((starttls, False), (implicit, True)) if port)


@contextlib.asynccontextmanager
async def _operator(config: Config, entrance: Entrance) -> AsyncIterator[dict[str, int]]:
    trust, identity = _needed(config)
    with open_stores(config) as stores:
        stores.blobs.clear_spool()
        trusted = trusted_set(config)
        telling = notifier(config, stores)
        reception = Reception(stores.database, stores.blobs, telling)
        judging = judge(config, trusted)
        delivery = Delivery(
            stores.database,
            stores.blobs,
            router(config),
            judging,
            tls.client_context(identity.certificate, identity.key),
            telling,
            reception.record,
            config.hostname,
            retry_policy(config),
            Concurrency(config.queue.concurrency, config.queue.concurrency_per_domain),
        )
        if not trusted.usable(clock.now()):
            await _refresh(trust, trusted, stores.database)
        listener = _peers_listener(_peers_server(config, judging, reception, stores.blobs), entrance.listening)
        indexer = Indexer(stores.database, stores.blobs)
        if entrance.fronts:
            if entrance.reading:
                workers.pass_on(stores.database, entrance.fronts)
            verbs = of_mail_programs(stores.blobs, indexer.catch_up) if entrance.reading else {}
            await asyncio.gather(*(front.begin(reception, stores.database, verbs) for front in entrance.fronts))
        else:
            await listener.start()
        working = asyncio.create_task(
            jobs.run(_operator_jobs(config, trusted, stores, reception, entrance.fronts, indexer))
        )
        delivering = asyncio.create_task(delivery.run())
        try:
            async with (
                _mail_programs(config, entrance, stores, trusted, judging, delivery.wake, indexer) as ports,
                _ldap(config, stores, judging) as directory_ports,
                _publishing(config, stores),
                _web(config, stores, judging) as port,
                directory_parts.http(config, judging, Recorder(stores.database)) as directory_port,
            ):
                yield {**ports, **directory_ports, **port, **directory_port}
        finally:
            await _cancel(working)
            await indexer.stop()
            if entrance.fronts:  # they close theirs: who comes now is refused at once, and tries again
                entrance.listening.close()
                for found, _ in entrance.reading.values():
                    found.close()
            await asyncio.gather(*(front.stop() for front in entrance.fronts), listener.stop(), delivery.stop())
            await delivering
            entrance.listening.close()


@contextlib.asynccontextmanager
async def _web(config: Config, stores: Stores, judging: Judge) -> AsyncIterator[dict[str, int]]:
    """Serve browsers, where that is configured; gives the ports."""
    if config.web is None:
        yield {}
        return
    from vaguemestre.web_parts import web  # noqa: PLC0415 - a web server: few need it

    identity = config.identity
    trusting = updater.tls_context(_authorities(identity.authorities)) if identity.authorities else None
    secret = _client_secret(identity) if identity.authorize or identity.discovery else ""
    async with web(config, stores.database, stores.blobs, judging, secret, trusting) as ports:
        yield ports


@contextlib.asynccontextmanager
async def _mail_programs(
    config: Config,
    entrance: Entrance,
    stores: Stores,
    trusted: TrustedSet,
    judging: Judge,
    queued: Callable[[], None],
    indexer: Indexer,
) -> AsyncIterator[dict[str, int]]:
    """Serve the programs of professionals, which read (unless fronts serve those) and send; gives the ports.

    `queued` is called when mail is.
    """
    if config.imap is None and config.submission is None:
        yield {}
        return
    _, identity = _needed(config)
    context = tls.mail_program_context(identity.certificate, identity.key)
    ports = {name: int(found.getsockname()[1]) for name, (found, _) in entrance.reading.items()}
    async with contextlib.AsyncExitStack() as stack:
        door = sign_in(config, stores, judging)
        stack.push_async_callback(door.close)
        if config.imap is not None and not entrance.reading:
            ports |= await stack.enter_async_context(
                mail_parts.reading(
                    config.hostname,
                    config.imap,
                    {},
                    stores.database,
                    stores.blobs,
                    door,
                    context,
                    indexer.catch_up,
                )
            )
        if config.submission is not None:
            accepting = submission(config, stores, trusted, config.submission.message_size)
            ports |= await stack.enter_async_context(
                mail_parts.sending(
                    config.hostname, config.submission, door, context, accepting, Recorder(stores.database), queued
                )
            )
        yield ports


@contextlib.asynccontextmanager
async def _publishing(config: Config, stores: Stores) -> AsyncIterator[None]:
    """Tell the directory of our accounts, where one is configured."""
    if config.publication is None:
        yield
        return
    async with publication_parts.publisher(config, stores.database) as publishing:
        telling = asyncio.create_task(jobs.run(publication_parts.jobs(config, publishing, stores.database)))
        try:
            yield
        finally:
            await _cancel(telling)


@contextlib.asynccontextmanager
async def _ldap(config: Config, stores: Stores, judging: Judge) -> AsyncIterator[dict[str, int]]:
    """Serve the directory to the programs that read it by LDAP; gives the ports."""
    own = config.directory.ldap if config.directory is not None else None
    if own is None:
        yield {}
        return
    from vaguemestre.servers.ldap.session import Session as Reading  # noqa: PLC0415 - not in front processes

    async with (
        ldap_parts.ldap(config, own, judging, Recorder(stores.database)) as service,
        mail_parts.listening(("ldap", "ldaps"), own, service.limits, partial(Reading, service)) as ports,
    ):
        yield ports


async def _front(config: Config, entrance: Entrance, admittance: Admittance, line: socket.socket) -> None:
    """A front process: nothing of its own but the sockets, what it trusts and the keys; the desk is the writer's.

    Programs that read are served from the store, which it reads itself; what they write, the writer does.
    """
    log.configure(config.log_level)
    desk = RemoteDesk()
    await desk.open(line)
    if not await _first(desk.begun, desk.ended):
        return
    judging = judge(config, trusted_set(config))
    ring = keys.load(keys_path(config))
    store = BlobStore(
        ring,
        _objects(config),
        config.data / "spool",
        config.storage.inline_limit,
        _packs(config),
    )
    listener = _peers_listener(_peers_server(config, judging, desk, store), entrance.listening, admittance)
    following = asyncio.create_task(_follow_trust(config, judging, desk.trust_changed))
    async with contextlib.AsyncExitStack() as stack:
        if config.imap is not None and entrance.reading:
            opened = _open_database(config, ring, elsewhere=desk.write)
            stack.callback(opened.close)
            desk.follow(of_mail_programs(store, desk.catch_up), opened.told)
            await stack.enter_async_context(
                _reading_front(config, config.imap, entrance, Stores(opened, store), judging, desk)
            )
        await listener.start()
        _settle_memory()
        if await _first(desk.stopping, desk.ended):
            await listener.stop()
        else:
            os._exit(1)  # the writer is gone: nobody can be served, and nothing finished
    await _cancel(following)


@contextlib.asynccontextmanager
async def _reading_front(
    config: Config, imap: Imap, entrance: Entrance, stores: Stores, judging: Judge, desk: RemoteDesk
) -> AsyncIterator[None]:
    """Serve programs that read, in a front."""
    _, identity = _needed(config)
    context = tls.mail_program_context(identity.certificate, identity.key)
    door = sign_in(config, stores, judging)
    try:
        async with mail_parts.reading(
            config.hostname, imap, entrance.reading, stores.database, stores.blobs, door, context, desk.catch_up
        ):
            yield
    finally:
        await door.close()


async def _follow_trust(config: Config, judging: Judge, changed: asyncio.Event) -> None:
    """Give the judge what is trusted anew after each change on disk, one at a time, so that the last one stays.

    What cannot be read is logged and tried again; what was read before serves meanwhile, within its grace.
    """
    while True:
        await changed.wait()
        changed.clear()
        try:
            fresh = await asyncio.to_thread(trusted_set, config)
            if fresh.damage is not None:
                raise fresh.damage
            judging.trusted = fresh
        except Exception as error:
            reason = error.en if isinstance(error, VaguemestreError) else type(error).__name__
            _log.error("trust not renewed", reason=reason, exc_info=not isinstance(error, VaguemestreError))
            with contextlib.suppress(TimeoutError):  # a later change need not wait
                await asyncio.wait_for(changed.wait(), _RENEW_AGAIN_S)
            changed.set()


async def _first(wanted: asyncio.Event, other: asyncio.Event) -> bool:
    """Wait for either; whether the wanted one came."""
    tasks = [asyncio.create_task(event.wait()) for event in (wanted, other)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    return wanted.is_set()


def _peers_server(config: Config, judging: Judge, desk: Desk, store: BlobStore) -> Operator:
    """The server for peers."""
    _, identity = _needed(config)
    return Operator(
        config.hostname,
        router(config).local_domains,
        tls.server_context(identity.certificate, identity.key),
        judging,
        Intake(desk, store, config.hostname),
        _peers_limits(config),
    )


def _peers_limits(config: Config) -> ServerLimits:
    return ServerLimits(
        connections=config.smtp.connections,
        connections_per_address=config.smtp.connections_per_address,
        message_size=config.smtp.message_size,
        recipients=config.smtp.recipients,
    )


def _peers_listener(operator: Operator, listening: socket.socket, admittance: Admittance | None = None) -> Listener:
    return Listener(listening, operator.limits, lambda floor: Session(operator, floor), admittance)


def _operator_jobs(
    config: Config,
    trusted: TrustedSet,
    stores: Stores,
    reception: Reception,
    fronts: list[Front],
    indexer: Indexer,
) -> list[Job]:
    trust, _ = _needed(config)

    async def refresh() -> None:
        await _refresh(trust, trusted, stores.database)
        for front in fronts:
            front.trust_changed()

    async def forget_receptions() -> None:
        await stores.database.write_async(reception.forget, clock.now_ms() - _RECEPTIONS_KEPT_MS)

    async def forget_traces() -> None:
        before = clock.now_ms() - int(config.identity.traces_kept * 1000)
        while await stores.database.write_async(traces.forget, before):
            pass

    async def forget_expunges() -> None:
        await asyncio.to_thread(changes.trim, stores.database, clock.now_ms() - _EXPUNGES_KEPT_MS)

    async def sweep_objects() -> None:
        await stores.database.read_async(stores.blobs.sweep)
        await stores.database.read_async(stores.blobs.drop_dead_packs)

    return [
        Job("refresh trust", trust.refresh, refresh),
        Job("forget receptions", 3600, forget_receptions),
        Job("forget traces", 3600, forget_traces),
        Job("forget expunges", 3600, forget_expunges),
        Job("sweep objects", _DAY_S, sweep_objects),
        Job("index messages", 1, indexer.turn),
        *directory_parts.jobs(config),
    ]


async def _refresh(trust: Trust, trusted: TrustedSet, opened: Database) -> None:
    """Fetch the list and the CRLs; journal what changed and what failed; say the alarm aloud."""
    fetching = updater.tls_context(trusted.authorities)
    outcomes: list[Outcome] = [await updater.refresh(trusted, trust.list, clock.now(), fetching)]
    for source in trust.crls:
        outcomes.append(await updater.refresh_crl(trusted, source, clock.now(), fetching))
    entries = [_refresh_entry(outcome) for outcome in outcomes if not isinstance(outcome, Refreshed) or outcome.changed]
    await opened.write_async(journal.append, entries)
    for outcome in outcomes:
        if not isinstance(outcome, Refreshed):
            _log.error("refresh failed", kind=outcome.kind, source=outcome.source, rule=outcome.rule, reason=outcome.en)
    alarm = trusted.alarm(clock.now())
    if alarm is not None:
        _log.error("trust alarm", stopped=alarm.stopped, alarm=alarm.en)


def _refresh_entry(outcome: Outcome) -> Entry:
    facts = {"source": outcome.source, "kind": outcome.kind}
    if isinstance(outcome, Refreshed):
        event = Event.LIST_UPDATE if outcome.kind == "allow-list" else Event.REVOCATION_UPDATE
        return Entry(event, "", {**facts, **outcome.facts})
    return Entry(Event.LIST_REFUSAL, "", {**facts, "rule": outcome.rule})


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
