"""TLS as a machine without I/O: ciphertext in, plaintext out, and the reverse; between operators, and for mail programs.

What holds here:
- The handshake asks the peer for its certificate and never judges it. A refusal must be explained in an SMTP reply and
  in the journal, which a failed handshake cannot do: `trust.admission` judges `peer_chain()` once `handshaken` is true.
- TLS 1.2 at least, with only the suites of the trust space, four for operators and six for mail programs (both are
  called ECO.1.1.3, each in its referential), or TLS 1.3. Ephemeral keys have no fewer bits than asked: 256 on curves,
  2048 in the finite field.
- No session is ever resumed (no ticket, no cache), nor renegotiated, nor compressed: the certificate judged is the one
  this connection proved to hold.
- An end of stream without `closed` is a truncation: what came last may be cut short, perhaps by an attacker.

Rules: after each `receive`, also one that raised, write what `pending` returns (handshake, alerts, key updates).

RFC 5246, RFC 8446, RFC 7919 (the group); Référentiel #1 and #2 ECO.1.1.1 to ECO.1.1.3.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL

from vaguemestre.errors import ConfigurationError, VaguemestreError

_TLS12_SUITES = (
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256"
)
_MAIL_PROGRAM_SUITES = (  # C030, C02F, 009F, 009E, C028, C027 of spec clients §1, those with authenticated encryption first
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256"
)
# ffdhe2048 of RFC 7919, appendix A.1. Not a larger one: programs that know no curves often know no larger group either.
_FFDHE2048 = b"""\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
_RECORD = 16_384  # the largest plaintext of one record: one SSL_read never returns more
_OUTPUT = 65_536

# What OpenSSL says, and what it means to the person who has to mend it.
_REASONS = {
    "wrong version number": (
        "the peer does not speak TLS on this connection",
        "le correspondant ne parle pas TLS sur cette connexion",
    ),
    "unsupported protocol": (
        "the peer offers only versions of TLS older than 1.2",
        "le correspondant ne propose que des versions de TLS antérieures à 1.2",
    ),
    "no shared cipher": (
        "the peer offers none of the cipher suites of the trust space",
        "le correspondant ne propose aucune des suites cryptographiques de l'espace de confiance",
    ),
    "unknown ca": (
        "the peer does not know the authority that issued our certificate",
        "le correspondant ne reconnaît pas l'autorité qui a émis notre certificat",
    ),
    "certificate expired": (
        "the peer says that our certificate has expired",
        "le correspondant indique que notre certificat a expiré",
    ),
    "certificate revoked": (
        "the peer says that our certificate is revoked",
        "le correspondant indique que notre certificat est révoqué",
    ),
    "bad certificate": ("the peer refuses our certificate", "le correspondant refuse notre certificat"),
    "protocol version": (
        "the peer accepts no version of TLS that we do",
        "le correspondant n'accepte aucune version de TLS que nous acceptons",
    ),
    "handshake failure": (
        "the peer found no common version of TLS or cipher suite",
        "le correspondant n'a trouvé ni version de TLS ni suite cryptographique communes",
    ),
}


class TlsError(VaguemestreError):
    """The TLS exchange with a peer cannot go on; the connection must be closed."""


def server_context(certificate_chain_pem_path: str | os.PathLike[str], key_path: str | os.PathLike[str]) -> SSL.Context:
    """What every inbound connection shares: our certificate chain (PEM, leaf first) and its private key (PEM).

    Raises ConfigurationError when a file cannot be read or the key is not the certificate's.
    """
    return _context(SSL.TLS_SERVER_METHOD, Path(certificate_chain_pem_path), Path(key_path))


def mail_program_context(
    certificate_chain_pem_path: str | os.PathLike[str], key_path: str | os.PathLike[str]
) -> SSL.Context:
    """What connections of mail programs share: as `server_context`, with suites for those that know no curves.

    A certificate is asked for and may be left out: software shows one (ECO.1.3.1), people have none.
    """
    context = server_context(certificate_chain_pem_path, key_path)
    context.set_cipher_list(_MAIL_PROGRAM_SUITES)
    with tempfile.NamedTemporaryFile() as file:  # OpenSSL takes them from a file alone; there is nothing secret in it
        file.write(_FFDHE2048)
        file.flush()
        context.load_tmp_dh(file.name)
    return context


def client_context(certificate_chain_pem_path: str | os.PathLike[str], key_path: str | os.PathLike[str]) -> SSL.Context:
    """What every outbound connection shares: same arguments and errors as `server_context`."""
    return _context(SSL.TLS_CLIENT_METHOD, Path(certificate_chain_pem_path), Path(key_path))


