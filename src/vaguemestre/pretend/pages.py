"""The faces of a pretend Pro Santé Connect: what software asks of it, and the pages that people see.

Two applications on two ports, as the real one has two hosts: the *wallet*, where people are sent and where their phone is
played, and the *realm*, which software asks. `PUT /quirks` on the realm makes it fail on demand.
"""

from collections.abc import Awaitable, Callable
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from vaguemestre.pretend.provider import PretendProvider, Quirks, RefusedError

REALM = "/auth/realms/esante-wallet"
_PAGE = """<!doctype html><html lang="fr"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body{{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem;color:#1d2433;background:#f6f7fb}}
h1{{font-size:1.3rem}} .note{{background:#fff4ce;border-radius:.5rem;padding:.6rem 1rem}}
button{{font:inherit;display:block;width:100%;text-align:left;margin:.5rem 0;padding:.8rem 1rem;border:1px solid #ccd2e3;
border-radius:.6rem;background:#fff;cursor:pointer}} button:hover,button:focus{{border-color:#2140b9}}
small{{color:#59627a;display:block}} .row{{display:flex;gap:.5rem}} .row button{{text-align:center}}
</style><h1>{title}</h1><p class="note">Identités fictives, pour essayer seulement. / Made-up identities, for trying only.</p>
{body}</html>"""
_PROFESSIONS = {
    "10": "Médecin",
    "40": "Chirurgien-dentiste",
    "50": "Sage-femme",
    "60": "Infirmier",
    "70": "Kinésithérapeute",
}


def wallet(provider: PretendProvider) -> Starlette:
    """Where people choose who they are, and answer on their phone."""

    async def choose(request: Request) -> Response:
        asked = dict(request.query_params)
        try:
            provider.check_request(asked)
        except RefusedError as refused:
            return _page("Demande refusée", f"<p>{escape(refused.error)}</p>", 400)
        buttons = "".join(_button(name, person) for name, person in provider.people.items())
        stop = '<button name="person" value="">Annuler <small>Cancel</small></button>'
        return _page("Pro Santé Connect (fictif)", f'<form method="post">{buttons}{stop}</form>')

    async def chosen(request: Request) -> Response:
        asked = dict(request.query_params)
        person = (await _form(request)).get("person", "")
        back = {"state": asked.get("state", ""), "iss": provider.issuer}
        try:
            provider.check_request(asked)
        except RefusedError as refused:
            return _page("Demande refusée", f"<p>{escape(refused.error)}</p>", 400)
        try:
            answer = {"code": provider.sign_in(asked, person), **back}
        except RefusedError as refused:
            answer = {"error": refused.error, **back}
        separator = "&" if "?" in asked["redirect_uri"] else "?"
        return RedirectResponse(asked["redirect_uri"] + separator + urlencode(answer), 303)

    async def phone(request: Request) -> Response:
        waiting = [each for each in provider.questions.values() if each.answer is None]
        rows = "".join(
            f'<form method="post" class="row"><input type="hidden" name="id" value="{escape(each.id)}">'
            f"<p>{escape(_name(provider.people[each.person]))} : code <b>{escape(each.message)}</b></p>"
            '<button name="answer" value="yes">Confirmer</button><button name="answer" value="no">Refuser</button></form>'
            for each in waiting
        )
        return _page("Mon téléphone (fictif)", rows or "<p>Rien à confirmer. / Nothing to confirm.</p>")

    async def answered(request: Request) -> Response:
        form = await _form(request)
        question = provider.questions.get(form.get("id", ""))
        if question is not None:
            question.answer = form.get("answer") == "yes"
        return RedirectResponse("/phone", 303)

    return Starlette(
        routes=[
            Route("/auth", choose, methods=["GET"]),
            Route("/auth", chosen, methods=["POST"]),
            Route("/phone", phone, methods=["GET"]),
            Route("/phone", answered, methods=["POST"]),
        ]
    )


def realm(provider: PretendProvider, authorize: str) -> Starlette:
    """What software asks; `authorize` is where people are sent."""

    def endpoint(name: str, answer: Callable[[Request], Awaitable[Response]], method: str = "POST") -> Route:
        async def guarded(request: Request) -> Response:
            status = provider.quirks.status.get(name)
            if status is not None:
                return Response(status_code=status)
            try:
                return await answer(request)
            except RefusedError as refused:
                return JSONResponse({"error": refused.error}, refused.status)

        return Route(f"{REALM}/{name}", guarded, methods=[method])

    def client(request: Request) -> Any:
        return provider.authenticate(request.headers.get("authorization", ""))

    async def token(request: Request) -> Response:
        return JSONResponse(
            provider.token(client(request), await _form(request)), headers={"Cache-Control": "no-store"}
        )

    async def userinfo(request: Request) -> Response:
        return JSONResponse(provider.userinfo(request.headers.get("authorization", "").removeprefix("Bearer ")))

    async def introspect(request: Request) -> Response:
        client(request)
        return JSONResponse(provider.introspect((await _form(request)).get("token", "")))

    async def logout(request: Request) -> Response:
        client(request)
        provider.log_out((await _form(request)).get("refresh_token", ""))
        return Response(status_code=204)

    async def ciba(request: Request) -> Response:
        return JSONResponse(provider.ask(client(request), await _form(request)))

    async def certs(request: Request) -> Response:
        return JSONResponse(provider.keys())

    async def discovery(request: Request) -> Response:
        base = f"{provider.issuer}/protocol/openid-connect"
        return JSONResponse(
            {
                "issuer": provider.issuer,
                "authorization_endpoint": authorize,
                "token_endpoint": f"{base}/token",
                "userinfo_endpoint": f"{base}/userinfo",
                "jwks_uri": f"{base}/certs",
                "end_session_endpoint": f"{base}/logout",
                "introspection_endpoint": f"{base}/token/introspect",
                "backchannel_authentication_endpoint": f"{base}/ext/ciba/auth",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def quirks(request: Request) -> Response:
        provider.quirks = msgspec.convert(msgspec.json.decode(await request.body()), Quirks)
        return Response(status_code=204)

    async def rotate(request: Request) -> Response:
        provider.rotate()
        return Response(status_code=204)

    base = "protocol/openid-connect"
    return Starlette(
        routes=[
            endpoint(f"{base}/token", token),
            endpoint(f"{base}/userinfo", userinfo, "GET"),
            endpoint(f"{base}/token/introspect", introspect),
            endpoint(f"{base}/logout", logout),
            endpoint(f"{base}/ext/ciba/auth", ciba),
            endpoint(f"{base}/certs", certs, "GET"),
            endpoint(".well-known/wallet-openid-configuration", discovery, "GET"),
            Route("/quirks", quirks, methods=["PUT"]),
            Route("/rotate", rotate, methods=["POST"]),
        ]
    )


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=escape(title), body=body), status)


def _button(name: str, person: dict[str, Any]) -> str:
    profession = str((person.get("SubjectRole") or ["?"])[0]).partition("^")[0]
    words = f"{_PROFESSIONS.get(profession, 'Professionnel')} · RPPS {name[1:]}"
    return (
        f'<button name="person" value="{escape(name)}">{escape(_name(person))}<small>{escape(words)}</small></button>'
    )


def _name(person: dict[str, Any]) -> str:
    return f"{person.get('given_name', '')} {person.get('family_name', '')}".strip()
