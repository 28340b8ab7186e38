"""The vocabulary of the journal: what an entry says, and how it is hashed.

What it keeps true: an entry's hash covers every public fact and the one before it; of what is personal (addresses) it
covers only a salted digest, so that erasing the personal part and its salt erases the person and breaks no chain.

Rules: an event is a noun; facts are short, public and hold no content, no subject line and no address; addresses go to
`personal`. Hash of an entry: SHA-256(0x00 ‖ canonical JSON), the leaf hash of RFC 6962 §2.1, over
`[seq, at, event, subject, facts, personal digest (hex), previous hash (hex)]`.
"""

import hashlib
from enum import StrEnum
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode


class Event(StrEnum):
    """What may happen, in the order of a message's life; then what happens to trust, to accounts, and who enters."""

    SUBMISSION = "submission"
    SUBMISSION_REFUSAL = "submission-refusal"
    ACCEPTANCE = "acceptance"
    REFUSAL = "refusal"
    REPETITION = "repetition"
    DELIVERY = "delivery"
    RELAY = "relay"
    DEFERRAL = "deferral"
    BOUNCE = "bounce"
    NOTIFICATION = "notification"
    PEER_REFUSAL = "peer-refusal"
    LIST_UPDATE = "list-update"
    LIST_REFUSAL = "list-refusal"
    REVOCATION_UPDATE = "revocation-update"
    ACCOUNT_CREATION = "account-creation"
    ACCOUNT_CHANGE = "account-change"
    GRANT = "grant"
    GRANT_END = "grant-end"
    APP_PASSWORD = "app-password"  # noqa: S105 - a word, no secret
    APP_PASSWORD_END = "app-password-end"  # noqa: S105 - a word, no secret
    CLIENT_CERTIFICATE = "client-certificate"
    CLIENT_CERTIFICATE_END = "client-certificate-end"
    SIGN_IN = "sign-in"
    SIGN_IN_REFUSAL = "sign-in-refusal"
    SIGN_OUT = "sign-out"
    PASSKEY = "passkey"
    PASSKEY_END = "passkey-end"
    ONE_TIME_CODES = "one-time-codes"
    ONE_TIME_CODES_END = "one-time-codes-end"
    RECOVERY_CODES = "recovery-codes"
    ENROLMENT = "enrolment"
    INVITATION = "invitation"
    INVITATION_END = "invitation-end"
    MAILBOX_REQUEST = "mailbox-request"
    CLOSURE = "closure"
    WITHDRAWAL_WARNING = "withdrawal-warning"
    ERASURE = "erasure"
    PUBLICATION = "publication"
    PUBLICATION_REFUSAL = "publication-refusal"
    IMPORT = "import"
    EXPORT = "export"


class Entry(msgspec.Struct, frozen=True):
    """One fact to append. `subject` is the message's (or account's) identifier in text, or empty."""

    event: Event
    subject: str
    facts: dict[str, Any]
    personal: dict[str, Any] = {}


def personal_digest(salt: bytes, personal: bytes) -> bytes:
    """The digest that stands for the personal part in the chain."""
    return hashlib.sha256(salt + personal).digest()


def entry_hash(seq: int, at: int, event: str, subject: str, facts: str, personal: bytes, previous: bytes) -> bytes:
    """The hash of an entry, 32 bytes; `facts` is its canonical JSON text, `at` in Unix milliseconds."""
    leaf = _encode([seq, at, event, subject, facts, personal.hex(), previous.hex()])
    return hashlib.sha256(b"\x00" + leaf).digest()


def canonical(value: dict[str, Any]) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8."""
    return _encode(value)
