"""Which account an address in a path is, to the person who asks: theirs, or nothing."""

import sqlalchemy as sa

from vaguemestre.identity import grants
from vaguemestre.identity.grants import NoGrantError
from vaguemestre.identity.model import Person
from vaguemestre.identity.permissions import Actor
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import Account


def held(connection: sa.Connection, address: str, person: Person) -> tuple[Account, Actor]:
    """The account, and what the person is there. Raises NoGrantError for any other, whether or not there is one."""
    for grant in grants.of_person(connection, person.id):
        account = accounts.numbered(connection, grant.account_id)
        if account.address == address.lower():
            return account, Actor(grant.part, person.id)
    raise NoGrantError
