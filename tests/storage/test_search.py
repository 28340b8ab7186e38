"""Search finds what a reader would find, indexed or not yet, on either store; nothing that is gone, nothing of others."""

import asyncio
import base64
import random
from collections.abc import Sequence
from importlib.resources import files

import pytest
import sqlalchemy as sa

from simulators.archive import KARIM, MARIE, Archive
from simulators.french_mail import Letters
from vaguemestre.documents.compilation import Passages
from vaguemestre.documents.passages import Chapter, of_content
from vaguemestre.documents.words import sought
from vaguemestre.mailstore import search
from vaguemestre.mailstore.extraction import Extractor
from vaguemestre.mailstore.search import Field
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.storage.sheets import sheets

LETTER = """\
From: Hélène Dupont <helene.dupont@b.mssante.fr>
To: praticiens: marie@a.mssante.fr, jean@a.mssante.fr;
Cc: Secrétariat <accueil@b.mssante.fr>
Subject: Compte-rendu : radio panoramique
Message-ID: <1.a@b.mssante.fr>
X-Cabinet: Les Lilas

L’extraction de la dent nº 36 s'est bien passée.
Œdème léger.
"""
OTHER = "From: awa@c.fr\nSubject: Facture\nMessage-ID: <1@a.b.mssante.fr>\n\nPanoramique du lac.\n"
HELD = [
    (Field.TEXT, "panoramique"),
    (Field.TEXT, "anoram"),
    (Field.TEXT, "PANORAMIQUE"),
    (Field.TEXT, "e"),
    (Field.TEXT, "compte rendu"),
    (Field.TEXT, "ompte-rend"),
    (Field.TEXT, "oedeme leger"),
    (Field.TEXT, "ŒDÈME"),
    (Field.TEXT, "l'extraction"),
    (Field.TEXT, "les lilas"),
    (Field.TEXT, "1.a@b.mssante.fr"),
    (Field.TEXT, "...compte ! rendu?"),
    (Field.BODY, "dent n°36"),
    (Field.BODY, "xtraction de la dent n 3"),
    (Field.SUBJECT, "radio pano"),
    (Field.FROM, "helene"),
    (Field.FROM, "DUPONT@b.mss"),
    (Field.FROM, "elene dupont helene"),
    (Field.TO, "praticiens"),
    (Field.TO, "marie@a.mssante.fr"),
    (Field.CC, "secretariat"),
]
NOT_HELD = [
    (Field.TEXT, "panoramiques"),
    (Field.TEXT, "rendu compte"),
    (Field.TEXT, "compte radio"),
    (Field.TEXT, "x-cabinet"),
    (Field.BODY, "radio"),
    (Field.BODY, "dupont"),
    (Field.SUBJECT, "dupont"),
    (Field.FROM, "marie"),
    (Field.TO, "accueil"),
    (Field.CC, "marie"),
    (Field.BCC, "marie"),
    (Field.TO, "mssante fr jean a mssante fr absent"),
]


@pytest.fixture
def archive(database: Database, blob_store: BlobStore, extractor: Extractor) -> Archive:
    """Two empty accounts."""
    return Archive(database, blob_store, extractor)


@pytest.fixture(params=["indexed", "waiting", "both"])
def letters(request: pytest.FixtureRequest, archive: Archive) -> tuple[Archive, int, int]:
    """Marie has two letters, indexed, not yet, or one of them."""
    (letter,) = archive.deliver(LETTER)
    if request.param == "both":
        archive.index()
    (other,) = archive.deliver(OTHER)
    if request.param == "indexed":
        archive.index()
    return archive, letter, other


def test_a_text_finds_the_letter_that_holds_it(letters: tuple[Archive, int, int]) -> None:
    archive, letter, other = letters
    for field, text in HELD:
        found = archive.find(text, field)
        assert letter in found, (field, text)
        assert archive.find(text, field, among={other}) == found & {other}, (field, text)


def test_a_text_does_not_find_the_letter_without_it(letters: tuple[Archive, int, int]) -> None:
    archive, letter, _ = letters
    for field, text in NOT_HELD:
        assert letter not in archive.find(text, field), (field, text)


def test_a_text_without_a_word_finds_every_message(letters: tuple[Archive, int, int]) -> None:
    archive, letter, other = letters
    assert archive.find("") == archive.find(" -- ") == {letter, other}
    assert archive.find("", of=KARIM) == set()
    assert archive.find("", among={other}) == {other}


