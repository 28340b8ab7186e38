"""What a client can do wrong at the level of the protocol, each with the words it is told.

What stays true: a fault names a fact and never a response (`refusals` holds that table); its sentences carry nothing of
what the client sent, so they may be journalled and shown as they are.
"""

from typing import ClassVar

from vaguemestre.errors import VaguemestreError


class ClientError(VaguemestreError):
    """The client broke the protocol or one of its limits."""

    EN: ClassVar[str] = ""
    FR: ClassVar[str] = ""

    def __init__(self, en: str = "", fr: str = "") -> None:
        super().__init__(en or self.EN, fr or self.FR)


# ---- commands


class TagError(ClientError):
    """The line does not begin with a tag and a command."""

    EN = "A command is a tag, a space and a name; this line is not, so the programme that sends it is to be corrected."
    FR = "Une commande est une étiquette, un espace et un nom ; ce n'est pas le cas : le programme est à corriger."


class UnknownCommandError(ClientError):
    """The name of the command is none that this server knows."""

    EN = "This server knows no such command; see the answer to CAPABILITY."
    FR = "Ce serveur ne connaît pas cette commande ; voyez la réponse à CAPABILITY."


class ArgumentError(ClientError):
    """The command is known, its arguments are not what it takes."""

    def __init__(self, expected: str, attendu: str) -> None:
        super().__init__(
            f"The arguments of this command are malformed: {expected} should stand there.",
            f"Les arguments de cette commande sont mal formés : il y faut {attendu}.",
        )


class CombinationError(ClientError):
    """Each argument can be read, and they may not stand together."""


class UnknownFlagError(ClientError):
    r"""A flag begins with a backslash and is no system flag."""

    EN = r"The system flags are \Answered, \Flagged, \Deleted, \Seen and \Draft; a keyword begins without backslash."
    FR = r"Les drapeaux système sont \Answered, \Flagged, \Deleted, \Seen et \Draft ; un mot-clé n'a pas de barre."


class TextEncodingError(ClientError):
    """A text is not in the charset it should be in."""

    EN = "A text of this command is not in the charset it is said to be in; texts are in UTF-8 unless declared."
    FR = "Un texte de cette commande n'est pas dans le jeu de caractères annoncé ; sans annonce, c'est UTF-8."


class CharsetError(ClientError):
    """The charset of a search is not known here."""

    EN = "This server does not know that charset; search in UTF-8."
    FR = "Ce serveur ne connaît pas ce jeu de caractères ; cherchez en UTF-8."


class MailboxEncodingError(ClientError):
    """A mailbox name is not in modified UTF-7, or not in UTF-8 where that is enabled."""

    EN = "The mailbox name is not well encoded: modified UTF-7 is expected, or UTF-8 once it is enabled."
    FR = "Le nom du dossier est mal encodé : il faut de l'UTF-7 modifié, ou de l'UTF-8 une fois celui-ci activé."


class NotifyEventError(ClientError):
    """NOTIFY asks for an event that this server does not tell of."""

    EN = "This server does not tell of that event; the code lists those it does."
    FR = "Ce serveur n'annonce pas cet événement ; le code donne la liste de ceux qu'il annonce."


class NotEnabledError(ClientError):
    """An option needs an extension that was not enabled."""

    EN = "This option may be used only after ENABLE QRESYNC."
    FR = "Cette option ne s'emploie qu'après ENABLE QRESYNC."


class SaslEncodingError(ClientError):
    """An authentication exchange holds something that is not base64."""

    EN = "The response is not base64; authentication is over, and may be tried again."
    FR = "La réponse n'est pas du base64 ; l'authentification est abandonnée et peut être recommencée."


class IdleEndError(ClientError):
    """IDLE was ended by something else than DONE."""

    EN = "IDLE ends with DONE on a line of its own; it is over, and this line was not read as a command."
    FR = "IDLE se termine par DONE seul sur sa ligne ; il est terminé, et cette ligne n'a pas été lue comme commande."


# ---- states


