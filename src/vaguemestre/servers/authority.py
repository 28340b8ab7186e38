"""The authority over HTTP: its signed allow-list, its CRLs, its OCSP responder. All public; each proves itself by signature.

Standards: RFC 5280 §4.2.1.13 (CRL over HTTP), RFC 6960 appendix A (OCSP over HTTP, POST and GET).
"""

import asyncio
import base64
import binascii
import contextlib
import socket
from collections.abc import Iterator
from urllib.parse import unquote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vaguemestre import clock
from vaguemestre.errors import VaguemestreError
from vaguemestre.trust.publisher import Authority

LIST_PATH = "/listeblanchemssante.xml"
_MOST_REQUEST = 65_536


def application(authority: Authority) -> Starlette:
    """The HTTP face of an authority."""

    async def allow_list(request: Request) -> Response:
        return Response(await asyncio.to_thread(lambda: authority.published), media_type="application/xml")

    async def crl(request: Request) -> Response:
        root, issuing = await asyncio.to_thread(lambda: authority.crls)
        data = {"root.crl": root, "issuing.crl": issuing}.get(request.path_params["name"])
        return Response(data, media_type="application/pkix-crl") if data else PlainTextResponse("Not found", 404)

    async def ocsp(request: Request) -> Response:
        try:
            if request.method == "POST":
                question = await request.body()
            else:
                question = base64.b64decode(unquote(request.path_params["question"]), validate=True)
            if len(question) > _MOST_REQUEST:
                return PlainTextResponse("Too large", 413)
            answer = await asyncio.to_thread(authority.ocsp_response, question, clock.now())
        except (ValueError, binascii.Error, VaguemestreError):
            return PlainTextResponse("Not an OCSP request", 400)
        return Response(answer, media_type="application/ocsp-response")

    return Starlette(
        routes=[
            Route(LIST_PATH, allow_list),
            Route("/crl/{name}", crl),
            Route("/ocsp", ocsp, methods=["POST"]),
            Route("/ocsp/{question:path}", ocsp, methods=["GET"]),
        ]
    )


class HttpServer:
    """An ASGI application on a port, started and stopped by the composition root, which keeps the signals."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self._address = (host, port)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Open the port; returns it. Raises OSError."""
        host, port = self._address
        listening = socket.create_server((host, port), backlog=512, reuse_port=False)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.01)
        return int(listening.getsockname()[1])

    async def stop(self) -> None:
        """Finish what is under way, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
