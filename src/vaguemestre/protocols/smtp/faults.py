"""What a peer can do wrong at the level of the protocol, each with the words it is told.

What stays true: a fault names a fact and never a reply code (`refusals` holds that table); its sentences carry nothing
of what the peer sent, so they may be journalled and shown as they are.
"""

from typing import ClassVar

from vaguemestre.errors import VaguemestreError


class PeerError(VaguemestreError):
    """The peer broke the protocol or one of its limits."""

    EN: ClassVar[str] = ""
    FR: ClassVar[str] = ""

    def __init__(self, en: str = "", fr: str = "") -> None:
        super().__init__(en or self.EN, fr or self.FR)


# ---- commands


class UnknownCommandError(PeerError):
    """The verb is none that SMTP knows."""

    EN = "This is not an SMTP command; the programme that sends it does not speak SMTP correctly."
    FR = "Ceci n'est pas une commande SMTP ; le programme qui l'envoie ne parle pas correctement SMTP."


class ArgumentError(PeerError):
    """The verb is known, its arguments are not what it takes."""

    EN = "The arguments of this command are missing or malformed; the sending programme must be corrected."
    FR = "Les arguments de cette commande manquent ou sont mal formés ; le programme expéditeur est à corriger."


class ParameterError(PeerError):
    """A MAIL or RCPT parameter is not one that was offered, or was given twice."""

    EN = "MAIL or RCPT carries a parameter this server did not offer in its EHLO reply; send the message without it."
    FR = "MAIL ou RCPT porte un paramètre que ce serveur n'a pas proposé ; renvoyez le message sans ce paramètre."


class ReversePathError(PeerError):
    """The sender's address cannot be read."""


class ForwardPathError(PeerError):
    """A recipient's address cannot be read."""


class NonAsciiPathError(PeerError):
    """An address has non-ASCII characters and the message was not declared SMTPUTF8."""

    EN = "The address has accented characters, which needs the SMTPUTF8 parameter on MAIL; use it or an ASCII address."
    FR = "L'adresse contient des accents, ce qui exige le paramètre SMTPUTF8 sur MAIL ; sinon, une adresse sans accent."


class SequenceError(PeerError):
    """A known command came where it cannot."""

    def __init__(self, expected: str) -> None:
        super().__init__(
            f"This command came out of sequence; send {expected} first.",
            f"Cette commande arrive hors séquence ; envoyez d'abord {expected}.",
        )


class NoRecipientError(PeerError):
    """Content was announced although no recipient was accepted."""

    EN = "No recipient of this message was accepted; see the reply to each RCPT, correct the addresses and send again."
    FR = "Aucun destinataire n'a été accepté ; lisez la réponse à chaque RCPT, corrigez les adresses et renvoyez."


class NotOfferedError(PeerError):
    """A known command this server does not offer."""

    EN = "This server does not offer that command; nothing needs it to deliver mail here."
    FR = "Ce serveur ne propose pas cette commande ; elle n'est pas nécessaire pour remettre du courrier ici."


class TlsRequiredError(PeerError):
    """Mail was attempted in clear."""

    EN = "Must issue a STARTTLS command first: this server takes mail over mutual TLS only."
    FR = "Envoyez d'abord STARTTLS : ce serveur n'accepte le courrier que sous TLS avec certificat client."


class TlsActiveError(PeerError):
    """STARTTLS came on a connection that is under TLS already."""

    EN = "TLS is already active on this connection; go on with EHLO and MAIL."
    FR = "TLS est déjà actif sur cette connexion ; poursuivez avec EHLO et MAIL."


# ---- signing in


class TlsFirstError(PeerError):
    """A mail program would send before TLS."""

    EN = "Must issue a STARTTLS command first: choose STARTTLS or TLS in the account's settings."
    FR = "Envoyez d'abord STARTTLS : choisissez STARTTLS ou TLS dans les réglages du compte."


class EncryptionNeededError(PeerError):
    """Somebody would sign in before TLS."""

    EN = (
        "Signing in needs TLS first: choose STARTTLS or TLS in the account's settings. Change a password sent in clear."
    )
    FR = "La connexion exige TLS : choisissez STARTTLS ou TLS dans les réglages. Changez un mot de passe envoyé en clair."


class SignInNeededError(PeerError):
    """A mail program would send before somebody signed in."""

    EN = "Authentication required: give the account's user name and password in the settings for outgoing mail."
    FR = "Connexion requise : indiquez l'identifiant et le mot de passe dans les réglages du serveur d'envoi."


class SignedInError(PeerError):
    """AUTH came on a connection where somebody is signed in."""

    EN = "Somebody is signed in on this connection already; open another one to be somebody else."
    FR = "Quelqu'un est déjà connecté ici ; ouvrez une autre connexion pour en changer."


