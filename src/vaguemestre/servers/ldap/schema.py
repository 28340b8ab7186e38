"""What entries hold: the attributes of an address in the directory, and the schema that says so.

What it keeps true: an attribute of this server is in the subschema it publishes, and the other way round; each column of
the national extraction of addresses has one attribute (`vgm…`), beside those of inetOrgPerson that mail programs know.

The schema is this project's own: the national directory's is not public (spec directory §3). Names of attributes and of
the class can be given by configuration, so that the real one can be put in its place; OIDs are under a UUID of ours.

RFC 4512 §4 (subschema), RFC 4519 and RFC 2798 (attributes), RFC 4517 (syntaxes, rules).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from vaguemestre.directory.listing import Key, Listed, is_person, names
from vaguemestre.documents.words import literal

Words = Mapping[tuple[str, str], str]
Reading = Callable[[Listed, Words], Sequence[str]]
Values = tuple[str, ...]

_ARC = "2.25.146037125905411604637093517218426610532"
AUXILIARY = "vgmAddress"
_DIRECTORY_STRING = "1.3.6.1.4.1.1466.115.121.1.15"
_PERSON = ("top", "person", "organizationalPerson", "inetOrgPerson")
_UNIT = ("top", "organizationalUnit")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute. `column` is that of the index of runs that holds its values, `key` what finds it at once."""

    name: str
    oid: str
    reading: Reading
    aliases: tuple[str, ...] = ()
    column: str = ""
    key: Key | None = None
    own: bool = False  # of the auxiliary class, not a standard one
    meaning: str = ""


def _street(line: Listed) -> str:
    parts = (f"{line.number}{line.repetition}", line.street_type, line.street)
    return " ".join(part for part in parts if part)


def _postal(line: Listed, _: Words) -> Values:
    last = " ".join(part for part in (line.postcode, line.cedex or line.city) if part)
    lines = (line.name, line.recipient, line.point, _street(line), line.mention, last)
    return _some("$".join(each.replace("\\", "\\5C").replace("$", "\\24") for each in lines if each))


def _some(*values: str) -> Values:
    return tuple(dict.fromkeys(value for value in values if value))


def _field(name: str) -> Reading:
    get = attrgetter(name)

    def read(line: Listed, _: Words) -> Values:
        value = get(line)
        return (value,) if value else ()

    return read


def _of_structure(name: str) -> Reading:
    """A column of the address's own structure; empty where the place shown is that of an activity."""
    get = attrgetter(name)

    def read(line: Listed, _: Words) -> Values:
        value = None if line.elsewhere else get(line)
        return (value,) if value else ()

    return read


def _label(system: str, name: str) -> Reading:
    get = attrgetter(name)

    def read(line: Listed, words: Words) -> Values:
        word = words.get((system, get(line)))
        return (word,) if word else ()

    return read


def _know_how(line: Listed, words: Words) -> Values:
    if not line.know_how:
        return ()
    return _some(*(words.get(("TRE_R38-SpecialiteOrdinale", code), "") for code in line.know_how))


_PROFESSION = _label("TRE_G15-ProfessionSante", "profession")


def _title(line: Listed, words: Words) -> Values:
    return (*_PROFESSION(line, words), *_know_how(line, words))


def _structure_id_type(line: Listed, _: Words) -> Values:
    """In the words of the extraction."""
    if line.elsewhere or line.organization_id is None:
        return ()
    return _some("FINESS" if line.finess else "SIRET" if line.siret else "RPPS-rang" if line.rpps_rank else "")


def _structure_id(line: Listed, _: Words) -> Values:
    return () if line.elsewhere else _some(line.finess or line.siret or line.rpps_rank)


def _professional_id_type(line: Listed, _: Words) -> Values:
    return _some(line.national_id[:1])


