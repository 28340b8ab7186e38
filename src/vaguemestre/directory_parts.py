"""The directory's composition: from a Config to an open register, to what fills it and to what reads it."""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from vaguemestre import clock, log
from vaguemestre import jobs as periodic
from vaguemestre.config import Config, Directory, Ldap
from vaguemestre.directory import adoption, sync
from vaguemestre.directory.absorption import Pulled
from vaguemestre.directory.national_api import Pace, Service
from vaguemestre.directory.register import Place, Registers
from vaguemestre.directory.substrings import Substrings
from vaguemestre.errors import ConfigurationError
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.jobs import Job
from vaguemestre.mailstore import publications
from vaguemestre.protocols import tls
from vaguemestre.protocols.ldap.names import DnSyntaxError
from vaguemestre.protocols.ldap.server import EXTENSIONS, PAGED_RESULTS
from vaguemestre.servers.limits import ServerLimits
from vaguemestre.storage import keys
from vaguemestre.storage.database import Database
from vaguemestre.trust import certificates, updater
from vaguemestre.trust.judge import Judge

if TYPE_CHECKING:
    from vaguemestre.enrolment.publication import Publisher
    from vaguemestre.servers.ldap.session import DirectoryReading

_FOR_REGISTER = b"register of the directory"
_FOR_SUBSTRINGS = b"substrings of the directory"
_FOLLOW_S = 5.0
_RESULTS_KEPT_MS = 180 * 86_400_000
_LDAP_IDLE_S = 900.0  # programs keep a connection for the next name that is typed
_DAY_S = 86_400
_log = log.get("directory")


def settings(config: Config) -> Directory:
    """The section of the directory; its defaults where there is none."""
    return config.directory or Directory()


def place(config: Config) -> Place:
    """Where the register stands. Raises KeyFailure."""
    folder = settings(config).folder or config.data / "directory"
    if config.storage.database:
        return Place(folder, b"", config.storage.database)
    return Place(folder, _key(config, _FOR_REGISTER))


def registers(config: Config) -> Registers:
    """The register in use, for a process that goes on. Raises ConfigurationError, KeyFailure; `close` it."""
    return Registers(place(config))


@contextlib.asynccontextmanager
async def ldap(config: Config, own: Ldap, judging: Judge, recorder: Recorder) -> "AsyncIterator[DirectoryReading]":
    """What the sessions of LDAP share; the register is followed meanwhile. Raises ConfigurationError, KeyFailure."""
    from vaguemestre.servers.ldap.readers import Readers  # noqa: PLC0415 - not in front processes
    from vaguemestre.servers.ldap.schema import Schema  # noqa: PLC0415
    from vaguemestre.servers.ldap.session import DirectoryReading  # noqa: PLC0415
    from vaguemestre.servers.ldap.tree import Tree  # noqa: PLC0415

    assert config.tls is not None  # noqa: S101 - the caller checked
    schema = Schema(own.attributes)
    if schema.unknown:
        raise ConfigurationError(
            f"[directory.ldap] attributes names none of ours: {', '.join(schema.unknown)}.",
            f"[directory.ldap] attributes ne nomme aucun des nôtres : {', '.join(schema.unknown)}.",
        )
    context = tls.mail_program_context(config.tls.certificate, config.tls.key)
    with contextlib.closing(Opening(place(config))) as register:
        index = Substrings(place(config).folder, _key(config, _FOR_SUBSTRINGS))
        try:
            readers = Readers(own.readers, judging, recorder, anonymous=own.anonymous)
            extensions = {
                "supportedControl": (PAGED_RESULTS,),
                "supportedExtension": EXTENSIONS,
                "supportedSASLMechanisms": tuple(readers.mechanisms),
            }
            tree = Tree(register.current, index, schema, own.base, extensions)
        except DnSyntaxError as error:
            raise ConfigurationError(
                f"[directory.ldap] base or readers: {error.en}", f"[directory.ldap] base ou readers : {error.fr}"
            ) from error
        limits = ServerLimits(
            connections=own.connections, connections_per_address=own.connections_per_address, idle=_LDAP_IDLE_S
        )
        following = asyncio.create_task(periodic.run([Job("follow the register", _FOLLOW_S, tree.refresh)]))
        try:
            yield DirectoryReading(context, tree, readers, limits, own.most, own.seconds)
        finally:
            following.cancel()
            await asyncio.wait([following])
            await tree.close()


