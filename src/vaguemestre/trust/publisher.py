"""The authority of a trust space: certificates of the IGC-Santé profile, CRLs, OCSP answers, the signed allow-list.

Kept true: everything is in one folder, each file whole at any moment, private keys with mode 0600; the signed list is
the only copy of its entries, and is verified before it is edited; revocations are recorded before the CRL is published.

This is what the demo and the tests run on, so that nothing is switched off there; its names say TEST, like those of the
test authority of ANS. Folder: `root`, `issuing`, `signer` (`.pem`, `.key`), `authorities.pem` (what an operator
configures), `root.crl`, `issuing.crl`, `revoked.json`, `allow-list.xml`.

Profile: spec trust-space §1 "Signer", "DN form" and §2 "PKI"; RFC 5280 §4 and §5; RFC 6960 §4.2.
"""

import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from vaguemestre.errors import ConfigurationError
from vaguemestre.trust import allowlist, names, signatures
from vaguemestre.trust.allowlist import AllowList, Entry
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.names import DistinguishedName
from vaguemestre.trust.safekeeping import keep

SIGNER_CN = "alb.mssante.test"
ROOT_NAME = "CN=TEST AC RACINE IGC-SANTE ELEMENTAIRE,OU=IGC-SANTE TEST,OU=0002 187512751,O=ASIP-SANTE,C=FR"
ISSUING_NAME = "CN=TEST AC IGC-SANTE ELEMENTAIRE ORGANISATIONS,OU=IGC-SANTE TEST,OU=0002 187512751,O=ASIP-SANTE,C=FR"
SIGNER_NAME = f"CN={SIGNER_CN},OU=318751275100020,O=AGENCE DU NUMERIQUE EN SANTE,ST=Paris (75),C=FR"
_SIGNER_POLICY = x509.ObjectIdentifier("1.2.250.1.213.1.7.1.1.2.3.1")
_AUTHORITY_BITS, _LEAF_BITS = 3072, 2048
LEAF_LIFE = timedelta(days=3 * 365)
_AUTHORITY_LIFE = timedelta(days=15 * 365)
_CRL_LIFE = timedelta(days=7)

