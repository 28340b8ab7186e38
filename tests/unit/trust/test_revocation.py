"""Silence is never a yes; what was revoked stays revoked; an older CRL never replaces a newer one."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from vaguemestre.trust import revocation
from vaguemestre.trust.publisher import Authority, Credential
from vaguemestre.trust.revocation import RevocationListError, RevocationStore

HOUR = timedelta(hours=1)


@pytest.fixture
def store(authority: Authority) -> RevocationStore:
    return RevocationStore(authority.authorities)


def _rule(call: Callable[[], object]) -> str:
    with pytest.raises(RevocationListError) as refused:
        call()
    assert refused.value.fr != refused.value.en
    return refused.value.rule


def test_without_a_crl_nothing_is_known(
    store: RevocationStore, authority: Authority, operator_a: Credential, at: datetime
) -> None:
    assert store.standing(operator_a.certificate, authority.issuing.certificate, at).revoked is None


def test_a_current_crl_says_good_until_its_next_update(
    store: RevocationStore, authority: Authority, operator_a: Credential, at: datetime
) -> None:
    due = at + 3 * HOUR
    assert store.add_crl(authority.publish_crls(at, due)[1], at) is not None
    issuer = authority.issuing.certificate
    assert store.standing(operator_a.certificate, issuer, at).revoked is False
    assert store.standing(operator_a.certificate, issuer, at).until == due
    assert store.standing(operator_a.certificate, issuer, due).revoked is None
    assert store.standing(operator_a.certificate, issuer, at - HOUR).revoked is None


def test_a_revoked_certificate_stays_revoked_when_the_crl_expires(
    store: RevocationStore, authority: Authority, operator_a: Credential, operator_b: Credential, at: datetime
) -> None:
    authority.revoke(operator_a.certificate, at - HOUR)
    store.add_crl(authority.publish_crls(at, at + HOUR)[1], at)
    for moment in (at, at + timedelta(days=300)):
        standing = store.standing(operator_a.certificate, authority.issuing.certificate, moment)
        assert standing.revoked is True
        assert standing.since == at - HOUR
    assert store.standing(operator_b.certificate, authority.issuing.certificate, at).revoked is False


def test_a_crl_in_pem_is_taken_too(store: RevocationStore, authority: Authority, at: datetime) -> None:
    pem = x509.load_der_x509_crl(authority.crls[1]).public_bytes(Encoding.PEM)
    assert store.add_crl(pem, at) is not None
    assert store.add_crl(authority.crls[1], at) is None


def test_crls_that_cannot_be_relied_on_are_refused(
    store: RevocationStore, authority: Authority, other_authority: Authority, at: datetime
) -> None:
    current = authority.publish_crls(at)[1]
    assert _rule(lambda: store.add_crl(other_authority.publish_crls(at)[1], at)) == "crl-untrusted"
    assert _rule(lambda: store.add_crl(authority.publish_crls(at - 2 * HOUR, at - HOUR)[1], at)) == "crl-expired"
    assert _rule(lambda: store.add_crl(authority.publish_crls(at + HOUR)[1], at)) == "crl-from-the-future"
    store.add_crl(current, at)
    assert _rule(lambda: store.add_crl(authority.publish_crls(at - HOUR)[1], at)) == "crl-older"
    for data in (b"", b"<html>", current[:-1], b"-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n"):
        assert _rule(lambda data=data: store.add_crl(data, at)) == "crl-unreadable"
    altered = current[:-1] + bytes([current[-1] ^ 1])
    assert _rule(lambda: store.add_crl(altered, at)) == "crl-untrusted"
    assert [crl.der for crl in store.lists] == [current]


def test_a_partial_crl_is_refused(store: RevocationStore, authority: Authority, at: datetime) -> None:
    delta = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.issuing.certificate.subject)
        .last_update(at)
        .next_update(at + HOUR)
        .add_extension(x509.DeltaCRLIndicator(1), critical=True)
        .sign(authority.issuing.key, hashes.SHA256())
    )
    assert _rule(lambda: store.add_crl(delta.public_bytes(Encoding.DER), at)) == "crl-partial"


def test_the_last_crl_is_kept_on_disk(
    authority: Authority, operator_a: Credential, at: datetime, tmp_path: Path
) -> None:
    authority.revoke(operator_a.certificate, at)
    RevocationStore(authority.authorities, tmp_path / "crl").add_crl(authority.publish_crls(at)[1], at)
    kept = RevocationStore(authority.authorities, tmp_path / "crl")
    assert kept.standing(operator_a.certificate, authority.issuing.certificate, at).revoked is True


def test_a_damaged_or_foreign_kept_crl_is_ignored(
    authority: Authority, other_authority: Authority, operator_a: Credential, at: datetime, tmp_path: Path
) -> None:
    store = RevocationStore(authority.authorities, tmp_path)
    store.add_crl(authority.crls[1], at)
    (path,) = tmp_path.glob("*.crl")
    for content in (b"", path.read_bytes()[:50], other_authority.crls[1]):
        path.write_bytes(content)
        assert RevocationStore(authority.authorities, tmp_path).lists == ()


def _ask(authority: Authority, credential: Credential, at: datetime) -> bytes:
    request = revocation.ocsp_request(credential.certificate, authority.issuing.certificate)
    return authority.ocsp_response(request, at, at + HOUR)


def test_an_ocsp_answer_counts_until_its_next_update(
    store: RevocationStore, authority: Authority, operator_a: Credential, at: datetime
) -> None:
    issuer = authority.issuing.certificate
    store.add_ocsp(_ask(authority, operator_a, at), operator_a.certificate, issuer, at)
    assert store.standing(operator_a.certificate, issuer, at).revoked is False
    assert store.standing(operator_a.certificate, issuer, at + HOUR).revoked is None
    authority.revoke(operator_a.certificate, at)
    store.add_ocsp(_ask(authority, operator_a, at), operator_a.certificate, issuer, at)
    assert store.standing(operator_a.certificate, issuer, at + 9 * HOUR).revoked is True


def test_a_current_crl_goes_before_ocsp(
    store: RevocationStore, authority: Authority, operator_a: Credential, at: datetime
) -> None:
    issuer = authority.issuing.certificate
    store.add_ocsp(_ask(authority, operator_a, at), operator_a.certificate, issuer, at)
    authority.revoke(operator_a.certificate, at)
    store.add_crl(authority.publish_crls(at)[1], at)
    assert store.standing(operator_a.certificate, issuer, at).revoked is True


def test_ocsp_answers_that_cannot_be_relied_on_are_refused(
    store: RevocationStore,
    authority: Authority,
    other_authority: Authority,
    operator_a: Credential,
    operator_b: Credential,
    at: datetime,
) -> None:
    issuer, subject = authority.issuing.certificate, operator_a.certificate
    good = _ask(authority, operator_a, at)
    for data in (
        b"",
        good[:-1] + bytes([good[-1] ^ 1]),
        _ask(authority, operator_b, at),
        _ask(authority, operator_a, at - 2 * HOUR),
        _ask(authority, operator_a, at + 2 * HOUR),
        other_authority.ocsp_response(revocation.ocsp_request(subject, issuer), at),
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
        _delegated(authority, operator_a, at, ocsp.OCSPCertStatus.UNKNOWN, [ExtendedKeyUsageOID.OCSP_SIGNING]),
        _delegated(authority, operator_a, at, ocsp.OCSPCertStatus.GOOD, [ExtendedKeyUsageOID.CLIENT_AUTH]),
        _delegated(
            authority, operator_a, at, ocsp.OCSPCertStatus.GOOD, [ExtendedKeyUsageOID.OCSP_SIGNING], other_authority
        ),
        _delegated(
            authority,
            operator_a,
            at,
            ocsp.OCSPCertStatus.GOOD,
            [ExtendedKeyUsageOID.OCSP_SIGNING],
            about_issuer=authority.root.certificate,
        ),
    ):
        assert _rule(lambda data=data: store.add_ocsp(data, subject, issuer, at)) == "ocsp-refused"
    assert store.standing(subject, issuer, at).revoked is None


def test_a_responder_the_authority_appointed_may_answer(
    store: RevocationStore, authority: Authority, operator_a: Credential, at: datetime
) -> None:
    answer = _delegated(authority, operator_a, at, ocsp.OCSPCertStatus.GOOD, [ExtendedKeyUsageOID.OCSP_SIGNING])
    issuer = authority.issuing.certificate
    assert store.add_ocsp(answer, operator_a.certificate, issuer, at).revoked is False


def _delegated(
    authority: Authority,
    asked: Credential,
    at: datetime,
    status: ocsp.OCSPCertStatus,
    purposes: list[x509.ObjectIdentifier],
    appointed_by: Authority | None = None,
    about_issuer: x509.Certificate | None = None,
) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    appointing = (appointed_by or authority).issuing
    responder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "OCSP")]))
        .issuer_name(appointing.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - HOUR)
        .not_valid_after(at + HOUR)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(appointing.key, hashes.SHA256())
    )
    return (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=asked.certificate,
            issuer=about_issuer or authority.issuing.certificate,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=at,
            next_update=None,
            revocation_time=None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
        .certificates([responder])
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
