"""The allow-list (liste blanche): which certificate names may speak for which mail domain.

Kept true: an `AllowList` is immutable, never empty, and maps each listed domain, in lower case, to its set of names.
Domains are looked up exactly: 513 of the real list's domains have a listed parent, so a suffix never speaks for a name.

Rules of reading:
- this room reads content; whether the content is signed is `signatures`' question, so read only what that room returns;
- UTF-8, XML 1.0, no document type (hence no entity and no XML bomb), no more than `MAX_BYTES`;
- each `Domaine` has exactly the six children of the official list, in order, and a list without `Domaine` is refused;
- an entry whose domain or name cannot be read is kept aside in `unreadable` and never matches: one typing mistake must
  not stop the mail of a country.

Format: spec trust-space §1 (the signed list of 28 February 2025, 6,494 entries).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import ClassVar
from xml.sax.saxutils import escape

from lxml import etree

from vaguemestre.errors import VaguemestreError
from vaguemestre.trust import names
from vaguemestre.trust.names import DistinguishedName, DistinguishedNameError

NAMESPACE = "https://listeblanche.mssante.fr/schema"
SIGNATURE_TAG = "{http://www.w3.org/2000/09/xmldsig#}Signature"
MAX_BYTES = 32 << 20  # nine times the real list

_ROOT, _DATE, _DOMAINS, _DOMAIN = (
    f"{{{NAMESPACE}}}{tag}" for tag in ("ListeBlancheMSSante", "DateDeGeneration", "ListeDomaines", "Domaine")
)
_FIELDS = ("Nom", "Description", "DNCertificatOperateur", "ResponsableContact", "SupportContact", "DateMAJ")
_CHILDREN = [f"{{{NAMESPACE}}}{tag}" for tag in _FIELDS]
_DECLARATION = re.compile(
    rb"""<\?xml\s+version=["']1\.0["'](\s+encoding=["']utf-8["'])?(\s+standalone=[^?]*)?\s*\?>""", re.I
)
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))+")
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class AllowListError(VaguemestreError):
    """A list that must not come into force. `rule` is the stable identifier for journals and tests."""

    rule: ClassVar[str] = "list-refused"


class UnsafeListError(AllowListError):
    """The bytes could harm the reader: too long, a document type, another encoding."""

    rule = "list-unsafe"


class MalformedListError(AllowListError):
    """The bytes are not the official format."""

    rule = "list-malformed"


class EmptyListError(AllowListError):
    """A list without a single readable domain: coming into force, it would stop all mail."""

    rule = "list-empty"


@dataclass(frozen=True, slots=True)
class Entry:
    """One `Domaine`. `name` is None when `name_text` cannot be read; `updated` when its date cannot."""

    domain: str
    name_text: str
    name: DistinguishedName | None
    description: str = ""
    responsible: str = ""
    support: str = ""
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class AllowList:
    """A whole list. `generated`: aware UTC; `names`: domain in lower case to the names that may speak for it."""

    generated: datetime
    entries: tuple[Entry, ...]
    names: Mapping[str, frozenset[DistinguishedName]]
    domains: Mapping[DistinguishedName, frozenset[str]]
    unreadable: tuple[Entry, ...]

    def names_for(self, domain: str) -> frozenset[DistinguishedName] | None:
        """The names listed for exactly this domain, in any case; None when it is not listed."""
        # Lower-casing may fold a foreign letter into an ASCII one (the Kelvin sign into k): that domain is not listed.
        return self.names.get(domain.lower()) if domain.isascii() else None

    def domains_of(self, name: DistinguishedName) -> frozenset[str]:
        """The domains a name is listed for; empty when it is not listed at all."""
        return self.domains.get(name, frozenset())

    def entries_for(self, domain: str) -> tuple[Entry, ...]:
        """The entries of a domain, as listed, for display (reads the whole list)."""
        wanted = domain.lower()
        return tuple(entry for entry in self.entries if entry.domain == wanted)


def entry(
    domain: str,
    name_text: str,
    *,
    description: str = "",
    responsible: str = "",
    support: str = "",
    updated: datetime | None = None,
) -> Entry:
    """An entry from its texts, the domain lower-cased."""
    return _Reader().entry((domain, description, name_text, responsible, support), updated)


def parse(data: bytes) -> AllowList:
    """Read a list in the official format; a signature, if there still is one, is ignored.

    Raises UnsafeListError, MalformedListError, EmptyListError.
    """
    refuse_unsafe(data)
    reader = _Reader()
    try:
        root = reader.read(data)
    except etree.XMLSyntaxError as error:
        raise malformed(f"XML: {error.msg}") from error
    children = [child.tag for child in root]
    if root.tag != _ROOT or children not in ([_DATE, _DOMAINS], [_DATE, _DOMAINS, SIGNATURE_TAG]):
        raise malformed("ListeBlancheMSSante must hold DateDeGeneration, then ListeDomaines")
    if any(child.tag != _DOMAIN for child in root[1]):
        raise malformed("ListeDomaines must hold Domaine elements only")
    generated = _moment(root[0].text or "") if not len(root[0]) else None
    if generated is None:
        raise malformed("DateDeGeneration is not a date and time")
    return assemble(reader.entries, generated)


