"""A whole trust space on one machine: an authority, two operators that trust each other, sample people, a register.

What it keeps true: nothing is switched off: real certificates of the IGC-Santé profile, a signed list of the real one's
size, revocation lists, mutual TLS, encrypted stores; only the names, the people and the X-ray are made up. What was made
stands in one folder and is found again at the next start.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from vaguemestre import app as composition
from vaguemestre import clock, config, directory_parts, ids
from vaguemestre.config import Config
from vaguemestre.directory import practitioners, register, spellings
from vaguemestre.directory.fictitious import edition
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.intake import Watch
from vaguemestre.directory.model import (
    Activity,
    Address,
    Kind,
    Organization,
    Origin,
    Practitioner,
    Qualification,
    Qualified,
)
from vaguemestre.documents.compose import Attachment, compose
from vaguemestre.evidence import journal
from vaguemestre.evidence.journal import Recorded
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import accounts, mailboxes, messages, sharing
from vaguemestre.mailstore.model import AccountKind, Listed, Role
from vaguemestre.pretend import process
from vaguemestre.pretend.professionals import professional
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.submission import Submitted
from vaguemestre.trust import names
from vaguemestre.trust.allowlist import Entry
from vaguemestre.trust.publisher import SIGNER_CN, Authority

REAL_LIST_ENTRIES = 6_494
_REAL_LIST_NAMES = 391
_ARRIVAL_S = 60.0
_CLIENT = "vaguemestre-demo"
_CLAIRE = "99700000013"
_SAMPLES = (("40", 5), ("10", 1), ("60", 1))  # professions (TRE_G15) and how many may try to enrol


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up account."""

    address: str
    name: str
    kind: AccountKind


@dataclass(frozen=True, slots=True)
class Place:
    """A made-up operator: its folder's name, domain, certificate name and people."""

    folder: str
    domain: str
    host: str
    certificate_name: str
    people: tuple[Person, ...]


DENTISTS = Place(
    "operator-a",
    "dentistes.demo.mssante.fr",
    "mail.dentistes.demo.mssante.fr",
    "CN=mail.dentistes.demo.mssante.fr,OU=318751275100020,O=ORDRE DE DEMONSTRATION,ST=Paris (75),C=FR",
    (
        Person("claire.lefevre@dentistes.demo.mssante.fr", "Dr Claire Lefèvre, chirurgien-dentiste", AccountKind.PER),
        Person("cabinet.lilas@dentistes.demo.mssante.fr", "Cabinet dentaire des Lilas", AccountKind.CAB),
        Person("postmaster@dentistes.demo.mssante.fr", "Administration", AccountKind.ORG),
    ),
)
HOSPITAL = Place(
    "operator-b",
    "hopital.demo.mssante.fr",
    "mail.hopital.demo.mssante.fr",
    'CN=mail.hopital.demo.mssante.fr,OU=1750712184,O="C.H. DE DEMONSTRATION, SITE NORD",ST=Rhône (69),C=FR',
    (
        Person("karim.benali@hopital.demo.mssante.fr", "Dr Karim Benali, chirurgie maxillo-faciale", AccountKind.PER),
        Person("secretariat.stomatologie@hopital.demo.mssante.fr", "Secrétariat de stomatologie", AccountKind.ORG),
        Person("imagerie@hopital.demo.mssante.fr", "Imagerie (dépôt automatique)", AccountKind.APP),
        Person("postmaster@hopital.demo.mssante.fr", "Administration", AccountKind.ORG),
    ),
)


class ProgramPorts(NamedTuple):
    """Of one operator: with STARTTLS, and with TLS from the start."""

    imap: int
    imaps: int
    submission: int
    submissions: int


@dataclass(frozen=True, slots=True)
class Login:
    """What somebody's mail program signs in with."""

    place: Place
    address: str
    password: str


# Whose programs may sign in to what: the account, the person's made-up number, as in the register, and name.
_DEVICES = (
    (DENTISTS, DENTISTS.people[0].address, "899700000013", "Claire Lefèvre"),
    (HOSPITAL, HOSPITAL.people[0].address, "899700000021", "Karim Benali"),
    (HOSPITAL, HOSPITAL.people[1].address, "899700000021", "Karim Benali"),
)


