"""Configuration: a TOML file and the environment, made into one frozen Config.

Rules: every key has a default but the few that only an administrator can know; an unknown key is an error, since a
mistyped one would otherwise do nothing in silence; paths are relative to the file. `VAGUEMESTRE_SMTP_LISTEN` in the
environment overrides `listen` in `[smtp]`, and so on; what it holds is read as TOML where it can be, else as text.
Only `app` and `cli` read a Config: other rooms take values.
The reference is docs/operating.md.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from vaguemestre.errors import ConfigurationError

_PREFIX = "VAGUEMESTRE_"
_PATHS_OR_ADDRESSES = (("storage", "objects"), ("trust", "list"), ("trust", "crls"), ("directory", "source"))

Count = Annotated[int, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Authentication = Literal["password-cleartext", "password-encrypted", "OAuth2", "TLS-client-cert"]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Level = Annotated[str, msgspec.Meta(pattern="(?i)^(debug|info|warning|error|critical)$")]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operator's certificate (PEM, leaf first, then its issuers) and private key."""

    certificate: Path
    key: Path


class Smtp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The listener for other operators. Sizes in octets; `workers` are processes beside the one that writes.

    Without `workers`: one for each core but one, three at most.
    """

    listen: str = "0.0.0.0:25"
    message_size: Count = 50 * 1024 * 1024
    recipients: Count = 1000
    connections: Count = 1000
    connections_per_address: Count = 100
    workers: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Trust(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the allow-list comes from and who signs it. Times in seconds."""

    authorities: list[Path]
    list: str
    signer: str = "alb.mssante.fr"
    refresh: Seconds = 3600
    grace: Seconds = 3 * 86_400
    crls: "tuple[str, ...]" = ()
    ocsp: str = ""


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each is in the data folder unless given: `database` may be a PostgreSQL URL, `objects` an s3:// URL."""

    database: str = ""
    keys: Path | None = None
    objects: str = ""
    inline_limit: Annotated[int, msgspec.Meta(ge=0)] = 262_144


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Relaying to other operators. Times in seconds; `routes` maps a domain to host:port instead of DNS."""

    concurrency: Count = 50
    concurrency_per_domain: Count = 5
    warn_after: Seconds = 4 * 3600
    give_up_after: Seconds = 2 * 86_400
    pause_scale: Seconds = 1.0
    routes: dict[str, str] = {}


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may sign in to accounts, and how it is proven. Times in seconds.

    Tokens: `issuer` alone is enough where its keys stand where Pro Santé Connect's do; `introspection` asks it about each.
    Browsers: `authorize` is where people are sent to sign in, on another host than the issuer's; `level` the `acr` asked for.
    `discovery` is where the provider publishes its addresses, for one whose do not stand where Pro Santé Connect's do.
    """

    app_passwords: bool = False
    issuer: str = ""
    jwks: str = ""
    introspection: str = ""
    client: str = ""
    client_secret: Path | None = None
    audience: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    skew: Annotated[float, msgspec.Meta(ge=0, le=300)] = 30
    keys_refresh: Seconds = 3600
    keys_kept: Seconds = 86_400
    authorities: Path | None = None
    authorize: str = ""
    discovery: str = ""
    level: str = "eidas1"
    traces_kept: Seconds = 183 * 86_400


class Imap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mail programs that read: STARTTLS at `listen`, TLS from the start at `listen_tls`; an empty one is not opened."""

    listen: str = "0.0.0.0:143"
    listen_tls: str = "0.0.0.0:993"
    message_size: Count = 50 * 1024 * 1024
    connections: Count = 5000
    connections_per_address: Count = 500


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mail programs that send: as for reading. Sizes in octets."""

    listen: str = "0.0.0.0:587"
    listen_tls: str = "0.0.0.0:465"
    message_size: Count = 50 * 1024 * 1024
    recipients: Count = 1000
    connections: Count = 1000
    connections_per_address: Count = 100