class SignInFirstError(ClientError):
    """The command needs a signed-in client."""

    EN = "Sign in first: this command is for authenticated clients."
    FR = "Identifiez-vous d'abord : cette commande est réservée aux clients authentifiés."


class SignedInError(ClientError):
    """The command is only for a client that has not signed in."""

    EN = "This command comes before sign-in; this connection is signed in already."
    FR = "Cette commande précède l'authentification, et cette connexion est déjà authentifiée."


class SelectFirstError(ClientError):
    """The command needs a selected mailbox."""

    EN = "Select a mailbox first: this command works on the messages of the selected one."
    FR = "Sélectionnez d'abord un dossier : cette commande porte sur les messages du dossier sélectionné."


class ReadOnlyError(ClientError):
    """A mailbox selected read-only is to be changed."""

    EN = "The mailbox is open read-only; use SELECT to change it."
    FR = "Le dossier est ouvert en lecture seule ; utilisez SELECT pour le modifier."


class PrivacyError(ClientError):
    """Sign-in was attempted in clear."""

    EN = "Sign in under TLS only: send STARTTLS first, and change a password that was sent in clear."
    FR = "Identifiez-vous sous TLS seulement : envoyez d'abord STARTTLS, et changez un mot de passe envoyé en clair."


class TlsActiveError(ClientError):
    """STARTTLS came on a connection that is under TLS already."""

    EN = "TLS is already active on this connection; sign in."
    FR = "TLS est déjà actif sur cette connexion ; identifiez-vous."


class PipelinedCompressionError(ClientError):
    """Commands came behind COMPRESS before its answer: nobody can tell whether they are compressed."""

    EN = "Wait for the answer to COMPRESS before sending more; compression is not started."
    FR = "Attendez la réponse à COMPRESS avant d'envoyer la suite ; la compression n'est pas activée."


# ---- limits


class LineLengthError(ClientError):
    """A command is longer than the limit, literals apart."""

    EN = "This command line is longer than this server reads; name fewer messages or criteria in one command."
    FR = "Cette commande est plus longue qu'admis ; désignez moins de messages ou de critères à la fois."


class LiteralSizeError(ClientError):
    """The literals of a command are larger than the limit, or too many."""

    EN = "The literals of this command are larger or more numerous than this server reads."
    FR = "Les chaînes littérales de cette commande sont plus grandes ou plus nombreuses qu'admis."


class NestingError(ClientError):
    """Parentheses, NOT and OR are nested deeper than the limit, or there are too many criteria."""

    EN = "This search is nested deeper, or has more criteria, than this server reads; split it."
    FR = "Cette recherche est trop imbriquée ou a trop de critères ; faites-en plusieurs."


class RangesError(ClientError):
    """A sequence set has more ranges than the limit."""

    EN = "This set of messages has more ranges than this server reads; name fewer in one command."
    FR = "Cet ensemble de messages a plus d'intervalles qu'admis ; désignez-en moins à la fois."


class TooManyBadCommandsError(ClientError):
    """The client keeps sending commands that are refused."""

    EN = "Too many commands in a row were refused; this connection is closed, and the programme is to be corrected."
    FR = "Trop de commandes refusées de suite : connexion fermée ; le programme est à corriger."


class DrainedError(ClientError):
    """Refused content does not end within the limit."""

    EN = "What was refused goes on for longer than this server reads; the connection is closed."
    FR = "Le contenu refusé est trop long pour être lu jusqu'au bout ; la connexion est fermée."


# ---- line discipline and injection


class BareLineEndError(ClientError):
    """A line ends with LF alone."""

    EN = "A command must end with CRLF; this one ended with LF alone and was not read."
    FR = "Une commande finit par CRLF ; celle-ci finit par LF seul et n'a pas été lue."


class PlaintextAfterStartTlsError(ClientError):
    """Octets in clear followed STARTTLS before the handshake: somebody tries to inject commands (RFC 9051 §11.1)."""

    EN = "Data followed STARTTLS before the TLS handshake; none of it was read and the connection is closed."
    FR = "Des données suivent STARTTLS avant la négociation TLS ; rien n'en a été lu et la connexion est fermée."
