"""What a client can do wrong at the level of the protocol, each with the words it is told.

A fault names a fact and never a code (`refusals` holds that table); its sentences carry nothing of what was sent.
"""

from typing import ClassVar

from vaguemestre.errors import VaguemestreError


class ClientError(VaguemestreError):
    """The client broke the protocol or one of its limits."""

    EN: ClassVar[str] = ""
    FR: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__(self.EN, self.FR)


class PrivacyError(ClientError):
    """Something but StartTLS was asked for in clear."""

    EN = "Nothing is read in clear here: begin with StartTLS, or connect to the port for LDAPS."
    FR = "Rien ne se lit en clair ici : commencez par StartTLS, ou connectez-vous au port LDAPS."


class TlsActiveError(ClientError):
    """StartTLS came under TLS."""

    EN = "TLS is already active on this connection."
    FR = "TLS est déjà actif sur cette connexion."


class OutstandingError(ClientError):
    """StartTLS, or a bind, came while operations are under way whose end it must not change."""

    EN = "StartTLS comes alone: other operations of this connection are not over."
    FR = "StartTLS vient seul : d'autres opérations de cette connexion ne sont pas terminées."


class MessageIdError(ClientError):
    """A request has the number 0 or that of one that is not answered yet."""

    EN = "Each request has a number of its own, from 1; this one's is taken. The programme is to be corrected."
    FR = "Chaque requête a son numéro, à partir de 1 ; celui-ci est déjà pris. Le programme est à corriger."


class CriticalControlError(ClientError):
    """A control that this server does not know is critical."""

    EN = "This request depends on a control that this server does not know; see supportedControl."
    FR = "Cette requête dépend d'un contrôle que ce serveur ne connaît pas ; voyez supportedControl."


class PlaintextAfterStartTlsError(ClientError):
    """Octets in clear followed StartTLS (RFC 4513 §3.1.4): somebody tries to inject requests."""

    EN = "Data followed StartTLS before the TLS handshake; none of it was read and the connection is closed."
    FR = "Des données suivent StartTLS avant la négociation TLS ; rien n'en a été lu et la connexion est fermée."
