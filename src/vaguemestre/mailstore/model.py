"""The values of the mailstore: accounts of four kinds, mailboxes with a special use, messages with their summary.

Terms: an Account is what French texts call a BAL; a Mailbox is the IMAP and JMAP folder. Kinds are those of the trust
space (spec trust-space §3): PER a person, ORG a team or structure, APP a machine, CAB a shared practice.
"""

from dataclasses import dataclass
from enum import IntFlag, StrEnum

import msgspec

from vaguemestre.documents.headers import Summary
from vaguemestre.errors import VaguemestreError

# What mail programs may put in a mailbox: copies take no quota, so this is what ends them. Delivery is not held to it.
MOST_IN_A_MAILBOX = 1_000_000


class AccountKind(StrEnum):
    """Who stands behind an account."""

    PER = "PER"
    ORG = "ORG"
    APP = "APP"
    CAB = "CAB"


class AccountState(StrEnum):
    """Active takes and sends mail; suspended takes it but nobody enters; closed takes none."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class Role(StrEnum):
    """Special uses (RFC 6154, RFC 8621 §2), by their JMAP names."""

    INBOX = "inbox"
    DRAFTS = "drafts"
    SENT = "sent"
    ARCHIVE = "archive"
    JUNK = "junk"
    TRASH = "trash"


class Flag(IntFlag):
    """System flags (RFC 9051 §2.3.2); keywords stand beside them as text."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


NO_FLAGS = Flag(0)


@dataclass(frozen=True, slots=True)
class Account:
    """An account. Sizes in octets, `created_at` in Unix milliseconds."""

    id: int
    kind: AccountKind
    address: str
    name: str
    state: AccountState
    quota: int
    used: int
    messages: int
    created_at: int
    own_reading: bool = False  # each person who reads here has read or not by themselves
    keeps_sent: bool = False  # what is submitted is filed in Sent; else the programs that send do it


class Destination(msgspec.Struct, frozen=True):
    """Where mail for an address goes, and whether there is room; sizes in octets."""

    account_id: int
    inbox_id: int
    state: AccountState
    room: int


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox with its counts; `unseen` is as the reader asked about sees it.

    `octets` is the sum of its messages' sizes; `keywords` are those its messages bear or bore, as first spelled.
    """

    id: int
    name: str
    role: Role | None
    uid_validity: int
    uid_next: int
    modseq: int
    total: int
    unseen: int
    account_id: int
    deleted: int
    octets: int
    subscribed: bool
    keywords: tuple[str, ...]


class NewMessage(msgspec.Struct, frozen=True):
    """A message to append: `blob_id` and `size` of content already inserted, times in Unix milliseconds.

    `saved_at` is when it came into the mailbox; 0 where that is when it was received.
    """

    account_id: int
    mailbox_id: int
    blob_id: int
    size: int
    received_at: int
    summary: Summary
    flags: Flag = NO_FLAGS
    keywords: frozenset[str] = frozenset()
    saved_at: int = 0


class Appended(msgspec.Struct, frozen=True):
    """Where a message came to stand."""

    message_id: int
    thread_id: int
    mailbox_id: int
    uid: int
    modseq: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as a list shows it."""

    message_id: int
    uid: int
    modseq: int
    flags: Flag
    thread_id: int
    blob_id: int
    size: int
    received_at: int
    summary: Summary


class UnknownAccountError(VaguemestreError):
    """No account bears this address."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"There is no mailbox {address} here. Check the address in the directory.",
            f"Il n'y a pas de boîte {address} ici. Vérifiez l'adresse dans l'annuaire.",
        )


class AddressTakenError(VaguemestreError):
    """The address belongs to an account already."""

    def __init__(self, address: str) -> None:
        super().__init__(f"The address {address} is taken.", f"L'adresse {address} est déjà attribuée.")


class AccountClosedError(VaguemestreError):
    """The account was closed."""

    def __init__(self) -> None:
        super().__init__(
            "This mailbox is closed. Look in the directory for the person's new address.",
            "Cette boîte est fermée. Cherchez la nouvelle adresse de la personne dans l'annuaire.",
        )


class UnknownMailboxError(VaguemestreError):
    """No mailbox of this name in the account."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no mailbox named {name}.", f"Il n'y a pas de dossier nommé {name}.")


class MailboxExistsError(VaguemestreError):
    """The account has a mailbox of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a mailbox named {name} already. Choose another name.",
            f"Il y a déjà un dossier nommé {name}. Choisissez un autre nom.",
        )


class MailboxNameError(VaguemestreError):
    """No mailbox can have this name; the sentence says why."""


class SpecialMailboxError(VaguemestreError):
    """The mailbox is one that every account has."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} cannot be deleted: every account has it, and mail is filed there.",
            f"{name} ne peut pas être supprimé : chaque compte en a besoin pour y classer le courrier.",
        )


class TooManyMailboxesError(VaguemestreError):
    """The account has as many mailboxes as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"An account has {limit} mailboxes at most. Delete some that are no longer needed.",
            f"Un compte a {limit} dossiers au plus. Supprimez ceux qui ne servent plus.",
        )


class KeywordError(VaguemestreError):
    """This cannot be a keyword."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"A keyword has at most {limit} characters, of those an IMAP atom may have.",
            f"Un mot-clé a {limit} caractères au plus, parmi ceux qu'un atome IMAP peut avoir.",
        )


class TooManyKeywordsError(VaguemestreError):
    """The mailbox knows as many keywords as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The messages of a mailbox bear at most {limit} different keywords. Remove some first.",
            f"Les messages d'un dossier portent au plus {limit} mots-clés différents. Retirez-en d'abord.",
        )


class QuotaExceededError(VaguemestreError):
    """The account has no room for this."""

    def __init__(self) -> None:
        super().__init__(
            "The account is full. Delete messages and empty the bin, or ask your administrator for room.",
            "La boîte est pleine. Supprimez des messages et videz la corbeille, ou demandez de la place à votre "
            "administrateur.",
        )


class MailboxFullError(QuotaExceededError):
    """The mailbox has as many messages as it may."""

    def __init__(self, limit: int) -> None:
        VaguemestreError.__init__(
            self,
            f"A mailbox holds {limit} messages at most. File some of them in another.",
            f"Un dossier contient {limit} messages au plus. Classez-en une partie dans un autre.",
        )
