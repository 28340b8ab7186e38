"""Autoconfiguration over HTTPS: the documents that mail programs look for when somebody types an address.

What it keeps true: an answer depends on the operator's domains and settings, and on nothing about accounts, which this
room cannot even reach; so nobody learns here who has one. A domain that is not the operator's is not found, by whatever
name the server was called. What strangers may send and ask is bounded: one small body, a few requests a second.

Rules: the domain is that of the host asked for (`autoconfig.DOMAIN`, `autodiscover.DOMAIN`, DOMAIN itself); under a name
of the operator's own, that of the address in the question. An address of another domain is not answered.

Standards: Référentiel #2 ECO.1.1.9 (CONF.04); Mozilla's autoconfiguration; Outlook's autodiscover; RFC 9110, RFC 6797.
"""

import asyncio
from collections.abc import Collection, Mapping

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vaguemestre.documents import autoconfiguration as documents
from vaguemestre.documents.autoconfiguration import DiscoveryRequestError, Settings
from vaguemestre.protocols.smtp.addresses import Address, AddressError
from vaguemestre.servers.limits import Allowance, network

_LABELS = ("autoconfig.", "autodiscover.", "")
_OUTLOOK = "/autodiscover/autodiscover.xml"
_BODY_S = 10.0
_BURST, _RATE = 60, 1.0  # programs ask some five times, people of one hospital share an address
_QUERY_LIMIT = 1024
_HEADERS = {
    "Strict-Transport-Security": "max-age=63072000",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def application(
    settings: Settings, domains: Collection[str], own_names: Collection[str], allowance: Allowance | None = None
) -> ASGIApp:
    """The HTTP face. `domains` are the operator's, `own_names` the hosts it may be called by besides theirs."""
    hosts: dict[str, str | None] = dict.fromkeys((name.lower() for name in own_names), None)
    hosts |= {f"{label}{domain}": domain for domain in domains for label in _LABELS}

    async def mozilla(request: Request) -> Response:
        domain = _host(request, hosts)
        if domain is None:
            asked = _asked(request)
            domain = asked.domain if asked else ""
        if domain not in domains:
            return _not_found()
        return Response(documents.mozilla(settings, domain), media_type="text/xml")

    async def apple(request: Request) -> Response:
        address = _asked(request)
        if address is None or not _may_answer(request, hosts, address, domains):
            return _not_found()
        profile = documents.apple(settings, address.text, address.domain)
        return Response(
            profile,
            media_type="application/x-apple-aspen-config",
            headers={"Content-Disposition": 'attachment; filename="vaguemestre.mobileconfig"'},
        )

    async def outlook(request: Request) -> Response:
        try:
            address = Address.parse(documents.outlook_address(await _body(request)))
        except TimeoutError:
            return PlainTextResponse("Too slow", 408)
        except _TooLargeError:
            return PlainTextResponse("Too large", 413)
        except (DiscoveryRequestError, AddressError, ClientDisconnect):
            return Response(documents.outlook_refusal(), 400, media_type="text/xml")
        if not _may_answer(request, hosts, address, domains):
            return _not_found()
        return Response(documents.outlook(settings, address.text), media_type="text/xml")

    routes = [
        Route("/mail/config-v1.1.xml", mozilla),
        Route("/.well-known/autoconfig/mail/config-v1.1.xml", mozilla),
        Route("/apple.mobileconfig", apple),
        Route(_OUTLOOK, outlook, methods=["POST"]),
    ]
    return _Guard(Starlette(routes=routes), hosts, allowance or Allowance(_BURST, _RATE))


class _TooLargeError(Exception):
    """More was sent than any question has."""


class _Guard:
    """Stands before every question: who may ask, how often; and puts the same headers on every answer."""

    def __init__(self, inner: ASGIApp, hosts: Collection[str], allowance: Allowance) -> None:
        self._inner = inner
        self._hosts = hosts
        self._allowance = allowance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        client = scope.get("client")
        app = self._inner
        if not self._allowance.spend(network(client[0]) if client else ""):
            app = PlainTextResponse("Too many requests", 429, {"Retry-After": "60"})
        elif _name(Request(scope)) not in self._hosts:
            app = _not_found()
        elif len(scope["query_string"]) > _QUERY_LIMIT:
            app = PlainTextResponse("Too long", 414)
        elif scope["path"].lower() == _OUTLOOK:
            scope = {**scope, "path": _OUTLOOK}
        await app(scope, receive, send_with_headers)


def _name(request: Request) -> str:
    """The host asked for, without its port; what is not a name is nobody's."""
    host = request.headers.get("host", "").lower()
    name, separator, port = host.rpartition(":")
    return (name if separator and port.isdigit() else host).removesuffix(".")


def _host(request: Request, hosts: Mapping[str, str | None]) -> str | None:
    """The domain that the host stands for, None for a name of the operator's own."""
    return hosts[_name(request)]


def _asked(request: Request) -> Address | None:
    """The address in the question, or None."""
    try:
        return Address.parse(request.query_params.get("emailaddress", ""))
    except AddressError:
        return None


def _may_answer(request: Request, hosts: Mapping[str, str | None], address: Address, domains: Collection[str]) -> bool:
    return address.domain in domains and _host(request, hosts) in (None, address.domain)


async def _body(request: Request) -> bytes:
    """The whole body. Raises _TooLargeError, TimeoutError, ClientDisconnect."""
    body = bytearray()
    async with asyncio.timeout(_BODY_S):
        async for chunk in request.stream():
            body += chunk
            if len(body) > documents.REQUEST_LIMIT:
                raise _TooLargeError
    return bytes(body)


def _not_found() -> Response:
    return PlainTextResponse("Not Found", 404)
