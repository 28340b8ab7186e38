"""What each may do, as one table: who holds an account, who was let in, who answers for it, who audits it, who runs the
operator.

Kept true: every verb that changes who may enter, and every entry, asks here. An administrator runs accounts and reads no
mail; software of an account touches its mail and nothing else; a delegate has no more of the mail than was granted.
"""

from dataclasses import dataclass
from enum import StrEnum

from vaguemestre.identity.model import ALL_RIGHTS, NO_RIGHTS, NotPermittedError, Rights


class Part(StrEnum):
    """The part somebody plays towards an account."""

    HOLDER = "holder"  # titulaire: of a PER its one owner; a shared one may have several
    DELEGATE = "delegate"  # délégué: has the rights that were granted
    RESPONSIBLE = "responsible"  # responsable: a delegate who also decides who else comes in
    AUDITOR = "auditor"  # auditeur: sees who did what there, and never the mail
    ADMINISTRATOR = "administrator"  # of the operator, at the command line
    SOFTWARE = "software"  # what holds the certificate of an APP account


class Act(StrEnum):
    """What may be done with an account."""

    READ = "read"
    WRITE = "write"
    SEND = "send"
    OWN_DEVICES = "own-devices"  # make and revoke one's own app passwords
    DEVICES = "devices"  # those of everybody, and certificates
    GRANT = "grant"
    SETTINGS = "settings"
    TRACES = "traces"
    STATE = "state"  # suspend, close, reopen, end sessions


_RIGHT = {Act.READ: Rights.READ, Act.WRITE: Rights.WRITE, Act.SEND: Rights.SEND}
_MAIL = frozenset(_RIGHT)
_RUNNING = frozenset({Act.DEVICES, Act.GRANT, Act.SETTINGS, Act.TRACES})
TABLE: dict[Part, frozenset[Act]] = {
    Part.HOLDER: _MAIL | _RUNNING | {Act.OWN_DEVICES},
    Part.DELEGATE: _MAIL | {Act.OWN_DEVICES},
    Part.RESPONSIBLE: _MAIL | _RUNNING | {Act.OWN_DEVICES},
    Part.AUDITOR: frozenset({Act.TRACES}),
    Part.ADMINISTRATOR: _RUNNING | {Act.STATE},
    Part.SOFTWARE: _MAIL,
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: their part, and which person they are (0: no person of the register)."""

    part: Part
    person_id: int = 0


ADMINISTRATOR = Actor(Part.ADMINISTRATOR)


def rights(part: Part, granted: Rights) -> Rights:
    """The rights on mail that a part has, out of those granted; holders and software need no grant of each."""
    if part in (Part.HOLDER, Part.SOFTWARE):
        return ALL_RIGHTS
    return granted if TABLE[part] >= _MAIL else NO_RIGHTS


def may(part: Part, act: Act, granted: Rights = NO_RIGHTS) -> bool:
    """Whether somebody of this part, with these rights granted, may do this."""
    return act in TABLE[part] and (act not in _RIGHT or _RIGHT[act] in rights(part, granted))


def refuse(actor: Actor, act: Act, *, of: int = 0) -> None:
    """Raise NotPermittedError unless the actor may do this; `of` is the person whose devices are concerned."""
    own = act is Act.DEVICES and actor.person_id != 0 and actor.person_id == of
    if not may(actor.part, Act.OWN_DEVICES if own else act):
        raise NotPermittedError
