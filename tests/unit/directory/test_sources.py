"""Files of a source: the newest in a folder, or fetched over HTTPS with authorities of one's own."""

import datetime
import os
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vaguemestre.directory import sources
from vaguemestre.directory.sources import SourceError


def put(folder: Path, name: str, *, age: float = 3600, text: str = "x") -> Path:
    path = folder / name
    path.write_text(text)
    os.utime(path, (path.stat().st_mtime - age,) * 2)
    return path


def test_the_newest_of_each_file_counts(tmp_path: Path) -> None:
    put(tmp_path, "PS_202611240300.txt", age=100)
    newest = put(tmp_path, "PS_202611250300.txt", age=5000)
    other = put(tmp_path, "Cards_202611010300.zip")
    put(tmp_path, "notes.md")
    put(tmp_path, "PS_202611260300.txt", age=0)  # somebody may be writing it
    assert set(sources.newest(tmp_path)) == {newest, other}
    assert set(sources.files([str(tmp_path)], tmp_path / "fetched")) == {newest, other}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, ssl.SSLContext, list[str]]]:
    """An HTTPS server under a certificate of no public authority: its address, who trusts it, what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.headers.get("If-None-Match") == '"1"':
                self.send_response(304)
                self.end_headers()
                return
            if self.path == "/missing":
                self.send_response(404)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Disposition", 'attachment; filename="../PS_202611250300.zip"')
            self.end_headers()
            self.wfile.write(b"content")

        def log_message(self, *_: object) -> None:
            pass

    certificate, key = _certificate(tmp_path)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"https://localhost:{listening.server_port}", ssl.create_default_context(cafile=str(certificate)), asked
    listening.shutdown()
    thread.join()
    listening.server_close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*form))
    return certificate, private


def test_what_is_behind_an_address_is_fetched_once(
    tmp_path: Path, server: tuple[str, ssl.SSLContext, list[str]]
) -> None:
    address, trusting, asked = server
    folder = tmp_path / "fetched"
    for _ in range(2):
        (found,) = sources.files([f"{address}/extraction/PS"], folder, trusting)
        assert found.parent == folder
        assert found.name == "extraction-PS@PS_202611250300.zip"
        assert found.read_bytes() == b"content"
    assert len(asked) == 2


def test_a_server_that_is_not_trusted_or_has_it_not_is_told(
    tmp_path: Path, server: tuple[str, ssl.SSLContext, list[str]]
) -> None:
    address, trusting, _ = server
    with pytest.raises(SourceError, match="certificate"):
        sources.files([f"{address}/PS"], tmp_path / "fetched")
    with pytest.raises(SourceError, match="HTTP 404"):
        sources.files([f"{address}/missing"], tmp_path / "fetched", trusting)
    with pytest.raises(SourceError, match="https://"):
        sources.files([address.replace("https", "http")], tmp_path / "fetched", trusting)