_STANDARD = (
    Attribute("cn", "2.5.4.3", lambda line, _: names(line), ("commonName",), "name"),
    Attribute("sn", "2.5.4.4", _field("family"), ("surname",), "name"),
    Attribute("givenName", "2.5.4.42", _field("given"), ("gn",), "name"),
    Attribute("displayName", "2.16.840.1.113730.3.1.241", lambda line, _: names(line)[:1], (), "name"),
    Attribute("mail", "0.9.2342.19200300.100.1.3", _field("address"), ("rfc822Mailbox",), "mail", Key.ADDRESS),
    Attribute("uid", "0.9.2342.19200300.100.1.1", lambda line, _: (str(line.id),), ("userid",), "", Key.ID),
    Attribute("title", "2.5.4.12", _title),
    Attribute("employeeNumber", "2.16.840.1.113730.3.1.3", _field("rpps"), (), "", Key.RPPS),
    Attribute("businessCategory", "2.5.4.15", _PROFESSION),
    Attribute(
        "o", "2.5.4.10", lambda line, _: _some(line.name, line.sign), ("organizationName", "company"), "structure"
    ),
    Attribute(
        "ou",
        "2.5.4.11",
        lambda line, _: _some(line.service) if is_person(line) or line.service else names(line),
        ("organizationalUnitName",),
        "unit",
    ),
    Attribute("description", "2.5.4.13", _field("description"), (), "description"),
    Attribute("street", "2.5.4.9", lambda line, _: _some(_street(line)), ("streetAddress",)),
    Attribute("postalAddress", "2.5.4.16", _postal),
    Attribute("l", "2.5.4.7", _field("city"), ("localityName",), "city"),
    Attribute("postalCode", "2.5.4.17", _field("postcode")),
    Attribute("st", "2.5.4.8", _label("TRE_G09-DepartementOM", "department"), ("stateOrProvinceName",)),
    Attribute("telephoneNumber", "2.5.4.20", _field("phone")),
    Attribute("facsimileTelephoneNumber", "2.5.4.23", _field("fax"), ("fax",)),
)