@dataclass(frozen=True, slots=True)
class Space:
    """A made space: its folder and ports, in the order authority, A, B; `people` are in the register that A keeps."""

    folder: Path
    port_base: int
    people: int = 50_000

    @property
    def ports(self) -> tuple[int, int, int]:
        """HTTP of the authority, SMTP of A, SMTP of B."""
        return self.port_base + 80, self.port_base + 25, self.port_base + 26

    def program_ports(self, place: Place) -> ProgramPorts:
        """Where an operator serves mail programs."""
        own = 0 if place is DENTISTS else 1
        return ProgramPorts(*(self.port_base + usual + own for usual in ProgramPorts(143, 993, 587, 465)))

    @property
    def authorities(self) -> Path:
        """The authorities' certificates, for mail programs to trust."""
        return self.authority_folder / "authorities.pem"

    def config_file(self, place: Place) -> Path:
        """An operator's configuration file, for the other commands."""
        return self.folder / place.folder / "vaguemestre.toml"

    @property
    def web_port(self) -> int:
        """Pages of A."""
        return self.port_base + 43

    @property
    def web(self) -> str:
        """Where a visitor enrols; passkeys want a name, not a number."""
        return f"http://localhost:{self.web_port}"

    @property
    def directory_port(self) -> int:
        """The directory that A keeps: FHIR and search over HTTPS."""
        return self.port_base + 81

    @property
    def ldap_port(self) -> int:
        """The same, over LDAP with TLS from the start."""
        return self.port_base + 636

    @property
    def realm_port(self) -> int:
        """The pretend Pro Santé Connect, for software."""
        return self.port_base + 90

    @property
    def wallet_port(self) -> int:
        """The pretend Pro Santé Connect, for people."""
        return self.port_base + 91

    @property
    def authority_folder(self) -> Path:
        """Where the authority keeps its keys and list."""
        return self.folder / "authority"


def prepare(space: Space, watch: Watch | None = None) -> bool:
    """Make what is missing; true where the space was made anew. Raises ConfigurationError, StorageFailure, OSError."""
    made = not (space.folder / "made").exists()
    if made:
        _make_authority(space)
    for place, peer in ((DENTISTS, HOSPITAL), (HOSPITAL, DENTISTS)):
        _write_config(space, place, peer)
        loaded = config.load(space.config_file(place), {})
        composition.migrate(loaded)
        if made:
            with composition.open_stores(loaded) as stores:
                stores.database.write(_open_accounts, place)
    if not _logins_file(space).exists():
        _make_logins(space)
    _make_register(space, watch)
    _client_secret(space)
    (space.folder / "made").touch()
    return made


def logins(space: Space) -> list[Login]:
    """Whose mail programs may sign in; the same at each start, so that they need not be set up again."""
    lines = _logins_file(space).read_text("utf-8").split()
    known = dict(zip(lines[::2], lines[1::2], strict=True))
    return [Login(place, address, known[address]) for place, address, _, _ in _DEVICES]


def in_register(space: Space) -> dict[str, int]:
    """How many practitioners, activities, organizations and addresses the register has."""
    kept = directory_parts.registers(_loaded(space, DENTISTS))
    try:
        return kept.current().read(register.counts)
    finally:
        kept.close()


@asynccontextmanager
async def running(space: Space) -> AsyncIterator[None]:
    """Run the authority, both operators, and a pretend Pro Santé Connect beside them."""
    http = space.ports[0]
    own = Config(
        data=space.folder, authority=config.Authority(folder=space.authority_folder, listen=f"127.0.0.1:{http}")
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            process.running(
                space.folder / "pro-sante-connect.json",
                realm=space.realm_port,
                wallet=space.wallet_port,
                client=_CLIENT,
                secret=_client_secret(space),
                redirect=f"{space.web}/sign-in/back",
                people=await asyncio.to_thread(_professionals, space),
            )
        )
        await stack.enter_async_context(composition.running(own))
        for place in (DENTISTS, HOSPITAL):
            await stack.enter_async_context(composition.running(_loaded(space, place)))
        yield


def send_letter(space: Space) -> Submitted:
    """The dentist writes to the surgeon, with the panoramic and the report."""
    author, reader = DENTISTS.people[0], HOSPITAL.people[0]
    content = compose(
        author=(author.name, author.address),
        to=[(reader.name, reader.address)],
        subject="Avis sur une dent incluse (patient fictif)",
        text=_sample("letter.txt").decode(),
        at=clock.now(),
        attachments=[Attachment(name, _sample(name)) for name in ("panoramic.jpg", "report.pdf")],
    )
    loaded = _loaded(space, DENTISTS)
    with composition.open_stores(loaded) as stores:
        submission = composition.submission(loaded, stores, composition.trusted_set(loaded))
        return submission.submit(Envelope(author.address, (Recipient(reader.address),)), [content])