class Authority(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Serving an authority's list, revocation lists and OCSP over HTTP."""

    folder: Path
    listen: str = "127.0.0.1:8080"


class Autoconfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What mail programs are told, over HTTPS. Hosts and ports are public ones; port 0: not offered.

    Hosts are `hostname` unless given, the certificate that of `[tls]`; `addresses` are those of the network that
    `host` has, for the DNS records.
    """

    listen: str = "0.0.0.0:443"
    certificate: Path | None = None
    key: Path | None = None
    host: str = ""
    name: str = "MSSanté"
    imap: str = ""
    imap_port: Port = 143
    imaps_port: Port = 993
    submission: str = ""
    submission_port: Port = 587
    submissions_port: Port = 465
    authentication: tuple[Authentication, ...] = ("password-cleartext", "OAuth2")
    addresses: tuple[str, ...] = ()


class Ldap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The directory read by LDAP: StartTLS at `listen`, TLS from the start at `listen_tls`; an empty one is not opened.

    `readers` are digests of passwords by distinguished name; `attributes` maps our names to others; `most` entries
    answer one search, which may take `seconds`.
    """

    listen: str = "0.0.0.0:389"
    listen_tls: str = "0.0.0.0:636"
    base: Annotated[str, msgspec.Meta(min_length=3)] = "o=annuaire"
    readers: dict[str, str] = {}
    anonymous: bool = False
    attributes: dict[str, str] = {}
    most: Count = 500
    seconds: Seconds = 10
    connections: Count = 1000
    connections_per_address: Count = 100


class Directory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The register of professionals, and where it comes from: files, the national API, or both. Times in seconds.

    `source`: folders, files or https:// addresses; `authorities`: those whose certificates its servers must have, the
    system's unless given. `withdrawal_limit` is a share of what was there.

    Over HTTPS at `listen`, not opened where empty: `url` is the public base of FHIR, `clients` are digests (SHA-256, hex)
    by who has the key, `rate` requests a second of one client (0: any number); a page holds `page` resources at most, a
    search takes `seconds` at most. Search while typing is for the same clients, and for networks `search_trusted`.
    """

    folder: Path | None = None
    source: tuple[str, ...] = ()
    authorities: Path | None = None
    refresh: Seconds = 86_400
    withdrawal_limit: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    stale_after: Seconds = 3 * 86_400
    listen: str = ""
    url: str = ""
    relative_links: bool = False
    clients: dict[str, Digest] = {}
    rate: Annotated[float, msgspec.Meta(ge=0)] = 17
    page: Count = 1000
    seconds: Seconds = 10
    digitization: bool = False
    search_trusted: tuple[str, ...] = ()
    search_rate: Annotated[float, msgspec.Meta(ge=0)] = 50
    api: str = "https://gateway.api.esante.gouv.fr/fhir/v2"
    api_key: Path | None = None
    api_rate: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 17.0
    api_authorities: Path | None = None
    ldap: Ldap | None = None


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Telling the certified directory of our accounts: `directory` is the address of its FHIR API. Times in seconds.

    `authorities`: those whose certificate it must have, those of `[trust]` unless given. `withdrawal_limit` is a share of
    what the directory shows of ours; `pause_scale` shortens every pause.
    """

    directory: Annotated[str, msgspec.Meta(min_length=8)]
    authorities: Path | None = None
    every: Seconds = 10
    reconcile: Seconds = 86_400
    withdrawal_limit: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    pause_scale: Seconds = 1.0


class Web(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people reach with a browser. `origin` as they type it; over http on this machine only. Times in seconds.

    `name` is how the operator is called on screens and in its letters. `listen_certificates` is a second port, over HTTPS that
    asks for certificates, where people with a card sign in; empty: none.
    """

    listen: str = "0.0.0.0:443"
    listen_certificates: str = ""
    origin: str = ""
    name: str = "Messagerie sécurisée de santé"
    idle: Seconds = 3600
    absolute: Seconds = 12 * 3600


class Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may open a mailbox: domains by code of profession (TRE_G15), `*` for any other; the version of the terms in force."""

    domains: dict[str, str] = {}
    terms: str = "1"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One installation: an operator, an authority, or both."""

    data: Path = Path("data")
    hostname: str = "localhost"
    domains: tuple[str, ...] = ()
    log_level: Level = "INFO"
    tls: Tls | None = None
    trust: Trust | None = None
    smtp: Smtp = Smtp()
    storage: Storage = Storage()
    queue: Queue = Queue()
    identity: Identity = Identity()
    imap: Imap | None = None
    submission: Submission | None = None
    authority: Authority | None = None
    autoconfiguration: Autoconfiguration | None = None
    directory: Directory | None = None
    publication: Publication | None = None
    web: Web | None = None
    enrolment: Enrolment = Enrolment()

    @property
    def key_file(self) -> Path:
        """Where the key file stands."""
        return self.storage.keys or self.data / "operator.keys"


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration. Raises ConfigurationError naming the file, the key and what is wrong with it."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"There is no configuration file at {path}.", f"Il n'y a pas de fichier de configuration à {path}."
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(path, str(error)) from error
    folder = path.absolute().parent
    _override(values, environment)
    values.setdefault("data", "data")
    for section, key in _PATHS_OR_ADDRESSES:
        table = values.get(section)
        if isinstance(table, dict) and key in table:
            table[key] = _beside(folder, table[key])

    def decode(kind: Any, value: Any) -> Any:
        return folder / value if issubclass(kind, Path) else value

    try:
        return msgspec.convert(values, Config, dec_hook=decode)
    except msgspec.ValidationError as error:
        raise _wrong(path, str(error)) from error


def address(listen: str) -> tuple[str, int]:
    """Host and port of a `host:port` text. Raises ConfigurationError."""
    host, separator, port = listen.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigurationError(
            f"{listen} is not an address of the form host:port.",
            f"{listen} n'est pas une adresse de la forme hôte:port.",
        )
    return host.strip("[]"), int(port)


def _override(values: dict[str, Any], environment: Mapping[str, str]) -> None:
    sections = {
        name
        for name, kind in Config.__annotations__.items()
        if name not in ("data", "hostname", "domains", "log_level")
    }
    for name, text in environment.items():
        if not name.startswith(_PREFIX):
            continue
        key = name.removeprefix(_PREFIX).lower()
        section, _, inner = key.partition("_")
        target, key = (values.setdefault(section, {}), inner) if section in sections else (values, key)
        if isinstance(target, dict):  # else the file is wrong, and what reads it says so
            target[key] = _value(text)


def _beside(folder: Path, where: Any) -> Any:
    """A path is relative to the file; an address, an empty text and what is neither stay as they are."""
    if isinstance(where, list):
        return [_beside(folder, each) for each in where]
    return str(folder / where) if isinstance(where, str) and where and "://" not in where else where


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _wrong(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The configuration {path} is wrong: {what}.", f"La configuration {path} est incorrecte : {what}."
    )
