"""Delivery status notifications: what became of a message, told to its author and to their software.

What holds here: each is a multipart/report of three parts: words (French, then English: what happened, to which
recipient, what to do), fields for software, and the message concerned or its header. No value given can add a field. It
is 7-bit unless an address is not ASCII (RFC 6533) or the message returned is not.

Rules: it must be sent with the null reverse-path, and never about a notification.

RFC 3464, RFC 3461 §6, RFC 3834, RFC 6522, RFC 6533.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from email.utils import format_datetime
from enum import StrEnum

from vaguemestre.documents import fields, parts
from vaguemestre.documents.compose import new_message_id
from vaguemestre.documents.encoded_words import printable
from vaguemestre.documents.explanations import explanation
from vaguemestre.documents.headers import split_head, summary

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UTF8_XTEXT = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_HIGHEST = 0x10FFFF


class Action(StrEnum):
    """What was done for a recipient (RFC 3464 §2.3.3), the gravest first."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What became of the message for one recipient.

    `original` is ORCPT as it came (`rfc822;` and xtext). `status` is an enhanced status code. `remote_mta` is the
    server that answered and `diagnostic` its reply on one line. `reason_fr` and `reason_en` are sentences for people
    that replace those deduced from the status.
    """

    final: str
    action: Action
    status: str
    original: str | None = None
    remote_mta: str | None = None
    diagnostic: str | None = None
    last_attempt: datetime | None = None
    will_retry_until: datetime | None = None
    reason_fr: str = ""
    reason_en: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification to write. Datetimes are aware.

    `author` receives it; `postmaster` writes it, from the host `reporting_mta`; `original` is the message concerned or
    its header block, returned whole when `full`; `envelope_id` is ENVID as it came (xtext). Times are told in `zone`.
    """

    author: str
    postmaster: str
    reporting_mta: str
    arrival: datetime
    at: datetime
    recipients: tuple[RecipientStatus, ...]
    original: bytes
    full: bool = False
    envelope_id: str | None = None
    zone: tzinfo = UTC


_TITLES = {
    Action.FAILED: ("Message non remis", "Undelivered message"),
    Action.DELAYED: ("Message retardé", "Delayed message"),
    Action.RELAYED: ("Message transmis", "Relayed message"),
    Action.EXPANDED: ("Message distribué à une liste", "Message sent to a list"),
    Action.DELIVERED: ("Message remis", "Delivered message"),
}
_FACTS = {
    Action.FAILED: (
        "n'a pas pu être remis à {to}. Aucune nouvelle tentative ne sera faite.",
        "could not be delivered to {to}. It will not be tried again.",
    ),
    Action.DELAYED: (
        "n'a pas encore pu être remis à {to}. L'envoi est tenté de nouveau automatiquement{until}.",
        "could not be delivered to {to} yet. It is being tried again automatically{until}.",
    ),
    Action.RELAYED: (
        "a été transmis à l'opérateur de {to}, qui ne confirme pas lui-même la remise.",
        "was passed on to the operator of {to}, who does not confirm delivery itself.",
    ),
    Action.EXPANDED: (
        "a été remis à la liste {to}, qui l'a distribué à ses membres.",
        "was delivered to the list {to}, which sent it on to its members.",
    ),
    Action.DELIVERED: ("a été remis à {to}.", "was delivered to {to}."),
}


def render(notification: Notification) -> bytes:
    """The whole message (RFC 5322), to be sent with the null reverse-path.

    It holds 8-bit bytes, and then needs 8BITMIME, when `not result.isascii()`.
    Raises CompositionError for an author or a postmaster that is not an address.
    """
    whole_head = notification.original[: split_head(notification.original)]
    original = summary(whole_head)
    gravest = min((recipient.action for recipient in notification.recipients), key=list(Action).index)
    title_fr, title_en = _TITLES[gravest]
    domain = notification.postmaster.rpartition("@")[2]
    head = [
        fields.date_field("Date", notification.at),
        fields.address_field("From", [("Remise du courrier", notification.postmaster)]),
        fields.address_field("To", [("", notification.author)]),
        fields.text_field("Subject", f"{title_fr} ({title_en}) : {original.subject}"),
        fields.identifiers_field("Message-ID", [new_message_id(domain)]),
        fields.identifiers_field("References", [original.message_id]) if original.message_id else b"",
        fields.plain_field("Auto-Submitted", "auto-replied"),
        b"MIME-Version: 1.0\r\n",
    ]
    report = parts.multipart(
        "multipart/report; report-type=delivery-status",
        [
            parts.text_part(_words(notification, original.subject)),
            _status_part(notification),
            _returned_part(notification.original if notification.full else whole_head, notification.full, whole_head),
        ],
    )
    return b"".join([*head, report])


# For people


