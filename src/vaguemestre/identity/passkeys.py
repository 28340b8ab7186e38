"""Passkeys: what a person signs in with every day, by a touch; several, named, revocable.

Kept true: a passkey answers a challenge of ours that serves once, for our site alone, from our own pages, and only once its
holder was recognised by the device (user verification); it belongs to one person, whom it names. One whose counter goes back
is a copy: it serves nobody any more, and its person is told. No attestation is asked for: which brand it is is nobody's concern.

WebAuthn Level 3 §7.1, §7.2 (verified by the library of that name); OWASP ASVS 5.0 §6.
"""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import webauthn
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from vaguemestre import ids
from vaguemestre.clock import now_ms
from vaguemestre.errors import VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.identity import model
from vaguemestre.identity.model import Person, RefusedIdentityError
from vaguemestre.identity.persons import person as person_of
from vaguemestre.identity.tables import passkeys, persons

_MOST = 20
_MOST_OCTETS = 20_000
_UNREADABLE = (WebAuthnException, ValueError, TypeError, KeyError, RecursionError)  # of the library, on hostile input


@dataclass(frozen=True, slots=True)
class Site:
    """Whom passkeys are for: the host's name (`id`), how it is shown, and the origins its pages come from."""

    id: str
    name: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey; times in Unix milliseconds. `synced`: it is kept by its maker's cloud, on several devices."""

    id: int
    person: Person
    name: str
    synced: bool
    cloned: bool
    created_at: int
    used_at: int | None


class PasskeyRefusedError(RefusedIdentityError):
    """This is nobody's passkey here, or proves nothing; `rule` says why, to the journal; `copied` which was just found copied."""

    copied: Passkey | None = None


class PasskeyError(VaguemestreError):
    """A passkey that cannot be added, named or revoked."""


def asked_to_make(connection: sa.Connection, site: Site, person: Person) -> tuple[dict[str, Any], bytes]:
    """What the browser is given to make a passkey, and the challenge to keep. Raises PasskeyError when there are enough."""
    held = connection.execute(sa.select(passkeys.c.credential).where(passkeys.c.person_id == person.id)).scalars().all()
    if len(held) >= _MOST:
        raise PasskeyError(
            f"There are {_MOST} passkeys already. Remove those that are no longer used.",
            f"Il y a déjà {_MOST} clés d'accès. Supprimez celles qui ne servent plus.",
        )
    options = webauthn.generate_registration_options(
        rp_id=site.id,
        rp_name=site.name,
        user_id=_handle(person.id),
        user_name=person.name,
        user_display_name=person.name,
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in held],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
    )
    return json.loads(webauthn.options_to_json(options)), options.challenge


def add(
    connection: sa.Connection, site: Site, person: Person, challenge: bytes, answer: dict[str, Any], name: str
) -> Passkey:
    """Keep the passkey that the browser made. Raises PasskeyRefusedError, PasskeyError, LabelError."""
    name = model.label(name)
    try:
        made = webauthn.verify_registration_response(
            credential=_bounded(answer),
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=list(site.origins),
            require_user_verification=True,
        )
    except _UNREADABLE as error:
        raise PasskeyRefusedError("passkey-made") from error
    if connection.execute(sa.select(passkeys.c.id).where(passkeys.c.credential == made.credential_id)).first():
        raise PasskeyError("This passkey is registered already.", "Cette clé d'accès est déjà enregistrée.")
    synced = bool(made.credential_backed_up)
    passkey = Passkey(ids.next_id(), person, name, synced, False, now_ms(), None)
    row = {
        "id": passkey.id,
        "person_id": person.id,
        "credential": made.credential_id,
        "public_key": made.credential_public_key,
        "sign_count": made.sign_count,
        "synced": synced,
        "cloned": False,
        "name": name,
        "created_at": passkey.created_at,
        "used_at": None,
    }
    connection.execute(sa.insert(passkeys), row)
    _journal(connection, Event.PASSKEY, passkey, {})
    return passkey


def asked_to_prove(site: Site) -> tuple[dict[str, Any], bytes]:
    """What the browser is given to sign in with any passkey it has for us, and the challenge to keep.

    It names no passkey: who asks learns nothing of who has which.
    """
    options = webauthn.generate_authentication_options(
        rp_id=site.id, user_verification=UserVerificationRequirement.REQUIRED
    )
    return json.loads(webauthn.options_to_json(options)), options.challenge


