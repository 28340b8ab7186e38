"""What is in force: the last good allow-list, the authorities, and what they revoked.

Kept true: the list in force was verified; none older ever replaces it, in this process or the next; its file and its
state are whole on disk whenever the machine stops; no list, or one not refreshed for longer than the grace, means that
nobody is admitted (a temporary refusal).

Rules of admission of a new list (`load`), all or nothing:
1. its signature, signer and format are good at the given time (`signatures`, `allowlist`), the signer not revoked;
2. its DateDeGeneration is not in the future by more than a day: such a list could never be replaced;
3. it is not older than the newest one ever accepted here, even if that one's file was lost since;
4. with the same date, its content is the same.
A restart verifies the kept file again, as of the moment it was accepted, with the authorities configured now.

On disk, in `folder`: `list-<sha256>.xml`, the file as received; `state.json`, which names it and whose renaming is the
moment a new list comes into force; `crl/`, the CRLs.

Spec trust-space §1: refresh period, grace and behaviour on failure are not public; these are this project's choice.
"""

import ctypes
import hashlib
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from vaguemestre.errors import VaguemestreError
from vaguemestre.trust import allowlist, certificates, signatures
from vaguemestre.trust.allowlist import AllowList, AllowListError
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.revocation import RevocationList, RevocationStore, Standing
from vaguemestre.trust.safekeeping import keep

DEFAULT_GRACE = timedelta(days=7)
_CLOCK_TOLERANCE = timedelta(days=1)


class RolledBackListError(AllowListError):
    """The list is older than one already accepted here."""

    rule = "list-older"


class ConflictingListError(AllowListError):
    """The list bears the date of the one in force with another content."""

    rule = "list-conflicting"


class FutureListError(AllowListError):
    """The list is dated in the future: its clock or ours is wrong."""

    rule = "list-from-the-future"


@dataclass(frozen=True, slots=True)
class InForce:
    """The list in force. `sha256` is the file's, `content_sha256` that of what was signed; times are aware UTC."""

    allow_list: AllowList
    sha256: str
    content_sha256: str
    signer: str
    signer_expires: datetime
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load: `changed` is False when the same content was already in force."""

    in_force: InForce
    changed: bool
    previous_generated: datetime | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """What an administrator must be told before mail stops, or because it stopped."""

    stopped: bool
    en: str
    fr: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the set, and the decisions taken on it (`admission` keeps them; they die with it)."""

    generation: int
    in_force: InForce | None
    chains: dict[Any, Any] = field(default_factory=dict)
    decisions: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _State:
    """What `state.json` says. `newest` outlives a lost list, so that an older one cannot come back in its place."""

    sha256: str = ""
    accepted_at: datetime | None = None
    last_success: datetime | None = None
    newest: datetime | None = None
    last_error_en: str = ""
    last_error_fr: str = ""


