"""The composition of what people reach with a browser: from a Config to an application that answers."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from starlette.applications import Starlette

from vaguemestre import directory_parts, jobs, log
from vaguemestre.config import Config, Identity, Web, address
from vaguemestre.directory.register import Registers
from vaguemestre.enrolment import lifecycle
from vaguemestre.enrolment.enrol import Rules
from vaguemestre.enrolment.lifecycle import Changed
from vaguemestre.enrolment.notices import Notices
from vaguemestre.errors import ConfigurationError
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.identity import oidc, sessions
from vaguemestre.identity.key_sets import KeySet, Rhythm
from vaguemestre.identity.oidc import Endpoints, OpenIdClient, Registration
from vaguemestre.identity.passkeys import Site
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.identity.provider import Provider
from vaguemestre.identity.sessions import Limits
from vaguemestre.identity.tokens import ProviderFailure
from vaguemestre.jobs import Job
from vaguemestre.protocols.tls import mail_program_context
from vaguemestre.servers.http import HttpServer, server_context
from vaguemestre.servers.web import static
from vaguemestre.servers.web.certificates import CertificateDesk
from vaguemestre.servers.web.door import Door
from vaguemestre.servers.web.enrolment import EnrolmentDesk
from vaguemestre.servers.web.own import OwnDesk
from vaguemestre.servers.web.sign_in import BACK, SignInDesk
from vaguemestre.storage import durability
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.trust.judge import Judge

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_HERE = ("localhost", "127.0.0.1", "::1")
_log = log.get("web")


@contextlib.asynccontextmanager
async def web(
    config: Config, database: Database, blobs: BlobStore, judging: Judge, secret: str, trusting: ssl.SSLContext | None
) -> AsyncIterator[dict[str, int]]:
    """Serve browsers; gives the ports. `secret` is ours at the provider of identity, whose certificates `trusting` judges."""
    assert config.web is not None  # noqa: S101 - the caller checked
    own, site = config.web, _site(config.web)
    tls = None
    if own.origin.startswith("https://"):
        if config.tls is None:
            raise ConfigurationError("[web] needs the certificate of [tls].", "[web] demande le certificat de [tls].")
        tls = server_context(config.tls.certificate, config.tls.key)
    limits = Limits(idle=int(own.idle * 1000), absolute=int(own.absolute * 1000))
    notices = Notices(blobs, own.name)
    door = Door(database, own.origin, limits, notices=notices)
    provider = await _provider(config, secret, trusting)
    registers = directory_parts.registers(config) if config.enrolment.domains else None
    cards = _cards(config, door, judging)
    web_app = application(config, door, site, notices, provider, registers, blobs, cards)
    servers = {"web": HttpServer(web_app, *address(own.listen), tls)}
    if cards is not None:
        assert config.tls is not None  # noqa: S101 - `_cards` checked
        asking = mail_program_context(config.tls.certificate, config.tls.key)
        listener = Starlette(routes=cards.listener_routes())
        servers["certificates"] = HttpServer(listener, *address(own.listen_certificates), asking)

    async def forget() -> None:
        await database.write_async(sessions.forget, limits)

    async def follow() -> None:
        assert registers is not None  # noqa: S101 - else this is no job
        register = registers.current()

        def compare(connection: sa.Connection) -> Changed:
            return register.read(lambda theirs: lifecycle.compare(connection, theirs))

        changed = await database.read_async(compare)
        if changed.withdrawn or changed.renamed:
            await database.write_async(lifecycle.follow, changed, notices, ADMINISTRATOR)

    work = [Job("forget sessions that ended", _HOUR_S, forget)]
    if registers is not None:
        work.append(Job("follow the register", _DAY_S, follow))
    ports = {name: await server.start() for name, server in servers.items()}
    forgetting = asyncio.create_task(jobs.run(work))
    try:
        yield ports
    finally:
        forgetting.cancel()
        await asyncio.wait([forgetting])
        for server in servers.values():
            await server.stop()
        if provider is not None:
            await provider.close()
        if registers is not None:
            registers.close()


def application(
    config: Config,
    door: Door,
    site: Site,
    notices: Notices,
    provider: OpenIdClient | None,
    registers: Registers | None,
    blobs: BlobStore,
    cards: CertificateDesk | None = None,
) -> Starlette:
    """The HTTP face."""
    sign_in = SignInDesk(door, site, Recorder(door.database), provider)
    routes = [*sign_in.routes(), *OwnDesk(door, sign_in, site, blobs.ring).routes()]
    if cards is not None:
        routes += cards.routes()
    if registers is not None:
        rules = Rules(config.enrolment.domains, config.enrolment.terms)
        routes += EnrolmentDesk(door, registers, rules, notices).routes()
    return Starlette(routes=[*routes, *static.routes(site.name, cards=cards is not None)])


def _cards(config: Config, door: Door, judging: Judge) -> CertificateDesk | None:
    """Who lets people in by their card, or None where no port asks for certificates. Raises ConfigurationError."""
    own = config.web
    if own is None or not own.listen_certificates:
        return None
    if config.tls is None:
        raise ConfigurationError("[web] needs the certificate of [tls].", "[web] demande le certificat de [tls].")
    host, port = urlsplit(own.origin).hostname, address(own.listen_certificates)[1]
    return CertificateDesk(door, judging, Recorder(door.database), f"https://{host}:{port}")


def _site(web_: Web) -> Site:
    """Whom passkeys are for. Raises ConfigurationError."""
    parts = urlsplit(web_.origin)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)
    if not safe or not parts.hostname or parts.path or parts.query or web_.origin != web_.origin.lower():
        raise ConfigurationError(
            "[web] origin is the address that people type, such as https://messagerie.example.fr, and nothing after the host.",
            "[web] origin est l'adresse que l'on tape, par exemple https://messagerie.example.fr, sans rien après l'hôte.",
        )
    return Site(parts.hostname, web_.name, (web_.origin,))


async def _provider(config: Config, secret: str, trusting: ssl.SSLContext | None) -> OpenIdClient | None:
    """The client of Pro Santé Connect, or None where people are sent nowhere. Raises ConfigurationError."""
    own, web_ = config.identity, config.web
    if not (own.authorize or own.discovery) or web_ is None:
        return None
    registration = Registration(
        own.issuer,
        own.client,
        secret,
        web_.origin + BACK,
        level=own.level,
        skew=timedelta(seconds=own.skew),
    )
    provider = Provider(trusting)
    try:
        endpoints = await endpoints_of(own, provider, config.data / "identity-provider.json")
    except ConfigurationError:
        await provider.close()
        raise
    rhythm = Rhythm(refresh=own.keys_refresh, kept=own.keys_kept)
    keys = KeySet(own.jwks or endpoints.certs, Provider(trusting), rhythm)
    return OpenIdClient(registration, endpoints, provider, keys)


async def endpoints_of(own: Identity, provider: Provider, kept: Path) -> Endpoints:
    """Where the provider of identity answers: as usual, or as it says.

    What it said last is in the file `kept`, and serves while it cannot be reached. Raises ConfigurationError.
    """
    if not own.discovery:
        return oidc.usual(own.issuer, own.authorize)
    where = urlsplit(own.discovery)
    if where.scheme != "https" and where.hostname not in _HERE:
        raise ConfigurationError(
            f"The provider of identity must be reached over https: {own.discovery}.",
            f"Le fournisseur d'identité doit être joint en https : {own.discovery}.",
        )
    try:
        document = await provider.get(own.discovery)
        found = oidc.discovered(document, own.issuer, own.authorize)
    except ProviderFailure as failure:
        _log.error("the provider of identity does not say where it answers", detail=failure.detail)
        return await asyncio.to_thread(_recalled, own, kept)
    await asyncio.to_thread(_keep, kept, msgspec.json.encode(document))
    return found


def _recalled(own: Identity, kept: Path) -> Endpoints:
    try:
        return oidc.discovered(msgspec.json.decode(kept.read_bytes(), type=dict[str, Any]), own.issuer, own.authorize)
    except (OSError, msgspec.DecodeError, ProviderFailure) as error:
        raise ConfigurationError(
            f"{own.discovery} does not say where the provider of identity {own.issuer} answers, and never did before.",
            f"{own.discovery} ne dit pas où répond le fournisseur d'identité {own.issuer}, et ne l'a jamais dit.",
        ) from error


def _keep(kept: Path, content: bytes) -> None:
    made = kept.with_suffix(".new")
    made.write_bytes(content)
    durability.force(made)
    made.replace(kept)
    durability.force(kept.parent)