# Each column of "Extraction_Correspondance_MSSante", in its order.
_COLUMNS: tuple[tuple[str, str, Reading, str, Key | None], ...] = (
    ("vgmKind", "Type de BAL", _field("kind"), "", None),
    ("vgmAddressText", "Adresse BAL", _field("address"), "mail", Key.ADDRESS),
    ("vgmProfessionalIdType", "Type Identifiant PP", _professional_id_type, "", None),
    ("vgmProfessionalId", "Identifiant PP", _field("rpps"), "", Key.RPPS),
    ("vgmNationalId", "Identification nationale PP", _field("national_id"), "", Key.NATIONAL_ID),
    ("vgmStructureIdType", "Type identifiant structure", _structure_id_type, "", None),
    ("vgmStructureId", "Identification Structure", _structure_id, "", None),
    ("vgmService", "Service de rattachement", _field("service"), "unit", None),
    ("vgmTitle", "Civilité d'exercice", _field("title"), "", None),
    ("vgmFamilyName", "Nom d'exercice", _field("family"), "name", None),
    ("vgmGivenName", "Prénom d'exercice", _field("given"), "name", None),
    ("vgmCategoryCode", "Catégorie profession", _field("category"), "", None),
    (
        "vgmCategory",
        "Libellé de catégorie profession",
        _label("TRE_R09-CategorieProfessionnelle", "category"),
        "",
        None,
    ),
    ("vgmProfessionCode", "Code Profession", _field("profession"), "", None),
    ("vgmProfession", "Libellé Profession", _PROFESSION, "", None),
    ("vgmKnowHowCode", "Code savoir-faire", lambda line, _: line.know_how, "", None),
    ("vgmKnowHow", "Libellé savoir-faire", _know_how, "", None),
    (
        "vgmPaperless",
        "Dématérialisation",
        lambda line, _: () if line.digitization is None else ("TRUE" if line.digitization else "FALSE",),
        "",
        None,
    ),
    ("vgmStructureName", "Raison Sociale structure BAL", _of_structure("name"), "structure", None),
    ("vgmStructureSign", "Enseigne commerciale structure BAL", _of_structure("sign"), "structure", None),
    ("vgmLocation", "L2COMPLEMENTLOCALISATION structure BAL", _of_structure("recipient"), "", None),
    ("vgmDistribution", "L3COMPLEMENTDISTRIBUTION structure BAL", _of_structure("point"), "", None),
    ("vgmStreetNumber", "L4NUMEROVOIE structure BAL", _of_structure("number"), "", None),
    ("vgmStreetRepetition", "L4COMPLEMENTNUMEROVOIE structure BAL", _of_structure("repetition"), "", None),
    ("vgmStreetType", "NL4TYPEVOIE structure BAL", _of_structure("street_type"), "", None),
    ("vgmStreetName", "L4LIBELLEVOIE structure BAL", _of_structure("street"), "", None),
    ("vgmPlace", "L5LIEUDITMENTION structure BAL", _of_structure("mention"), "", None),
    ("vgmPostalLine", "L6LIGNEACHEMINEMENT structure BAL", _of_structure("cedex"), "", None),
    ("vgmPostcode", "Code postal structure BAL", _of_structure("postcode"), "", None),
    ("vgmDepartment", "Département structure BAL", _of_structure("department"), "", None),
    ("vgmCountry", "Pays structure BAL", _of_structure("country"), "", None),
    ("vgmTechnicalId", "Identifiant technique de la structure", _of_structure("technical_id"), "", Key.STRUCTURE),
    ("vgmFiness", "FINESS", _of_structure("finess"), "", Key.FINESS),
    ("vgmSiret", "SIRET", _of_structure("siret"), "", Key.SIRET),
    ("vgmRank", "Rang de préférence", lambda line, _: () if line.rank is None else (str(line.rank),), "", None),
    ("vgmOperator", "Opérateur", _field("operator"), "", None),
)


