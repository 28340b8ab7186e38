"""Opening a mailbox with a browser: who one is in the register, which addresses are free, the choice; staff and structures.

Kept true: a personal mailbox is opened only by who was proved by Pro Santé Connect some minutes ago; the register is asked at
each step, never what the browser says of it.
"""

from typing import Any

import sqlalchemy as sa
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vaguemestre.directory.register import Registers
from vaguemestre.enrolment import enrol, invitations, matching, requests
from vaguemestre.enrolment.enrol import Rules
from vaguemestre.enrolment.matching import Match
from vaguemestre.enrolment.notices import Notices
from vaguemestre.identity.model import Means, parse_rights, rights_text
from vaguemestre.identity.permissions import Act, refuse
from vaguemestre.mailstore.model import Account, AccountKind
from vaguemestre.servers.web.door import Asked, Door, MalformedRequestError, ProofWantedError
from vaguemestre.servers.web.holding import held


class EnrolmentDesk:
    """Opens mailboxes. `rules.domains` empty: nobody enrols here."""

    def __init__(self, door: Door, registers: Registers, rules: Rules, notices: Notices) -> None:
        self._door, self._registers, self._rules, self._notices = door, registers, rules, notices

    def routes(self) -> list[Route]:
        """What this desk answers."""
        route = self._door.route
        return [
            route("GET", "/api/enrolment", self._offer),
            route("POST", "/api/enrolment", self._enrol, fresh=True),
            route("GET", "/api/accounts/{address}/invitations", self._invitations),
            route("POST", "/api/accounts/{address}/invitations", self._invite, fresh=True),
            route("DELETE", "/api/accounts/{address}/invitations/{id}", self._withdraw),
            route("POST", "/api/invitations/take-up", self._take_up, signed_in=False),
            route("GET", "/api/mailbox-requests", self._requests),
            route("POST", "/api/mailbox-requests", self._ask, fresh=True),
        ]

    async def _offer(self, asked: Asked) -> Response:
        match = await self._match(asked)
        offer = await self._door.database.read_async(enrol.offer, match, self._rules)
        return JSONResponse(
            {
                "name": match.name,
                "profession": match.profession,
                "places": match.places,
                "addresses": offer.addresses,
                "elsewhere": offer.elsewhere,
                "terms": offer.terms,
            }
        )

    async def _enrol(self, asked: Asked) -> Response:
        match, address, terms = await self._match(asked), asked.text("address"), asked.text("terms")
        if asked.signed_in.means is not Means.PRO_SANTE_CONNECT:
            raise ProofWantedError
        red_list = asked.flag("red_list")

        def write(connection: sa.Connection) -> Account:
            return enrol.enrol(
                connection, match, self._rules, self._notices, address=address, terms=terms, red_list=red_list
            )

        account = await self._door.database.write_async(write)
        return JSONResponse({"address": account.address}, 201)

    async def _invitations(self, asked: Asked) -> Response:
        def read(connection: sa.Connection) -> list[dict[str, Any]]:
            account, by = held(connection, asked.request.path_params["address"], asked.person)
            refuse(by, Act.GRANT)
            return [_invitation(each) for each in invitations.of_account(connection, account.id)]

        return JSONResponse(await self._door.database.read_async(read))

    async def _invite(self, asked: Asked) -> Response:
        name, rights = asked.text("name"), parse_rights(asked.text("rights"))

        def write(connection: sa.Connection) -> invitations.NewInvitation:
            account, by = held(connection, asked.request.path_params["address"], asked.person)
            return invitations.invite(connection, account, name, rights, by)

        made = await self._door.database.write_async(write)
        link = f"{self._door.origin}/invitation#{made.secret}"  # after #: no server or log ever sees it
        return JSONResponse({**_invitation(made.invitation), "link": link}, 201)

    async def _withdraw(self, asked: Asked) -> Response:
        number = asked.number("id")

        def write(connection: sa.Connection) -> None:
            account, by = held(connection, asked.request.path_params["address"], asked.person)
            invitations.withdraw(connection, account.id, number, by)

        await self._door.database.write_async(write)
        return Response(status_code=204)

    async def _take_up(self, asked: Asked) -> Response:
        person = await self._door.database.write_async(invitations.take_up, asked.text("secret"), asked.text("name"))
        response = JSONResponse({"name": person.name}, 201)
        await self._door.begin(asked, response, person, Means.INVITATION)
        return response

    async def _requests(self, asked: Asked) -> Response:
        found = await self._door.database.read_async(requests.of_person, asked.person.id)
        return JSONResponse([_request(each) for each in found])

    async def _ask(self, asked: Asked) -> Response:
        match = await self._match(asked)
        try:
            kind = AccountKind(asked.text("kind"))
        except ValueError as error:
            raise MalformedRequestError from error
        made = await self._door.database.write_async(
            requests.ask,
            match,
            kind,
            asked.text("address"),
            asked.text("name"),
            asked.text("structure"),
            set(self._rules.domains.values()),
        )
        return JSONResponse(_request(made), 201)

    async def _match(self, asked: Asked) -> Match:
        person = asked.person
        return await self._registers.current().read_async(matching.match, person.national_id, person.name)


def _invitation(invitation: invitations.Invitation) -> dict[str, Any]:
    return {
        "id": str(invitation.id),
        "name": invitation.name,
        "rights": rights_text(invitation.rights),
        "until": invitation.until,
    }


def _request(asked: requests.MailboxRequest) -> dict[str, Any]:
    return {
        "id": str(asked.id),
        "kind": str(asked.kind),
        "address": asked.address,
        "name": asked.name,
        "asked_at": asked.asked_at,
        "decision": asked.decision,
        "reason": asked.reason,
    }