class TlsConnection:
    """One side of one TLS connection. A client has something `pending` at once, its hello."""

    __slots__ = ("_connection", "_header", "_missing", "closed", "handshaken")

    def __init__(self, context: SSL.Context, *, server_name: str | None = None, server: bool = False) -> None:
        """The server's side if `server`, else the client's, which asks for `server_name` (SNI) when given."""
        self.handshaken = False
        self._header = b""  # of a record whose header came in part
        self._missing = 0  # octets of the record under way that have not come yet
        self.closed = False  # the peer said that it has nothing more to say (close_notify)
        self._connection = SSL.Connection(context, None)
        if server:
            self._connection.set_accept_state()
            return
        self._connection.set_connect_state()
        if server_name:
            self._connection.set_tlsext_host_name(server_name.encode("idna"))
        self._shake_hands()

    def receive(self, ciphertext: bytes) -> bytes:
        """Take bytes from the peer, return the plaintext they complete, maybe none; drives the handshake.

        Raises TlsError on anything that is not TLS as we accept it.
        """
        connection = self._connection
        if self.closed or not ciphertext:
            return b""
        connection.bio_write(ciphertext)
        records = self._count_records(ciphertext)
        if not self.handshaken:
            if not self._shake_hands():
                return b""
            records += 1  # what came with the end of the handshake may hold any part of these
        plaintext: list[bytes] = []
        try:
            # Asking for more than there is costs as much as reading a record, on the way of every command.
            for _ in range(records):
                plaintext.append(connection.recv(_RECORD))
        except SSL.WantReadError:
            pass  # some were TLS's own
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error as error:
            raise _readable(error) from error
        return plaintext[0] if len(plaintext) == 1 else b"".join(plaintext)

    def send(self, plaintext: bytes) -> bytes:
        """The ciphertext of `plaintext`, with anything that was pending before it.

        Raises TlsError before the end of the handshake and after a failure.
        """
        if not self.handshaken:
            raise TlsError(
                "Nothing can be sent before the TLS handshake is over.",
                "Rien ne peut être envoyé avant la fin de la négociation TLS.",
            )
        if plaintext:
            try:
                self._connection.sendall(plaintext)
            except SSL.Error as error:
                raise _readable(error) from error
        return self._output(len(plaintext) + len(plaintext) // 128 + 512)

    def pending(self) -> bytes:
        """What TLS itself wants written, maybe nothing."""
        return self._output(_OUTPUT)

    def close(self) -> bytes:
        """Say that nothing more will be sent (close_notify); returns the last bytes to write."""
        if self.handshaken:
            with suppress(SSL.Error):  # after a failure, the alert that tells it is still pending
                self._connection.shutdown()
        return self.pending()

    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates the peer showed, DER, its own first; empty when it showed none. Nothing is verified but
        that the peer holds the first one's key."""
        leaf = self._connection.get_peer_certificate(as_cryptography=True)
        if leaf is None:
            return ()
        own = leaf.public_bytes(Encoding.DER)
        shown = [
            certificate.public_bytes(Encoding.DER)
            for certificate in self._connection.get_peer_cert_chain(as_cryptography=True) or []
        ]
        # OpenSSL gives the leaf again in the chain to a client, not to a server.
        return (own, *(shown[1:] if shown[:1] == [own] else shown))

    @property
    def version(self) -> str:
        """For example `TLSv1.3`."""
        return str(self._connection.get_protocol_version_name())

    @property
    def cipher(self) -> str:
        """For example `TLS_AES_256_GCM_SHA384`; empty before the handshake."""
        return str(self._connection.get_cipher_name() or "")

    def _count_records(self, ciphertext: bytes) -> int:
        """How many records these octets complete (RFC 8446 §5.1: a header of five octets ends with the length)."""
        at, end, complete = self._missing, len(ciphertext), 0
        if self._missing:
            if end < at:
                self._missing = at - end
                return 0
            complete = 1
        elif self._header:
            ciphertext, end, self._header = self._header + ciphertext, end + len(self._header), b""
        while end - at >= 5:
            at += 5 + (ciphertext[at + 3] << 8 | ciphertext[at + 4])
            complete += at <= end
        self._missing = max(0, at - end)
        self._header = ciphertext[at:]
        return complete

    def _shake_hands(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise _readable(error) from error
        self.handshaken = True
        return True

    def _output(self, size: int) -> bytes:
        chunks: list[bytes] = []
        try:
            while True:
                chunk = self._connection.bio_read(size)
                chunks.append(chunk)
                if len(chunk) < size:  # the memory buffer gives all it has: less than asked means empty
                    break
        except SSL.WantReadError:
            pass
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _context(method: int, certificate_chain: Path, key: Path) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_TLS12_SUITES)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"vaguemestre")
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection gives its two record buffers (34 kB) back
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    _load(context, certificate_chain, key)
    return context


def _load(context: SSL.Context, certificate_chain: Path, key: Path) -> None:
    try:
        own, *issuers = load_pem_x509_certificates(_read(certificate_chain))
        context.use_certificate(own)
        for issuer in issuers:
            context.add_extra_chain_cert(issuer)
    except (ValueError, SSL.Error) as error:
        raise ConfigurationError(
            f"{certificate_chain} does not hold a usable certificate in PEM form, the operator's own first.",
            f"{certificate_chain} ne contient pas de certificat utilisable (PEM, celui de l'opérateur d'abord).",
        ) from error
    try:
        private = load_pem_private_key(_read(key), password=None)
        if not isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey):
            raise TypeError("neither RSA nor EC")
        context.use_privatekey(private)
        context.check_privatekey()
    except (ValueError, TypeError, UnsupportedAlgorithm, SSL.Error) as error:
        raise ConfigurationError(
            f"{key} does not hold the private key (RSA or EC, PEM, not encrypted) of the certificate in"
            f" {certificate_chain}.",
            f"{key} ne contient pas la clé privée (RSA ou EC, PEM, non chiffrée) du certificat de {certificate_chain}.",
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} is missing or cannot be read: check the path and the owner of the file.",
            f"{path} est absent ou illisible : vérifiez le chemin et le propriétaire du fichier.",
        ) from error


def _readable(error: SSL.Error) -> TlsError:
    """The error for people. The connection is unusable from here on; OpenSSL refuses any later call."""
    if isinstance(error, SSL.SysCallError):
        return TlsError("The TLS exchange was cut short.", "L'échange TLS a été interrompu.")
    reason = _reason(error)
    en, fr = next((texts for fragment, texts in _REASONS.items() if fragment in reason), (reason, reason))
    return TlsError(f"The TLS exchange failed: {en}.", f"L'échange TLS a échoué : {fr}.")


def _reason(error: SSL.Error) -> str:
    """OpenSSL's own words, from the last entry of its queue that has any."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return next((str(entry[2]).lower() for entry in reversed(entries) if entry[2]), "unknown reason")