def assemble(entries: Iterable[Entry], generated: datetime) -> AllowList:
    """The list of these entries. Raises EmptyListError."""
    everything = tuple(entries)
    by_domain: dict[str, set[DistinguishedName]] = {}
    by_name: dict[DistinguishedName, set[str]] = {}
    unreadable = []
    for item in everything:
        if item.name is None or not _HOST.fullmatch(item.domain):
            unreadable.append(item)
            continue
        by_domain.setdefault(item.domain, set()).add(item.name)
        by_name.setdefault(item.name, set()).add(item.domain)
    if not by_domain:
        raise EmptyListError(
            "The allow-list names no domain: it is refused, and the former one stays in force.",
            "La liste blanche ne contient aucun domaine : elle est refusée et la précédente reste en vigueur.",
        )
    shared: dict[frozenset[DistinguishedName], frozenset[DistinguishedName]] = {}
    frozen = {}
    for domain, listed in by_domain.items():
        group = frozenset(listed)
        frozen[domain] = shared.setdefault(group, group)
    return AllowList(
        generated, everything, frozen, {name: frozenset(held) for name, held in by_name.items()}, tuple(unreadable)
    )


def render(entries: Iterable[Entry], generated: datetime) -> bytes:
    """The official format, unsigned, of these entries. Raises EmptyListError, MalformedListError."""
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<ListeBlancheMSSante xmlns="{NAMESPACE}">\n',
        f"    <DateDeGeneration>{_stamp(generated)}</DateDeGeneration>\n    <ListeDomaines>\n",
    ]
    written = tuple(entries)
    assemble(written, generated)
    for item in written:
        updated = _stamp(item.updated or generated)
        values = (item.domain, item.description or "_", item.name_text, item.responsible, item.support, updated)
        fields = "".join(
            f"            <{tag}>{escape(value)}</{tag}>\n" for tag, value in zip(_FIELDS, values, strict=True)
        )
        parts.append(f"        <Domaine>\n{fields}        </Domaine>\n")
    parts.append("    </ListeDomaines>\n</ListeBlancheMSSante>\n")
    text = "".join(parts)
    if _ILLEGAL.search(text):
        raise malformed("an entry holds a character that XML forbids")
    return text.encode()


def parser() -> etree.XMLParser:
    """A parser that reads no entity, no document type, no network and no huge tree."""
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )


def refuse_unsafe(data: bytes) -> None:
    """Refuse, before any parser sees them, bytes that no allow-list needs. Raises UnsafeListError."""
    if len(data) > MAX_BYTES:
        raise _unsafe(f"more than {MAX_BYTES >> 20} MB")
    start = data.removeprefix(b"\xef\xbb\xbf") if data.startswith(b"\xef\xbb\xbf") else data
    # Without a NUL and beginning with `<`, only the declaration could choose an encoding that hides a document type.
    if not start.startswith(b"<") or b"\0" in data:
        raise _unsafe("not XML in UTF-8")
    if start.startswith(b"<?xml") and not _DECLARATION.match(start):
        raise _unsafe("an XML declaration other than 1.0 and UTF-8")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise _unsafe("a document type or an entity")


def malformed(detail: str) -> MalformedListError:
    """The error for bytes that are not the official format."""
    return MalformedListError(
        f"The allow-list is not in the official format ({detail}); fetch it again, then warn its publisher.",
        f"La liste blanche n'a pas le format officiel ({detail}) ; récupérez-la de nouveau, puis prévenez son éditeur.",
    )


def _unsafe(detail: str) -> UnsafeListError:
    return UnsafeListError(
        f"The allow-list is refused unread because it is dangerous to read ({detail}).",
        f"La liste blanche est refusée sans être lue car sa lecture serait dangereuse ({detail}).",
    )


class _Reader:
    """Reads `Domaine` by `Domaine`, freeing each, and shares equal texts: the real list repeats 391 names."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._names: dict[str, DistinguishedName | None] = {}
        self._texts: dict[str, str] = {}

    def read(self, data: bytes) -> etree._Element:
        """The root, emptied of its `Domaine` elements; `entries` holds them."""
        events = etree.iterparse(
            BytesIO(data),
            events=("end",),
            tag=_DOMAIN,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
        )
        for _, element in events:
            holder = element.getparent()
            if holder is None or holder.tag != _DOMAINS or holder.getparent() is None:
                raise malformed("a Domaine stands outside ListeDomaines")
            self.entries.append(self._entry(element))
            element.clear()
            while element.getprevious() is not None:
                if element.getprevious().tag != _DOMAIN:
                    raise malformed("ListeDomaines must hold Domaine elements only")
                del holder[0]
        root: etree._Element = events.root
        return root

    def _entry(self, element: etree._Element) -> Entry:
        if [child.tag for child in element] != _CHILDREN:
            raise malformed(f"entry {len(self.entries) + 1} must have the six children {', '.join(_FIELDS)}, in order")
        if any(len(child) for child in element):
            raise malformed(f"entry {len(self.entries) + 1} holds markup inside a field")
        *texts, updated = (child.text or "" for child in element)
        return self.entry(texts, _moment(updated))

    def entry(self, texts: Sequence[str], updated: datetime | None) -> Entry:
        """An entry from the first five fields, in the list's order."""
        domain, description, name, responsible, support = texts
        share = self._texts.setdefault
        stripped = name.strip()
        name = share(stripped, stripped)
        if name not in self._names:
            try:
                self._names[name] = names.parse(name)
            except DistinguishedNameError:
                self._names[name] = None
        stripped = domain.strip()
        # A foreign letter that lower-cases to an ASCII one must not become another domain.
        domain = stripped.lower() if stripped.isascii() else stripped
        return Entry(
            share(domain, domain),
            name,
            self._names[name],
            share(description, description),
            share(responsible, responsible),
            share(support, support),
            updated,
        )


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _stamp(moment: datetime) -> str:
    # Not strftime: it writes the year 326 in three digits, which then reads back as nothing.
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
