"""Names of folders on their way: between accounts, file systems, Maildir++ and what people call things.

What holds here: any name that a mailbox may have becomes a path that no file system misreads and that leads nowhere else,
and is read back as it was; any name from outside becomes one that a mailbox may have. No name makes these functions raise.

Rules: a level keeps its letters; what a file system may refuse or read its own way (separators, control characters, `..`,
names of devices, a dot or a space at the end) is written `%XX`, octet by octet of UTF-8. Maildir++ has levels parted by
dots, in modified UTF-7. A level too long for a file system is cut, with a digest of the whole; the manifest has the name.

Standards: RFC 3501 §5.1.3 (modified UTF-7), RFC 6154 (special use), Maildir++.
"""

import hashlib
import re
import unicodedata
from urllib.parse import unquote

from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.mailboxes import SEPARATOR
from vaguemestre.mailstore.model import MailboxNameError, Role
from vaguemestre.protocols.imap import modified_utf7

_LONGEST_LEVEL = 200  # octets; file systems take 255, and a suffix may follow
_ESCAPED = re.compile(r'[\x00-\x1f\x7f"%*/:<>?\\|]|^[. ]|[. ]$|\.(?=(?:mbox|eml|json|part|sbd)$)', re.IGNORECASE)
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE | re.DOTALL)
_DOT = b"&AC4-"  # a dot within a level of Maildir++, which has no spelling of its own

_NAMES: dict[Role, str] = {
    Role.INBOX: "inbox, boite de reception, boite reception, courrier entrant, reception, messages recus",
    Role.DRAFTS: "drafts, draft, brouillons, brouillon",
    Role.SENT: (
        "sent, sent items, sent messages, sent mail, sent-mail, outbox, envoyes, elements envoyes, messages envoyes,"
        " objets envoyes, courrier envoye, courriers envoyes, envoye"
    ),
    Role.ARCHIVE: "archive, archives",
    Role.JUNK: "junk, junk e-mail, junk email, spam, bulk mail, indesirables, indesirable, courrier indesirable, pourriel",
    Role.TRASH: (
        "trash, deleted items, deleted messages, deleted, bin, corbeille, elements supprimes, messages supprimes,"
        " objets supprimes, poubelle"
    ),
}
_ROLES = {name.strip(): role for role, names in _NAMES.items() for name in names.split(",")}


def guessed_role(name: str) -> Role | None:
    """The special use that a name stands for, in French or in English, whatever its accents and case; else None.

    Only a top level is a special mailbox, or one right under INBOX, where some servers put all of them.
    """
    first, _, rest = name.partition(SEPARATOR)
    name = rest if first.upper() == mailboxes.INBOX and rest else name
    plain = "".join(letter for letter in unicodedata.normalize("NFD", name) if not unicodedata.combining(letter))
    role = _ROLES.get(" ".join(plain.casefold().replace("_", " ").split()))
    return None if role is Role.INBOX and rest else role


def writable(name: str) -> str:
    """The name that a mailbox gets for a folder called so elsewhere: the same, but for what no mailbox name may have."""
    levels = [level.strip() for level in unicodedata.normalize("NFC", name).split(SEPARATOR)]
    levels = [level for level in levels if level not in ("", ".", "..")] or ["_"]
    kept = _accepted(SEPARATOR.join(levels))
    if kept is not None:
        return kept
    levels = [level for level in map(_writable_level, levels) if level] or ["_"]
    head, tail = levels[: mailboxes.DEEPEST - 1], levels[mailboxes.DEEPEST - 1 :]
    octets = SEPARATOR.join([*head, "-".join(tail)] if tail else head).encode("utf-8", "replace")
    cut = _accepted(_cut(octets, mailboxes.LONGEST))
    return cut if cut is not None else f"_{hashlib.sha256(octets).hexdigest()[:16]}"  # the cut left an empty level


def _accepted(name: str) -> str | None:
    try:
        return mailboxes.checked(name)
    except (MailboxNameError, UnicodeEncodeError):  # lone surrogates have no octets
        return None


def _writable_level(level: str) -> str:
    letters = (
        "_" if each in "%*" or unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") else each for each in level
    )
    return "".join(letters).strip()


def path(name: str) -> str:
    """A relative path for a mailbox's name, its levels parted by "/"; never empty, never absolute, nor leading upwards."""
    return "/".join(_escaped_level(level) for level in name.split(SEPARATOR))


class Paths:
    """Paths of one export, each given once, also where a file system does not tell capitals from small letters."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._taken: set[str] = set()

    def take(self, name: str) -> str:
        """The path of a mailbox's name, with the suffix."""
        found = path(name)
        if unicodedata.normalize("NFC", found).casefold() in self._taken:
            found = f"{found}~{_digest(name)}"
        self._taken.add(unicodedata.normalize("NFC", found).casefold())
        return found + self._suffix


def name_of(path_: str) -> str:
    """The name behind a path; of a path that `path` did not write, what comes nearest."""
    return SEPARATOR.join(unquote(level, errors="replace") for level in path_.split("/"))


def maildir(name: str) -> str:
    """The Maildir++ directory of a mailbox's name: "" for INBOX, `.Level.Level` for others."""
    if name == mailboxes.INBOX:
        return ""
    levels = []
    for level in name.split(SEPARATOR):
        spelled = _DOT.join(modified_utf7.encode(part) for part in level.split("."))
        levels.append(_short(spelled.decode("ascii")))
    directory = "." + ".".join(levels)
    return directory if len(directory) <= _LONGEST_LEVEL else f".{_digest(name)}"


def maildir_name(directory: str) -> str:
    """The name behind a Maildir++ directory; of what is not modified UTF-7, the text as it is."""
    if not directory:
        return mailboxes.INBOX
    return SEPARATOR.join(_maildir_level(level) for level in directory.removeprefix(".").split("."))


def decoded(spelled: bytes) -> str:
    """A name in modified UTF-7; what is not, as UTF-8, else as it comes nearest."""
    try:
        return modified_utf7.decode(spelled)
    except ValueError:
        return spelled.decode("utf-8", "replace")


def _maildir_level(level: str) -> str:
    octets = level.encode("utf-8", "surrogateescape")
    return ".".join(decoded(part) for part in octets.split(_DOT))


def _escaped_level(level: str) -> str:
    escaped = _ESCAPED.sub(_escape, level)
    if _DEVICE.fullmatch(escaped):
        escaped = f"%{ord(escaped[0]):02X}{escaped[1:]}"
    return _short(escaped) or "%"


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in found[0].encode("utf-8", "surrogatepass"))


def _short(level: str) -> str:
    octets = level.encode("utf-8", "surrogatepass")
    if len(octets) <= _LONGEST_LEVEL:
        return level
    return f"{_cut(octets, _LONGEST_LEVEL - 20)}~{_digest(level)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _cut(octets: bytes, length: int) -> str:
    return octets[:length].decode("utf-8", "ignore")