Life = tuple[datetime, datetime]  # valid from, valid until
_TLS_PURPOSES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        """The certificate alone, in DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate alone, in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, in PEM, not encrypted: keep it with mode 0600."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, certificate: Path, key: Path, issuers: Sequence[x509.Certificate] = ()) -> None:
        """Keep both, the certificate followed by its issuers, as TLS servers want it. Raises OSError."""
        keep(key, self.key_pem, 0o600)
        chain = [self.certificate_pem, *(issuer.public_bytes(Encoding.PEM) for issuer in issuers)]
        keep(certificate, b"".join(chain), 0o644)


class Authority:
    """A root, an issuing authority and a list signer, kept in a folder."""

    def __init__(self, folder: Path, root: Credential, issuing: Credential, signer: Credential) -> None:
        self._folder = folder
        self.root = root
        self.issuing = issuing
        self.signer = signer

    @classmethod
    def create(cls, folder: Path, at: datetime, crl_url: str = "", ocsp_url: str = "") -> "Authority":
        """Make a new authority, with empty CRLs. Raises ConfigurationError when the folder already has one, OSError.

        `crl_url`, `ocsp_url`: written in the certificates it issues, where given.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (folder / "root.pem").exists():
            raise ConfigurationError(
                f"{folder} already holds an authority; choose another folder.",
                f"{folder} contient déjà une autorité ; choisissez un autre dossier.",
            )
        life = at, at + _AUTHORITY_LIFE
        key, issuing_key = _new_key(_AUTHORITY_BITS), _new_key(_AUTHORITY_BITS)
        root_name, issuing_name = (names.to_x509(names.parse(name)) for name in (ROOT_NAME, ISSUING_NAME))
        top = _builder(root_name, key, root_name, key, life)
        root = Credential(_as_authority(top, 1).sign(key, hashes.SHA256()), key)
        middle = _builder(issuing_name, issuing_key, root_name, key, life)
        issuing = Credential(_as_authority(middle, 0).sign(key, hashes.SHA256()), issuing_key)
        signer = _issue_signer(issuing, names.parse(SIGNER_NAME), (at, at + LEAF_LIFE))
        authority = cls(folder, root, issuing, signer)
        authority._record({"crl_url": crl_url, "ocsp_url": ocsp_url, "number": 0, "revoked": {}})
        authority.publish_crls(at)
        keep(folder / "authorities.pem", authority.authorities_pem, 0o644)
        # The root comes last: a crash before leaves no authority, and creating it again starts afresh.
        for name, credential in (("issuing", issuing), ("signer", signer), ("root", root)):
            credential.write(folder / f"{name}.pem", folder / f"{name}.key")
        return authority

    @classmethod
    def open(cls, folder: Path) -> "Authority":
        """The authority kept in a folder. Raises ConfigurationError."""
        try:
            return cls(folder, *(_read_credential(folder, name) for name in ("root", "issuing", "signer")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{folder} holds no usable authority ({error}); create one with `vaguemestre trust authority create`.",
                f"{folder} ne contient pas d'autorité utilisable ({error}) ; créez-en une avec "
                "`vaguemestre trust authority create`.",
            ) from error

    @property
    def authorities(self) -> Authorities:
        """What an operator configures: the root and the issuing authority."""
        return Authorities((self.root.certificate, self.issuing.certificate))

    @property
    def authorities_pem(self) -> bytes:
        """The same as a PEM bundle."""
        return self.root.certificate_pem + self.issuing.certificate_pem

    def issue(self, name: DistinguishedName, hosts: Iterable[str], life: Life) -> Credential:
        """A new operator certificate, RSA-2048, for TLS as server and as client, valid from `life[0]` to `life[1]`.

        `hosts`: names, or addresses of the network, for the subjectAltName. Raises DistinguishedNameError, ValueError (dates
        in the wrong order).
        """
        settings = self._settings()
        key = _new_key(_LEAF_BITS)
        builder = (
            _leaf_builder(self.issuing, name, key, life, _TLS_PURPOSES)
            .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
            .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        )
        if settings["crl_url"]:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(settings["crl_url"])], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        if settings["ocsp_url"]:
            address = x509.UniformResourceIdentifier(settings["ocsp_url"])
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, address)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        return Credential(builder.sign(self.issuing.key, hashes.SHA256()), key)

    def issue_signer(self, name: DistinguishedName, life: Life) -> Credential:
        """A new list signer's certificate, not kept: give it to `sign`. Raises DistinguishedNameError."""
        return _issue_signer(self.issuing, name, life)

    def revoke(self, certificate: x509.Certificate, at: datetime) -> None:
        """Take a certificate back, or an issuing authority; publish the CRLs afterwards. Raises OSError."""
        settings = self._settings()
        issuer = "root" if certificate.issuer == self.root.certificate.subject else "issuing"
        settings["revoked"].setdefault(f"{issuer}:{certificate.serial_number:x}", at.isoformat())
        self._record(settings)

    def publish_crls(self, at: datetime, next_update: datetime | None = None) -> tuple[bytes, bytes]:
        """Sign and keep the CRLs of the root and of the issuing authority, in DER; due again in a week by default."""
        settings = self._settings()
        settings["number"] += 1
        self._record(settings)
        due = next_update or at + _CRL_LIFE
        root = _crl(self.root, _serials(settings, "root"), settings["number"], at, due)
        issuing = _crl(self.issuing, _serials(settings, "issuing"), settings["number"], at, due)
        keep(self._folder / "root.crl", root, 0o644)
        keep(self._folder / "issuing.crl", issuing, 0o644)
        return root, issuing

    @property
    def crls(self) -> tuple[bytes, bytes]:
        """The published CRLs of the root and of the issuing authority, in DER. Raises OSError."""
        return (self._folder / "root.crl").read_bytes(), (self._folder / "issuing.crl").read_bytes()

    def ocsp_response(self, request: bytes, at: datetime, next_update: datetime | None = None) -> bytes:
        """The DER answer to an OCSP request about a certificate of the issuing authority. Raises ValueError."""
        asked = ocsp.load_der_ocsp_request(request)
        revoked = _serials(self._settings(), "issuing").get(asked.serial_number)
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            issuer_name_hash=asked.issuer_name_hash,
            issuer_key_hash=asked.issuer_key_hash,
            serial_number=asked.serial_number,
            algorithm=asked.hash_algorithm,
            cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
            this_update=at,
            next_update=next_update or at + timedelta(days=1),
            revocation_time=revoked,
            revocation_reason=None,
        )
        responder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.issuing.certificate)
        return responder.sign(self.issuing.key, hashes.SHA256()).public_bytes(Encoding.DER)

    @property
    def published(self) -> bytes:
        """The signed list as published, or empty bytes before the first. Raises OSError."""
        path = self._folder / "allow-list.xml"
        return path.read_bytes() if path.exists() else b""

    def publish(
        self,
        at: datetime,
        add: Iterable[Entry] = (),
        remove: Iterable[tuple[str, DistinguishedName | None]] = (),
    ) -> bytes:
        """Edit the list, date it, sign it and keep it; returns the signed list.

        `remove`: (domain, name), or (domain, None) for all its names; removals come first.
        Raises AllowListError, OSError.
        """
        former = self._published(at)
        dropped = list(remove)
        kept = [
            item
            for item in (former.entries if former else ())
            if not any(item.domain == domain and name in (None, item.name) for domain, name in dropped)
        ]
        # Operators refuse two lists of one date that differ, and the format counts in seconds.
        generated = max(at, former.generated + timedelta(seconds=1)) if former else at
        signed = self.sign(allowlist.render([*kept, *add], generated))
        keep(self._folder / "allow-list.xml", signed, 0o644)
        return signed

    def sign(self, data: bytes, signer: Credential | None = None) -> bytes:
        """Any list, signed by this authority's signer or another. Raises AllowListError."""
        by = signer or self.signer
        return signatures.sign(data, by.certificate, by.key)

    def _published(self, at: datetime) -> AllowList | None:
        published = self.published
        if not published:
            return None
        signer = self.signer.certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        return allowlist.parse(signatures.verify(published, self.authorities, str(signer), at).content)

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = json.loads((self._folder / "revoked.json").read_bytes())
        return settings

    def _record(self, settings: dict[str, Any]) -> None:
        keep(self._folder / "revoked.json", json.dumps(settings, indent=1).encode())


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _new_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _read_credential(folder: Path, name: str) -> Credential:
    key = load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError(f"{name}.key")
    return Credential(x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()), key)


