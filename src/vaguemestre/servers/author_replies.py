"""What authors' programs are told: the one table from error to SMTP reply of the server for submission.

Rules: as in `replies`. These words are shown to a dentist by their mail program: they say what to do next.
Standards: RFC 6409 §6, RFC 4954 §6, RFC 3463.
"""

from vaguemestre import log
from vaguemestre.errors import KeyFailure, StorageFailure, VaguemestreError
from vaguemestre.mailstore.model import AccountClosedError, QuotaExceededError, UnknownAccountError
from vaguemestre.protocols.sasl import SaslError
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.servers.replies import TRY_LATER, MailboxFullError
from vaguemestre.servers.sign_in import SignInRefusedError
from vaguemestre.transport.outgoing import HeaderError, SenderRefusedError, TooLargeError
from vaguemestre.transport.submission import OutsideSpaceError, RecipientRefusedError, SpaceUnknownFailure

_log = log.get("servers.author_replies")

# The first class that fits decides.
_REPLIES: tuple[tuple[type[VaguemestreError], int, str], ...] = (
    (UnknownAccountError, 550, "5.1.1"),
    (AccountClosedError, 550, "5.2.1"),
    (OutsideSpaceError, 550, "5.7.1"),
    (SpaceUnknownFailure, 451, "4.7.1"),
    (MailboxFullError, 452, "4.2.2"),
    (QuotaExceededError, 452, "4.2.2"),
    (SenderRefusedError, 550, "5.7.1"),
    (HeaderError, 554, "5.6.0"),
    (TooLargeError, 552, "5.3.4"),
)
SIGNED_IN = Reply(235, "2.7.0", ("Connecte / Signed in",))
TOO_MANY_SIGN_INS = Reply.explained(
    421,
    "4.7.0",
    "Trop de connexions refusées ; vérifiez l'adresse et le mot de passe d'application, puis reconnectez-vous.",
    "Too many sign-ins were refused; check the address and the app password, then connect again.",
)


def refusal(error: Exception) -> Reply:
    """What the author is told of an error; a failure or a defect of ours is a temporary one, whose cause is logged."""
    address = ""
    if isinstance(error, RecipientRefusedError):
        address, error = error.address, error.why
    for kind, code, enhanced in _REPLIES:
        if isinstance(error, kind):
            fr, en = (f"{address} : {error.fr}", f"{address}: {error.en}") if address else (error.fr, error.en)
            return Reply.explained(code, enhanced, fr, en)
    if isinstance(error, StorageFailure | KeyFailure):
        _log.error("failure", error=type(error).__name__, cause=error.en)
    return TRY_LATER


def sign_in_refusal(error: Exception) -> Reply:
    """What is told of a sign-in that came to nothing: refused, malformed, or not to be known now."""
    if isinstance(error, SignInRefusedError):
        return Reply.explained(535, "5.7.8", error.fr, error.en)
    if isinstance(error, SaslError):
        return Reply.explained(501, "5.5.2", error.fr, error.en)
    if isinstance(error, VaguemestreError) and not isinstance(error, StorageFailure | KeyFailure):
        return Reply.explained(454, "4.7.0", error.fr, error.en)
    return Reply(454, "4.7.0", TRY_LATER.lines)


def ended(error: VaguemestreError) -> Reply:
    """The last words of a session that may not go on."""
    return Reply.explained(421, "4.7.0", error.fr, error.en)