def test_fields_are_found_by_name_and_by_what_they_hold(letters: tuple[Archive, int, int]) -> None:
    archive, letter, other = letters
    assert archive.find_field("X-Cabinet") == archive.find_field("x-cabinet", "LILAS") == {letter}
    assert archive.find_field("cabinet") == archive.find_field("x-cabinet", "rue des lilas") == set()
    assert archive.find_field("subject") == archive.find_field("From", "") == {letter, other}
    assert archive.find_field("subject", "pano") == archive.find_field("To", "praticiens") == {letter}
    assert archive.find_field("from", "@") == {letter, other}
    assert archive.find_field("bcc") == set()
    assert archive.find_field("subject", among={other}) == {other}


def test_identifiers_are_compared_with_their_punctuation(letters: tuple[Archive, int, int]) -> None:
    archive, letter, other = letters
    assert archive.find_field("Message-ID", "<1.a@b.mssante.fr>") == {letter}
    assert archive.find_field("Message-ID", "1@A.b.mssante.fr") == {other}
    assert archive.find("1 a b mssante", Field.TEXT) == {letter, other}


def test_the_text_of_an_attached_pdf_is_found(archive: Archive) -> None:
    report = base64.encodebytes((files("vaguemestre.samples") / "report.pdf").read_bytes()).decode()
    mail = (
        "From: a@b.fr\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nCi-joint.\n--x\n"
        "Content-Type: application/pdf; name=bilan.pdf\nContent-Transfer-Encoding: base64\n\n" + report + "\n--x--\n"
    )
    (message,) = archive.deliver(mail)
    for _ in range(2):
        assert archive.find("région rétromolaire", Field.BODY) == archive.find("bilan.pdf", Field.BODY) == {message}
        archive.index()


@pytest.mark.parametrize("indexed", [False, True])
def test_what_follows_a_very_large_attachment_is_found(archive: Archive, indexed: bool) -> None:
    report = base64.encodebytes((files("vaguemestre.samples") / "report.pdf").read_bytes()).decode()
    scanned = base64.encodebytes(random.Random(1).randbytes(14_000_000)).decode()
    coded = "Content-Transfer-Encoding: base64\n\n"
    mail = (
        "From: a@b.fr\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nCi-joint.\n--x\n"
        f"Content-Type: application/dicom; name=cone.dcm\n{coded}{scanned}\n--x\n"
        f"Content-Type: application/pdf; name=bilan.pdf\n{coded}{report}\n--x\n\nPostface.\n--x--\n"
    )
    assert len(mail) > 16 * 1024 * 1024
    small, large = archive.deliver(OTHER, mail)
    if indexed:
        archive.index()
    for text in ("ci joint", "cone dcm", "cabinet dentaire des lilas", "bilan", "postface"):
        assert archive.find(text, Field.BODY) == {large}, text
    assert archive.find("du lac", Field.BODY) == {small}


def test_nothing_of_another_account_is_found(archive: Archive) -> None:
    (theirs,) = archive.deliver(LETTER, to=KARIM)
    assert archive.find("panoramique") == set()
    archive.index()
    assert archive.find("panoramique") == archive.find("e") == archive.find_field("subject") == set()
    assert archive.find("panoramique", of=KARIM) == {theirs}


@pytest.mark.parametrize("indexed", [False, True])
def test_what_is_deleted_is_found_no_more(archive: Archive, indexed: bool) -> None:
    first, second = archive.deliver(LETTER, LETTER)
    if indexed:
        archive.index()
    archive.delete(first)
    assert archive.find("panoramique") == archive.find("") == archive.find_field("subject") == {second}
    assert archive.waiting() == (0 if indexed else 1)


def test_what_is_kept_of_words_shows_none(archive: Archive) -> None:
    archive.deliver(LETTER)
    archive.index()
    assert b"panoramique" in archive.octets()
    kept = archive.database.read(lambda connection: list(connection.execute(sa.select(sheets.c.content)).scalars()))
    assert kept
    assert not any(word in bytes(content) for content in kept for word in (b"panoramique", b"dupont", b"lilas"))


def test_the_newest_are_listed_with_their_mailbox(archive: Archive) -> None:
    first, second, third = archive.deliver(LETTER, OTHER, LETTER)
    listed = archive.database.read(search.listing, archive.accounts[MARIE], {first, second, third})
    assert [(name, each.message_id) for name, each in listed] == [("INBOX", third), ("INBOX", second), ("INBOX", first)]
    assert [each.uid for _, each in archive.database.read(_two, archive.accounts[MARIE], {first, third})] == [3]