class Schema:
    """The attributes, by the names that this server gives them. `renamed` maps ours to those of the configuration."""

    def __init__(self, renamed: Mapping[str, str] | None = None) -> None:
        given = dict(renamed or {})
        self.auxiliary = given.pop(AUXILIARY, AUXILIARY)
        own = tuple(
            Attribute(name, f"{_ARC}.1.{number}", reading, (), column, key, True, meaning)
            for number, (name, meaning, reading, column, key) in enumerate(_COLUMNS, 1)
        )
        self.unknown = sorted(set(given) - {each.name for each in (*_STANDARD, *own)})
        """Names to be changed that no attribute has: a mistake of the configuration."""
        self.attributes = tuple(replace(each, name=given.get(each.name, each.name)) for each in (*_STANDARD, *own))
        self._found = {
            name.lower(): attribute
            for attribute in self.attributes
            for name in (attribute.name, attribute.oid, *attribute.aliases)
        }
        self.named = {each.name: each for each in self.attributes}
        """The attributes by their own names."""
        self._person = (*_PERSON, self.auxiliary)
        self._unit = (*_UNIT, self.auxiliary)

    def find(self, name: str) -> Attribute | None:
        """The attribute of this name, alias or OID, in any case; one with options is none of ours."""
        return self._found.get(name.lower())

    def classes(self, line: Listed) -> Values:
        """The object classes of an address's entry."""
        return self._person if is_person(line) else self._unit

    def known_class(self, name: str) -> bool:
        """Whether some address's entry may be of this class."""
        return any(name.lower() == each.lower() for each in (*self._person, *self._unit))

    def subschema(self) -> dict[str, Values]:
        """The attributes of the subschema entry."""
        types = [_description(each) for each in self.attributes]
        types += [
            "( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )",
            "( 1.3.6.1.1.20 NAME 'entryDN' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12"
            " SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )",
            "( 2.5.18.10 NAME 'subschemaSubentry' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12"
            " SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )",
            "( 2.5.21.9 NAME 'structuralObjectClass' EQUALITY objectIdentifierMatch SYNTAX"
            " 1.3.6.1.4.1.1466.115.121.1.38 SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )",
        ]
        standard = {each.name for each in self.attributes if not each.own}
        own = [each.name for each in self.attributes if each.own]
        unit_has_not = ("cn", "displayName", "mail", "uid", "o")  # what an organizationalUnit needs the class for
        may = " $ ".join([*own, *unit_has_not])
        person = " $ ".join(sorted(standard & _INET_ORG_PERSON))
        unit = " $ ".join(sorted(standard & _ORGANIZATIONAL_UNIT))
        classes = (
            "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )",
            "( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ cn ) MAY ( telephoneNumber $ description ) )",
            "( 2.5.6.7 NAME 'organizationalPerson' SUP person STRUCTURAL MAY ( title $ ou $ street $ postalAddress $"
            " l $ postalCode $ st $ facsimileTelephoneNumber ) )",
            f"( 2.16.840.1.113730.3.2.2 NAME 'inetOrgPerson' SUP organizationalPerson STRUCTURAL MAY ( {person} ) )",
            f"( 2.5.6.5 NAME 'organizationalUnit' SUP top STRUCTURAL MUST ou MAY ( {unit} ) )",
            "( 2.5.6.4 NAME 'organization' SUP top STRUCTURAL MUST o MAY description )",
            "( 1.3.6.1.4.1.1466.344 NAME 'dcObject' SUP top AUXILIARY MUST dc )",
            f"( {_ARC}.2.1 NAME '{self.auxiliary}' DESC 'Adresse de messagerie securisee et son porteur' SUP top"
            f" AUXILIARY MAY ( {may} ) )",
        )
        rules = (
            "( 2.5.13.2 NAME 'caseIgnoreMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
            "( 2.5.13.3 NAME 'caseIgnoreOrderingMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
            "( 2.5.13.4 NAME 'caseIgnoreSubstringsMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.58 )",
            "( 2.5.13.0 NAME 'objectIdentifierMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.38 )",
            "( 2.5.13.1 NAME 'distinguishedNameMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )",
        )
        return {
            "objectClass": ("top", "subschema", "subentry"),
            "cn": ("subschema",),
            "attributeTypes": tuple(types),
            "objectClasses": classes,
            "matchingRules": rules,
            "ldapSyntaxes": (
                f"( {_DIRECTORY_STRING} DESC 'Directory String' )",
                "( 1.3.6.1.4.1.1466.115.121.1.38 DESC 'OID' )",
                "( 1.3.6.1.4.1.1466.115.121.1.12 DESC 'DN' )",
                "( 1.3.6.1.4.1.1466.115.121.1.58 DESC 'Substring Assertion' )",
            ),
        }


_INET_ORG_PERSON = {"businessCategory", "displayName", "employeeNumber", "givenName", "mail", "o", "uid"}
_ORGANIZATIONAL_UNIT = {
    *("businessCategory", "description", "facsimileTelephoneNumber", "l", "postalAddress", "postalCode", "st"),
    *("street", "telephoneNumber"),
}


def _description(attribute: Attribute) -> str:
    """RFC 4512 §4.1.2."""
    spelled = [attribute.name, *attribute.aliases]
    name = f"'{spelled[0]}'" if len(spelled) == 1 else f"( {' '.join(repr(each) for each in spelled)} )"
    meaning = f" DESC '{literal(attribute.meaning).replace(chr(39), chr(32))}'" if attribute.meaning else ""
    return (
        f"( {attribute.oid} NAME {name}{meaning} EQUALITY caseIgnoreMatch ORDERING caseIgnoreOrderingMatch"
        f" SUBSTR caseIgnoreSubstringsMatch SYNTAX {_DIRECTORY_STRING} )"
    )
