"""A mail program that sends: it signs in to an operator's server for submission, and says what a test makes it say."""

from base64 import b64encode
from typing import Self

from simulators.caller import Answer, Caller
from simulators.operators import Operator
from simulators.space import Identity
from vaguemestre.identity.model import Rights
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import accounts, sharing
from vaguemestre.mailstore.model import AccountKind


class MailProgram(Caller):
    """A connection to a server for submission, over TLS."""

    @classmethod
    def connected(cls, operator: Operator, identity: Identity | None = None) -> Self:
        """With STARTTLS, and this certificate or none."""
        return cls.secured(operator.ports["submission"], identity)

    @classmethod
    def signed_in(cls, operator: Operator, login: tuple[str, str]) -> Self:
        """The same, and signed in."""
        program = cls.connected(operator)
        answer = program.plain(*login)
        assert answer.status == "235 2.7.0", answer
        return program

    def plain(self, user: str, password: str) -> Answer:
        """AUTH PLAIN in one line."""
        return self.say("AUTH PLAIN " + encoded(f"\0{user}\0{password}"))

    def login(self, user: str, password: str) -> list[Answer]:
        """AUTH LOGIN, asked for both."""
        return [self.say("AUTH LOGIN"), self.say(encoded(user)), self.say(encoded(password))]

    def xoauth2(self, user: str, token: str) -> Answer:
        """AUTH XOAUTH2 in one line, as the profession's software does (ECO.1.2.1)."""
        return self.say("AUTH XOAUTH2 " + encoded(f"user={user}\1auth=Bearer {token}\1\1"))


def encoded(text: str) -> str:
    """As SASL over SMTP writes it."""
    return b64encode(text.encode()).decode()


def shared_mailbox(
    operator: Operator,
    local_part: str,
    national_id: str,
    name: str,
    rights: Rights,
    kind: AccountKind = AccountKind.ORG,
) -> tuple[str, str]:
    """A mailbox of several, and one of its people; what their device there signs in with."""
    address = operator.place.address(local_part)
    operator.write(accounts.create, kind, address, f"Secretariat {local_part}")
    return address, delegate(operator, address, national_id, name, rights)


def delegate(operator: Operator, address: str, national_id: str, name: str, rights: Rights) -> str:
    """Somebody more in a mailbox; the secret of a device of theirs there."""
    operator.write(sharing.grant, address, national_id, name, rights, ADMINISTRATOR)
    return str(operator.write(sharing.add_app_password, address, national_id, "poste", ADMINISTRATOR).secret)