def _two(connection: object, account_id: int, message_ids: set[int]) -> object:
    return search.listing(connection, account_id, message_ids, limit=1)  # type: ignore[arg-type]


def _expected(read: dict[int, Sequence[Passages]], field: Field, text: str) -> set[int]:
    """What a reader finds who has every letter before them."""
    needle = " ".join(sought(text))
    chapters = (
        [Chapter[field.name]] if field != Field.TEXT else [each for each in Chapter if each.name != "FIELD_NAMES"]
    )
    return {
        number
        for number, passages in read.items()
        if any(needle in " ".join(words) for chapter in chapters for words in passages[chapter])
    }


@pytest.mark.parametrize("seed", range(4))
def test_at_every_moment_a_search_finds_what_reading_every_letter_finds(archive: Archive, seed: int) -> None:
    chance = random.Random(seed)
    source = Letters(seed, vocabulary=1_000)
    report = base64.encodebytes((files("vaguemestre.samples") / "report.pdf").read_bytes()).decode()
    read: dict[int, Sequence[Passages]] = {}

    def deliver() -> None:
        contents = [source.letter(chance.randrange(1000)) for _ in range(chance.randrange(1, 40))]
        if chance.random() < 0.3:
            contents.append(
                _mixed(source.text(30), report if chance.random() < 0.5 else "", chance.randrange(2_000_000))
            )
        archive.deliver(source.letter(1), to=KARIM)
        read.update(zip(archive.deliver(*contents), map(of_content, contents), strict=True))

    def delete() -> None:
        gone = chance.sample(sorted(read), min(len(read), chance.randrange(6)))
        archive.delete(*gone)
        for each in gone:
            del read[each]

    def look() -> None:
        for field in chance.sample(list(Field), 3):
            within = chance.choice([*read.values()] or [of_content(LETTER.encode())])
            words = chance.choice([each for texts in within for each in texts if each])
            start = chance.randrange(len(words))
            phrase = " ".join(words[start : start + chance.choice((1, 1, 2, 3, 5))])
            text = phrase[chance.randrange(3) : len(phrase) - chance.randrange(3)] or phrase
            among = set(chance.sample(sorted(read), len(read) // 2)) if chance.random() < 0.3 else None
            found = _expected(read, field, text)
            assert archive.find(text, field, among=among) == (found if among is None else found & among), (field, text)

    def catch_up() -> None:
        asyncio.run(archive.indexer.catch_up(archive.accounts[MARIE]))
        assert archive.waiting(MARIE) == 0

    steps = [deliver, deliver, delete, lambda: archive.indexer.work(chance.choice((1, 8, 64))), archive.index, catch_up]
    for _ in range(25):
        chance.choice(steps)()
        look()
    archive.indexer.keep_up()
    look()


def _mixed(text: str, report: str, noise: int) -> bytes:
    """A letter with a page of HTML, a file and a report."""
    coded = "Content-Transfer-Encoding: base64\r\n\r\n"
    zipped = base64.encodebytes(random.Random(noise).randbytes(noise)).decode()
    return (
        "From: a@b.fr\r\nSubject: Avis\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        f"Content-Type: text/html; charset=utf-8\r\n\r\n<p>{text}</p><b>Œd&egrave;me</b>\r\n--x\r\n"
        f"Content-Type: application/zip; name=coupes.zip\r\n{coded}{zipped}\r\n--x\r\n"
        f"Content-Type: application/pdf; name=bilan.pdf\r\n{coded}{report}\r\n--x--\r\n"
    ).encode()


def test_any_text_finds_what_reading_every_letter_finds(archive: Archive) -> None:
    chance = random.Random(7)
    source = Letters(3, vocabulary=2_000)
    contents = [source.letter(number) for number in range(150)]
    numbers = archive.deliver(*contents[:90])
    archive.index()
    numbers += archive.deliver(*contents[90:])
    read = [of_content(content) for content in contents]
    texts = [" ".join(words) for passages in read for words in passages[Chapter.BODY]]
    gone = set(chance.sample(numbers, 10))
    archive.delete(*gone)
    for _ in range(60):
        text = chance.choice(texts)
        start = chance.randrange(len(text))
        part = text[start : start + chance.choice((1, 2, 3, 5, 8, 13, 21))]
        needle = " ".join(sought(part))
        expected = {
            number
            for number, passages in zip(numbers, read, strict=True)
            if number not in gone and any(needle in " ".join(words) for words in passages[Chapter.BODY])
        }
        assert archive.find(part, Field.BODY) == expected, part
