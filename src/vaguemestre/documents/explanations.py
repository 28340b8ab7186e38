"""Enhanced status codes in words that someone who writes letters, not software, understands: why, and what to do.

Rule: the subject and detail decide (`x.1.1`), then the subject alone (`x.1`); the class (4 or 5) is told elsewhere.

RFC 3463 §3.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whole sentences, in French and in English."""

    why_fr: str
    todo_fr: str
    why_en: str
    todo_en: str


_UNKNOWN = Explanation(
    "le serveur du destinataire n'a pas pu accepter ce message.",
    "réessayez plus tard ; si cela se reproduit, transmettez cet avis à l'assistance de votre opérateur.",
    "the recipient's server could not accept this message.",
    "try again later; if it happens again, pass this notice on to your operator's support.",
)
_BAD_ADDRESS = Explanation(
    "cette adresse n'existe pas chez l'opérateur du destinataire.",
    "vérifiez l'adresse dans l'annuaire (une lettre suffit), puis envoyez de nouveau le message.",
    "this address does not exist at the recipient's operator.",
    "check the address in the directory (one letter is enough), then send the message again.",
)
_BAD_DOMAIN = Explanation(
    "ce qui suit le @ dans l'adresse n'est pas un domaine que l'on puisse joindre dans l'espace de confiance.",
    "vérifiez l'adresse dans l'annuaire ; une adresse de messagerie ordinaire ne peut pas recevoir ce courrier.",
    "what follows the @ in the address is not a domain that can be reached in the trust space.",
    "check the address in the directory; an ordinary mail address cannot receive this mail.",
)
_CLOSED = Explanation(
    "cette boîte aux lettres est fermée ou suspendue.",
    "cherchez une autre adresse du destinataire dans l'annuaire, ou joignez-le par un autre moyen.",
    "this mailbox is closed or suspended.",
    "look for another address of the recipient in the directory, or reach them in another way.",
)
_FULL = Explanation(
    "la boîte aux lettres du destinataire est pleine.",
    "prévenez le destinataire par un autre moyen pour qu'il y fasse de la place, puis envoyez de nouveau le message.",
    "the recipient's mailbox is full.",
    "tell the recipient in another way to make room in it, then send the message again.",
)
_TOO_LARGE = Explanation(
    "le message est trop volumineux pour le serveur du destinataire.",
    "envoyez les pièces jointes en plusieurs messages, ou de plus petites.",
    "the message is too large for the recipient's server.",
    "send the attachments in several messages, or smaller ones.",
)
_UNREACHABLE = Explanation(
    "le serveur du destinataire ne répond pas.",
    "aucune erreur de votre part ; si le message est urgent, joignez le destinataire par un autre moyen.",
    "the recipient's server does not answer.",
    "no mistake of yours; if the message is urgent, reach the recipient in another way.",
)
_EXPIRED = Explanation(
    "le serveur du destinataire n'a pas pu être joint pendant toute la durée des tentatives.",
    "joignez le destinataire par un autre moyen ; vous pouvez aussi envoyer de nouveau le message plus tard.",
    "the recipient's server could not be reached for as long as the message was tried.",
    "reach the recipient in another way; you may also send the message again later.",
)
_LOOP = Explanation(
    "le message tourne en rond entre plusieurs serveurs.",
    "transmettez cet avis à l'assistance de votre opérateur : c'est un réglage à corriger.",
    "the message goes round and round between servers.",
    "pass this notice on to your operator's support: a setting must be corrected.",
)
_CONTENT = Explanation(
    "le serveur du destinataire ne sait pas traiter le contenu de ce message.",
    "envoyez les documents dans un format courant (PDF, JPEG), sans caractère inhabituel dans les adresses.",
    "the recipient's server cannot handle the content of this message.",
    "send the documents in a common format (PDF, JPEG), without unusual characters in the addresses.",
)
_TRUST = Explanation(
    "les deux opérateurs n'ont pas pu s'authentifier l'un l'autre, ou une règle de sécurité interdit cet envoi.",
    "n'envoyez pas ce courrier par une messagerie ordinaire ; transmettez cet avis à l'assistance de votre opérateur.",
    "the two operators could not authenticate each other, or a security rule forbids this message.",
    "do not send this letter by ordinary mail; pass this notice on to your operator's support.",
)

_BY_DETAIL = {
    "1.2": _BAD_DOMAIN,
    "1.6": _CLOSED,
    "1.10": _BAD_DOMAIN,
    "2.2": _FULL,
    "2.3": _TOO_LARGE,
    "3.1": _FULL,
    "3.4": _TOO_LARGE,
    "4.6": _LOOP,
    "4.7": _EXPIRED,
}
_BY_SUBJECT = {
    "1": _BAD_ADDRESS,
    "2": _CLOSED,
    "3": _UNKNOWN,
    "4": _UNREACHABLE,
    "6": _CONTENT,
    "7": _TRUST,
}


def explanation(status: str) -> Explanation:
    """What an enhanced status code such as `5.1.1` means for the author of a message."""
    _, _, detail = status.partition(".")
    return _BY_DETAIL.get(detail) or _BY_SUBJECT.get(detail.partition(".")[0], _UNKNOWN)
