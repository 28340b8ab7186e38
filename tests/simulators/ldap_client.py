"""A program that reads a directory by LDAP, octet by octet where a test wants it so: its messages are the library's."""

import socket
import ssl
from pathlib import Path
from typing import Any

import asn1tools

from vaguemestre.protocols.ldap.notation import NOTATION

LIBRARY = asn1tools.compile_string(NOTATION, "ber")
Filter = tuple[str, Any]


class LdapClient:
    """One connection over TLS. `close` it."""

    def __init__(self, port: int, authorities: Path, receive_buffer: int = 0) -> None:
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(30)
        raw.connect(("127.0.0.1", port))
        context = ssl.create_default_context(cafile=str(authorities))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._socket = context.wrap_socket(raw, server_hostname="localhost")
        self._received = b""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def send(self, *messages: bytes) -> None:
        """Send messages in one go."""
        self._socket.sendall(b"".join(messages))

    def bind(self, name: str, password: str) -> int:
        """Sign in; the result's code."""
        authentication = ("simple", password.encode())
        self.send(written(1, "bindRequest", {"version": 3, "name": name.encode(), "authentication": authentication}))
        return int(self.read()[2]["resultCode"])

    def read(self) -> tuple[int, str, Any]:
        """The next answer: its number, kind and value."""
        while (length := self._length()) is None or len(self._received) < length:
            octets = self._socket.recv(65_536)
            assert octets, "the server hung up"
            self._received += octets
        message, self._received = self._received[:length], self._received[length:]
        decoded = LIBRARY.decode("LDAPMessage", message)
        return decoded["messageID"], *decoded["protocolOp"]

    def ended(self) -> bool:
        """Whether the server hangs up, whatever it says before."""
        try:
            while self._socket.recv(65_536):
                pass
        except ConnectionError:
            pass
        return True

    def _length(self) -> int | None:
        data = self._received
        if len(data) < 2:
            return None
        if data[1] < 0x80:
            return 2 + data[1]
        size = data[1] & 0x7F
        return 2 + size + int.from_bytes(data[2 : 2 + size], "big") if len(data) >= 2 + size else None


def written(number: int, kind: str, value: object) -> bytes:
    """A message."""
    octets: bytes = LIBRARY.encode("LDAPMessage", {"messageID": number, "protocolOp": (kind, value)})
    return octets


def search(
    number: int, wanted: Filter, base: str = "o=annuaire", scope: int = 2, seconds: int = 0, most: int = 0
) -> bytes:
    """A search for `mail`."""
    value = {
        **{"baseObject": base.encode(), "scope": scope, "derefAliases": 0, "sizeLimit": most, "timeLimit": seconds},
        **{"typesOnly": False, "filter": wanted, "attributes": [b"mail"]},
    }
    return written(number, "searchRequest", value)


def holds(attribute: str, letters: str) -> Filter:
    """A value holds these letters."""
    return ("substrings", {"type": attribute.encode(), "substrings": [("any", letters.encode())]})


def extended(number: int, name: str, value: bytes | None = None) -> bytes:
    """An extended operation."""
    asked = {"requestName": name.encode(), **({} if value is None else {"requestValue": value})}
    return written(number, "extendedReq", asked)
