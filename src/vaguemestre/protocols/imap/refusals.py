"""From fault to response: the one table of conditions and codes for what the machine refuses by itself.

RFC 9051 §7.1 (OK, NO, BAD, BYE and codes); RFC 5530 (LIMIT, PRIVACYREQUIRED, CANNOT); RFC 7888 §4 and RFC 4469 (TOOBIG);
RFC 5465 §5 (BADEVENT). A BYE needs no code: the sentence is for whoever reads the client's log.
"""

from collections.abc import Mapping

from vaguemestre.protocols.imap import faults
from vaguemestre.protocols.imap.notifications import NotifyEvent

CHARSETS = ("US-ASCII", "UTF-8")
"""Those that searches are told to use; some more are understood."""

_EVENTS = " ".join(event.value for event in NotifyEvent)
_CONDITIONS: Mapping[type[faults.ClientError], str] = {
    faults.CharsetError: f"NO [BADCHARSET ({' '.join(CHARSETS)})]",
    faults.MailboxEncodingError: "NO [CANNOT]",
    faults.NotifyEventError: f"NO [BADEVENT ({_EVENTS})]",
    faults.ReadOnlyError: "NO [READ-ONLY]",
    faults.PrivacyError: "NO [PRIVACYREQUIRED]",
    faults.LineLengthError: "BAD [LIMIT]",
    faults.LiteralSizeError: "BAD [TOOBIG]",
    faults.NestingError: "NO [LIMIT]",
    faults.RangesError: "NO [LIMIT]",
}
_MALFORMED = "BAD"


def is_misuse(fact: faults.ClientError) -> bool:
    """Should the command never have been sent? What may be right elsewhere (NO) is none."""
    return _CONDITIONS.get(type(fact), _MALFORMED).startswith(_MALFORMED)


def refusal(tag: bytes, fact: faults.ClientError) -> bytes:
    """The response that refuses for this fact; untagged where the tag could not be read."""
    condition = _CONDITIONS.get(type(fact), _MALFORMED)
    return b"%b %b\r\n" % (tag or b"*", f"{condition} {fact.en}".encode("ascii"))


def outcome(fact: faults.ClientError) -> str:
    """That response's status and the name of its code, without any words: `NO READ-ONLY`."""
    status, _, code = _CONDITIONS.get(type(fact), _MALFORMED).partition(" [")
    return f"{status} {code.rstrip(']').partition(' ')[0]}".rstrip()


def farewell(fact: faults.ClientError) -> bytes:
    """The BYE before the connection is closed for this fact."""
    return f"* BYE {fact.en}\r\n".encode("ascii")
