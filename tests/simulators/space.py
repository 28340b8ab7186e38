"""A trust space: an authority with real keys, certificates good and bad, a signed list, and operators' folders.

What holds here: nothing is switched off; what the operators under test read (authorities, list, CRLs) are the files an
authority publishes, in the official formats. Names are made up.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from vaguemestre import app as composition
from vaguemestre import clock, config
from vaguemestre.trust import allowlist, names
from vaguemestre.trust.allowlist import Entry
from vaguemestre.trust.publisher import ISSUING_NAME, SIGNER_CN, Authority, Credential

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Place:
    """A made-up operator: its domain, its host's name and the name its certificate bears."""

    domain: str
    host: str
    dn: str

    def address(self, local_part: str) -> str:
        """An address of this operator."""
        return f"{local_part}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key as files: `certificate` holds the issuer's too, `alone` the leaf only."""

    credential: Credential
    certificate: Path
    key: Path
    alone: Path


NORTH = Place(
    "nord.mssante.fr",
    "mail.nord.mssante.fr",
    'CN=mail.nord.mssante.fr,OU=1590000001,O="C.H. NORD, SITE  A",ST=Nord (59),C=FR',
)
SOUTH = Place(
    "sud.mssante.fr",
    "mail.sud.mssante.fr",
    "CN=mail.sud.mssante.fr,OU=318751275100020,O=HÔPITAL DU SUD,ST=Var (83),C=FR",
)
THIRD = Place(
    "tiers.mssante.fr",
    "mail.tiers.mssante.fr",
    "CN=mail.tiers.mssante.fr,OU=1130000003,O=TIERS,ST=Gard (30),C=FR",
)
PLACES = (NORTH, SOUTH, THIRD)


class TrustSpace:
    """An authority in a folder, and what it issued. Identities are made once and shared."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = clock.now()
        self.authority = Authority.create(folder / "authority", self.now - 30 * DAY)
        self._identities: dict[tuple[str, str], Identity] = {}
        self._blank = folder / "blank"
        self.expired = self.issue(NORTH.dn, "expired", life=(self.now - 20 * DAY, self.now - DAY))
        self.revoked = self.issue(NORTH.dn, "revoked")
        self.authority.revoke(self.revoked.credential.certificate, self.now - DAY)
        self.authority.publish_crls(self.now - timedelta(minutes=1))
        self.list_file = folder / "list.xml"
        self.list_file.write_bytes(self.signed())

    @property
    def authorities(self) -> Path:
        """The PEM file of the authorities, which operators configure."""
        return self.folder / "authority" / "authorities.pem"

    def identity(self, owner: Place) -> Identity:
        """An operator's good certificate."""
        return self.issue(owner.dn, "good", [owner.host, "localhost"])

    def issue(
        self,
        dn: str,
        kind: str = "good",
        hosts: Sequence[str] = ("localhost",),
        life: tuple[datetime, datetime] | None = None,
    ) -> Identity:
        """A certificate of this space's authority, the same one for the same name and kind."""
        if (dn, kind) not in self._identities:
            credential = self.authority.issue(names.parse(dn), hosts, life or (self.now - DAY, self.now + 100 * DAY))
            self._identities[dn, kind] = self._kept(credential, self.authority.issuing.certificate)
        return self._identities[dn, kind]

    def foreign(self, dn: str) -> Identity:
        """A certificate of that name, by an authority that bears the name of ours and has other keys."""
        if (dn, "foreign") not in self._identities:
            credential, issuer = _foreign(dn, self.now)
            self._identities[dn, "foreign"] = self._kept(credential, issuer)
        return self._identities[dn, "foreign"]

    def signed(self, entries: Iterable[Entry] = (), at: datetime | None = None) -> bytes:
        """A list of every place and of these entries, generated `at` (now by default)."""
        listed = [allowlist.entry(each.domain, each.dn) for each in PLACES]
        return self.authority.sign(allowlist.render([*listed, *entries], at or self.now))

    def install(self, folder: Path, owner: Place, **sections: dict[str, Any]) -> Path:
        """An operator's folder: an empty store and a configuration. Returns the file of the latter.

        `sections` add to the configuration's tables, or replace their values.
        """
        shutil.copytree(self._blank_store(), folder / "data")
        identity = self.identity(owner)
        tables: dict[str, dict[str, Any]] = {
            "tls": {"certificate": str(identity.certificate), "key": str(identity.key)},
            "smtp": {"listen": "127.0.0.1:0"},
            "trust": self.trust(self.list_file),
            "queue": {},
        }
        for section, values in sections.items():
            tables.setdefault(section, {}).update(values)
        file = folder / "vaguemestre.toml"
        top = {"hostname": owner.host, "domains": [owner.domain], "log_level": "WARNING"}
        file.write_text(_toml(top, tables))
        return file

    def trust(self, list_file: Path) -> dict[str, Any]:
        """The `[trust]` table of an operator that reads files."""
        published = self.folder / "authority"
        return {
            "authorities": [str(self.authorities)],
            "list": str(list_file),
            "signer": SIGNER_CN,
            "crls": [str(published / "root.crl"), str(published / "issuing.crl")],
        }

    def _blank_store(self) -> Path:
        if not self._blank.exists():
            composition.migrate(config.Config(data=self._blank))
        return self._blank

    def _kept(self, credential: Credential, issuer: x509.Certificate) -> Identity:
        stem = self.folder / "identities" / str(len(self._identities))
        stem.parent.mkdir(exist_ok=True)
        certificate, key, alone = (stem.with_suffix(suffix) for suffix in (".pem", ".key", ".leaf.pem"))
        credential.write(certificate, key, [issuer])
        alone.write_bytes(credential.certificate_pem)
        return Identity(credential, certificate, key, alone)


def _foreign(dn: str, now: datetime) -> tuple[Credential, x509.Certificate]:
    issuer_name, key, issuer_key = names.to_x509(names.parse(ISSUING_NAME)), _key(), _key()
    life = now - DAY, now + 100 * DAY
    issuer = _certificate(issuer_name, issuer_key, issuer_name, issuer_key, life, authority=True)
    leaf = _certificate(names.to_x509(names.parse(dn)), key, issuer_name, issuer_key, life, authority=False)
    return Credential(leaf, key), issuer


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _certificate(
    subject: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    life: tuple[datetime, datetime],
    *,
    authority: bool,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(life[0])
        .not_valid_after(life[1])
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def _toml(top: dict[str, Any], tables: dict[str, dict[str, Any]]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for name, values in tables.items():
        lines += _table(name, values)
    return "\n".join(lines) + "\n"


def _table(name: str, values: dict[str, Any]) -> list[str]:
    inner = {key: value for key, value in values.items() if isinstance(value, dict)}
    plain = {key: value for key, value in values.items() if key not in inner}
    lines = [f"[{name}]", *(f"{_toml_key(key)} = {json.dumps(value)}" for key, value in plain.items())]
    for key, table in inner.items():
        lines += _table(f"{name}.{key}", table)
    return lines


def _toml_key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)