@dataclass(frozen=True, slots=True)
class Journey:
    """What became of the letter: entries of both journals in order, what B shows, whether each attachment is intact."""

    seconds: float
    arrived: Listed | None
    hops: tuple[tuple[Place, Recorded], ...]
    attachments: dict[str, bool]


async def follow(space: Space, sent: Submitted) -> Journey:
    """Wait until the letter stands in the reader's inbox, then tell its journey."""
    start, arrived = time.monotonic(), None
    with (
        composition.open_stores(_loaded(space, HOSPITAL)) as there,
        composition.open_stores(_loaded(space, DENTISTS)) as here,
    ):
        while time.monotonic() - start < _ARRIVAL_S:
            passed = here.database.read(_entries, sent.id)
            relays = [entry for entry in passed if entry.event in ("relay", "bounce")]
            if relays:
                break
            await asyncio.sleep(0.05)
        seconds = time.monotonic() - start
        hops = [(DENTISTS, entry) for entry in here.database.read(_entries, sent.id)]
        if relays and relays[-1].event == "relay":
            arrival_id = str((relays[-1].personal or {}).get("reply", "")).rpartition(" ")[2]
            hops += [(HOSPITAL, entry) for entry in there.database.read(_entries, arrival_id)]
            arrived = there.database.read(_arrived, arrival_id)
        attachments = {}
        if arrived is not None:
            attachments = _compare(there.database.read(there.blobs.open, arrived.blob_id).read())
    return Journey(seconds, arrived, tuple(sorted(hops, key=lambda hop: (hop[1].at, hop[0].folder))), attachments)


def _loaded(space: Space, place: Place) -> Config:
    return config.load(space.config_file(place), {})


def _make_authority(space: Space) -> None:
    now, base = clock.now(), f"http://127.0.0.1:{space.ports[0]}"
    if (space.authority_folder / "root.pem").exists():
        authority = Authority.open(space.authority_folder)
    else:
        authority = Authority.create(
            space.authority_folder, now - timedelta(days=1), f"{base}/crl/issuing.crl", f"{base}/ocsp"
        )
    for place in (DENTISTS, HOSPITAL):
        folder = space.folder / place.folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = names.parse(place.certificate_name)
        credential = authority.issue(
            name, [place.host, "localhost", "127.0.0.1"], (now - timedelta(days=1), now + timedelta(days=1000))
        )
        credential.write(folder / "certificate.pem", folder / "certificate.key", [authority.issuing.certificate])
    authority.publish_crls(now)
    if not authority.published:
        authority.publish(now, add=list_entries(now))


def list_entries(now: datetime) -> list[Entry]:
    """Entries for both operators among as many made-up ones as the real list has, with its quirks."""
    choose = random.Random(20_250_228)  # noqa: S311 - the same list on every machine
    operators = [
        f'CN=mss{number}.operateur.test,OU=1{number:09d},O="C.H. N° {number}  ÉTÉ",ST=Rhône (69),C=FR'
        if number % 7 == 0
        else f"CN=mss{number}.operateur.test,OU=3{number:014d},O=OPERATEUR {number},ST=Paris (75),C=FR"
        for number in range(_REAL_LIST_NAMES - 2)
    ]
    domains = [f"structure{number}.mssante.fr" for number in range(4_940)]
    chosen = domains + choose.choices(domains, k=REAL_LIST_ENTRIES - 2 - len(domains))
    entries = [_entry(domain, choose.choice(operators), now) for domain in chosen]
    entries += [_entry(place.domain, place.certificate_name, now) for place in (DENTISTS, HOSPITAL)]
    return entries


def _entry(domain: str, name: str, now: datetime) -> Entry:
    description, contact = "Domaine de démonstration", "01 00 00 00 00, contact@example.org"
    return Entry(domain, name, names.parse(name), description, contact, contact, now)