@contextlib.asynccontextmanager
async def publisher(config: Config, database: Database) -> "AsyncIterator[Publisher]":
    """What tells the directory of this operator's accounts. Raises ConfigurationError."""
    from vaguemestre.enrolment.directory_client import DirectoryClient, tls_context  # noqa: PLC0415 - few need it
    from vaguemestre.enrolment.publication import Publisher  # noqa: PLC0415

    own = config.publication
    if own is None or config.tls is None or config.trust is None:
        raise ConfigurationError(
            "Publishing needs [publication] directory, and the operator's [tls] and [trust].",
            "Publier demande [publication] directory, ainsi que [tls] et [trust] de l'opérateur.",
        )
    paths = [own.authorities] if own.authorities is not None else config.trust.authorities
    trusting = updater.tls_context(_authorities(paths))
    secure = tls_context(trusting, str(config.tls.certificate), str(config.tls.key))
    client = DirectoryClient(own.directory, secure)
    try:
        yield Publisher(
            database,
            client,
            config.domains,
            withdrawal_limit=own.withdrawal_limit,
            pause_scale=own.pause_scale,
        )
    finally:
        await client.close()


def publication_jobs(config: Config, publishing: "Publisher", database: Database) -> list[Job]:
    """What tells the directory, compares each night, and forgets old results."""
    own = config.publication
    assert own is not None  # noqa: S101 - `publisher` saw to it

    async def publish() -> None:
        await publishing.publish()

    async def reconcile() -> None:
        await publishing.reconcile()

    async def forget() -> None:
        await database.write_async(publications.forget, clock.now_ms() - _RESULTS_KEPT_MS)

    return [
        Job("publish accounts", own.every, publish),
        Job("compare with the directory", own.reconcile, reconcile),
        Job("forget publications", 86_400, forget),
    ]


def _authorities(paths: Sequence[Path]) -> certificates.Authorities:
    found: list[x509.Certificate] = []
    for path in paths:
        try:
            found += certificates.load_authorities(path.read_bytes()).certificates
        except OSError as error:
            raise ConfigurationError(
                f"The authorities' file {path} cannot be read: {error.strerror}.",
                f"Le fichier des autorités {path} ne peut pas être lu : {error.strerror}.",
            ) from error
    return certificates.Authorities(tuple(found))


class Opening:
    """The register in use, opened when it is first asked for: it may be imported long after the start."""

    def __init__(self, where: Place) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._registers: Registers | None = None

    def current(self) -> Database:
        """See `Registers.current`. Raises ConfigurationError where none was imported yet."""
        with self._lock:
            if self._registers is None:
                self._registers = Registers(self._where)
            return self._registers.current()

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            if self._registers is not None:
                self._registers.close()


def _key(config: Config, purpose: bytes) -> bytes:
    """A key of its own, made from the operator's: two files never share one."""
    return hashlib.blake2b(purpose, key=keys.load(config.key_file).database, digest_size=32).digest()


def national_service(config: Config) -> Service:
    """The national directory's API, as configured. Raises ConfigurationError."""
    chosen = settings(config)
    if chosen.api_key is None:
        raise ConfigurationError(
            "Pulling from the national directory needs its key: api_key in [directory], a file.",
            "Pour suivre l'annuaire national il faut sa clé : api_key dans [directory], un fichier.",
        )
    try:
        key = chosen.api_key.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The file of the key {chosen.api_key} cannot be read.",
            f"Le fichier de la clé {chosen.api_key} ne peut pas être lu.",
        ) from error
    return Service(chosen.api, key, pace=Pace(chosen.api_rate))


async def pull(config: Config, *, everything: bool = False, force: bool = False, progress: sync.Progress) -> Pulled:
    """Follow the national directory, and count who can be written to. Raises what `sync.pull` does, KeyFailure."""
    where = place(config)
    limit = 1.0 if force else settings(config).withdrawal_limit
    async with national_service(config) as service:
        done = await sync.pull(where, service, everything=everything, withdrawal_limit=limit, progress=progress)
    await asyncio.to_thread(count_adoption, where)
    return done


def count_adoption(where: Place) -> str:
    """Count who can be written to; gives the month, empty where there is no register yet."""
    if not where.exists():
        return ""
    opened = where.open()
    try:
        return adoption.record(opened)
    finally:
        opened.close()


def jobs(config: Config) -> list[Job]:
    """What keeps the register fresh and its figures counted, where this installation has a directory."""
    chosen = config.directory
    if chosen is None:
        return []

    async def follow() -> None:
        done = await pull(config, progress=lambda kind, count: None)
        _log.info(
            "national directory followed", everything=not done.since, revision=done.revision, refused=done.refused_count
        )

    async def count() -> None:
        await asyncio.to_thread(count_adoption, place(config))

    found = [Job("count adoption", _DAY_S, count)]
    if chosen.api_key is not None:
        found.append(Job("follow the national directory", chosen.refresh, follow))
    return found
