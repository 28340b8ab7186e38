"""Letters from the operator to the people it serves: a welcome, and what touches how they sign in.

Kept true: a letter is in the inbox once the transaction that makes its news true is durable, and not otherwise. It holds no
secret and no link that signs in: nobody learns to click on such a thing.
"""

import sqlalchemy as sa

from vaguemestre import clock, ids
from vaguemestre.documents.compose import compose
from vaguemestre.documents.headers import split_head, summary
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import mailboxes, messages
from vaguemestre.mailstore.model import Account, NewMessage, Role
from vaguemestre.storage.blobs import BlobStore

_SIGNED_FR = "\n\nVotre opérateur de messagerie de santé.\nCe message est automatique : n'y répondez pas.\n"
_SIGNED_EN = "\n\nYour operator of secure health mail.\nThis message is automatic: do not answer it.\n"
_RULE = "\n----------\n\n"


class Notices:
    """Writes them; `operator` is the name that people know it by."""

    def __init__(self, blobs: BlobStore, operator: str) -> None:
        self._blobs, self._operator = blobs, operator

    def welcome(self, connection: sa.Connection, account: Account) -> None:
        """The first letter of a mailbox."""
        self._file(
            connection,
            account,
            "Bienvenue dans votre messagerie sécurisée de santé",
            f"Bonjour {account.name},\n\nVotre adresse {account.address} est ouverte. Vous pouvez écrire à tout "
            "professionnel de l'espace de confiance MSSanté : l'annuaire le trouve par son nom, sa profession ou sa ville."
            "\n\nVos échanges restent entre professionnels ; n'utilisez pas la messagerie ordinaire pour un patient.",
            f"Your address {account.address} is open. You can write to any professional of the MSSanté trust space: the "
            "directory finds them by name, profession or town.\n\nKeep what is about a patient within it.",
        )

    def new_means(self, connection: sa.Connection, account: Account, what_fr: str, what_en: str) -> None:
        """A way to sign in was added, or somebody signed in from a device not seen before."""
        self._file(
            connection,
            account,
            "Sécurité de votre messagerie",
            f"{what_fr}\n\nSi ce n'était pas vous, fermez toutes vos sessions dans « Sécurité » et prévenez votre opérateur.",
            f"{what_en}\n\nIf it was not you, end all your sessions under “Security” and tell your operator.",
        )

    def ending(self, connection: sa.Connection, account: Account, why_fr: str, why_en: str) -> None:
        """The mailbox is about to be suspended or closed."""
        self._file(connection, account, "Votre messagerie sécurisée de santé", why_fr, why_en)

    def _file(self, connection: sa.Connection, account: Account, subject: str, fr: str, en: str) -> None:
        at, author = clock.now(), f"postmaster@{account.address.rpartition('@')[2]}"
        content = compose(
            author=(self._operator, author),
            to=[(account.name, account.address)],
            subject=subject,
            text=fr + _SIGNED_FR + _RULE + en + _SIGNED_EN,
            at=at,
            extra=[("Auto-Submitted", "auto-generated")],
        )
        sealed = self._blobs.seal(content)
        self._blobs.insert(connection, [sealed])
        inbox = mailboxes.with_role(connection, account.id, Role.INBOX)
        noted = summary(content[: split_head(content)])
        place = NewMessage(account.id, inbox.id, sealed.id, sealed.size, clock.to_ms(at), noted)
        messages.append(connection, [place])
        facts = {"account": ids.to_text(account.id), "notice": True}
        journal.append(connection, [Entry(Event.DELIVERY, ids.to_text(sealed.id), facts, {"to": account.address})])
