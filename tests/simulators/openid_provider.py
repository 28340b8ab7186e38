"""A pretend Pro Santé Connect on loopback: it publishes keys, signs tokens as told, and answers about them.

What holds here: tokens are signed by hand, with no code of the software under test nor of its libraries for tokens; the
provider can rotate its keys, forget them, fall silent, answer nonsense; it counts what it was asked.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PERSON = "899700366240"
CLIENT, SECRET = "vaguemestre:one", "s3cret+of the/client"
AUDIENCE = "mssante-operator"
CERTS, INTROSPECT = "/protocol/openid-connect/certs", "/protocol/openid-connect/token/introspect"


def b64(data: bytes) -> str:
    """base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


class SigningKey:
    """A key of the provider, RSA unless `curve`, with its name."""

    def __init__(self, name: str, *, bits: int = 2048, curve: bool = False) -> None:
        self.name = name
        self.private: Any = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, bits)
        self.curve = curve

    @property
    def pem(self) -> bytes:
        """The public key as PEM: what a confused verifier would take for a shared secret."""
        found: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return found

    def jwk(self) -> dict[str, str]:
        """The public key as it is published."""
        numbers = self.private.public_key().public_numbers()
        if self.curve:
            point = {"crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32))}
            return {"kty": "EC", "kid": self.name, "use": "sig", "alg": "ES256", **point}
        material = {"n": _number(numbers.n), "e": _number(numbers.e)}
        return {"kty": "RSA", "kid": self.name, "use": "sig", "alg": "RS256", **material}

    def sign(self, data: bytes) -> bytes:
        """RS256, or ES256."""
        if self.curve:
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32) + s.to_bytes(32)
        signature: bytes = self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return signature


class OpenIdProvider:
    """One provider, serving from a thread until closed."""

    def __init__(self) -> None:
        self.key = SigningKey("first")
        self.published: list[dict[str, Any]] = [self.key.jwk()]
        self.asked: Counter[str] = Counter()
        self.revoked: set[str] = set()
        self.answer: tuple[int, bytes, float] | None = None  # instead of the right one: status, body, seconds before
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.issuer = f"{self.url}/auth/realms/esante-wallet"

    @property
    def certs(self) -> str:
        """Where its keys are."""
        return self.issuer + CERTS

    @property
    def introspection(self) -> str:
        """Where it answers about tokens."""
        return self.issuer + INTROSPECT

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def rotate(self, name: str = "second", *, keep: bool = True) -> SigningKey:
        """Sign with a new key from now on; the former one stays published unless told otherwise."""
        self.key = SigningKey(name)
        self.published = [*(self.published if keep else []), self.key.jwk()]
        return self.key

    @contextmanager
    def down(self, status: int = 503, body: bytes = b"{}", delay: float = 0.0) -> Iterator[None]:
        """Answer this to everything."""
        self.answer = status, body, delay
        try:
            yield
        finally:
            self.answer = None

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good access token says now; `changes` replace claims, and None leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "exp": now + 120,
            "iat": now,
            "jti": "1",
            "sub": f"f:550dc1c8-d97b-4b1e-ac8c-8eb4471cf9dd:{PERSON}",
            "typ": "Bearer",
            "azp": "software-of-a-practice",
            "aud": ["account", AUDIENCE],
            "SubjectNameID": PERSON,
            "preferred_username": PERSON,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key: SigningKey | None = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token signed by the present key or another, with parameters of the header and claims replaced."""
        key = key or self.key
        named = {"alg": "ES256" if key.curve else "RS256", "typ": "JWT", "kid": key.name, **(header or {})}
        head = {name: value for name, value in named.items() if value is not None}
        signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(self.claims(**changes)).encode())}"
        return f"{signed}.{b64(key.sign(signed.encode()))}"

    def unsigned(self, alg: str = "none") -> str:
        """A token that says it needs no signature."""
        head = {"alg": alg, "typ": "JWT", "kid": self.key.name}
        return f"{b64(json.dumps(head).encode())}.{b64(json.dumps(self.claims()).encode())}."

    def confused(self, alg: str = "HS256") -> str:
        """A token signed with the public key as a shared secret."""
        head = {"alg": alg, "typ": "JWT", "kid": self.key.name}
        signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(self.claims()).encode())}"
        return f"{signed}.{b64(hmac.new(self.key.pem, signed.encode(), hashlib.sha256).digest())}"

    def _handler(provider) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.removeprefix("/auth/realms/esante-wallet")
                provider.asked[path] += 1
                found = path == CERTS
                self._say(200 if found else 404, {"keys": provider.published} if found else {})

            def do_POST(self) -> None:
                path = self.path.removeprefix("/auth/realms/esante-wallet")
                provider.asked[path] += 1
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                kind, _, pair = self.headers.get("Authorization", "").partition(" ")
                who, _, secret = base64.b64decode(pair).decode().partition(":")
                if (kind, unquote_plus(who), unquote_plus(secret)) != ("Basic", CLIENT, SECRET):
                    self._say(401, {"error": "invalid_client"})
                    return
                self._say(200, provider._about(form["token"][0]))

            def _say(self, status: int, value: dict[str, Any]) -> None:
                body = json.dumps(value).encode()
                if provider.answer is not None:
                    status, body, delay = provider.answer
                    time.sleep(delay)
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    if status in (301, 302):
                        self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    return  # who asked did not wait

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler

    def _about(self, token: str) -> dict[str, Any]:
        """What RFC 7662 answers: the claims of a token of ours that runs, else that it does not."""
        try:
            signed, _, signature = token.rpartition(".")
            self.key.private.public_key().verify(
                base64.urlsafe_b64decode(signature + "=="), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
            part = signed.split(".")[1]
            claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
        except Exception:
            return {"active": False}
        if token in self.revoked or claims.get("exp", 0) <= time.time():
            return {"active": False}
        return {**claims, "active": True}