def _words(notification: Notification, subject: str) -> str:
    sent = notification.arrival.astimezone(notification.zone)
    zone = sent.tzname() or ""
    french = [f"Votre message « {subject or 'sans objet'} » du {sent:%d/%m/%Y à %H:%M} ({zone}) :", ""]
    english = [f"Your message “{subject or 'without subject'}” of {sent:%Y-%m-%d %H:%M} ({zone}):", ""]
    for recipient in notification.recipients:
        until = recipient.will_retry_until and recipient.will_retry_until.astimezone(notification.zone)
        fact_fr, fact_en = _FACTS[recipient.action]
        fact_fr = fact_fr.format(to=recipient.final, until=f" jusqu'au {until:%d/%m/%Y à %H:%M}" if until else "")
        fact_en = fact_en.format(to=recipient.final, until=f" until {until:%Y-%m-%d %H:%M}" if until else "")
        french += [f"- {fact_fr}", *_reasons(recipient, french=True), ""]
        english += [f"- {fact_en}", *_reasons(recipient, french=False), ""]
    footer_fr = "Ce message est automatique. Le détail technique et votre message figurent en pièces jointes."
    footer_en = "This message is automatic. Technical details and your message are attached."
    return "\n".join([*french, footer_fr, "", "-" * 60, "", *english, footer_en, ""])


def _reasons(recipient: RecipientStatus, *, french: bool) -> list[str]:
    """Why and what to do, where something did not go as wished."""
    if recipient.action not in {Action.FAILED, Action.DELAYED}:
        return []
    found = explanation(recipient.status)
    given = recipient.reason_fr if french else recipient.reason_en
    if given:
        lines = [f"{'Pourquoi : ' if french else 'Why: '}{given}"]
    elif french:
        lines = [f"Pourquoi : {found.why_fr}", f"Que faire : {found.todo_fr}"]
    else:
        lines = [f"Why: {found.why_en}", f"What to do: {found.todo_en}"]
    if recipient.diagnostic:
        said_fr, said_en = "Réponse du serveur du destinataire : ", "Reply of the recipient's server: "
        lines.append(f"{said_fr if french else said_en}{printable(recipient.diagnostic)}")
    return [f"  {line}" for line in lines]


# For software


def _status_part(notification: Notification) -> bytes:
    """RFC 3464 §2; RFC 6533 §4 when an address is not ASCII."""
    addresses = [address for r in notification.recipients for address in (r.final, _original(r)) if address]
    international = not "".join(addresses).isascii()
    message = [fields.plain_field("Reporting-MTA", f"dns; {notification.reporting_mta}")]
    if notification.envelope_id:
        message.insert(0, _field("Original-Envelope-Id", _unescaped(notification.envelope_id), international))
    message.append(fields.plain_field("Arrival-Date", format_datetime(notification.arrival)))
    groups = [b"".join(message), *(_recipient_fields(r, international) for r in notification.recipients)]
    if international:
        head = b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    else:
        head = b"Content-Type: message/delivery-status\r\n\r\n"
    return head + b"\r\n".join(groups)


def _recipient_fields(recipient: RecipientStatus, international: bool) -> bytes:
    original = _original(recipient)
    address_type = "rfc822" if recipient.final.isascii() else "utf-8"
    values = [
        ("Original-Recipient", original),
        ("Final-Recipient", f"{address_type}; {recipient.final}"),
        ("Action", recipient.action.value),
        ("Status", recipient.status),
        ("Remote-MTA", recipient.remote_mta and f"dns; {recipient.remote_mta}"),
        ("Diagnostic-Code", recipient.diagnostic and f"smtp; {recipient.diagnostic}"),
        ("Last-Attempt-Date", recipient.last_attempt and format_datetime(recipient.last_attempt)),
        (
            "Will-Retry-Until",
            recipient.action is Action.DELAYED
            and recipient.will_retry_until
            and format_datetime(recipient.will_retry_until),
        ),
    ]
    return b"".join(_field(name, value, international) for name, value in values if value)


def _field(name: str, value: str, international: bool) -> bytes:
    return fields.plain_field(name, value if international else value.encode("ascii", "replace").decode("ascii"))


def _original(recipient: RecipientStatus) -> str | None:
    """ORCPT as the author's software wrote it before it was escaped for SMTP."""
    if not recipient.original:
        return None
    address_type, _, address = recipient.original.partition(";")
    address = _unescaped(address)
    if address_type.lower() == "utf-8":
        address = _UTF8_XTEXT.sub(_utf8_character, address)
    return f"{address_type}; {address}"


def _unescaped(xtext: str) -> str:
    """RFC 3461 §4."""
    return _XTEXT.sub(lambda found: chr(int(found[1], 16)), xtext)


def _utf8_character(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    return chr(point) if point <= _HIGHEST and not 0xD800 <= point <= 0xDFFF else found[0]


def _returned_part(returned: bytes, full: bool, head: bytes) -> bytes:
    """The message concerned, or its header (RFC 3464 §2 last, RFC 6533 §5)."""
    if full:
        media_type = "message/rfc822" if head.isascii() else "message/global"
    else:
        media_type = "text/rfc822-headers" if head.isascii() else "message/global-headers"
    encoding = "" if returned.isascii() else "Content-Transfer-Encoding: 8bit\r\n"
    return f"Content-Type: {media_type}\r\n{encoding}\r\n".encode("ascii") + returned