class TrustedSet:
    """The trust of one operator; safe to use from several threads.

    `folder`: where it is kept (None: in memory only, for tools and tests); `signer_cn`: the expected signer's common
    name; `grace`: how long the list serves after the last successful refresh.
    """

    def __init__(
        self,
        authorities: Authorities,
        signer_cn: str,
        folder: Path | None = None,
        grace: timedelta = DEFAULT_GRACE,
    ) -> None:
        self.authorities = authorities
        self.grace = grace
        self._signer_cn = signer_cn
        self._folder = folder
        self._lock = threading.Lock()
        self._state = _State()
        self._snapshot = Snapshot(0, None)
        self.damage: VaguemestreError | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._revocation = RevocationStore(authorities, folder / "crl" if folder is not None else None)
        if folder is not None:
            self._recall(folder)

    @property
    def snapshot(self) -> Snapshot:
        """The present state; take it once a decision."""
        return self._snapshot

    @property
    def generation(self) -> int:
        """A number that grows whenever the list or what is known of revocations changes."""
        return self._snapshot.generation

    @property
    def in_force(self) -> InForce | None:
        """The list in force, whether or not the grace has run out; None when there is none."""
        return self._snapshot.in_force

    @property
    def usable_from(self) -> datetime:
        """Before this moment our clock contradicts the list's acceptance, so nothing is decided."""
        accepted = self._snapshot.in_force.accepted_at if self._snapshot.in_force else datetime.max.replace(tzinfo=UTC)
        return accepted - _CLOCK_TOLERANCE

    @property
    def usable_until(self) -> datetime:
        """When the grace runs out, unless a refresh succeeds before."""
        return (self._state.last_success or datetime.min.replace(tzinfo=UTC)) + self.grace

    def usable(self, at: datetime) -> bool:
        """True when a list is in force and within its grace at that time."""
        return self._snapshot.in_force is not None and self.usable_from <= at < self.usable_until

    def load(self, data: bytes, at: datetime) -> Loaded:
        """Bring a received list into force, or learn that it is still the current one, by the module's rules.

        Raises the AllowListError that says why not (the former list then stays), OSError when the disk fails.
        """
        with self._lock:
            candidate, content = self._verified(data, at)
            former = self._snapshot.in_force
            same = former is not None and former.content_sha256 == candidate.content_sha256
            if not same:
                self._refuse_order(candidate, content, former, at)
            state = replace(self._state, last_success=at, last_error_en="", last_error_fr="")
            if not same:
                generated = candidate.allow_list.generated
                state = replace(state, sha256=candidate.sha256, accepted_at=candidate.accepted_at, newest=generated)
                self._keep(state, data)
                self._advance(candidate)
            else:
                self._keep(state, None)
            self._state = state
            self.damage = None
            current = former if same and former is not None else candidate
            _release_memory()
            return Loaded(current, not same, former.allow_list.generated if former else None)

    def note_failure(self, error: VaguemestreError) -> None:
        """Remember that a refresh of the list failed, for `alarm`, across restarts too. Raises OSError."""
        with self._lock:
            self._state = replace(self._state, last_error_en=error.en, last_error_fr=error.fr)
            self._keep(self._state, None)

    def add_crl(self, data: bytes, at: datetime) -> RevocationList | None:
        """Take a CRL; None when it was already held. Raises RevocationListError, OSError."""
        with self._lock:
            taken = self._revocation.add_crl(data, at)
            if taken is not None:
                self._advance(self._snapshot.in_force)
            return taken

    def add_ocsp(self, data: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> Standing:
        """Take an OCSP answer about a certificate. Raises RevocationListError."""
        with self._lock:
            standing = self._revocation.add_ocsp(data, certificate, issuer, at)
            self._advance(self._snapshot.in_force)
            return standing

    def standing(self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> Standing:
        """What the authorities say of a certificate at that time."""
        return self._revocation.standing(certificate, issuer, at)

    @property
    def revocation_lists(self) -> Sequence[RevocationList]:
        """The CRLs held, current or not."""
        return self._revocation.lists

    def alarm(self, at: datetime) -> Alarm | None:
        """What an administrator must be told at that time, or None when all is well."""
        ends = self.usable_until
        if self._snapshot.in_force is None or not self.usable(at):
            return self._stopped(at)
        if self._state.last_error_fr:
            return Alarm(
                False,
                f"The allow-list could not be refreshed; the last good one serves until {ends:%Y-%m-%d %H:%M} "
                "UTC, then "
                f"all mail between operators waits. Last failure: {self._state.last_error_en}",
                "La liste blanche n'a pas pu être renouvelée ; la dernière bonne sert jusqu'au "
                f"{ends:%d/%m/%Y à %H:%M} "
                f"UTC, puis tout courrier entre opérateurs attendra. Dernier échec : {self._state.last_error_fr}",
            )
        for crl in self._revocation.lists:
            if at >= crl.next_update:
                name = certificates.subject_text(crl.issuer)
                return Alarm(
                    False,
                    f"The CRL of {name} has expired: certificates without an OCSP answer are refused for now.",
                    f"La liste de révocation de {name} a expiré : les certificats sans réponse OCSP sont refusés.",
                )
        return None

    def _stopped(self, at: datetime) -> Alarm:
        if self._snapshot.in_force is None:
            damage = (f" {self.damage.en}", f" {self.damage.fr}") if self.damage else ("", "")
            return Alarm(
                True,
                f"No allow-list is in force: all mail between operators waits; check its address.{damage[0]}",
                f"Aucune liste blanche n'est en vigueur : tout courrier entre opérateurs attend ; vérifiez son adresse."
                f"{damage[1]}",
            )
        if at < self.usable_from:
            return Alarm(
                True,
                f"This machine's clock reads {at:%Y-%m-%d %H:%M} UTC, before the allow-list was accepted: all mail "
                "between operators waits; set the clock.",
                f"L'horloge de cette machine indique le {at:%d/%m/%Y à %H:%M} UTC, avant l'acceptation de la liste "
                "blanche : tout courrier entre opérateurs attend ; mettez-la à l'heure.",
            )
        return Alarm(
            True,
            "The allow-list has not been refreshed since the grace ended on "
            f"{self.usable_until:%Y-%m-%d %H:%M} UTC: all "
            f"mail between operators waits; mend its refresh. {self._state.last_error_en}".rstrip(),
            f"La liste blanche n'a pas été renouvelée et son délai de grâce a pris fin le "
            f"{self.usable_until:%d/%m/%Y à %H:%M} UTC : tout courrier entre opérateurs attend ; rétablissez son "
            f"renouvellement. {self._state.last_error_fr}".rstrip(),
        )

    def _verified(self, data: bytes, at: datetime) -> tuple[InForce, AllowList]:
        signed = signatures.verify(data, self.authorities, self._signer_cn, at)
        for certificate, issuer in signed.chain.links():
            standing = self._revocation.standing(certificate, issuer, at)
            # A signer replaced in due course is revoked later; what it signed before was good when it was accepted.
            if standing.revoked and (standing.since is None or standing.since <= at):
                raise signatures.UntrustedSignerError(
                    "The allow-list is signed with a revoked certificate: it is refused; warn its publisher.",
                    "La liste blanche est signée avec un certificat révoqué : elle est refusée ; prévenez son éditeur.",
                )
        content = allowlist.parse(signed.content)
        return (
            InForce(
                allow_list=content,
                sha256=hashlib.sha256(data).hexdigest(),
                content_sha256=hashlib.sha256(signed.content).hexdigest(),
                signer=certificates.subject_text(signed.chain.leaf),
                signer_expires=signed.chain.not_after,
                accepted_at=at,
            ),
            content,
        )

    def _refuse_order(self, candidate: InForce, content: AllowList, former: InForce | None, at: datetime) -> None:
        generated, newest = content.generated, self._state.newest
        if generated > at + _CLOCK_TOLERANCE:
            raise FutureListError(
                f"The allow-list is dated {generated:%Y-%m-%d %H:%M} UTC, in the future: it is refused; check this "
                "machine's clock, then warn the publisher.",
                f"La liste blanche est datée du {generated:%d/%m/%Y à %H:%M} UTC, dans le futur : elle est refusée ; "
                "vérifiez l'horloge de cette machine, puis prévenez l'éditeur.",
            )
        if newest is not None and generated < newest:
            raise RolledBackListError(
                f"The allow-list of {generated:%Y-%m-%d %H:%M} UTC is older than the one of "
                f"{newest:%Y-%m-%d %H:%M} UTC "
                "already accepted: it is refused; check its address, and whether someone replays an old list.",
                f"La liste blanche du {generated:%d/%m/%Y à %H:%M} UTC est plus ancienne que celle du "
                f"{newest:%d/%m/%Y à %H:%M} UTC déjà acceptée : elle est refusée ; vérifiez son adresse et si "
                "quelqu'un "
                "rejoue une ancienne liste.",
            )
        if former is not None and generated == former.allow_list.generated:
            raise ConflictingListError(
                f"Two allow-lists of {generated:%Y-%m-%d %H:%M} UTC differ: the first stays in force; warn the "
                "publisher.",
                f"Deux listes blanches du {generated:%d/%m/%Y à %H:%M} UTC diffèrent : la première reste en vigueur ; "
                "prévenez l'éditeur.",
            )

    def _advance(self, in_force: InForce | None) -> None:
        self._snapshot = Snapshot(self._snapshot.generation + 1, in_force)

    def _keep(self, state: _State, data: bytes | None) -> None:
        if self._folder is None:
            return
        if data is not None:
            keep(self._folder / f"list-{state.sha256}.xml", data)
        # A crash before this rename leaves a list file that nothing names: the next load removes it.
        keep(self._folder / "state.json", _dump(state))
        if data is not None:
            for path in self._folder.glob("list-*.xml"):
                if path.name != f"list-{state.sha256}.xml":
                    path.unlink(missing_ok=True)

    def _recall(self, folder: Path) -> None:
        """Bring back what was in force; damage is kept for `alarm`, never raised: peers get temporary refusals."""
        try:
            self._state = _restore((folder / "state.json").read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self.damage = _damaged(folder / "state.json", str(error))
            return
        if not self._state.sha256 or self._state.accepted_at is None:
            return
        path = folder / f"list-{self._state.sha256}.xml"
        try:
            in_force, _ = self._verified(path.read_bytes(), self._state.accepted_at)
        except OSError as error:
            self.damage = _damaged(path, error.strerror or "unreadable")
        except AllowListError as error:
            self.damage = error
        else:
            self._advance(in_force)


def _release_memory() -> None:
    """Give back the trees that reading a list took, some 60 MB that glibc would keep until the next list."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # absent from other C libraries
    if trim is not None:
        trim(0)


def _dump(state: _State) -> bytes:
    values = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in ((name, getattr(state, name)) for name in _State.__slots__)
    }
    return json.dumps(values, ensure_ascii=False, indent=1).encode()


def _restore(data: bytes) -> _State:
    """Raises ValueError."""
    try:
        values = json.loads(data)
        for name in ("accepted_at", "last_success", "newest"):
            if values[name] is not None:
                values[name] = datetime.fromisoformat(values[name]).astimezone(UTC)
        if not re.fullmatch("[0-9a-f]*", values["sha256"]):
            raise ValueError("not a digest")
        return _State(**values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"unexpected content: {error}") from error


def _damaged(path: Path, detail: str) -> VaguemestreError:
    return VaguemestreError(
        f"The kept file {path} cannot be used ({detail}); the next successful refresh mends it.",
        f"Le fichier conservé {path} est inutilisable ({detail}) ; le prochain renouvellement réussi le rétablira.",
    )
