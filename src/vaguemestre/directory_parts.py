"""The directory's composition: from a Config to an open register, to what fills it and to what reads it."""

import asyncio
import contextlib
import hashlib
import ssl
import threading
from collections.abc import AsyncIterator
from importlib import metadata
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from vaguemestre import log
from vaguemestre.config import Config, Directory, address
from vaguemestre.directory import adoption, importation, provenance, sources, sync
from vaguemestre.directory.absorption import Pulled
from vaguemestre.directory.intake import Summary, Terms
from vaguemestre.directory.national_api import Pace, Service
from vaguemestre.directory.provenance import Standing
from vaguemestre.directory.register import Place, Registers
from vaguemestre.directory.search import building
from vaguemestre.directory.search.building import Refreshed, Watch
from vaguemestre.directory.search.index import Shelf
from vaguemestre.errors import ConfigurationError
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.jobs import Job
from vaguemestre.protocols import tls
from vaguemestre.servers.search_process import Follower, SearchProcess
from vaguemestre.storage import keys
from vaguemestre.storage.database import Database
from vaguemestre.trust import certificates, updater
from vaguemestre.trust.judge import Judge

_FOR_REGISTER, _FOR_SEARCH = b"register of the directory", b"search of the directory"
_INDEX_S = 2  # an address put on the red list is found for no longer than this, and what the change takes
_FOR_PAGES = b"pages of the directory"
_HTTP_LIFE_S = 3600.0  # a program that copies the register keeps its connection
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


def shelf(config: Config) -> Shelf:
    """Where the search index stands: beside the register, or in its folder where that is on a server."""
    return Shelf(settings(config).folder or config.data / "directory", _key(config, _FOR_SEARCH))


def refresh_search(config: Config, watch: Watch | None = None) -> Refreshed:
    """Bring the search index to the register's last revision; nothing where another process is at it.

    Raises ConfigurationError where there is no register yet, KeyFailure, StorageFailure.
    """
    register = place(config).open()
    try:
        return building.refresh(register, shelf(config), watch, wait=False)
    finally:
        register.close()


@contextlib.asynccontextmanager
async def http(config: Config, judging: Judge, recorder: Recorder) -> AsyncIterator[dict[str, int]]:
    """Serve the directory over HTTPS, where `[directory] listen` says so; gives the port. Raises ConfigurationError."""
    own = settings(config)
    if not own.listen:
        yield {}
        return
    from starlette.applications import Starlette  # noqa: PLC0415 - a web server: few need it

    from vaguemestre.servers import directory_search, fhir, fhir_writing  # noqa: PLC0415
    from vaguemestre.servers.http import HttpServer  # noqa: PLC0415

    if config.tls is None:
        raise ConfigurationError(
            "[directory] listen needs the certificate of [tls].",
            "[directory] listen demande le certificat de [tls].",
        )
    terms = fhir.Terms(
        base=own.url.rstrip("/"),
        relative=own.relative_links,
        keys={digest: name for name, digest in own.clients.items()},
        rate=own.rate,
        most=own.page,
        limit=own.seconds,
        digitization=own.digitization,
        version=metadata.version("vaguemestre"),
    )
    context = tls.mail_program_context(config.tls.certificate, config.tls.key)
    with contextlib.closing(Opening(place(config))) as register:
        reading = fhir.Reading(register, terms, _key(config, _FOR_PAGES), judging.domains)
        writing = fhir_writing.Writing(reading, judging, recorder.record)
        searching = SearchProcess(shelf(config))
        searching.begin()
        face = directory_search.SearchFace(
            searching, directory_search.Terms(terms.keys, _networks(own), own.search_rate)
        )
        app = Starlette(routes=[*fhir.application(reading, writing.handlers()), *directory_search.routes(face)])
        server = HttpServer(app, *address(own.listen), context, _HTTP_LIFE_S)
        port = await server.start()
        try:
            yield {"directory": port}
        finally:
            await server.stop()
            await searching.close()


def _networks(own: Directory) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(each) for each in own.search_trusted]
    except ValueError as error:
        raise ConfigurationError(
            f"[directory] search_trusted holds what is no network: {error}.",
            f"[directory] search_trusted contient ce qui n'est pas un réseau : {error}.",
        ) from error


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
    return Service(chosen.api, key, _tls_of_service(chosen.api_authorities), Pace(chosen.api_rate))


def _tls_of_service(authorities: Path | None) -> ssl.SSLContext | None:
    if authorities is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(authorities))
    except OSError as error:  # SSLError is one
        raise ConfigurationError(
            f"The authorities {authorities} of the directory to follow cannot be read.",
            f"Les autorités {authorities} de l'annuaire à suivre ne peuvent pas être lues.",
        ) from error


async def pull(
    config: Config, *, everything: bool = False, accept_withdrawals: bool = False, progress: sync.Progress
) -> Pulled:
    """Follow the national directory, and count who can be written to. Raises what `sync.pull` does, KeyFailure."""
    where = place(config)
    limit = 1.0 if accept_withdrawals else settings(config).withdrawal_limit
    async with national_service(config) as service:
        done = await sync.pull(where, service, everything=everything, withdrawal_limit=limit, progress=progress)
    await asyncio.to_thread(count_adoption, where)
    return done


def terms(config: Config, **said: bool) -> Terms:
    """How files are taken in here."""
    return Terms(withdrawal_limit=settings(config).withdrawal_limit, **said)


async def import_source(config: Config) -> Summary | None:
    """Take in what the configured source has new; None where it names no file.

    Raises SourceError, what `importation.run` does, KeyFailure, OSError.
    """
    chosen, where = settings(config), place(config)
    trusting = None
    if chosen.authorities is not None:
        trusting = updater.tls_context(certificates.load_authorities(chosen.authorities.read_bytes()))
    found = await asyncio.to_thread(sources.files, chosen.source, where.folder / "fetched", trusting)
    if not found:
        return None
    return await asyncio.to_thread(importation.run_aside, where, found, terms(config, only_new=True))


def standing(config: Config) -> Standing:
    """Where the register stands. Raises ConfigurationError where there is none, KeyFailure."""
    opened = place(config).open()
    try:
        return opened.read(provenance.standing)
    finally:
        opened.close()


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

    async def take_in() -> None:
        done = await import_source(config)
        if done is not None and done.revision:
            counts = {name: [each.created, each.changed, each.withdrawn] for name, each in done.tally.named()}
            _log.info(
                "extraction taken in", stamp=done.stamp, revision=done.revision, refused=done.refusals.count, **counts
            )
        if not place(config).exists():
            return
        found = await asyncio.to_thread(standing, config)
        for each in found.still(chosen.stale_after):
            _log.error("extraction stands still", kind=each.kind, stamp=each.stamp)

    async def count() -> None:
        await asyncio.to_thread(count_adoption, place(config))

    following = Follower(place(config), shelf(config))
    found = [Job("count adoption", _DAY_S, count), Job("index the register", _INDEX_S, following.turn)]
    if chosen.api_key is not None:
        found.append(Job("follow the national directory", chosen.refresh, follow))
    if chosen.source:
        found.append(Job("take in the extractions", chosen.refresh, take_in))
    return found
