"""The authority over HTTP: its signed allow-list, its CRLs, its OCSP responder. All public; each proves itself by signature.

Standards: RFC 5280 §4.2.1.13 (CRL over HTTP), RFC 6960 appendix A (OCSP over HTTP, POST and GET).
"""

import asyncio
import base64
import binascii
from urllib.parse import unquote

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
