"""Mail programs set themselves up over HTTPS; strangers learn nothing about accounts, and take little."""

import asyncio
import plistlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from lxml import etree

from simulators.operators import Operator, OperatorFactory, answer_of
from simulators.ports import free_port
from simulators.space import NORTH, SOUTH, TrustSpace
from vaguemestre import app as composition
from vaguemestre import config
from vaguemestre.errors import ConfigurationError
from vaguemestre.servers import http
from vaguemestre.servers.autoconfiguration import application
from vaguemestre.servers.http import HttpServer
from vaguemestre.servers.limits import ServerLimits

CLAIRE = NORTH.address("claire")
CONFIG = "/mail/config-v1.1.xml"
WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"
OUTLOOK = "/autodiscover/autodiscover.xml"
ASKED = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">'
    "<Request><EMailAddress>{}</EMailAddress></Request></Autodiscover>"
)


class Program:
    """A mail program: asks over HTTPS as if DNS led it here."""

    def __init__(self, space: TrustSpace, port: int) -> None:
        self.port = port
        self.context = ssl.create_default_context(cafile=str(space.authorities))
        self._client = httpx.Client(verify=self.context, base_url=f"https://localhost:{port}")

    def get(self, host: str, path: str) -> httpx.Response:
        return self._client.get(path, headers={"Host": host})

    def post(self, host: str, content: bytes, path: str = OUTLOOK) -> httpx.Response:
        return self._client.post(path, headers={"Host": host, "Content-Type": "text/xml"}, content=content)

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def north(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator with one account, that answers mail programs."""
    told = {"listen": f"127.0.0.1:{free_port()}", "name": "Nord", "submissions_port": 0, "addresses": ["192.0.2.7"]}
    running = Operator(space, tmp_path_factory.mktemp("north"), NORTH, ("claire",), autoconfiguration=told).start()
    yield running
    running.close()


@pytest.fixture
def program(space: TrustSpace, north: Operator) -> Iterator[Program]:
    listen = next(line for line in north.config_file.read_text().split("[autoconfiguration]")[1].splitlines() if line)
    made = Program(space, int(listen.rstrip('"').rpartition(":")[2]))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (f"autoconfig.{NORTH.domain}", CONFIG),
        (f"AutoConfig.{NORTH.domain}.:443", f"{CONFIG}?emailaddress={CLAIRE}"),
        (f"autoconfig.{NORTH.domain}", WELL_KNOWN),
        (NORTH.domain, WELL_KNOWN),
        (NORTH.host, f"{WELL_KNOWN}?emailaddress={CLAIRE}"),
    ],
)
def test_thunderbird_finds_the_settings(program: Program, host: str, path: str) -> None:
    answer = program.get(host, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    document = etree.fromstring(answer.content)
    assert document.xpath("//domain/text()") == [NORTH.domain]
    told = [
        [each.findtext(name) for name in ("hostname", "port", "socketType")] for each in document.xpath("//*[port]")
    ]
    assert told == [
        [NORTH.host, "143", "STARTTLS"],
        [NORTH.host, "993", "SSL"],
        [NORTH.host, "587", "STARTTLS"],
    ]
    for header in ("strict-transport-security", "content-security-policy", "x-content-type-options"):
        assert answer.headers[header]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (f"autoconfig.{SOUTH.domain}", CONFIG),
        (SOUTH.domain, WELL_KNOWN),
        ("gmail.com", WELL_KNOWN),
        ("127.0.0.1", CONFIG),
        (f"autoconfig.{NORTH.domain}.evil.fr", CONFIG),
        (NORTH.host, WELL_KNOWN),
        (NORTH.host, f"{WELL_KNOWN}?emailaddress={SOUTH.address('claire')}"),
        (NORTH.host, f"/apple.mobileconfig?emailaddress={SOUTH.address('claire')}"),
        (NORTH.host, "/apple.mobileconfig?emailaddress=claire"),
        (NORTH.host, "/apple.mobileconfig"),
        (f"autoconfig.{NORTH.domain}", "/"),
        (f"autoconfig.{NORTH.domain}", "/mail/../../etc/passwd"),
    ],
)
def test_what_is_not_ours_is_not_found(program: Program, host: str, path: str) -> None:
    answer = program.get(host, path)
    assert (answer.status_code, answer.text) == (404, "Not Found")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [OUTLOOK, "/Autodiscover/Autodiscover.xml", "/AUTODISCOVER/autodiscover.XML"])
def test_outlook_finds_the_settings_by_any_case_of_the_path(program: Program, path: str) -> None:
    answer = program.post(f"autodiscover.{NORTH.domain}", ASKED.format(CLAIRE).encode(), path)
    assert answer.status_code == 200
    assert f"<LoginName>{CLAIRE}</LoginName>" in answer.text
    assert "<Port>993</Port>" in answer.text


def test_outlook_s_question_is_read_with_care(program: Program) -> None:
    host = f"autodiscover.{NORTH.domain}"
    entity = ASKED.replace("?>", '?><!DOCTYPE a [<!ENTITY e "claire">]>', 1).format(f"&e;@{NORTH.domain}")
    for wrong in (entity, ASKED.format("nobody"), "", "<a/>"):
        answer = program.post(host, wrong.encode())
        assert answer.status_code == 400
        assert "<ErrorCode>600</ErrorCode>" in answer.text
    assert program.post(host, ASKED.format(SOUTH.address("claire")).encode()).status_code == 404
    assert program.post(f"autodiscover.{SOUTH.domain}", ASKED.format(CLAIRE).encode()).status_code == 404
    assert program.post(host, b"x" * 20_000).status_code == 413
    assert program.get(host, OUTLOOK).status_code == 405


def test_a_profile_for_apple_s_programs(program: Program) -> None:
    answer = program.get(f"autoconfig.{NORTH.domain}", f"/apple.mobileconfig?emailaddress={CLAIRE}")
    assert answer.headers["content-type"] == "application/x-apple-aspen-config"
    (account,) = plistlib.loads(answer.content)["PayloadContent"]
    assert (account["EmailAddress"], account["OutgoingMailServerPortNumber"]) == (CLAIRE, 587)


def test_an_unknown_account_is_answered_like_any_other(program: Program) -> None:
    nobody = NORTH.address("nobody")
    for ask in (
        lambda address: program.post(f"autodiscover.{NORTH.domain}", ASKED.format(address).encode()).content,
        lambda address: program.get(NORTH.host, f"{WELL_KNOWN}?emailaddress={address}").content,
    ):
        assert ask(nobody) == ask(CLAIRE).replace(CLAIRE.encode(), nobody.encode())
    profiles = [program.get(NORTH.host, f"/apple.mobileconfig?emailaddress={each}") for each in (CLAIRE, nobody)]
    assert [each.status_code for each in profiles] == [200, 200]
    assert profiles[0].headers.keys() == profiles[1].headers.keys()


def test_who_asks_too_often_is_told_to_wait(space: TrustSpace, operator: OperatorFactory) -> None:
    port = free_port()
    operator(SOUTH, (), autoconfiguration={"listen": f"127.0.0.1:{port}"}).start()
    program = Program(space, port)
    statuses = [program.get(f"autoconfig.{SOUTH.domain}", CONFIG).status_code for _ in range(80)]
    program.close()
    assert statuses[:60] == [200] * 60
    assert set(statuses[60:]) <= {200, 429}
    assert 429 in statuses


def test_only_tls_is_spoken_and_only_lately(program: Program) -> None:
    with socket.create_connection(("127.0.0.1", program.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in plain.recv(1000)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="OP_NO"):
        old.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3  # what we must refuse
    with socket.create_connection(("127.0.0.1", program.port)) as line, pytest.raises(ssl.SSLError):
        old.wrap_socket(line)


@pytest.mark.parametrize("secured", [True, False])
def test_connections_are_bounded_in_number_and_in_time(
    space: TrustSpace, monkeypatch: pytest.MonkeyPatch, secured: bool
) -> None:
    monkeypatch.setattr(http, "_LIMITS", ServerLimits(connections=3, connections_per_address=3, handshake=0.5))
    identity = space.identity(NORTH)
    tls = http.server_context(identity.certificate, identity.key) if secured else None

    async def closed_within(seconds: float, *streams: asyncio.StreamReader) -> None:
        async with asyncio.timeout(seconds):
            for each in streams:
                try:
                    assert await each.read() == b""
                except OSError:
                    continue

    async def check() -> None:
        from vaguemestre.documents.autoconfiguration import Service, Settings

        one = (Service("h", 1, True),)
        server = HttpServer(application(Settings("N", one, one, ()), [NORTH.domain], []), "127.0.0.1", 0, tls, 1.0)
        port = await server.start()
        lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        lines[0][1].write(b"GE")
        await asyncio.sleep(0.1)
        refused, writer = await asyncio.open_connection("127.0.0.1", port)
        start = time.monotonic()
        await closed_within(0.4, refused)
        writer.close()
        await closed_within(3, *(reader for reader, _ in lines))  # neither a handshake nor a question in time
        assert time.monotonic() - start > 0.2
        for _, each in lines:
            each.close()
        client = ssl.create_default_context(cafile=str(space.authorities)) if secured else None
        for _ in range(10):  # their places are free again, and so are those of whoever is answered
            name = "localhost" if secured else None
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
            writer.write(
                f"GET {CONFIG} HTTP/1.1\r\nHost: autoconfig.{NORTH.domain}\r\nConnection: close\r\n\r\n".encode()
            )
            assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
            writer.close()
        await server.stop()

    asyncio.run(check())


def test_a_certificate_that_cannot_serve_is_a_sentence(space: TrustSpace, tmp_path: Path) -> None:
    north, south = space.identity(NORTH), space.identity(SOUTH)
    for certificate, key in ((north.certificate, south.key), (tmp_path / "none", north.key)):
        with pytest.raises(ConfigurationError, match="cannot serve HTTPS"):
            http.server_context(certificate, key)


def test_a_configuration_that_offers_too_little_is_a_sentence(operator: OperatorFactory) -> None:
    for told in ({"imap_port": 0, "imaps_port": 0}, {"authentication": []}, {"certificate": "only.pem"}):
        made = operator(SOUTH, (), autoconfiguration={"listen": "127.0.0.1:0", **told})
        with pytest.raises(ConfigurationError, match="autoconfiguration"):
            asyncio.run(_run(made.config_file))


async def _run(file: Path) -> None:
    async with composition.running(config.load(file, {})):
        raise AssertionError("it started")


def test_the_dns_command_prints_what_to_publish(north: Operator, operator: OperatorFactory) -> None:
    told = north.command("dns", NORTH.domain)
    assert told.exit_code == 0
    assert f"mail.{NORTH.domain}." in told.stdout
    assert "192.0.2.7" in told.stdout
    facts = answer_of(north.command("dns", NORTH.domain.upper(), "--json"))
    assert facts["domain"] == NORTH.domain
    assert {"name": f"{NORTH.domain}.", "type": "MX", "value": f"10 {NORTH.host}."} in facts["records"]
    assert {"name": f"_submissions._tcp.{NORTH.domain}.", "type": "SRV", "value": "0 0 0 ."} in facts["records"]
    other = north.command("dns", SOUTH.domain)
    assert other.exit_code == 1
    assert f"{SOUTH.domain} n'est pas un domaine de cet opérateur" in other.stderr
    wrong = operator(SOUTH, (), autoconfiguration={"addresses": ["mail"]}).command("dns", SOUTH.domain)
    assert wrong.exit_code == 2
    plain = operator(SOUTH, ()).command("dns", SOUTH.domain)
    assert "autoconfig" not in plain.stdout
    assert f"_imap._tcp.{SOUTH.domain}." in plain.stdout
