"""The few files that a browser shows, and the rules it is given for them: nothing from elsewhere, nothing written into pages."""

from collections.abc import Mapping
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def routes(operator: str, *, cards: bool = False) -> list[Route]:
    """The pages, under the operator's name; `cards`: whether people may sign in with theirs."""
    held = _files(operator, cards=cards)

    async def page(request: Request) -> Response:
        return _response("index.html", held)

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        return _response(name, held) if name in held else Response("Not found", 404)

    return [Route("/", page), Route("/invitation", page), Route("/pages/{name}", file)]


def _files(operator: str, *, cards: bool) -> dict[str, bytes]:
    folder = files("vaguemestre.servers.web") / "pages"
    found = {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in _KINDS}
    name = operator.replace("&", "&amp;").replace("<", "&lt;").encode()
    found["index.html"] = found["index.html"].replace("Messagerie sécurisée de santé".encode(), name)
    if cards:
        found["index.html"] = found["index.html"].replace(b'<main id="main"', b'<main id="main" data-cards')
    return found


def _response(name: str, held: Mapping[str, bytes]) -> Response:
    return Response(held[name], media_type=_KINDS[name.rpartition(".")[2]], headers=_HEADERS)
