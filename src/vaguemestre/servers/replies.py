"""What peers are told: the one table from error to SMTP reply, and the replies that say how a session stands.

Rules: an error says the fact, this table the code; each refusal speaks French first, then English, and says what to do.
What broke here is for the administrator and the log: peers hear only that it did, and to try again.
Standards: RFC 5321 §4.2, RFC 3463.
"""

from vaguemestre import log
from vaguemestre.errors import KeyFailure, StorageFailure, VaguemestreError
from vaguemestre.mailstore.model import AccountClosedError, UnknownAccountError
from vaguemestre.protocols.smtp import faults, refusals
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.transport.intake import LoopError

_log = log.get("servers.replies")


class NotServedError(VaguemestreError):
    """The recipient's domain is not this operator's, which relays for nobody."""

    def __init__(self, domain: str) -> None:
        super().__init__(
            f"This server takes no mail for {domain}. Check the MX record of the recipient's domain.",
            f"Ce serveur ne reçoit pas le courrier de {domain}. Vérifiez le MX du domaine du destinataire.",
        )


class MailboxFullError(VaguemestreError):
    """The recipient's account has no room left."""

    def __init__(self) -> None:
        super().__init__(
            "The recipient's mailbox is full. Try again later, or tell them by another means.",
            "La boîte du destinataire est pleine. Réessayez plus tard, ou prévenez-le autrement.",
        )


# The one table from error to reply; the first class that fits decides.
_REPLIES: tuple[tuple[type[VaguemestreError], int, str], ...] = (
    (UnknownAccountError, 550, "5.1.1"),
    (NotServedError, 550, "5.7.1"),
    (AccountClosedError, 550, "5.2.1"),
    (MailboxFullError, 452, "4.2.2"),
    (LoopError, 554, "5.4.6"),
    (faults.MessageSizeError, 552, "5.3.4"),
    (VaguemestreError, 451, "4.3.0"),
)
OK = Reply(250, "2.1.0", ("OK",))
RECIPIENT_OK = Reply(250, "2.1.5", ("OK",))
READY = Reply(220, "2.0.0", ("Ready to start TLS",))
BYE = Reply(221, "2.0.0", ("Au revoir",))
TRY_LATER = Reply.explained(
    451,
    "4.3.0",
    "Incident de notre côté ; rien n'est perdu, réessayez plus tard.",
    "Trouble on our side; nothing is lost, try again later.",
)
TOO_MANY = Reply.explained(
    421, "4.7.0", "Trop de connexions ; réessayez dans un instant.", "Too many connections; try again in a moment."
)
TOO_MANY_REFUSED = refusals.refusal(faults.TooManyBadCommandsError())
STOPPING = Reply.explained(
    421, "4.3.2", "Le serveur s'arrête ; réessayez dans un instant.", "The server is stopping; try again in a moment."
)
TOO_SLOW = Reply.explained(
    421,
    "4.4.2",
    "Connexion trop lente ou muette ; elle est fermée.",
    "The connection was too slow or silent; it is closed.",
)


def refusal(error: Exception) -> Reply:
    """What a peer is told of an error; a failure or a defect of ours is a temporary one, whose cause is logged."""
    if isinstance(error, StorageFailure | KeyFailure):
        _log.error("failure", error=type(error).__name__, cause=error.en)
        return TRY_LATER
    for kind, code, enhanced in _REPLIES:
        if isinstance(error, kind):
            return Reply.explained(code, enhanced, error.fr, error.en)
    return TRY_LATER