def _write_config(space: Space, place: Place, peer: Place) -> None:
    http, port_a, port_b = space.ports
    own, other = (port_a, port_b) if place is DENTISTS else (port_b, port_a)
    programs = space.program_ports(place)
    text = f'''# An operator of the demonstration space; made by `vaguemestre demo`.
hostname = "{place.host}"
domains = ["{place.domain}"]
data = "data"

[tls]
certificate = "certificate.pem"
key = "certificate.key"

[smtp]
listen = "127.0.0.1:{own}"

[trust]
authorities = ["../authority/authorities.pem"]
list = "http://127.0.0.1:{http}/listeblanchemssante.xml"
signer = "{SIGNER_CN}"
crls = ["http://127.0.0.1:{http}/crl/root.crl", "http://127.0.0.1:{http}/crl/issuing.crl"]

[identity]
app_passwords = true
{_identity(space) if place is DENTISTS else ""}
[imap]
listen = "127.0.0.1:{programs.imap}"
listen_tls = "127.0.0.1:{programs.imaps}"

[submission]
listen = "127.0.0.1:{programs.submission}"
listen_tls = "127.0.0.1:{programs.submissions}"

[queue.routes]
"{peer.domain}" = "127.0.0.1:{other}"
{_directory(space) + _web(space) if place is DENTISTS else ""}'''
    path = space.config_file(place)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text, "utf-8")


def _identity(space: Space) -> str:
    return f'''issuer = "http://127.0.0.1:{space.realm_port}/auth/realms/esante-wallet"
authorize = "http://127.0.0.1:{space.wallet_port}/auth"
client = "{_CLIENT}"
client_secret = "../pro-sante-connect.secret"
'''


def _directory(space: Space) -> str:
    return f"""
[directory]
listen = "127.0.0.1:{space.directory_port}"
search_trusted = ["127.0.0.1/32"]

[directory.ldap]
listen = ""
listen_tls = "127.0.0.1:{space.ldap_port}"
anonymous = true
"""


def _web(space: Space) -> str:
    return f'''
[web]
listen = "127.0.0.1:{space.web_port}"
origin = "{space.web}"
name = "Messagerie des dentistes (démonstration)"

[enrolment]
terms = "2026-11"

[enrolment.domains]
"40" = "{DENTISTS.domain}"
'''


def _professionals(space: Space) -> list[dict[str, Any]]:
    """Who may sign in: Dr Lefèvre, who has a mailbox, and people of the register who have no address yet."""
    kept = directory_parts.registers(_loaded(space, DENTISTS))
    try:
        found = [
            person
            for profession, count in _SAMPLES
            for person in kept.current().read(practitioners.without_address, profession, count)
        ]
    finally:
        kept.close()
    known = [professional(_CLAIRE, "LEFÈVRE", "Claire")]
    known += [
        professional(person.rpps, person.family, person.given, civility=person.civility, profession=person.profession)
        for person in found
    ]
    return known


def _client_secret(space: Space) -> str:
    path = space.folder / "pro-sante-connect.secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24), "ascii")
    return path.read_text("ascii")


def _open_accounts(connection: sa.Connection, place: Place) -> None:
    for person in place.people:
        if accounts.destination(connection, person.address) is None:
            accounts.create(connection, person.kind, person.address, person.name)


def _logins_file(space: Space) -> Path:
    return space.folder / "app-passwords"


def _make_logins(space: Space) -> None:
    """App passwords, kept in clear beside the space: its people are made up."""
    made = []
    for place in (DENTISTS, HOSPITAL):
        with composition.open_stores(_loaded(space, place)) as stores:
            for _, address, number, name in (each for each in _DEVICES if each[0] is place):
                stores.database.write(sharing.bind_holder, address, number, name, ADMINISTRATOR)
                new = stores.database.write(sharing.add_app_password, address, number, "demo", ADMINISTRATOR)
                made.append(f"{address} {new.secret}\n")
    path = _logins_file(space)
    path.touch(0o600)
    path.write_text("".join(made), "utf-8")


def _make_register(space: Space, watch: Watch | None) -> None:
    loaded = _loaded(space, DENTISTS)
    place = directory_parts.place(loaded)
    if not (place.folder / "current").exists():
        edition.make(place, Fiction(space.people), watch)
    kept = place.open()
    try:
        kept.write(_introduce)
    finally:
        kept.close()
    directory_parts.refresh_search(loaded, watch)  # for whoever searches in the first seconds


