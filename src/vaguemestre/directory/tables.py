"""The rows of the register. Private to it.

The register is a store of its own, beside the operator's: millions of rows that come from elsewhere and are replaced
whole must never wait for a letter, nor a letter for them. Hence its own metadata.

Every row of a thing says in which `revision` it last changed; revisions only grow, so what follows the register (search
index, pages of a FHIR reader) asks for what is above the last it saw. What a change replaces is kept for a while in
`superseded`, so that pages begun before still show one snapshot.

`*_key` columns hold `documents.words.fold` of the whole field: what prefix and substring searches compare. Texts are
ordered octet by octet on either store, whatever the language of the server: a prefix is then a range of an index.
"""

from typing import Any

import sqlalchemy as sa

from vaguemestre.storage.database import Identifier

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _id() -> "sa.Column[int]":
    return sa.Column("id", Identifier, primary_key=True, autoincrement=False)


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, _Text, nullable=False, server_default="")


def _standing() -> "tuple[sa.Column[bool], sa.Column[str], sa.Column[int]]":
    return (
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )


# What the store itself is: its version, its edition (another one where the register was built anew).
facts = sa.Table(
    "facts", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)

revisions = sa.Table(
    "revisions",
    metadata,
    _id(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    _text("stamp"),
    _text("summary"),  # JSON
)

# The words of codes, as the sources give them; `system` is the nomenclature's name (TRE_G15-ProfessionSante).
labels = sa.Table(
    "labels",
    metadata,
    sa.Column("system", sa.Text, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    _text("label"),
    sqlite_with_rowid=False,
)

practitioners = sa.Table(
    "practitioners",
    metadata,
    _id(),
    _text("national_id"),
    _text("rpps"),
    _text("civility"),
    _text("title"),
    _text("family"),
    _text("given"),
    _text("family_key"),
    _text("given_key"),
    _text("profession"),
    _text("category"),
    *_standing(),
)

qualifications = sa.Table(
    "qualifications",
    metadata,
    sa.Column("practitioner_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("type", sa.Text, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    sqlite_with_rowid=False,
)

cards = sa.Table(
    "cards",
    metadata,
    sa.Column("practitioner_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Text, primary_key=True),
    _text("type"),
    _text("starts_on"),
    _text("ends_on"),
    _text("opposed_on"),
    sqlite_with_rowid=False,
)

activities = sa.Table(
    "activities",
    metadata,
    _id(),
    _text("identifier"),
    sa.Column("practitioner_id", sa.BigInteger, nullable=False),
    sa.Column("organization_id", sa.BigInteger, nullable=True),
    _text("profession"),
    _text("category"),
    _text("mode"),
    _text("function"),
    _text("genre"),
    _text("section"),
    *_standing(),
)

organizations = sa.Table(
    "organizations",
    metadata,
    _id(),
    _text("technical_id"),
    _text("finess"),
    _text("legal_finess"),
    _text("siret"),
    _text("siren"),
    _text("rpps_rank"),
    _text("name"),
    _text("sign"),
    _text("name_key"),
    _text("line_key"),  # of number, repetition, type and name of the street, a space apart
    _text("sector"),
    _text("category"),
    _text("recipient"),
    _text("point"),
    _text("number"),
    _text("repetition"),
    _text("street_type"),
    _text("street"),
    _text("mention"),
    _text("cedex"),
    _text("postcode"),
    _text("commune"),
    _text("city"),
    _text("city_key"),
    _text("department"),
    _text("country"),
    _text("phone"),
    _text("phone2"),
    _text("fax"),
    _text("email"),
    _text("registrar"),
    sa.Column("parent_id", sa.BigInteger, nullable=True),
    *_standing(),
)

# The same address may have two bearers in what is published (169 had, in August 2026).
addresses = sa.Table(
    "addresses",
    metadata,
    _id(),
    _text("address"),  # as published; compared in lower case
    _text("address_key"),  # in lower case
    _text("domain"),  # in lower case
    _text("kind"),
    sa.Column("practitioner_id", sa.BigInteger, nullable=True),
    sa.Column("organization_id", sa.BigInteger, nullable=True),
    _text("service"),
    _text("description"),
    _text("responsible"),
    sa.Column("rank", sa.Integer, nullable=True),
    sa.Column("digitization", sa.Boolean, nullable=True),
    sa.Column("red_list", sa.Boolean, nullable=False, server_default=sa.false()),
    _text("operator"),
    sa.Column("published_at", sa.BigInteger, nullable=False),
    *_standing(),
)

# Resources that only the national API gives, kept as they came: Device, HealthcareService.
resources = sa.Table(
    "resources",
    metadata,
    sa.Column("type", sa.Text, primary_key=True),
    sa.Column("technical_id", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),  # JSON
    *_standing(),
    sqlite_with_rowid=False,
)

# The names that are not one word: each part from one of its words on, folded and with single spaces. `field` is f or g,
# family or given. A name of one word stands in its key alone. Kept by `spellings`.
spellings = sa.Table(
    "spellings",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),  # the practitioner's
    sa.Column("field", _Text, primary_key=True),
    sa.Column("key", _Text, primary_key=True),
    sqlite_with_rowid=False,
)

# Which row a resource of the national API is: `technical_id` is the resource's id there.
counterparts = sa.Table(
    "counterparts",
    metadata,
    sa.Column("type", sa.Text, primary_key=True),
    sa.Column("technical_id", sa.Text, primary_key=True),
    sa.Column("id", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What rows were before a revision changed them, as JSON of the row: `thing` is the table's name.
superseded = sa.Table(
    "superseded",
    metadata,
    sa.Column("thing", sa.Text, primary_key=True),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),  # the one that replaced it
    sa.Column("content", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# The extraction files taken in last, one of each kind: its name and stamp, the revision it made, the digests of all its
# passages (64 bits each, in the machine's order).
readings = sa.Table(
    "readings",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    _text("name"),
    _text("stamp"),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("digests", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# What was read of the extraction files: each passage by its digest; whom or which address each of its lines is of, a line
# each, and a check of each of them (32 bits). Kept by `passages`.
passages = sa.Table(
    "passages",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("digest", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("subjects", sa.LargeBinary, nullable=False),
    sa.Column("checks", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# How many practise, and how many of them have an address: by month (AAAA-MM), profession, department and operator. Rows of
# operator "" count each person once, whatever the operators.
adoption = sa.Table(
    "adoption",
    metadata,
    sa.Column("month", sa.Text, primary_key=True),
    sa.Column("profession", sa.Text, primary_key=True),
    sa.Column("department", sa.Text, primary_key=True),
    sa.Column("operator", sa.Text, primary_key=True),
    sa.Column("practising", sa.Integer, nullable=False),
    sa.Column("addressed", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)


def _where(column: "sa.Column[str]") -> dict[str, Any]:
    """Only rows that have a value: for columns that few rows fill. A query says `<> ''` too, or it goes without."""
    return {"sqlite_where": column != "", "postgresql_where": column != ""}


# What bearers of addresses are found by, while a register is built.
BEARERS = (
    sa.Index("uq_practitioners_national_id", practitioners.c.national_id, unique=True),
    sa.Index("uq_organizations_technical_id", organizations.c.technical_id, unique=True),
    sa.Index("ix_organizations_finess", organizations.c.finess),
    sa.Index("ix_organizations_siret", organizations.c.siret),
    sa.Index("ix_organizations_rpps_rank", organizations.c.rpps_rank, **_where(organizations.c.rpps_rank)),
)
# Made once the rows are there, where a register is built whole: sorted, an index is written many times as fast.
INDEXES = (
    *BEARERS,
    sa.Index("ix_practitioners_rpps", practitioners.c.rpps),
    sa.Index("ix_practitioners_family_key", practitioners.c.family_key, practitioners.c.given_key),
    sa.Index("ix_practitioners_given_key", practitioners.c.given_key, practitioners.c.family_key),
    sa.Index("ix_practitioners_revision", practitioners.c.revision, practitioners.c.id),
    sa.Index("ix_spellings_key", spellings.c.field, spellings.c.key, spellings.c.id),
    sa.Index("ix_qualifications_code", qualifications.c.code, qualifications.c.practitioner_id),
    sa.Index("ix_qualifications_type", qualifications.c.type, qualifications.c.practitioner_id),
    sa.Index("ix_cards_number", cards.c.number),
    sa.Index("ix_cards_type", cards.c.type, cards.c.practitioner_id),
    sa.Index("ix_activities_identifier", activities.c.identifier),
    sa.Index("ix_activities_function", activities.c.function),
    sa.Index("ix_activities_practitioner_id", activities.c.practitioner_id),
    sa.Index("ix_activities_organization_id", activities.c.organization_id),
    sa.Index("ix_activities_revision", activities.c.revision, activities.c.id),
    sa.Index("ix_organizations_name_key", organizations.c.name_key),
    sa.Index("ix_organizations_city_key", organizations.c.city_key),
    sa.Index("ix_organizations_postcode", organizations.c.postcode),
    sa.Index("ix_organizations_parent_id", organizations.c.parent_id),
    sa.Index("ix_organizations_legal_finess", organizations.c.legal_finess, **_where(organizations.c.legal_finess)),
    sa.Index("ix_organizations_siren", organizations.c.siren, **_where(organizations.c.siren)),
    sa.Index("ix_organizations_sector", organizations.c.sector),
    sa.Index("ix_organizations_category", organizations.c.category, **_where(organizations.c.category)),
    sa.Index("ix_organizations_commune", organizations.c.commune),
    sa.Index("ix_organizations_line_key", organizations.c.line_key),
    sa.Index("ix_organizations_revision", organizations.c.revision, organizations.c.id),
    sa.Index("ix_addresses_address_key", addresses.c.address_key),
    sa.Index("ix_addresses_domain", addresses.c.domain, addresses.c.practitioner_id),
    sa.Index("ix_addresses_domain_organization", addresses.c.domain, addresses.c.organization_id),
    sa.Index("ix_addresses_practitioner_id", addresses.c.practitioner_id),
    sa.Index("ix_addresses_organization_id", addresses.c.organization_id),
    sa.Index("ix_addresses_revision", addresses.c.revision, addresses.c.id),
    sa.Index("ix_superseded_revision", superseded.c.revision),
)