def _as_authority(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True).add_extension(
        _usage(key_cert_sign=True, crl_sign=True), critical=True
    )


def _leaf_builder(
    issuing: Credential,
    name: DistinguishedName,
    key: rsa.RSAPrivateKey,
    life: Life,
    purposes: Iterable[x509.ObjectIdentifier],
) -> x509.CertificateBuilder:
    return (
        _builder(names.to_x509(name), key, issuing.certificate.subject, issuing.key, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    )


def _issue_signer(issuing: Credential, name: DistinguishedName, life: Life) -> Credential:
    key = _new_key(_LEAF_BITS)
    mail = x509.RFC822Name("alb@mssante.test")
    builder = (
        _leaf_builder(issuing, name, key, life, [ExtendedKeyUsageOID.EMAIL_PROTECTION])
        .add_extension(_usage(digital_signature=True, content_commitment=True), critical=True)
        .add_extension(x509.SubjectAlternativeName([mail]), critical=False)
        .add_extension(x509.CertificatePolicies([x509.PolicyInformation(_SIGNER_POLICY, None)]), critical=False)
    )
    return Credential(builder.sign(issuing.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, key: rsa.RSAPrivateKey, issuer: x509.Name, issuer_key: rsa.RSAPrivateKey, life: Life
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(life[0])
        .not_valid_after(life[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _usage(**allowed: bool) -> x509.KeyUsage:
    kinds = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{kind: allowed.get(kind, False) for kind in kinds})


def _serials(settings: dict[str, Any], issuer: str) -> dict[int, datetime]:
    found = {}
    for key, moment in settings["revoked"].items():
        holder, serial = key.split(":")
        if holder == issuer:
            found[int(serial, 16)] = datetime.fromisoformat(moment)
    return found


def _crl(issuer: Credential, serials: dict[int, datetime], number: int, at: datetime, due: datetime) -> bytes:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(at)
        .next_update(due)
        .add_extension(identifier, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, moment in serials.items():
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)