class MechanismError(PeerError):
    """AUTH by a mechanism that is not offered."""

    EN = "This way of signing in is not offered here; choose another in the account's settings."
    FR = "Ce moyen de connexion n'est pas proposé ici ; choisissez-en un autre dans les réglages du compte."


class SaslResponseError(PeerError):
    """What answers a challenge is not base64."""

    EN = "The sign-in message is malformed; check the account's settings, or update the mail program."
    FR = "Le message de connexion est mal formé ; vérifiez les réglages du compte, ou mettez le logiciel à jour."


class SaslCancelledError(PeerError):
    """The client gave up signing in."""

    EN = "Sign-in cancelled, as the mail program asked."
    FR = "Connexion abandonnée, à la demande du logiciel."


class SaslLineError(PeerError):
    """What answers a challenge is longer than the limit."""

    EN = "The sign-in message is too long; the connection is closed."
    FR = "Le message de connexion est trop long ; la connexion est fermée."


# ---- limits


class TooManyRecipientsError(PeerError):
    """The transaction has as many recipients as one may have."""

    EN = "This message has too many recipients for one transaction; send it again to the remaining ones."
    FR = "Trop de destinataires pour un seul envoi ; renvoyez le message aux destinataires restants."


class TooManyTransactionsError(PeerError):
    """The connection carried as many messages as one may."""

    EN = "This connection has carried as many messages as one may; open a new one to go on."
    FR = "Cette connexion a porté autant de messages que permis ; ouvrez-en une nouvelle pour continuer."


class TooManyBadCommandsError(PeerError):
    """The peer keeps sending commands that are refused."""

    EN = "Too many commands were refused on this connection, which is now closed; correct the sender and connect again."
    FR = "Trop de commandes refusées : connexion fermée ; corrigez le programme expéditeur avant de vous reconnecter."


# ---- line discipline and injection


class CommandLineError(PeerError):
    """A command line is longer than the limit."""

    EN = "The command line is too long; the connection is closed."
    FR = "La ligne de commande est trop longue ; la connexion est fermée."


class BareCommandLineEndError(PeerError):
    """A command line has a CR or an LF that is not part of CRLF."""

    EN = "A command line must end with CRLF and hold no other CR or LF; the connection is closed."
    FR = "Une commande doit finir par CRLF et ne contenir ni CR ni LF isolé ; la connexion est fermée."


class PlaintextAfterStartTlsError(PeerError):
    """Octets in clear followed STARTTLS before the handshake: somebody tries to inject commands (RFC 3207 §5)."""

    EN = "Data followed STARTTLS before the TLS handshake; none of it was read and the connection is closed."
    FR = "Des données suivent STARTTLS avant la négociation TLS ; rien n'en a été lu et la connexion est fermée."


class ChunkSizeError(PeerError):
    """BDAT without a size that can be read: nothing tells content from commands any more."""

    EN = "BDAT must give a size in octets and then, for the last chunk, LAST; the connection is closed."
    FR = "BDAT doit donner une taille en octets puis, au dernier morceau, LAST ; la connexion est fermée."


class ContentError(PeerError):
    """The content of a message cannot be accepted; it is read to its true end and nothing of it is kept."""


class BareLineEndError(ContentError):
    """The content has a CR or an LF outside CRLF: the stuff of SMTP smuggling (RFC 5321 §2.3.8)."""

    EN = "The message has a bare CR or LF, which SMTP forbids and forgers use; send it with every line ended by CRLF."
    FR = "Le message contient un CR ou un LF isolé, interdit par SMTP ; renvoyez-le avec des lignes finies par CRLF."


class NulError(ContentError):
    """The content has a NUL octet, which neither 7bit nor 8bit content may (RFC 2045 §2.7 and §2.8)."""

    EN = "The message has a NUL octet, which mail forbids; send binary files as base64 attachments."
    FR = "Le message contient un octet nul, interdit dans un courrier ; joignez les fichiers binaires en base64."


class LongLineError(ContentError):
    """The content has a line over 1000 octets, CRLF included (RFC 5321 §4.5.3.1.6)."""

    EN = "The message has a line over 1000 octets, which SMTP forbids; send it as base64 or quoted-printable."
    FR = "Le message a une ligne de plus de 1000 octets, interdite par SMTP ; encodez-le en base64 ou quoted-printable."


class MessageSizeError(ContentError):
    """The message is larger than this server accepts, as announced or as counted."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The message is larger than the {limit} octets this server accepts; send smaller or fewer attachments.",
            f"Le message dépasse les {limit} octets admis ici ; réduisez ou répartissez les pièces jointes.",
        )
