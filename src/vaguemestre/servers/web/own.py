"""What people see and change of their own: who they are here, their sessions, passkeys, codes, and devices of mail programs.

Kept true: everybody sees and changes their own only; what adds a way to sign in wants a fresh proof, and its holder is told by a
letter, as of what is taken away; a secret is shown once, in the answer that made it.
"""

from typing import Any

import sqlalchemy as sa
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vaguemestre import clock
from vaguemestre.identity import grants, one_time_codes, passkeys, sessions, traces
from vaguemestre.identity.model import RefusedIdentityError, rights_text
from vaguemestre.identity.passkeys import Passkey, Site
from vaguemestre.identity.permissions import Act, refuse
from vaguemestre.identity.sessions import Session
from vaguemestre.identity.traces import Trace
from vaguemestre.mailstore import accounts, sharing
from vaguemestre.mailstore.model import Account
from vaguemestre.servers.web.door import Asked, Door
from vaguemestre.servers.web.holding import held
from vaguemestre.servers.web.sign_in import SignInDesk
from vaguemestre.storage.keys import Keyring

_MOST_TRACES = 500


class OwnDesk:
    """Answers people about their own means."""

    def __init__(self, door: Door, sign_in: SignInDesk, site: Site, ring: Keyring) -> None:
        self._door, self._sign_in, self._site, self._ring = door, sign_in, site, ring

    def routes(self) -> list[Route]:
        """What this desk answers."""
        route = self._door.route
        return [
            route("GET", "/api/session", self._who),
            route("POST", "/api/session/proof", self._prove_by_code),
            route("GET", "/api/sessions", self._sessions),
            route("DELETE", "/api/sessions/{id}", self._end_session),
            route("DELETE", "/api/sessions", self._end_others),
            route("GET", "/api/passkeys", self._passkeys),
            route("POST", "/api/passkeys/options", self._ask_passkey, fresh=True),
            route("POST", "/api/passkeys", self._add_passkey, fresh=True),
            route("PATCH", "/api/passkeys/{id}", self._rename_passkey),
            route("DELETE", "/api/passkeys/{id}", self._revoke_passkey, fresh=True),
            route("POST", "/api/one-time-codes", self._make_codes, fresh=True),
            route("POST", "/api/one-time-codes/confirmation", self._confirm_codes, fresh=True),
            route("DELETE", "/api/one-time-codes", self._remove_codes, fresh=True),
            route("POST", "/api/recovery-codes", self._recovery_codes, fresh=True),
            route("GET", "/api/accounts/{address}/traces", self._traces),
            route("GET", "/api/accounts/{address}/app-passwords", self._app_passwords),
            route("POST", "/api/accounts/{address}/app-passwords", self._add_app_password, fresh=True),
            route("DELETE", "/api/accounts/{address}/app-passwords/{label}", self._revoke_app_password),
        ]

    async def _who(self, asked: Asked) -> Response:
        session = asked.signed_in

        def read(connection: sa.Connection) -> list[dict[str, Any]]:
            theirs = grants.of_person(connection, session.person.id)
            return [_account(accounts.numbered(connection, grant.account_id), grant) for grant in theirs]

        found = await self._door.database.read_async(read)
        return JSONResponse(
            {
                "name": session.person.name,
                "national_id": session.person.national_id,
                "means": str(session.means),
                "fresh": sessions.is_fresh(session, self._door.limits),
                "accounts": found,
            }
        )

    async def _prove_by_code(self, asked: Asked) -> Response:
        """A second proof within a session, where no passkey is at hand: a code of an application, or of recovery."""
        session, code, at = asked.signed_in, asked.text("code"), clock.now()

        def write(connection: sa.Connection) -> str:
            good = one_time_codes.check(connection, self._ring, session.person.id, code, at)
            good = good or one_time_codes.use_recovery_code(connection, session.person.id, code)
            return sessions.prove_again(connection, session) if good else ""

        async with self._door.attempt(f"person {session.person.id}", asked):
            secret = await self._door.database.write_async(write)
            if not secret:
                raise RefusedIdentityError("code")
        response = Response(status_code=204)
        self._door.keep_session(response, secret)
        return response

    async def _sessions(self, asked: Asked) -> Response:
        session = asked.signed_in
        found = await self._door.database.read_async(sessions.of_person, session.person.id, self._door.limits)
        return JSONResponse([_session(each, session) for each in found])

    async def _end_session(self, asked: Asked) -> Response:
        await self._door.database.write_async(sessions.end, asked.person.id, asked.number("id"))
        return Response(status_code=204)

    async def _end_others(self, asked: Asked) -> Response:
        session = asked.signed_in
        ended = await self._door.database.write_async(sessions.end_all, session.person.id, session.id)
        return JSONResponse({"ended": ended})

    async def _passkeys(self, asked: Asked) -> Response:
        found = await self._door.database.read_async(passkeys.of_person, asked.person.id)
        return JSONResponse([_passkey(each) for each in found])

    async def _ask_passkey(self, asked: Asked) -> Response:
        options, challenge = await self._door.database.read_async(passkeys.asked_to_make, self._site, asked.person)
        return await self._sign_in.challenge("new-passkey", options, challenge)

    async def _add_passkey(self, asked: Asked) -> Response:
        person, answer, name = asked.person, asked.object("credential"), asked.text("name")
        challenge = await self._sign_in.answered(asked, "new-passkey")

        def write(connection: sa.Connection) -> Passkey:
            made = passkeys.add(connection, self._site, person, challenge, answer, name)
            self._door.tell(
                connection,
                person,
                f"La clé d'accès « {made.name} » a été ajoutée à votre messagerie.",
                f"The passkey “{made.name}” was added to your mailbox.",
            )
            return made

        return JSONResponse(_passkey(await self._door.database.write_async(write)), 201)

    async def _rename_passkey(self, asked: Asked) -> Response:
        name, number = asked.text("name"), asked.number("id")
        await self._door.database.write_async(passkeys.rename, asked.person.id, number, name)
        return Response(status_code=204)

    async def _revoke_passkey(self, asked: Asked) -> Response:
        person, number = asked.person, asked.number("id")

        def write(connection: sa.Connection) -> None:
            passkeys.revoke(connection, person.id, number)
            self._door.tell(
                connection,
                person,
                "Une clé d'accès a été supprimée de votre messagerie.",
                "A passkey was removed from your mailbox.",
            )

        await self._door.database.write_async(write)
        return Response(status_code=204)

    async def _make_codes(self, asked: Asked) -> Response:
        made = await self._door.database.write_async(one_time_codes.make, self._ring, asked.person, self._site.name)
        return JSONResponse({"secret": made.text, "uri": made.uri}, 201)

    async def _confirm_codes(self, asked: Asked) -> Response:
        person, code, at = asked.person, asked.text("code"), clock.now()

        def write(connection: sa.Connection) -> bool:
            good = one_time_codes.confirm(connection, self._ring, person, code, at)
            if good:
                self._door.tell(
                    connection,
                    person,
                    "Une application de codes à usage unique a été ajoutée à votre messagerie.",
                    "An application for one-time codes was added to your mailbox.",
                )
            return good

        if not await self._door.database.write_async(write):
            raise RefusedIdentityError("code")
        return Response(status_code=204)

    async def _remove_codes(self, asked: Asked) -> Response:
        person = asked.person

        def write(connection: sa.Connection) -> None:
            one_time_codes.remove(connection, person)
            self._door.tell(
                connection,
                person,
                "Votre application de codes à usage unique a été retirée de votre messagerie.",
                "Your application for one-time codes was removed from your mailbox.",
            )

        await self._door.database.write_async(write)
        return Response(status_code=204)

    async def _recovery_codes(self, asked: Asked) -> Response:
        made = await self._door.database.write_async(one_time_codes.make_recovery_codes, asked.person, clock.now())
        return JSONResponse({"codes": made}, 201)

    async def _traces(self, asked: Asked) -> Response:
        """Who did what in an account, the newest last; never what the mail says."""
        address, person = asked.request.path_params["address"], asked.person

        def read(connection: sa.Connection) -> list[dict[str, Any]]:
            account, by = held(connection, address, person)
            refuse(by, Act.TRACES)
            return [_trace(each) for each in traces.of_account(connection, account.id, limit=_MOST_TRACES)]

        return JSONResponse(await self._door.database.read_async(read))

    async def _app_passwords(self, asked: Asked) -> Response:
        person, address = asked.person, asked.request.path_params["address"]

        def read(connection: sa.Connection) -> list[dict[str, Any]]:
            held(connection, address, person)
            theirs = (each for each in sharing.devices(connection, address) if each.person.id == person.id)
            return [{"label": each.label, "created_at": each.created_at, "used_at": each.used_at} for each in theirs]

        return JSONResponse(await self._door.database.read_async(read))

    async def _add_app_password(self, asked: Asked) -> Response:
        person, label, address = asked.person, asked.text("label"), asked.request.path_params["address"]

        def write(connection: sa.Connection) -> str:
            _, by = held(connection, address, person)
            made = sharing.add_app_password(connection, address, person.national_id, label, by)
            self._door.tell(
                connection,
                person,
                f"Un mot de passe d'application a été créé pour « {made.password.label} » ({address}).",
                f"An app password was made for “{made.password.label}” ({address}).",
            )
            return made.secret

        return JSONResponse({"secret": await self._door.database.write_async(write)}, 201)

    async def _revoke_app_password(self, asked: Asked) -> Response:
        person, params = asked.person, asked.request.path_params

        def write(connection: sa.Connection) -> None:
            _, by = held(connection, params["address"], person)
            sharing.revoke_app_password(connection, params["address"], person.national_id, params["label"], by)

        await self._door.database.write_async(write)
        return Response(status_code=204)


def _account(account: Account, grant: grants.Grant) -> dict[str, Any]:
    return {
        "address": account.address,
        "name": account.name,
        "kind": str(account.kind),
        "state": str(account.state),
        "part": str(grant.part),
        "rights": rights_text(grant.rights),
    }


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "at": trace.at,
        "name": trace.name,
        "protocol": trace.protocol,
        "action": trace.action,
        "target": trace.target,
        "outcome": trace.outcome,
        "times": trace.times,
    }


def _session(session: Session, current: Session) -> dict[str, Any]:
    return {
        "id": str(session.id),
        "current": session.id == current.id,
        "means": str(session.means),
        "device": session.device,
        "network": session.network,
        "began_at": session.began_at,
        "used_at": session.used_at,
    }


def _passkey(passkey: Passkey) -> dict[str, Any]:
    return {
        "id": str(passkey.id),
        "name": passkey.name,
        "synced": passkey.synced,
        "cloned": passkey.cloned,
        "created_at": passkey.created_at,
        "used_at": passkey.used_at,
    }
