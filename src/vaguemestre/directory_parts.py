"""The directory's composition: from a Config to an open register and to what reads it."""

import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator
from importlib import metadata

from vaguemestre.config import Config, Directory, address
from vaguemestre.directory.register import Place, Registers
from vaguemestre.errors import ConfigurationError
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.protocols import tls
from vaguemestre.storage import keys
from vaguemestre.storage.database import Database
from vaguemestre.trust.judge import Judge

_FOR_REGISTER = b"register of the directory"
_FOR_PAGES = b"pages of the directory"
_HTTP_LIFE_S = 3600.0  # a program that copies the register keeps its connection


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
async def http(config: Config, judging: Judge, recorder: Recorder) -> AsyncIterator[dict[str, int]]:
    """Serve the directory over HTTPS, where `[directory] listen` says so; gives the port. Raises ConfigurationError."""
    own = settings(config)
    if not own.listen:
        yield {}
        return
    from starlette.applications import Starlette  # noqa: PLC0415 - a web server: few need it

    from vaguemestre.servers import fhir, fhir_writing  # noqa: PLC0415
    from vaguemestre.servers.http import HttpServer  # noqa: PLC0415

    if config.tls is None:
        raise ConfigurationError(
            "[directory] listen needs the certificate of [tls].",
            "[directory] listen demande le certificat de [tls].",
        )
    terms = fhir.Terms(
        base=own.url.rstrip("/"),
        relative=own.relative_links,
        keys={digest: name for name, digest in own.api_keys.items()},
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
        app = Starlette(routes=fhir.application(reading, writing.handlers()))
        server = HttpServer(app, *address(own.listen), context, _HTTP_LIFE_S)
        port = await server.start()
        try:
            yield {"directory": port}
        finally:
            await server.stop()


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
