"""TLS without I/O: who completes a handshake, what is refused, and what an end of stream means."""

import base64
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from vaguemestre.errors import ConfigurationError
from vaguemestre.protocols import tls
from vaguemestre.protocols.tls import (
    TlsConnection,
    TlsError,
    client_context,
    mail_program_context,
    server_context,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Identity:
    chain: Path
    key: Path
    der: bytes


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _authority(common_name: str) -> Authority:
    key = rsa.generate_private_key(65537, 2048)
    certificate = _certificate(common_name, key, _name(common_name), key, ca=True)
    return Authority(certificate, key)


def _certificate(
    common_name: str,
    key: rsa.RSAPrivateKey,
    issuer: x509.Name,
    signer: rsa.RSAPrivateKey,
    *,
    start: datetime = START,
    days: int = 3650,
    ca: bool = False,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


def _identity(folder: Path, common_name: str, authority: Authority, *, days: int = 3650) -> Identity:
    key = rsa.generate_private_key(65537, 2048)
    start = START if days > 0 else START - timedelta(days=-2 * days)
    certificate = _certificate(
        common_name, key, authority.certificate.subject, authority.key, start=start, days=abs(days)
    )
    chain = folder / f"{common_name}.pem"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM) + authority.certificate.public_bytes(Encoding.PEM))
    key_path = folder / f"{common_name}.key"
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Identity(chain, key_path, certificate.public_bytes(Encoding.DER))


@dataclass(frozen=True)
class World:
    folder: Path
    authority: Authority
    ours: Identity
    peer: Identity
    expired: Identity
    foreign: Identity
    server: SSL.Context
    client: SSL.Context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tls")
    authority = _authority("authority")
    ours = _identity(folder, "ours", authority)
    peer = _identity(folder, "peer", authority)
    return World(
        folder,
        authority,
        ours,
        peer,
        _identity(folder, "expired", authority, days=-30),
        _identity(folder, "foreign", _authority("another authority")),
        server_context(ours.chain, ours.key),
        client_context(peer.chain, peer.key),
    )


def _shake(client: TlsConnection, server: TlsConnection) -> None:
    for _ in range(10):
        if client.handshaken and server.handshaken:
            break
        server.receive(client.pending())
        client.receive(server.pending())
    assert client.handshaken
    assert server.handshaken


def _pair(world: World) -> tuple[TlsConnection, TlsConnection]:
    client, server = TlsConnection(world.client, server_name="b.example"), TlsConnection(world.server, server=True)
    _shake(client, server)
    return client, server


