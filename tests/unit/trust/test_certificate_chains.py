"""A certificate is only worth the path that leads from it to a configured authority."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from vaguemestre.errors import ConfigurationError
from vaguemestre.trust import certificates
from vaguemestre.trust.certificates import Authorities, CertificateError
from vaguemestre.trust.publisher import Authority, Credential

Builder = x509.CertificateBuilder
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def _builder(issuer: Credential, key: Key, at: datetime, cn: str = "leaf") -> Builder:
    return (
        Builder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, cn)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
    )


def _signed(builder: Builder, issuer: Credential) -> x509.Certificate:
    return builder.sign(issuer.key, hashes.SHA256())


def _rule(call: Callable[[], object]) -> str:
    with pytest.raises(CertificateError) as refused:
        call()
    assert refused.value.fr != refused.value.en
    return refused.value.rule


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_a_chain_goes_up_to_the_root_where_it_is_configured(authority: Authority, operator_a: Credential) -> None:
    chain = certificates.build_chain(operator_a.certificate, [], authority.authorities)
    assert chain.certificates == (operator_a.certificate, authority.issuing.certificate, authority.root.certificate)
    assert chain.not_after == operator_a.certificate.not_valid_after_utc


def test_configuring_the_issuing_authority_alone_pins_it(authority: Authority, operator_a: Credential) -> None:
    pinned = Authorities((authority.issuing.certificate,))
    chain = certificates.build_chain(operator_a.certificate, [authority.root.certificate], pinned)
    assert chain.certificates == (operator_a.certificate, authority.issuing.certificate)


def test_with_the_root_alone_the_peer_must_send_the_issuing_authority(
    authority: Authority, operator_a: Credential
) -> None:
    root = Authorities((authority.root.certificate,))
    chain = certificates.build_chain(operator_a.certificate, [authority.issuing.certificate], root)
    assert len(chain.certificates) == 3
    assert _rule(lambda: certificates.build_chain(operator_a.certificate, [], root)) == "unknown-authority"


def test_what_a_peer_sends_never_becomes_an_authority(
    authority: Authority, other_authority: Authority, operator_a: Credential, at: datetime, key: rsa.RSAPrivateKey
) -> None:
    stranger = _signed(_builder(other_authority.issuing, key, at), other_authority.issuing)
    sent = [other_authority.issuing.certificate, other_authority.root.certificate, authority.issuing.certificate]
    assert _rule(lambda: certificates.build_chain(stranger, sent, authority.authorities)) == "unknown-authority"
    below = _signed(_builder(operator_a, key, at), operator_a)
    assert _rule(lambda: certificates.build_chain(below, [operator_a.certificate], authority.authorities)) == (
        "unknown-authority"
    )
    alone = Credential(operator_a.certificate, key)
    assert _rule(lambda: certificates.build_chain(_signed(_builder(alone, key, at), alone), [], authority.authorities))


def test_a_forged_signature_is_refused(authority: Authority, at: datetime, key: rsa.RSAPrivateKey) -> None:
    forged = _builder(authority.issuing, key, at).sign(key, hashes.SHA256())
    assert _rule(lambda: certificates.build_chain(forged, [], authority.authorities)) == "unknown-authority"


def test_the_path_length_is_kept(authority: Authority, at: datetime, key: rsa.RSAPrivateKey) -> None:
    sub = Credential(
        _signed(
            _builder(authority.issuing, key, at, "sub").add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True
            ),
            authority.issuing,
        ),
        key,
    )
    leaf = _signed(_builder(sub, key, at), sub)
    assert (
        _rule(lambda: certificates.build_chain(leaf, [sub.certificate], authority.authorities)) == "unknown-authority"
    )


def test_weak_keys_and_unknown_critical_extensions_are_refused(
    authority: Authority, at: datetime, key: rsa.RSAPrivateKey
) -> None:
    weak = _signed(_builder(authority.issuing, rsa.generate_private_key(65537, 1024), at), authority.issuing)
    curve = _signed(_builder(authority.issuing, ec.generate_private_key(ec.SECP224R1()), at), authority.issuing)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    odd = _signed(_builder(authority.issuing, key, at).add_extension(unknown, critical=True), authority.issuing)
    for leaf in (weak, curve, odd):
        assert _rule(lambda leaf=leaf: certificates.build_chain(leaf, [], authority.authorities)) == (
            "certificate-unsuitable"
        )
    good = _signed(_builder(authority.issuing, key, at).add_extension(unknown, critical=False), authority.issuing)
    certificates.build_chain(good, [], authority.authorities)
    strong = _signed(_builder(authority.issuing, ec.generate_private_key(ec.SECP256R1()), at), authority.issuing)
    certificates.build_chain(strong, [], authority.authorities)


def test_a_peer_s_certificate_is_for_tls(authority: Authority, at: datetime, key: rsa.RSAPrivateKey) -> None:
    def leaf(extension: x509.ExtensionType) -> x509.Certificate:
        return _signed(_builder(authority.issuing, key, at).add_extension(extension, critical=False), authority.issuing)

    certificates.refuse_as_peer(leaf(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])))
    certificates.refuse_as_peer(leaf(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])))
    certificates.refuse_as_peer(_signed(_builder(authority.issuing, key, at), authority.issuing))
    no_signing = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    for bad in (
        leaf(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])),
        leaf(x509.BasicConstraints(ca=True, path_length=None)),
        leaf(no_signing),
        authority.signer.certificate,
        authority.issuing.certificate,
    ):
        assert _rule(lambda bad=bad: certificates.refuse_as_peer(bad)) == "certificate-unsuitable"


def test_dates_include_both_ends(authority: Authority, operator_a: Credential) -> None:
    chain = certificates.build_chain(operator_a.certificate, [], authority.authorities)
    chain.refuse_dates(chain.not_before)
    chain.refuse_dates(chain.not_after)
    second = timedelta(seconds=1)
    assert _rule(lambda: chain.refuse_dates(chain.not_before - second)) == "certificate-not-yet-valid"
    assert _rule(lambda: chain.refuse_dates(chain.not_after + second)) == "certificate-expired"


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"x" * 100, b"\x30\x82\xff\xff" + b"\0" * 70_000])
def test_unreadable_certificates_are_refused(der: bytes) -> None:
    assert _rule(lambda: certificates.load(der)) == "certificate-unreadable"


def test_authorities_are_read_from_pem_der_and_pkcs7(authority: Authority) -> None:
    both = [authority.root.certificate, authority.issuing.certificate]
    assert certificates.load_authorities(authority.authorities_pem) == authority.authorities
    assert certificates.load_authorities(authority.root.der) == Authorities((authority.root.certificate,))
    for encoding in (Encoding.PEM, Encoding.DER):
        chain = pkcs7.serialize_certificates(both, encoding)
        assert set(certificates.load_authorities(chain).certificates) == set(both)


def test_an_operator_s_certificate_is_no_authority(operator_a: Credential) -> None:
    for bad in (operator_a.certificate_pem, b"", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"):
        with pytest.raises(ConfigurationError):
            certificates.load_authorities(bad)
