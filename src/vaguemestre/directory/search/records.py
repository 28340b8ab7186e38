"""What the index keeps of each person and structure: everything that a result shows, read by one key.

What it keeps true: an address on the red list, or withdrawn, is in no record; a person withdrawn has a record that says so,
and nothing else of theirs. A record is a JSON array, decoded without asking the register anything.

A *thing* is the number of a record: a person's is the practitioner's id, a structure's is the organization's above 2^40.
"""

from typing import Final

import msgspec

STRUCTURES: Final = 1 << 40


class Place(msgspec.Struct, array_like=True, frozen=True):
    """Where somebody practises, or a structure stands. `line` is the number and the street."""

    organization_id: int
    name: str
    sign: str
    line: str
    postcode: str
    city: str
    department: str
    finess: str
    siret: str
    sector: str


class Mailbox(msgspec.Struct, array_like=True, frozen=True):
    """An address; `place` is the index of its place in the record, -1 where it has none. `revision` dates its source."""

    address: str
    kind: str
    place: int
    rank: int | None
    service: str
    description: str
    operator: str
    origin: str
    published_at: int
    revision: int


class Person(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """A practitioner. `professions` and `know_how` are codes, the profession shown first first."""

    id: int
    national_id: str
    rpps: str
    civility: str
    title: str
    family: str
    given: str
    active: bool
    professions: list[str]
    know_how: list[str]
    places: list[Place]
    mailboxes: list[Mailbox]
    origin: str
    revision: int

    @property
    def thing(self) -> int:
        """The number of this record."""
        return self.id


class Structure(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """An organization: its own place comes first and alone."""

    id: int
    technical_id: str
    active: bool
    places: list[Place]
    mailboxes: list[Mailbox]
    origin: str
    revision: int

    @property
    def thing(self) -> int:
        """The number of this record."""
        return STRUCTURES + self.id


Record = Person | Structure

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Person | Structure).decode
