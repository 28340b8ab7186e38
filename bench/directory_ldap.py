"""Completion of addresses by LDAP, beside OpenLDAP's slapd with the same entries, over TLS, on the same machine.

Programs ask at each pause of a hand: Thunderbird for letters anywhere in names and addresses, Outlook for their beginning; both
want the first hundred. The letters are those that names of the register begin with, three to five of them. slapd is set up as
its manual advises for completion: mdb, equality and substring indexes on every attribute that is asked, its whole base in
memory; it knows no accents, and looks for letters as they are. Each server is asked in turn, on one connection and on
four; what counts is the median of the runs.
Both have entries in memory after the first run. The register stands in a SQLCipher file.
"""

import argparse
import base64
import random
import socket
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tests.simulators.ldap_client import written
from tests.simulators.software import program

from bench import operator
from bench.row import Row
from vaguemestre import config, directory_parts
from vaguemestre.directory import listing
from vaguemestre.directory.fictitious import edition
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.listing import Listed, is_person, names
from vaguemestre.servers.ldap.readers import digest
from vaguemestre.servers.ldap.schema import Schema
from vaguemestre.storage.database import Database

PEOPLE = 100_000
BASE = "o=annuaire"
READER, PASSWORD = f"cn=reader,{BASE}", "un secret de lecture"
ASKED = 200
THREADS = 4
ATTRIBUTES = ("cn", "sn", "givenName", "displayName", "mail", "title", "o", "l", "postalCode", "telephoneNumber")
_SCHEMA = Schema()
_HAS = (b"cn", b"givenName", b"sn", b"displayName", b"mail", b"ou")


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Make the register, serve it twice, ask both."""
    people = getattr(arguments, "people", None) or PEOPLE
    with tempfile.TemporaryDirectory(prefix="bench-ldap-") as name, ExitStack() as stack:
        folder = Path(name)
        port, other = operator.free_port(), operator.free_port()
        operator.prepare(folder, 1, _settings(port))
        place = directory_parts.place(config.load(folder / "vaguemestre.toml", {}))
        edition.make(place, Fiction(people))
        ours = stack.enter_context(operator.running(folder, also=(port,)))
        opened = place.open()
        try:
            lines = _write_ldif(opened, folder / "entries.ldif")
        finally:
            opened.close()
        stack.enter_context(_slapd(folder, other))
        chance = random.Random(7)
        letters = [_beginning(chance.choice(lines), chance) for _ in range(ASKED)]
        clients = {"ours": Connection(port, ours.ca), "peer": Connection(other, ours.ca)}
        _until_indexed(clients["ours"])
        for case, kind, least in (
            ("letters anywhere (Thunderbird)", "any", 1.0),
            ("beginnings (Outlook)", "initial", 1.0),
        ):
            requests = [_search(number, kind, text) for number, text in enumerate(letters, 10)]
            yield from _compare(case, clients, (port, other), ours.ca, requests, arguments.runs, least)
        for each in clients.values():
            each.close()


class Connection:
    """One connection, bound; answers are counted, not looked into."""

    def __init__(self, port: int, ca: Path) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        raw = socket.create_connection(("127.0.0.1", port), 60)
        self._socket = context.wrap_socket(raw, server_hostname="localhost")
        self._received = bytearray()
        bind = {"version": 3, "name": READER.encode(), "authentication": ("simple", PASSWORD.encode())}
        self._socket.sendall(written(1, "bindRequest", bind))
        if self._next()[1] != 0:
            raise RuntimeError("the reader is not let in")

    def ask(self, request: bytes) -> tuple[int, int]:
        """How many entries came, and the code of the end."""
        self._socket.sendall(request)
        entries = 0
        while (found := self._next())[0] == 0x64:
            entries += 1
        return entries, found[1]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _next(self) -> tuple[int, int]:
        """The tag of the next answer's operation, and the result's code where it has one."""
        while True:
            data = self._received
            if len(data) > 6:
                head = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
                length = data[1] if head == 2 else int.from_bytes(data[2:head], "big")
                if len(data) >= head + length:
                    at = head + 2 + data[head + 1]
                    tag = data[at]
                    inner = at + (2 if data[at + 1] < 0x80 else 2 + (data[at + 1] & 0x7F))
                    code = data[inner + 2] if tag != 0x64 else 0
                    del data[: head + length]
                    return tag, code
            octets = self._socket.recv(262_144)
            if not octets:
                raise RuntimeError("the server hung up")
            data += octets


def _compare(
    case: str,
    clients: dict[str, Connection],
    ports: tuple[int, int],
    ca: Path,
    requests: Sequence[bytes],
    runs: int,
    least: float,
) -> Iterator[Row]:
    times: dict[str, list[list[float]]] = {"ours": [], "peer": []}
    rates: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(runs):
        for who, port in zip(("ours", "peer"), ports, strict=True):
            times[who].append(sorted(_times(clients[who], requests)))
            rates[who].append(_rate(port, ca, requests))
    for words, share in (("p50", 0.5), ("p99", 0.99)):
        mine, theirs = (statistics.median(run[int(len(run) * share)] for run in times[who]) for who in ("ours", "peer"))
        yield _row(f"{case}, {words}", mine * 1000, theirs * 1000, "ms", theirs / mine, least)
    mine, theirs = (statistics.median(rates[who]) for who in ("ours", "peer"))
    yield _row(f"{case}, {THREADS} at once", mine, theirs, "searches/s", mine / theirs, least)


def _row(case: str, ours: float, peer: float, unit: str, ratio: float, target: float) -> Row:
    ratio = round(ratio, 2)
    return {
        "bench": "directory_ldap", "case": case, "ours": round(ours, 2), "peer": round(peer, 2), "unit": unit,
        "ratio": ratio, "target": target, "met": ratio >= target,
    }  # fmt: skip


def _times(client: Connection, requests: Sequence[bytes]) -> list[float]:
    found = []
    for request in requests:
        start = time.perf_counter()
        client.ask(request)
        found.append(time.perf_counter() - start)
    return found


def _rate(port: int, ca: Path, requests: Sequence[bytes]) -> float:
    """Searches a second, of some connections at once."""
    connections = [Connection(port, ca) for _ in range(THREADS)]
    parts = [requests[number::THREADS] for number in range(THREADS)]
    threads = [
        threading.Thread(target=_times, args=(connection, part))
        for connection, part in zip(connections, parts, strict=True)
    ]
    start = time.perf_counter()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    seconds = time.perf_counter() - start
    for each in connections:
        each.close()
    return len(requests) / seconds


def _search(number: int, kind: str, letters: str) -> bytes:
    """As a program asks: letters in any of the names, the first hundred."""
    piece = letters.encode()
    parts = [("substrings", {"type": name, "substrings": [(kind, piece)]}) for name in _HAS]
    wanted = ("and", [("present", b"objectClass"), ("or", parts)])
    value = {
        "baseObject": BASE.encode(), "scope": 2, "derefAliases": 0, "sizeLimit": 100, "timeLimit": 0,
        "typesOnly": False, "filter": wanted, "attributes": [name.encode() for name in ATTRIBUTES],
    }  # fmt: skip
    return written(number, "searchRequest", value)


def _beginning(line: Listed, chance: random.Random) -> str:
    """Three to five letters that a name begins with."""
    name = chance.choice((line.family, line.given)) if is_person(line) else names(line)[0]
    return name[: chance.randint(3, 5)].strip() or "dup"


def _until_indexed(client: Connection) -> None:
    deadline = time.monotonic() + 600
    while client.ask(_search(2, "initial", "mar"))[1] == 51:
        if time.monotonic() > deadline:
            raise RuntimeError("the index was never made")
        time.sleep(0.5)


def _settings(port: int) -> str:
    return f'''[directory.ldap]
listen = ""
listen_tls = "127.0.0.1:{port}"
base = "{BASE}"
[directory.ldap.readers]
"{READER}" = "{digest(PASSWORD)}"
'''


# --- the peer


def _write_ldif(opened: Database, path: Path) -> list[Listed]:
    """The same entries for slapd; returns the lines."""
    words = opened.read(listing.words_of_codes)
    found: list[Listed] = []
    with path.open("w", encoding="utf-8") as file:
        _entry(file, BASE, {"objectClass": ["organization"], "o": ["annuaire"]})
        for branch in ("people", "organizations"):
            _entry(file, f"ou={branch},{BASE}", {"objectClass": ["organizationalUnit"], "ou": [branch]})
        while rows := opened.read(listing.after, found[-1].id if found else 0, 2000):
            found += rows
            for row in rows:
                _entry(file, *_as_ldif(row, words))
    return found


def _as_ldif(line: Listed, words: dict[tuple[str, str], str]) -> tuple[str, dict[str, list[str]]]:
    person = is_person(line)
    classes = ["inetOrgPerson", "extensibleObject"] if person else ["organizationalUnit", "extensibleObject"]
    attributes = {"objectClass": classes}
    for name in (*ATTRIBUTES, "uid", "ou", "employeeNumber", "street", "businessCategory", "st"):
        attribute = _SCHEMA.find(name)
        values = list(attribute.reading(line, words)) if attribute is not None else []
        if values:
            attributes[name] = values
    return f"uid={line.id},ou={'people' if person else 'organizations'},{BASE}", attributes


def _entry(file: IO[str], dn: str, attributes: dict[str, list[str]]) -> None:
    file.write(f"dn: {dn}\n")
    for name, values in attributes.items():
        for value in values:
            file.write(f"{name}:: {base64.b64encode(value.encode()).decode()}\n")
    file.write("\n")


@contextmanager
def _slapd(folder: Path, port: int) -> Iterator[None]:
    """slapd with these entries, stopped at the end."""
    (folder / "mdb").mkdir()
    path = folder / "slapd.conf"
    secret = subprocess.run(
        [program("slappasswd", "slapd"), "-s", PASSWORD], check=True, capture_output=True, text=True
    ).stdout.strip()
    path.write_text(f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/authority/authorities.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSVerifyClient never
sizelimit 500
timelimit 30
database mdb
suffix "{BASE}"
rootdn "{READER}"
rootpw {secret}
directory {folder}/mdb
maxsize 17179869184
index objectClass,uid eq
index cn,sn,givenName,displayName,mail,o,ou eq,sub
index employeeNumber eq
""")
    subprocess.run([program("slapadd", "slapd"), "-q", "-f", str(path), "-l", str(folder / "entries.ldif")], check=True)
    process = subprocess.Popen(
        [program("slapd"), "-f", str(path), "-h", f"ldaps://127.0.0.1:{port}", "-d", "0"], stderr=subprocess.DEVNULL
    )
    try:
        operator.await_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait(30)
