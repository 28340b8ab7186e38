"""People of an operator, for tests: accounts with holders, delegates and devices, by few words."""

from dataclasses import dataclass

from vaguemestre.identity.grants import Grant
from vaguemestre.identity.model import Rights
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import accounts, sharing
from vaguemestre.mailstore.model import Account, AccountKind
from vaguemestre.storage.database import Database

DOMAIN = "a.mssante.fr"
MARIE, PAUL, ZOE = "899700366240", "810000000001", "810000000019"


def address(local_part: str) -> str:
    """An address of the operator under test."""
    return f"{local_part}@{DOMAIN}"


@dataclass(frozen=True, slots=True)
class People:
    """Acts as the operator's administrator on a store."""

    database: Database

    def account(self, local_part: str, kind: AccountKind = AccountKind.PER) -> Account:
        """Open an account."""
        return self.database.write(accounts.create, kind, address(local_part), local_part.title())

    def holder(self, local_part: str, national_id: str = MARIE) -> Grant:
        """Bind a holder."""
        return self.database.write(sharing.bind_holder, address(local_part), national_id, "", ADMINISTRATOR)

    def delegate(self, local_part: str, national_id: str, rights: Rights) -> Grant:
        """Let somebody in."""
        return self.database.write(
            lambda connection: sharing.grant(connection, address(local_part), national_id, "", rights, ADMINISTRATOR)
        )

    def device(self, local_part: str, national_id: str = "", label: str = "Phone") -> str:
        """Make an app password; its secret."""
        where = address(local_part)
        return self.database.write(sharing.add_app_password, where, national_id, label, ADMINISTRATOR).secret

    def doctor(self, local_part: str = "marie", national_id: str = MARIE) -> str:
        """A personal account with its holder and a device; the device's secret."""
        self.account(local_part)
        self.holder(local_part, national_id)
        return self.device(local_part)
