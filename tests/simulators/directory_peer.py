"""A certified directory of somebody else: bearers, and the PATCH of mailboxes over mutual TLS, as spec directory §4 has it.

What holds here: it takes only what the specification describes, and says no to anything else; it can be down, refuse
everything, or die between doing what it was asked and saying so. It counts what it was asked.
"""

import json
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from simulators.space import Identity, TrustSpace

MAILBOX = "https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/as-ext-mailbox-mss-metadata"
_OF = re.compile(r"(\w+)\.telecom\.where\(value = '([^']+)'\)(.*)")
_INNER = re.compile(rf"\.extension\('{re.escape(MAILBOX)}'\)\.extension(?:\('(\w+)'\)(\.value)?)?")


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class DirectoryPeer:
    """A directory that runs in a thread. `bearers` maps type and `system|value` to the resource."""

    def __init__(self, space: TrustSpace, identity: Identity) -> None:
        self.bearers: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.refuses: Refused | None = None
        self.dies_after_doing = False
        self.shows_red_list = True
        self.names: set[str] = set()
        """Names of the certificates that were shown."""
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(space.authorities))
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(identity.certificate, identity.key)
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self._port}/fhir/v2"

    def start(self) -> None:
        """Listen, on the same port each time."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_address[1]
        self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Be down."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def add(self, type_: str, identifier: str) -> None:
        """Know a bearer."""
        system, value = identifier.split("|")
        number = str(len(self.bearers) + 1)
        found = [{"system": system, "value": value}]
        self.bearers[type_, identifier] = {"resourceType": type_, "id": number, "identifier": found, "telecom": []}

    def shown(self) -> dict[str, dict[str, Any]]:
        """What stands in the directory: by address, what its mailbox says; an address that stands twice is an error."""
        found: dict[str, dict[str, Any]] = {}
        for resource in self.bearers.values():
            for contact in resource["telecom"]:
                assert contact["value"] not in found, "shown twice"
                found[contact["value"]] = {each["url"]: _value(each) for each in _told(contact)}
        return found

    def patch(self, type_: str, id_: str, query: dict[str, list[str]], body: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, all or nothing."""
        found = [each for each in self.bearers.values() if each["resourceType"] == type_ and _is(each, id_, query)]
        if not found:
            raise Refused(404, f"no {type_} has this identifier")
        if len(found) > 1:
            raise Refused(412, "several resources match")
        changed: dict[str, Any] = json.loads(json.dumps(found[0]))
        for operation in body["parameter"]:
            parts = {each["name"]: each for each in operation["part"]}
            _apply(changed, parts)
        found[0].update(changed)
        return changed

    def search(self, type_: str, query: dict[str, list[str]]) -> dict[str, Any]:
        """A bundle of the resources that match."""
        found = [each for each in self.bearers.values() if each["resourceType"] == type_ and _is(each, "", query)]
        told = []
        for each in found:
            seen = json.loads(json.dumps(each))
            if not self.shows_red_list:
                seen["telecom"] = [contact for contact in seen["telecom"] if not _red(contact)]
            told.append({"resource": seen})
        return {"resourceType": "Bundle", "type": "searchset", "entry": told}


def _is(resource: dict[str, Any], id_: str, query: dict[str, list[str]]) -> bool:
    if id_:
        return bool(resource["id"] == id_)
    for wanted in query.get("identifier", []):
        if all(f"{each['system']}|{each['value']}" != wanted for each in resource["identifier"]):
            return False
    holds = query.get("mailbox-mss:contains", [])
    return all(any(text in contact["value"] for contact in resource["telecom"]) for text in holds)


def _apply(resource: dict[str, Any], parts: dict[str, Any]) -> None:
    kind, path = parts["type"]["valueCode"], parts["path"]["valueString"]
    if path == f"{resource['resourceType']}.telecom" and kind == "insert":
        contact = parts["value"]["valueContactPoint"]
        assert {"system", "value", "extension"} <= set(contact)
        resource["telecom"].insert(parts["index"]["valueInteger"], contact)
        return
    match = _OF.fullmatch(path)
    if match is None or match[1] != resource["resourceType"]:
        raise Refused(400, f"no such path: {path}")
    contact = next((each for each in resource["telecom"] if each["value"] == match[2]), None)
    if contact is None:
        raise Refused(400, f"{match[2]} is not there")
    if not match[3] and kind == "delete":
        resource["telecom"].remove(contact)
        return
    inner = _INNER.fullmatch(match[3])
    if inner is None or inner[1] in ("type", "value"):
        raise Refused(400, f"not to be changed: {path}")
    told = _told(contact)
    if kind == "insert" and inner[1] is None:
        told.insert(parts["index"]["valueInteger"], parts["value"]["valueExtension"])
        return
    each = next((each for each in told if each["url"] == inner[1]), None)
    if each is None:
        raise Refused(400, f"no such element: {path}")
    if kind == "delete" and not inner[2]:
        told.remove(each)
    elif kind == "replace" and inner[2]:
        each.update({name: value for name, value in parts["value"].items() if name.startswith("value")})
    else:
        raise Refused(400, f"{kind} does not go with {path}")


def _told(contact: dict[str, Any]) -> list[dict[str, Any]]:
    inner: list[dict[str, Any]] = next(each for each in contact["extension"] if each["url"] == MAILBOX)["extension"]
    return inner


def _value(extension: dict[str, Any]) -> Any:
    value = next(value for name, value in extension.items() if name.startswith("value"))
    return value["coding"][0]["code"] if isinstance(value, dict) else value


def _red(contact: dict[str, Any]) -> bool:
    return any(each["url"] == "listeRouge" and each["valueBoolean"] for each in _told(contact))


def _handler(peer: DirectoryPeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._do("GET", lambda type_, id_, query: peer.search(type_, query))

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["Content-Type"] == "application/fhir+json"
            self._do("PATCH", lambda type_, id_, query: peer.patch(type_, id_, query, body))

        def _do(self, method: str, work: Callable[[str, str, dict[str, list[str]]], dict[str, Any]]) -> None:
            peer.asked[method] += 1
            subject = dict(pair for rdn in self.connection.getpeercert()["subject"] for pair in rdn)  # type: ignore[attr-defined]
            peer.names.add(subject["commonName"])
            url = urlsplit(self.path)
            type_, _, id_ = url.path.removeprefix("/fhir/v2/").partition("/")
            try:
                if peer.refuses is not None:
                    raise peer.refuses
                answer, status = work(type_, id_, parse_qs(url.query)), 200
            except Refused as refused:
                status = refused.status
                issue = {"severity": "error", "code": "processing", "diagnostics": refused.words}
                answer = {"resourceType": "OperationOutcome", "issue": [issue]}
            if method == "PATCH" and peer.dies_after_doing:
                self.close_connection = True
                return
            octets = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