def prove(
    connection: sa.Connection, site: Site, challenge: bytes, answer: dict[str, Any]
) -> Passkey | PasskeyRefusedError:
    """The passkey that answered, or why nobody is let in: returned and not raised, for a copy found is to be remembered."""
    try:
        given = _bounded(answer)
        credential = webauthn.base64url_to_bytes(str(given["rawId"]))
        handle = given["response"].get("userHandle")
        named = webauthn.base64url_to_bytes(handle) if handle else None
    except (*_UNREADABLE, AttributeError):
        return PasskeyRefusedError("passkey-malformed")
    row = connection.execute(_rows().where(passkeys.c.credential == credential)).one_or_none()
    if row is None:
        return PasskeyRefusedError("passkey-unknown")
    passkey = _passkey(row)
    if passkey.cloned:
        return PasskeyRefusedError("passkey-cloned")
    if named is not None and named != _handle(passkey.person.id):
        return PasskeyRefusedError("passkey-person")
    try:
        proved = webauthn.verify_authentication_response(
            credential=given,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=list(site.origins),
            credential_public_key=row.public_key,
            credential_current_sign_count=0,  # judged below: a library's exception tells nobody which rule broke
            require_user_verification=True,
        )
    except (*_UNREADABLE, AttributeError):
        return PasskeyRefusedError("passkey-proof")
    theirs = sa.update(passkeys).where(passkeys.c.id == passkey.id)
    if row.sign_count and proved.new_sign_count <= row.sign_count:
        connection.execute(theirs.values(cloned=True))
        _journal(connection, Event.PASSKEY_END, passkey, {"why": "cloned"})
        refused = PasskeyRefusedError("passkey-cloned")
        refused.copied = passkey
        return refused
    connection.execute(theirs.values(sign_count=proved.new_sign_count, used_at=now_ms()))
    return passkey


def of_person(connection: sa.Connection, person_id: int) -> list[Passkey]:
    """The passkeys of a person, the oldest first."""
    wanted = _rows().where(passkeys.c.person_id == person_id).order_by(passkeys.c.id)
    return [_passkey(row) for row in connection.execute(wanted)]


def rename(connection: sa.Connection, person_id: int, passkey_id: int, name: str) -> None:
    """Call a passkey otherwise. Raises LabelError, PasskeyError."""
    theirs = (passkeys.c.id == passkey_id) & (passkeys.c.person_id == person_id)
    if not connection.execute(sa.update(passkeys).where(theirs).values(name=model.label(name))).rowcount:
        raise _unknown()


def revoke(connection: sa.Connection, person_id: int, passkey_id: int) -> None:
    """Let a passkey serve no longer. Raises PasskeyError."""
    theirs = (passkeys.c.id == passkey_id) & (passkeys.c.person_id == person_id)
    row = connection.execute(_rows().where(theirs)).one_or_none()
    if row is None:
        raise _unknown()
    connection.execute(sa.delete(passkeys).where(passkeys.c.id == passkey_id))
    _journal(connection, Event.PASSKEY_END, _passkey(row), {"why": "revoked"})


def _unknown() -> PasskeyError:
    return PasskeyError("There is no such passkey.", "Cette clé d'accès n'existe pas.")


def _handle(person_id: int) -> bytes:
    """What the authenticator keeps of whom the passkey is for: a number that says nothing of them (WebAuthn §14.6.1)."""
    return person_id.to_bytes(8)


def _bounded(answer: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(answer)) > _MOST_OCTETS:
        raise ValueError("too long")
    return answer


def _rows() -> "sa.Select[Any]":
    columns = (each.label(f"passkey_{each.name}") for each in passkeys.c if each.name in ("id", "name", "created_at"))
    others = (passkeys.c[each] for each in ("public_key", "sign_count", "synced", "cloned", "used_at"))
    return sa.select(*columns, *others, persons.c.id, persons.c.national_id, persons.c.name).join_from(
        passkeys, persons, passkeys.c.person_id == persons.c.id
    )


def _passkey(row: Any) -> Passkey:
    return Passkey(
        row.passkey_id,
        person_of(row),
        row.passkey_name,
        bool(row.synced),
        bool(row.cloned),
        row.passkey_created_at,
        row.used_at,
    )


def _journal(connection: sa.Connection, event: Event, passkey: Passkey, facts: dict[str, Any]) -> None:
    entry = Entry(event, ids.to_text(passkey.id), facts, {"person": passkey.person.national_id, "name": passkey.name})
    journal.append(connection, [entry])
