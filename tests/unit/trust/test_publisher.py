"""The test authority follows the profile, so that nothing is switched off in the tests that use it."""

import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from vaguemestre.errors import ConfigurationError
from vaguemestre.trust import allowlist, certificates, names, signatures
from vaguemestre.trust.publisher import SIGNER_CN, Authority, Credential

DAY = timedelta(days=1)


def _published(authority: Authority, data: bytes, at: datetime) -> allowlist.AllowList:
    return allowlist.parse(signatures.verify(data, authority.authorities, SIGNER_CN, at).content)


def test_an_operator_certificate_has_the_profile(operator_a: Credential) -> None:
    certificate = operator_a.certificate
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    usage = certificates.extension(certificate, x509.KeyUsage)
    purposes = certificates.extension(certificate, x509.ExtendedKeyUsage)
    hosts = certificates.extension(certificate, x509.SubjectAlternativeName)
    assert usage is not None
    assert usage.digital_signature
    assert usage.key_encipherment
    assert not usage.key_cert_sign
    assert list(purposes or ()) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert hosts is not None
    assert hosts.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [item.rfc4514_attribute_name for item in certificate.subject] == ["C", "ST", "O", "OU", "CN"]


def test_addresses_given_are_written_in_certificates(tmp_path: Path, at: datetime) -> None:
    authority = Authority.create(tmp_path / "a", at, "http://crl.test/x.crl", "http://ocsp.test/")
    leaf = authority.issue(names.parse("CN=a,C=FR"), ["a"], (at, at + DAY)).certificate
    points = certificates.extension(leaf, x509.CRLDistributionPoints)
    access = certificates.extension(leaf, x509.AuthorityInformationAccess)
    assert "http://crl.test/x.crl" in str(list(points or ()))
    assert "http://ocsp.test/" in str(list(access or ()))


def test_a_machine_may_be_named_by_its_address(authority: Authority, at: datetime) -> None:
    leaf = authority.issue(names.parse("CN=a,C=FR"), ["localhost", "127.0.0.1", "::1"], (at, at + DAY)).certificate
    hosts = certificates.extension(leaf, x509.SubjectAlternativeName)
    assert hosts is not None
    assert hosts.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in hosts.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_the_signer_has_the_official_profile(authority: Authority) -> None:
    purposes = certificates.extension(authority.signer.certificate, x509.ExtendedKeyUsage)
    usage = certificates.extension(authority.signer.certificate, x509.KeyUsage)
    assert list(purposes or ()) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert usage is not None
    assert usage.digital_signature
    assert usage.content_commitment


def test_openssl_agrees_with_the_chain_and_the_crl(
    authority: Authority, operator_a: Credential, operator_b: Credential, tmp_path: Path, at: datetime
) -> None:
    authority.revoke(operator_b.certificate, at)
    crl = x509.load_der_x509_crl(authority.publish_crls(at)[1])
    from cryptography.hazmat.primitives.serialization import Encoding

    (tmp_path / "ca.pem").write_bytes(authority.authorities_pem)
    (tmp_path / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    for credential, expected in ((operator_a, 0), (operator_b, 2)):
        (tmp_path / "leaf.pem").write_bytes(credential.certificate_pem)
        moment = str(int(at.timestamp()))
        command = ["openssl", "verify", "-crl_check", "-attime", moment, "-purpose", "sslclient"]
        files = ["-CAfile", str(tmp_path / "ca.pem"), "-CRLfile", str(tmp_path / "crl.pem"), str(tmp_path / "leaf.pem")]
        run = subprocess.run([*command, *files], capture_output=True, text=True, check=False, timeout=20)
        assert run.returncode == expected, run.stderr


def test_private_keys_are_private(authority: Authority, tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    for path in folder.glob("*.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    authority.signer.write(tmp_path / "s.pem", tmp_path / "s.key", [authority.issuing.certificate])
    assert (tmp_path / "s.key").stat().st_mode & 0o777 == 0o600
    assert len(x509.load_pem_x509_certificates((tmp_path / "s.pem").read_bytes())) == 2


def test_an_authority_is_made_once_and_opened_after(authority: Authority, tmp_path: Path, at: datetime) -> None:
    with pytest.raises(ConfigurationError):
        Authority.create(tmp_path / "authority", at)
    assert Authority.open(tmp_path / "authority").authorities == authority.authorities
    with pytest.raises(ConfigurationError):
        Authority.open(tmp_path)


def test_a_half_made_authority_is_made_afresh(tmp_path: Path, at: datetime, kept_authority: Path) -> None:
    (tmp_path / "half").mkdir()
    for name in ("issuing.key", "revoked.json"):
        (tmp_path / "half" / name).write_bytes((kept_authority / name).read_bytes())
    with pytest.raises(ConfigurationError):
        Authority.open(tmp_path / "half")
    Authority.create(tmp_path / "half", at)
    Authority.open(tmp_path / "half").publish_crls(at)


def test_the_list_is_edited_entry_by_entry(authority: Authority, entries: list[allowlist.Entry], at: datetime) -> None:
    assert authority.published == b""
    first = authority.publish(at, entries)
    assert authority.published == first
    assert len(_published(authority, first, at).entries) == 3
    b = entries[1]
    second = _published(authority, authority.publish(at + DAY, remove=[("b.mssante.fr", b.name)]), at + DAY)
    assert [item.domain for item in second.entries] == ["a.mssante.fr", "shared.example.org"]
    assert second.generated == at + DAY
    more = allowlist.entry("a.mssante.fr", b.name_text)
    third = _published(authority, authority.publish(at + DAY, [more]), at + DAY)
    assert len(third.names["a.mssante.fr"]) == 2
    other = ("a.mssante.fr", names.parse("CN=other"))
    assert len(_published(authority, authority.publish(at + DAY, remove=[other]), at + DAY).entries) == 3
    gone = [("a.mssante.fr", None)]
    assert list(_published(authority, authority.publish(at + DAY, remove=gone), at + DAY).names) == [
        "shared.example.org"
    ]


def test_two_lists_never_bear_one_date(authority: Authority, entries: list[allowlist.Entry], at: datetime) -> None:
    dates = [_published(authority, authority.publish(at, entries), at).generated for _ in range(3)]
    assert dates == [at, at + timedelta(seconds=1), at + timedelta(seconds=2)]


def test_the_last_entry_cannot_be_removed(authority: Authority, entries: list[allowlist.Entry], at: datetime) -> None:
    authority.publish(at, entries[:1])
    with pytest.raises(allowlist.EmptyListError):
        authority.publish(at, remove=[("a.mssante.fr", None)])
    assert len(_published(authority, authority.published, at).entries) == 1


def test_an_altered_published_list_is_not_edited(
    authority: Authority, entries: list[allowlist.Entry], at: datetime, tmp_path: Path
) -> None:
    path = tmp_path / "authority" / "allow-list.xml"
    path.write_bytes(authority.publish(at, entries).replace(b"a.mssante.fr", b"e.mssante.fr"))
    with pytest.raises(signatures.AlteredListError):
        authority.publish(at, entries)