def _introduce(connection: sa.Connection) -> None:
    """Put the sample people in the register, as their operators would."""
    dentist, practice = "99700000013", "Cabinet dentaire des Lilas"
    surgeon, hospital = "99700000021", "C.H. DE DEMONSTRATION, SITE NORD"
    if register.knows(connection, f"8{dentist}"):
        return
    revision = register.begin(connection, Origin.OPERATOR)
    person, place, activity, address = (
        register.following(connection, kind) for kind in (Practitioner, Organization, Activity, Address)
    )
    standing = (True, Origin.OPERATOR, revision)
    register.put(
        connection,
        Practitioner(person, f"8{dentist}", dentist, "MME", "DR", "LEFÈVRE", "CLAIRE", "40", "C", *standing),
        Practitioner(person + 1, f"8{surgeon}", surgeon, "M", "DR", "BENALI", "KARIM", "10", "C", *standing),
        Qualification(person, Qualified.PROFESSION, "C", "40"),
        Qualification(person + 1, Qualified.PROFESSION, "C", "10"),
        Qualification(person + 1, Qualified.KNOW_HOW, "S", "SM06"),
        _organization(place, "R99700000013001", practice, "SA07", ("12", "R", "de Paris", "93260", "93045", "LES LILAS"),
                      revision, rank="99700000013010"),
        _organization(place + 1, "F997800008", hospital, "SA01", ("1", "PL", "de l'Hôpital", "69003", "69383", "LYON"),
                      revision, finess="997800008"),
        Activity(activity, "", person, place, "40", "C", "L", "FON-01", "GENR01", "", *standing),
        Activity(activity + 1, "", person + 1, place + 1, "10", "C", "S", "FON-21", "GENR01", "", *standing),
    )  # fmt: skip
    bearers: dict[Kind, dict[Place, tuple[int | None, int | None]]] = {
        Kind.PERSON: {DENTISTS: (person, place), HOSPITAL: (person + 1, place + 1)},
        Kind.PRACTICE: {DENTISTS: (person, None)},
        Kind.ORGANIZATION: {HOSPITAL: (None, place + 1)},
        Kind.APPLICATION: {HOSPITAL: (None, place + 1)},
    }
    for operator in (DENTISTS, HOSPITAL):
        for number, each in enumerate(operator.people[:-1]):  # not the postmaster, whom nobody looks for
            kind = Kind(each.kind.value)
            practitioner_id, organization_id = bearers[kind][operator]
            register.put(
                connection,
                Address(
                    address,
                    each.address,
                    kind,
                    practitioner_id,
                    organization_id,
                    service="Stomatologie" if kind is Kind.ORGANIZATION else "",
                    description="" if kind is Kind.PERSON else each.name,
                    responsible="",
                    rank=1 if number == 0 else None,
                    digitization=None,
                    red_list=False,
                    operator=operator.domain,
                    published_at=clock.now_ms(),
                    active=True,
                    origin=Origin.OPERATOR,
                    revision=revision,
                ),
            )
            address += 1
    spellings.refresh(connection, revision - 1)


def _organization(
    id_: int,
    technical_id: str,
    name: str,
    sector: str,
    where: tuple[str, str, str, str, str, str],
    revision: int,
    finess: str = "",
    rank: str = "",
) -> Organization:
    number, kind, street, postcode, commune, city = where
    return Organization(
        id_, technical_id, finess, "", "", "", rank, name, "", sector, "", "", "", number, "", kind, street, "", "",
        postcode, commune, city, postcode[:2], "99000", "", "", "", "", "", None, True, Origin.OPERATOR, revision,
    )  # fmt: skip


def _entries(connection: sa.Connection, subject: str) -> list[Recorded]:
    return journal.log(connection, subject=subject)


def _arrived(connection: sa.Connection, message: str) -> Listed | None:
    account = accounts.get(connection, HOSPITAL.people[0].address)
    inbox = mailboxes.with_role(connection, account.id, Role.INBOX)
    newest = messages.listing(connection, inbox.id, limit=20)
    return next((listed for listed in newest if ids.to_text(listed.blob_id) == message), None)


def _compare(content: bytes) -> dict[str, bool]:
    """Whether each attachment is, octet for octet, the sample that was sent."""
    parsed = message_from_bytes(content, policy=policy.default)
    found = {str(part.get_filename()): part.get_payload(decode=True) for part in parsed.walk() if part.get_filename()}
    return {name: found.get(name) == _sample(name) for name in ("panoramic.jpg", "report.pdf")}


def _sample(name: str) -> bytes:
    return (files("vaguemestre") / "samples" / name).read_bytes()
