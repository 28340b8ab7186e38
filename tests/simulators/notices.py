"""A delivery notification as its two readers see it: a person, and software."""

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(frozen=True, slots=True)
class Notice:
    """`words` for the author, `fields` of the message then of its first recipient, `returned` the original."""

    subject: str
    words: str
    french: str
    fields: dict[str, str]
    returned: str


def read_notice(source: bytes) -> Notice:
    """A notification taken apart. Fails the test where it is not one (RFC 3464, RFC 6522)."""
    message = message_from_bytes(source, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    words, status, returned = message.iter_parts()
    text = words.get_content()
    groups = status.get_payload()
    assert isinstance(groups, list)
    fields = {key: str(value) for group in groups for key, value in group.items()}
    return Notice(str(message["Subject"]), text, text.split("-" * 60)[0], fields, returned.as_string())