class _Stdlib:
    """The other end played by Python's ssl module."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.into, self.out, server_side=server, server_hostname=None if server else "b.example"
        )

    def step(self, incoming: bytes) -> tuple[bool, bytes]:
        if incoming:
            self.into.write(incoming)
        done = True
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        return done, self.out.read()

    def shake(self, ours: TlsConnection) -> None:
        done = False
        for _ in range(10):
            done, outgoing = self.step(ours.pending())
            ours.receive(outgoing)
            if done and ours.handshaken:
                return
        raise AssertionError("the handshake did not end")


def _stdlib_client(identity: Identity | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity:
        context.load_cert_chain(identity.chain, identity.key)
    return context


def _stdlib_server(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.chain, identity.key)
    return context


def test_each_side_sees_the_other_s_chain_leaf_first(world: World) -> None:
    client, server = _pair(world)
    authority = world.authority.certificate.public_bytes(Encoding.DER)
    assert server.peer_chain() == (world.peer.der, authority)
    assert client.peer_chain() == (world.ours.der, authority)
    assert client.version == server.version == "TLSv1.3"
    assert client.cipher == server.cipher
    assert client.cipher.startswith("TLS_")


def test_plaintext_passes_both_ways_whatever_its_size(world: World) -> None:
    client, server = _pair(world)
    for size in (1, 16_384, 16_385, 100_000, 1_000_000):
        assert server.receive(client.send(b"a" * size)) == b"a" * size
        assert client.receive(server.send(b"b" * size)) == b"b" * size
    assert client.send(b"") == b""


@pytest.mark.parametrize("whose", ["peer", "expired", "foreign", None])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_handshake_judges_no_client_certificate(world: World, whose: str | None, version: ssl.TLSVersion) -> None:
    identity: Identity | None = getattr(world, whose) if whose else None
    context = _stdlib_client(identity)
    context.maximum_version = version
    server = TlsConnection(world.server, server=True)
    peer = _Stdlib(context, server=False)
    peer.shake(server)
    assert server.peer_chain()[:1] == ((identity.der,) if identity else ())
    peer.tls.write(b"EHLO a\r\n")
    assert server.receive(peer.out.read()) == b"EHLO a\r\n"


@pytest.mark.parametrize("whose", ["peer", "expired", "foreign"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_handshake_judges_no_server_certificate(world: World, whose: str, version: ssl.TLSVersion) -> None:
    identity: Identity = getattr(world, whose)
    context = _stdlib_server(identity)
    context.maximum_version = version
    client = TlsConnection(world.client, server_name="b.example")
    _Stdlib(context, server=True).shake(client)
    assert client.peer_chain()[0] == identity.der


def test_a_client_certificate_is_asked_for_and_shown(world: World) -> None:
    context = _stdlib_server(world.ours)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=world.authority.certificate.public_bytes(Encoding.DER))
    peer = _Stdlib(context, server=True)
    peer.shake(TlsConnection(world.client))
    assert peer.tls.getpeercert(binary_form=True) == world.peer.der


def test_the_server_name_is_sent(world: World) -> None:
    seen: list[str | None] = []
    context = _stdlib_server(world.ours)
    context.sni_callback = lambda _tls, name, _context: seen.append(name)
    _Stdlib(context, server=True).shake(TlsConnection(world.client, server_name="mx.b.mssante.fr"))
    assert seen == ["mx.b.mssante.fr"]


def test_a_peer_that_refuses_our_certificate_is_named_as_the_reason(world: World) -> None:
    context = _stdlib_server(world.ours)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    peer = _Stdlib(context, server=True)
    client = TlsConnection(world.client)
    client.receive(peer.step(client.pending())[1])
    peer.into.write(client.pending())
    with pytest.raises(ssl.SSLError):
        peer.tls.do_handshake()
    with pytest.raises(TlsError, match="does not know the authority"):
        client.receive(peer.out.read())


def _old_context(*, ciphers: bytes, version: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    context.set_cipher_list(ciphers)
    return context


@pytest.mark.parametrize(
    "ciphers",
    [
        b"ECDHE-RSA-AES256-GCM-SHA384",
        b"ECDHE-RSA-AES128-GCM-SHA256",
        b"ECDHE-RSA-AES256-SHA384",
        b"ECDHE-RSA-AES128-SHA256",
    ],
)
def test_the_four_suites_of_the_trust_space_are_accepted_in_tls_1_2(world: World, ciphers: bytes) -> None:
    client = TlsConnection(_old_context(ciphers=ciphers, version=SSL.TLS1_2_VERSION))
    server = TlsConnection(world.server, server=True)
    _shake(client, server)
    assert (server.version, server.cipher.encode()) == ("TLSv1.2", ciphers)


@pytest.mark.parametrize(
    "ciphers",
    [
        b"AES256-GCM-SHA384",
        b"ECDHE-RSA-AES128-SHA",
        b"DHE-RSA-AES256-GCM-SHA384",
        b"ECDHE-RSA-CHACHA20-POLY1305",
        b"AECDH-AES256-SHA:@SECLEVEL=0",
    ],
)
def test_any_other_suite_is_refused_in_tls_1_2(world: World, ciphers: bytes) -> None:
    client = TlsConnection(_old_context(ciphers=ciphers, version=SSL.TLS1_2_VERSION))
    server = TlsConnection(world.server, server=True)
    with pytest.raises(TlsError, match="none of the cipher suites"):
        server.receive(client.pending())
    with pytest.raises(TlsError, match="no common version of TLS or cipher suite"):
        client.receive(server.pending())


def test_tls_1_1_is_refused(world: World) -> None:
    client = TlsConnection(_old_context(ciphers=b"ALL:@SECLEVEL=0", version=SSL.TLS1_1_VERSION))
    server = TlsConnection(world.server, server=True)
    with pytest.raises(TlsError, match=r"older than 1\.2") as caught:
        server.receive(client.pending())
    assert "antérieures à 1.2" in caught.value.fr
    with pytest.raises(TlsError, match="no version of TLS"):
        client.receive(server.pending())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_never_resumed(world: World, version: ssl.TLSVersion) -> None:
    context = _stdlib_client(world.peer)
    context.maximum_version = version
    first = _Stdlib(context, server=False)
    server = TlsConnection(world.server, server=True)
    first.shake(server)
    first.into.write(server.send(b"x"))
    assert first.tls.read(1) == b"x"
    session = first.tls.session
    second = _Stdlib(context, server=False)
    if session is not None:
        second.tls.session = session
    server = TlsConnection(world.server, server=True)
    second.shake(server)
    assert not second.tls.session_reused
    assert server.peer_chain()[0] == world.peer.der


def test_a_clean_end_is_told_from_a_truncation(world: World) -> None:
    client, server = _pair(world)
    assert server.receive(client.send(b"QUIT\r\n")) == b"QUIT\r\n"
    assert not server.closed  # an end of stream here is a truncation
    assert server.receive(client.send(b"bye") + client.close()) == b"bye"
    assert server.closed
    assert server.receive(b"anything") == b""
    client.receive(server.close())
    assert client.closed


def test_bytes_after_a_tampered_record_are_never_delivered(world: World) -> None:
    client, server = _pair(world)
    record = bytearray(client.send(b"MAIL FROM:<a@b>\r\n"))
    record[-1] ^= 1
    with pytest.raises(TlsError):
        server.receive(bytes(record))
    with pytest.raises(TlsError):
        server.receive(client.send(b"RCPT TO:<c@d>\r\n"))
    with pytest.raises(TlsError):
        server.send(b"250 ok\r\n")
    assert client.handshaken
    with pytest.raises(TlsError):
        client.receive(server.close())  # it holds the alert, and no close_notify
    assert not client.closed


@pytest.mark.parametrize(
    "garbage", [b"EHLO peer.example\r\n", b"\x00" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff"]
)
def test_garbage_instead_of_a_handshake_is_an_error_for_people(world: World, garbage: bytes) -> None:
    server = TlsConnection(world.server, server=True)
    with pytest.raises(TlsError, match="The TLS exchange failed: "):
        server.receive(garbage)


def test_nothing_is_sent_before_the_handshake_is_over(world: World) -> None:
    client = TlsConnection(world.client)
    client.pending()
    with pytest.raises(TlsError, match="before the TLS handshake"):
        client.send(b"MAIL FROM:<>\r\n")
    assert client.close() == b""
    assert client.cipher == ""


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=20), text=st.binary(max_size=40_000))
def test_chunking_changes_nothing(world: World, cuts: list[int], text: bytes) -> None:
    client, server = TlsConnection(world.client), TlsConnection(world.server, server=True)

    def pass_on(data: bytes, receive: Callable[[bytes], bytes]) -> bytes:
        received, position, turn = b"", 0, 0
        while position < len(data):
            step = cuts[turn % len(cuts)]
            received += receive(data[position : position + step])
            position, turn = position + step, turn + 1
        return received

    for _ in range(3):
        pass_on(client.pending(), server.receive)
        pass_on(server.pending(), client.receive)
    assert pass_on(client.send(text), server.receive) == text
    assert pass_on(server.send(text), client.receive) == text


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_no_bytes_make_it_fail_otherwise(world: World, data: bytes) -> None:
    server = TlsConnection(world.server, server=True)
    with suppress(TlsError):
        assert server.receive(data) == b""
    assert not server.handshaken


def test_a_key_that_is_not_the_certificate_s_is_a_configuration_error(world: World) -> None:
    with pytest.raises(ConfigurationError, match="does not hold the private key"):
        server_context(world.ours.chain, world.peer.key)


@pytest.mark.parametrize("missing", ["chain", "key"])
def test_a_missing_file_is_a_configuration_error_that_names_it(world: World, missing: str) -> None:
    absent = world.folder / "absent.pem"
    chain, key = (absent, world.ours.key) if missing == "chain" else (world.ours.chain, absent)
    with pytest.raises(ConfigurationError, match=r"absent\.pem is missing"):
        client_context(chain, key)


def test_a_file_that_holds_no_certificate_is_a_configuration_error(world: World) -> None:
    with pytest.raises(ConfigurationError, match="does not hold a usable certificate"):
        server_context(world.ours.key, world.ours.key)


def test_an_encrypted_key_is_a_configuration_error_not_a_question(world: World) -> None:
    key = rsa.generate_private_key(65537, 2048)
    path = world.folder / "encrypted.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(ConfigurationError, match="not encrypted"):
        server_context(world.ours.chain, path)


_OPERATORS = (
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES128-SHA256",
)
_MAIL_PROGRAMS = (*_OPERATORS, "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256")


def _agreed(world: World, context: SSL.Context, suite: str) -> str:
    client = _stdlib_client(None)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(suite)
    server = TlsConnection(context, server=True)
    _Stdlib(client, server=False).shake(server)
    return server.cipher


@pytest.mark.parametrize("suite", _MAIL_PROGRAMS)
def test_mail_programs_have_each_of_their_six_suites_without_a_certificate(world: World, suite: str) -> None:
    """ECO.1.1.3 of Référentiel #2; a certificate is asked for, and nobody must have one."""
    assert _agreed(world, mail_program_context(world.ours.chain, world.ours.key), suite) == suite


def test_operators_have_no_suite_without_a_curve(world: World) -> None:
    with pytest.raises(TlsError):
        _agreed(world, world.server, "DHE-RSA-AES256-GCM-SHA384")


def test_the_group_of_mail_programs_is_the_standard_one() -> None:
    """RFC 7919, appendix A.1: p = 2^2048 - 2^1984 + {[2^1918 * e] + 560316} * 2^64 - 1, g = 2; DER of PKCS #3."""
    term, e, n = 1 << 1918 + 64, 0, 0
    while term:
        e, n = e + term, n + 1
        term //= n
    prime = 2**2048 - 2**1984 + ((e >> 64) + 560_316) * 2**64 - 1
    der = base64.b64decode(b"".join(tls._FFDHE2048.splitlines()[1:-1]))
    assert der == bytes.fromhex("3082010802820101") + prime.to_bytes(257) + bytes.fromhex("020102")
