"""The directory by LDAP, composed: from a Config to what its sessions share."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from vaguemestre import directory_parts, jobs
from vaguemestre.config import Config, Ldap
from vaguemestre.directory.substrings import Substrings
from vaguemestre.errors import ConfigurationError
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.jobs import Job
from vaguemestre.protocols import tls
from vaguemestre.protocols.ldap.names import DnSyntaxError
from vaguemestre.protocols.ldap.server import EXTENSIONS, PAGED_RESULTS
from vaguemestre.servers.limits import ServerLimits
from vaguemestre.storage import keys
from vaguemestre.trust.judge import Judge

if TYPE_CHECKING:
    from vaguemestre.servers.ldap.session import DirectoryReading

_FOR_SUBSTRINGS = b"substrings of the directory"
_FOLLOW_S = 2.0  # an address put on the red list is found for no longer than this, and what the change takes
_LDAP_IDLE_S = 900.0  # programs keep a connection for the next name that is typed


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
    with contextlib.closing(directory_parts.Opening(directory_parts.place(config))) as register:
        index = Substrings(directory_parts.place(config).folder, _key(config))
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
        following = asyncio.create_task(jobs.run([Job("follow the register", _FOLLOW_S, tree.refresh)]))
        try:
            yield DirectoryReading(context, tree, readers, limits, own.most, own.seconds)
        finally:
            following.cancel()
            await asyncio.wait([following])
            await tree.close()


def _key(config: Config) -> bytes:
    """A key of its own, made from the operator's: two files never share one."""
    return hashlib.blake2b(_FOR_SUBSTRINGS, key=keys.load(config.key_file).database, digest_size=32).digest()
