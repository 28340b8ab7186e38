"""What FETCH gives: envelopes, structures, sections, parts of them. RFC 9051 §6.4.5, §7.5; RFC 3516, 8970, 8514, 5161."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest

from simulators.imap_peer import ImapPeer
from simulators.letters import NESTED, letter

needs, deviates = pytest.mark.needs, pytest.mark.deviates


@pytest.fixture
def nested(one: ImapPeer) -> ImapPeer:
    """A session with the nested letter as its only message."""
    one.append(NESTED)
    one.ok("NOOP")
    return one


def lower(value: Any) -> Any:
    """Strings of a structure in lower case, as text."""
    if isinstance(value, tuple):
        return tuple(map(lower, value))
    return value.decode().lower() if isinstance(value, bytes) else value


def section(name: str) -> bytes:
    """A piece of the nested letter, found without an IMAP server."""
    outer = NESTED.split(b"--dehors\r\n")
    inner = outer[2].partition(b"\r\n\r\n")[2]
    inner = inner.removesuffix(b"\r\n")
    parts = {
        "HEADER": NESTED.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        "TEXT": NESTED.partition(b"\r\n\r\n")[2],
        "1": outer[1].partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"),
        "1.MIME": outer[1].partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        "2": inner,
        "2.MIME": outer[2].partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        "2.HEADER": inner.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        "2.TEXT": inner.partition(b"\r\n\r\n")[2],
        "2.1": b"Interieur",
        "2.2": b"iVBORw0KGgo=",
        "3": b"JVBERi0xLjQ=",
    }
    return parts[name]


def test_the_envelope(nested: ImapPeer) -> None:
    (found,) = nested.fetch(1, "ENVELOPE").values()
    claire = (b"Dr Claire Martin", None, b"claire", b"nord.mssante.fr")
    assert found["ENVELOPE"] == (
        b"Sun, 1 Mar 2026 12:00:00 +0100",
        b"=?utf-8?b?UmFkaW8gZGUgY29udHLDtGxl?=",
        (claire,),
        ((None, None, b"secretariat", b"nord.mssante.fr"),),
        ((None, None, b"reponses", b"nord.mssante.fr"),),
        ((b"Karim Benali", None, b"karim", b"sud.mssante.fr"), (None, None, b"awa", b"sud.mssante.fr")),
        ((b"=?utf-8?q?Lucie_Lef=C3=A8vre?=", None, b"lucie", b"sud.mssante.fr"),),
        None,
        b"<avant@sud.mssante.fr>",
        b"<imbrique@nord.mssante.fr>",
    )


def test_sender_and_reply_to_default_to_from(one: ImapPeer) -> None:
    one.append(letter())
    one.ok("NOOP")
    envelope = one.fetch(1, "ENVELOPE")[1]["ENVELOPE"]
    assert envelope[2] == envelope[3] == envelope[4]
    assert envelope[6:9] == (None, None, None)


@pytest.mark.parametrize(
    ("field", "addresses"),
    [
        (
            "Groupe: a@x.fr, b@x.fr;",
            (
                (None, None, b"Groupe", None),
                (None, None, b"a", b"x.fr"),
                (None, None, b"b", b"x.fr"),
                (None, None, None, None),
            ),
        ),
        ("undisclosed-recipients:;", ((None, None, b"undisclosed-recipients", None), (None, None, None, None))),
        ('"A \\"B\\" C" <a@x.fr>', ((b'A "B" C', None, b"a", b"x.fr"),)),
        ("a@x.fr (Un commentaire)", None),
    ],
)
def test_addresses(one: ImapPeer, field: str, addresses: tuple[Any, ...] | None) -> None:
    """RFC 9051 §7.5.2: groups are told by a start and an end."""
    one.append(letter(To=field))
    one.ok("NOOP")
    found = one.fetch(1, "ENVELOPE")[1]["ENVELOPE"][5]
    if addresses is not None:
        assert found == addresses
    else:
        assert found[0][2:] == (b"a", b"x.fr")


def test_the_body_structure(nested: ImapPeer) -> None:
    structure = lower(nested.fetch(1, "BODYSTRUCTURE")[1]["BODYSTRUCTURE"])
    text, message, pdf, kind, parameters, *_ = structure
    assert kind == "mixed"
    assert parameters == ("boundary", "dehors")
    assert text[:7] == ("text", "plain", ("charset", "utf-8"), None, None, "quoted-printable", len(section("1")))
    assert text[7] in (1, 2)  # the last line has no end
    inner = nested.body(1, "2")
    assert message[:7] == ("message", "rfc822", None, None, "lettre jointe", "7bit", len(inner))
    assert message[7][1] == "dedans"
    inner_text, inner_image, inner_kind, *_ = message[8]
    assert inner_kind == "alternative"
    assert inner_text[:2] == ("text", "plain")
    assert inner_text[6] == 9
    assert inner_image[:7] == ("image", "png", ("name", "dent.png"), "<dent@sud>", None, "base64", 12)
    assert inner_image[8] == ("inline", ("filename", "dent.png"))
    assert message[9] - inner.count(b"\n") in (0, 1)
    assert pdf[:7] == ("application", "pdf", ("name", "cr.pdf"), None, None, "base64", 12)
    assert pdf[7] == "1b2m2y8asgtpgamy7phcfg=="
    assert pdf[8] == ("attachment", ("filename", "cr.pdf"))
    assert lower(pdf[9]) in ("fr", ("fr",))


def test_body_is_the_structure_without_extensions(nested: ImapPeer) -> None:
    body = lower(nested.fetch(1, "BODY")[1]["BODY"])
    assert len(body) == 4
    assert len(body[0]) == 8
    assert len(body[2]) == 7


_LONGER = "gives the line end before the outer delimiter to the inner message"
longer = [deviates("dovecot", _LONGER), deviates("ours", _LONGER + ", as mail programs are used to")]


@pytest.mark.parametrize(
    "name",
    [
        "HEADER",
        "TEXT",
        "1",
        "1.MIME",
        pytest.param("2", marks=longer),
        "2.MIME",
        "2.HEADER",
        pytest.param("2.TEXT", marks=longer),
        "2.1",
        "2.2",
        "3",
    ],
)
def test_sections(nested: ImapPeer, name: str) -> None:
    assert nested.body(1, name) == section(name)


@pytest.mark.parametrize("name", ["4", "1.1.1", "2.9", "3.HEADER"])
def test_a_section_that_is_not_there_is_empty(nested: ImapPeer, name: str) -> None:
    assert nested.body(1, name) == b""


def test_a_letter_of_one_part_has_part_one(one: ImapPeer) -> None:
    one.append(letter("Simple", "Une ligne\r\n"))
    one.ok("NOOP")
    assert one.body(1, "1") == one.body(1, "TEXT") == b"Une ligne\r\n"
    assert one.body(1, "1.MIME") == one.body(1, "HEADER")


def test_header_fields_chosen(nested: ImapPeer) -> None:
    chosen = nested.body(1, "HEADER.FIELDS (subject X-None FROM)")
    assert chosen == (
        b'From: "Dr Claire Martin" <claire@nord.mssante.fr>\r\nSubject: =?utf-8?b?UmFkaW8gZGUgY29udHLDtGxl?=\r\n\r\n'
    )
    others = nested.body(1, "HEADER.FIELDS.NOT (SUBJECT FROM)")
    assert b"Subject" not in others
    assert b"Reply-To: reponses@nord.mssante.fr\r\n" in others
    assert others.endswith(b"\r\n\r\n")
    assert nested.body(1, "2.HEADER.FIELDS (SUBJECT)") == b"Subject: Dedans\r\n\r\n"
    assert nested.body(1, "HEADER.FIELDS (X-None)") == b"\r\n"


def test_folded_fields_come_whole(one: ImapPeer) -> None:
    one.append(b"Subject: un\r\n deux\r\n\ttrois\r\nTo: a@x.fr\r\n\r\n.\r\n")
    one.ok("NOOP")
    assert one.body(1, "HEADER.FIELDS (SUBJECT)") == b"Subject: un\r\n deux\r\n\ttrois\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "count"), [(0, 10), (5, 1), (0, 100_000), (100_000, 10), (len(NESTED) - 1, 5), (len(NESTED), 1)]
)
def test_part_of_a_body(nested: ImapPeer, start: int, count: int) -> None:
    (found,) = nested.fetch(1, f"BODY.PEEK[]<{start}.{count}>").values()
    name, value = next((name, value) for name, value in found.items() if name.startswith("BODY"))
    assert name == f"BODY[]<{start}>"
    assert (value or b"") == NESTED[start : start + count]


def test_reading_marks_as_read_and_peeking_does_not(nested: ImapPeer) -> None:
    nested.fetch(1, "(BODY.PEEK[] RFC822.HEADER BODY.PEEK[1] ENVELOPE BODYSTRUCTURE)")
    assert list(nested.flags().values()) == [frozenset()]
    answer = nested.ok("FETCH 1 BODY[1]")
    assert any("\\Seen" in str(each.values) for each in answer.of("FETCH"))
    assert list(nested.flags().values()) == [frozenset({"\\Seen"})]


def test_old_names(nested: ImapPeer) -> None:
    found = nested.fetch(1, "(RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)")[1]
    assert found["RFC822"] == NESTED
    assert found["RFC822.HEADER"] == section("HEADER")
    assert found["RFC822.TEXT"] == section("TEXT")
    assert found["RFC822.SIZE"] == len(NESTED)


@pytest.mark.parametrize(
    ("macro", "items"),
    [
        ("FAST", {"FLAGS", "INTERNALDATE", "RFC822.SIZE"}),
        ("ALL", {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"}),
        ("FULL", {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"}),
    ],
)
def test_macros(nested: ImapPeer, macro: str, items: set[str]) -> None:
    assert set(nested.fetch(1, macro)[1]) == items


def test_sets_of_every_shape(one: ImapPeer) -> None:
    for number in range(5):
        one.append(letter(str(number)))
    one.ok("NOOP")
    for which, numbers in {
        "1": [1],
        "*": [5],
        "2:4": [2, 3, 4],
        "4:2": [2, 3, 4],
        "4:*": [4, 5],
        "*:4": [4, 5],
        "1,3,5": [1, 3, 5],
        "5,1:2,2": [1, 2, 5],
    }.items():
        assert sorted(one.fetch(which, "UID")) == numbers, which
    one.ok(r"STORE 3 +FLAGS.SILENT (\Deleted)")
    one.ok("EXPUNGE")
    assert sorted(one.uid_fetch("2:4", "FLAGS")) == [2, 4]
    assert sorted(one.uid_fetch("100:*", "FLAGS")) == [5]
    assert one.uid_fetch("3", "FLAGS") == {}
    assert one.command("FETCH 9 FLAGS").status in ("BAD", "NO")


# Extensions


@needs("BINARY")
def test_binary_undoes_the_transfer_encoding(nested: ImapPeer) -> None:
    """RFC 3516."""
    found = nested.fetch(1, "(BINARY.PEEK[3] BINARY.SIZE[3] BINARY.PEEK[1] BINARY.PEEK[2.2])")[1]
    pdf = base64.b64decode("JVBERi0xLjQ=")
    assert found["BINARY[3]"] == pdf
    assert found["BINARY.SIZE[3]"] == len(pdf)
    assert found["BINARY[1]"] == "Cher confrère,\r\nvoici la radio.".encode()
    assert found["BINARY[2.2]"] == base64.b64decode("iVBORw0KGgo=")
    (part,) = nested.fetch(1, "BINARY.PEEK[3]<1.3>").values()
    assert part["BINARY[3]<1>"] == pdf[1:4]
    assert list(nested.flags().values()) == [frozenset()]
    nested.ok("FETCH 1 BINARY[3]")
    assert list(nested.flags().values()) == [frozenset({"\\Seen"})]


@needs("BINARY")
def test_an_unknown_transfer_encoding_is_told(one: ImapPeer) -> None:
    one.append(letter(Content_Transfer_Encoding="x-inconnu"))
    one.ok("NOOP")
    one.refused("FETCH 1 BINARY.PEEK[1]", code="UNKNOWN-CTE")


@needs("PREVIEW")
def test_a_preview_is_the_beginning_of_the_text(nested: ImapPeer) -> None:
    """RFC 8970: at most 256 characters, UTF-8; LAZY may give NIL."""
    preview = nested.fetch(1, "PREVIEW")[1]["PREVIEW"]
    assert preview.decode().startswith("Cher confrère,")
    assert len(preview.decode()) <= 256
    assert "PREVIEW" in nested.fetch(1, "PREVIEW (LAZY)")[1]
    assert list(nested.flags().values()) == [frozenset()]


@needs("SAVEDATE")
def test_the_date_of_saving_is_of_now_even_for_a_copy(one: ImapPeer) -> None:
    """RFC 8514."""
    one.append(letter(), when=" 1-Feb-2020 03:04:05 +0000")
    one.ok("NOOP")
    saved = datetime.strptime(one.fetch(1, "SAVEDATE")[1]["SAVEDATE"].decode().strip(), "%d-%b-%Y %H:%M:%S %z")
    assert abs(datetime.now(saved.tzinfo) - saved) < timedelta(minutes=2)
    assert one.search("SAVEDSINCE 1-Jan-2024") == [1]
    assert one.search("SAVEDBEFORE 1-Jan-2024") == []
    assert one.search("SAVEDATESUPPORTED") == [1]
    one.ok("CREATE la")
    one.ok("COPY 1 la")
    one.select("la")
    assert one.search("SAVEDSINCE 1-Jan-2024") == [1]


@needs("PARTIAL")
def test_fetch_of_a_page(one: ImapPeer) -> None:
    """RFC 9394 §3.3."""
    for number in range(6):
        one.append(letter(str(number)))
    one.ok("NOOP")
    for page, uids in {"1:2": [1, 2], "-1:-2": [5, 6], "5:9": [5, 6], "7:9": []}.items():
        found = one.ok(f"UID FETCH 1:* (FLAGS) (PARTIAL {page})").of("FETCH")
        assert sorted(each.values[0][each.values[0].index("UID") + 1] for each in found) == uids, page


# Hostile letters


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n\r\n",
        b"Subject: seul",
        b": sans nom\r\n\r\nx\r\n",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\nno part\r\n',
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\n\r\nnever closed\r\n',
        b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\n----\r\n',
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n",
        b'Content-Type: ;;;===\r\nContent-Disposition: "\r\n\r\nx\r\n',
        b'From: <<<>>>,,,;:@@\r\nTo: "\r\nCc: =?utf-8?b?%%%?=\r\nDate: never\r\n\r\nx\r\n',
        b"Subject: \xff\xfe\x80\r\nFrom: \xe9\xe8 <\xe9@x>\r\n\r\n\xff\r\n",
        b"Subject: " + b"a" * 200_000 + b"\r\n\r\nx\r\n",
        b"".join(b"X-%d: y\r\n" % number for number in range(5_000)) + b"\r\nx\r\n",
        b"To: " + b", ".join(b"a%d@x.fr" % number for number in range(10_000)) + b"\r\n\r\nx\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5_000 + b"--b--\r\n",
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(300))
        + b"\r\nx",
        b"Content-Type: message/rfc822\r\n\r\n" * 300 + b"x",
        b'Subject: ("{3}\r\nabc\r\n\r\n{5}\r\n',
        b'Content-Type: text/plain; charset="a\\"b"; name="{5}"\r\n\r\nx\r\n',
    ],
    ids=range(21),
)
def test_no_letter_hides_the_next(one: ImapPeer, content: bytes) -> None:
    """Whatever it is, it is kept, described in the grammar, and what comes after it is there."""
    if content:
        one.append(content)
    one.append(letter("Apres"))
    one.ok("NOOP")
    last = one.select().exists
    found = one.fetch("1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE)")
    assert sorted(found) == list(range(1, last + 1))
    assert all(len(each["ENVELOPE"]) == 10 for each in found.values())
    assert found[last]["ENVELOPE"][1] == b"Apres"
    if content:
        assert one.body(1) == content
    one.fetch("1:*", "(BODY.PEEK[HEADER] BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[TEXT])")
    assert last in one.search("SUBJECT Apres")
    assert one.search("BODY rien-de-tel") == []
