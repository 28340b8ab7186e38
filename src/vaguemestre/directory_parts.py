"""The directory's composition: from a Config to an open register, and to what fills it."""

import asyncio
import hashlib

from vaguemestre import log
from vaguemestre.config import Config, Directory
from vaguemestre.directory import adoption, sync
from vaguemestre.directory.absorption import Pulled
from vaguemestre.directory.national_api import Pace, Service
from vaguemestre.directory.register import Place, Registers
from vaguemestre.errors import ConfigurationError
from vaguemestre.jobs import Job
from vaguemestre.storage import keys

_FOR_REGISTER = b"register of the directory"
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
    ring = keys.load(config.key_file)
    # A key of its own, made from the operator's: two files never share one.
    return Place(folder, hashlib.blake2b(_FOR_REGISTER, key=ring.database, digest_size=32).digest())


def registers(config: Config) -> Registers:
    """The register in use, for a process that goes on. Raises ConfigurationError, KeyFailure; `close` it."""
    return Registers(place(config))


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
