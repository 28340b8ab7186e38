"""What people send through a server for submission: as whom, to whom, what is added and removed, and where it arrives."""

import asyncio
import random
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from simulators.caller import Answer, letter
from simulators.mail_program import MailProgram, delegate, shared_mailbox
from simulators.notices import read_notice
from simulators.operators import Operator, OperatorFactory
from simulators.patience import until
from simulators.peer import ScriptedPeer
from simulators.space import NORTH, SOUTH, THIRD, TrustSpace
from vaguemestre import app as composition
from vaguemestre import config
from vaguemestre.identity.model import ALL_RIGHTS, Rights
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.identity.traces import Trace
from vaguemestre.mailstore import accounts, sharing
from vaguemestre.mailstore.model import AccountState, Role
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.outgoing import Author, SenderRefusedError
from vaguemestre.transport.submission import Addressed

PEOPLE = ("claire", "karim", "awa", "lucie", "hugo", "ines", "paul", "rose", "sami", "zoe", "plein", "ferme", "marie")
MARIE, JEAN = "899700366240", "810000000001"
LISTEN = {"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0", "recipients": 6, "message_size": 40_000_000}


@pytest.fixture(scope="module")
def peer(space: TrustSpace) -> Iterator[ScriptedPeer]:
    """The third operator's server."""
    with ScriptedPeer(space.identity(THIRD)) as made:
        yield made


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory, peer: ScriptedPeer) -> Iterator[Operator]:
    """An operator whose people send; each test writes to a person of its own."""
    sections = {"identity": {"app_passwords": True}, "queue": {"routes": {THIRD.domain: peer.route}}}
    running = Operator(space, tmp_path_factory.mktemp("south"), SOUTH, PEOPLE, submission=LISTEN, **sections).start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def claire(south: Operator) -> tuple[str, str]:
    """What claire's program signs in with."""
    return south.let_in("claire")


@pytest.fixture
def program(south: Operator, claire: tuple[str, str]) -> Iterator[MailProgram]:
    """Claire's mail program, signed in."""
    with MailProgram.signed_in(south, claire) as made:
        yield made


CLAIRE = SOUTH.address("claire")


def content_of(south: Operator, person: str) -> bytes:
    return south.content(south.messages(person)[0])


def message_of(south: Operator, person: str) -> EmailMessage:
    read = message_from_bytes(content_of(south, person), policy=policy.default)
    assert isinstance(read, EmailMessage)
    return read


def submit(program: MailProgram, content: bytes, *recipients: str, sender: str = CLAIRE, options: str = "") -> Answer:
    return program.send(sender, recipients, content, options)


# ---- as whom


def test_nobody_sends_from_somebody_else_s_address(south: Operator, program: MailProgram) -> None:
    to = SOUTH.address("karim")
    other = SOUTH.address("awa")
    refused = program.say(f"MAIL FROM:<{other}>")
    assert refused.status == "550 5.7.1"
    assert f"Vous ne pouvez pas ecrire en tant que {other}" in refused.text
    assert program.say("MAIL FROM:<claire@nord.mssante.fr>").status == "550 5.7.1"
    assert submit(program, letter(CLAIRE, to), to).code == 250  # the connection goes on
    entries = until(lambda: south.journal("submission-refusal", "SenderRefusedError"), "it is journalled")
    assert (entries[0].facts["code"], (entries[0].personal or {})["from"]) == ("550 5.7.1", other)


@pytest.mark.parametrize(
    "head",
    [
        "From: <awa@sud.mssante.fr>",
        "From: Claire <claire@sud.mssante.fr>, Awa <awa@sud.mssante.fr>",
        "From: <claire@sud.mssante.fr>\r\nFrom: <awa@sud.mssante.fr>",
        "from :\r\n\t<awa@sud.mssante.fr>",
        "From: <claire@sud.mssante.fr>\r\nSender: <awa@sud.mssante.fr>",
        "From: <claire@sud.mssante.fr>\r\nResent-From: <awa@sud.mssante.fr>",
        'From: "claire@sud.mssante.fr" <awa@sud.mssante.fr>',
        "From: claire@sud.mssante.fr:awa@sud.mssante.fr;",
    ],
)
def test_nor_under_somebody_else_s_name_in_the_header(south: Operator, program: MailProgram, head: str) -> None:
    before = len(south.messages("lucie"))
    refused = submit(program, f"{head}\r\nSubject: x\r\n\r\nx\r\n".encode(), SOUTH.address("lucie"))
    assert refused.status == "550 5.7.1"
    assert "awa@sud.mssante.fr" in refused.text
    assert len(south.messages("lucie")) == before


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("From: Claire", "n'a pas d'adresse"),
        ("From: nobody:;", "n'a pas d'adresse"),
        ("Bonjour docteur,", "n'est pas un champ"),
        ("Bcc: <awa@sud.mssante.fr>,\r\n<hugo@sud.mssante.fr>", "n'est pas un champ"),
        (" Subject: folded from nothing", "n'est pas un champ"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_with_the_reason(
    south: Operator, program: MailProgram, head: str, words: str
) -> None:
    before = len(south.messages("lucie"))
    refused = submit(program, f"{head}\r\nSubject: x\r\n\r\nx\r\n".encode(), SOUTH.address("lucie"))
    assert refused.status == "554 5.6.0"
    assert words in refused.text
    assert len(south.messages("lucie")) == before


def test_another_address_of_the_account_is_one_s_own(south: Operator, program: MailProgram) -> None:
    south.write(accounts.add_address, SOUTH.address("marie"), SOUTH.address("cabinet.marie"))
    with MailProgram.signed_in(south, south.let_in("marie")) as hers:
        sender, to = SOUTH.address("Cabinet.Marie"), SOUTH.address("hugo")
        assert submit(hers, letter(sender, to), to, sender=sender).code == 250
    assert CLAIRE not in str(message_of(south, "hugo")["From"])


def test_a_delegated_address_is_accepted_and_the_mail_is_that_mailbox_s(south: Operator) -> None:
    """A practitioner sends as the practice from their own program; colleagues see who it was, the recipient does not."""
    practice, _ = shared_mailbox(south, "cabinet", JEAN, "Jean Secretaire", ALL_RIGHTS)
    south.write(sharing.bind_holder, SOUTH.address("paul"), MARIE, "Dr Paul", ADMINISTRATOR)
    secret = south.write(sharing.add_app_password, SOUTH.address("paul"), MARIE, "portable", ADMINISTRATOR).secret
    to = SOUTH.address("ines")
    with MailProgram.signed_in(south, (SOUTH.address("paul"), secret)) as program:
        assert program.say(f"MAIL FROM:<{practice}>").status == "550 5.7.1"
    delegate(south, practice, MARIE, "Dr Paul", ALL_RIGHTS)
    assert south.command("account", "keep-sent", practice, "on").exit_code == 0
    with MailProgram.signed_in(south, (SOUTH.address("paul"), secret)) as program:
        forged = letter(practice, to, extra="X-Sent-By: somebody else")
        assert submit(program, forged, to, sender=practice).code == 250
    (sent,) = south.messages("cabinet", Role.SENT)
    assert b"X-Sent-By: Dr Paul <899700366240>\r\n" in south.content(sent)
    received = content_of(south, "ines")
    assert b"X-Sent-By" not in received
    assert b"Paul" not in received
    entry = south.journal("submission")[-1]
    assert (entry.personal or {})["person"] == MARIE
    assert south.messages("paul", Role.SENT) == []


def test_who_may_only_read_a_mailbox_does_not_write_from_it(south: Operator) -> None:
    secretariat, secret = shared_mailbox(south, "accueil", JEAN, "Jean", Rights.READ)
    with MailProgram.signed_in(south, (secretariat, secret)) as program:
        for sender in (secretariat, ""):
            refused = program.say(f"MAIL FROM:<{sender}>")
            assert refused.status == "550 5.7.1"
            assert "mais pas ecrire en son nom" in refused.text


def test_a_read_receipt_leaves_from_nobody_and_under_one_s_own_name(south: Operator, program: MailProgram) -> None:
    """RFC 8098 §3: the null reverse-path."""
    to = SOUTH.address("karim")
    assert submit(program, letter(CLAIRE, to, "Lu"), to, sender="").code == 250
    assert submit(program, letter(SOUTH.address("awa"), to, "Lu"), to, sender="").status == "550 5.7.1"


# ---- to whom


@pytest.mark.parametrize(
    ("recipient", "status", "words"),
    [
        ("personne@sud.mssante.fr", "550 5.1.1", "personne@sud.mssante.fr : Il n'y a pas de boite"),
        ("claire@example.org", "550 5.7.1", "Le domaine example.org n'est pas inscrit dans l'espace de confiance"),
        ("claire@[192.0.2.1]", "550 5.7.1", "n'est pas inscrit"),
        ("plein@sud.mssante.fr", "452 4.2.2", "La boite du destinataire est pleine"),
        ("ferme@sud.mssante.fr", "550 5.2.1", "ferme@sud.mssante.fr : Cette boite est fermee"),
    ],
)
def test_a_recipient_who_cannot_be_written_to_is_refused_at_once(
    south: Operator, program: MailProgram, recipient: str, status: str, words: str
) -> None:
    south.write(accounts.change_quota, SOUTH.address("plein"), 10)
    south.write(accounts.change_state, SOUTH.address("ferme"), AccountState.CLOSED)
    mail, refused, good = program.envelope(CLAIRE, recipient, SOUTH.address("hugo"), options="SIZE=500")
    assert (mail.code, good.code) == (250, 250)
    assert refused.status == status
    assert words in refused.text
    until(
        lambda: [each for each in south.journal("submission-refusal") if (each.personal or {})["to"] == [recipient]],
        "it is journalled",
    )


def test_while_nobody_knows_the_trust_space_others_are_to_be_tried_later(
    space: TrustSpace, operator: OperatorFactory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    missing = tmp_path_factory.mktemp("nothing") / "list.xml"
    listen = {"listen": "127.0.0.1:0", "listen_tls": ""}
    alone = operator(
        SOUTH,
        ("claire", "karim"),
        submission=listen,
        identity={"app_passwords": True},
        trust=space.trust(missing),
    ).start()
    with MailProgram.signed_in(alone, alone.let_in("claire")) as program:
        _, here, there = program.envelope(CLAIRE, SOUTH.address("karim"), NORTH.address("claire"))
        assert (here.code, there.status) == (250, "451 4.7.1")


def test_one_message_has_no_more_recipients_than_the_operator_says(program: MailProgram) -> None:
    answers = program.envelope(CLAIRE, *[f"r{number}@{THIRD.domain}" for number in range(7)])
    assert [answer.status for answer in answers[1:]] == ["250 2.1.5"] * 6 + ["452 4.5.3"]


def test_recipients_here_and_elsewhere_at_once(south: Operator, program: MailProgram, peer: ScriptedPeer) -> None:
    here, there = SOUTH.address("awa"), THIRD.address("zoe")
    content = letter(CLAIRE, here, "Ici et ailleurs", extra=f"Cc: <{there}>")
    before = len(peer.taken)
    assert submit(program, content, here, there, here).code == 250
    (message,) = south.messages("awa")
    assert south.content(message).endswith(content)
    (taken,) = until(lambda: peer.taken[before:], "the other operator has it")
    assert (taken.reverse_path, [rcpt.forward_path.text for rcpt in taken.recipients]) == (CLAIRE, [there])
    assert taken.content.endswith(content)


def test_postmaster_alone_is_ours(south: Operator, program: MailProgram) -> None:
    south.write(accounts.add_address, SOUTH.address("rose"), SOUTH.address("postmaster"))
    program.say(f"MAIL FROM:<{CLAIRE}>")
    assert program.say("RCPT TO:<Postmaster>").code == 250
    program.say("RSET")


# ---- content


def test_blind_copies_are_named_to_no_recipient(south: Operator, program: MailProgram, peer: ScriptedPeer) -> None:
    here, blind, there = SOUTH.address("rose"), SOUTH.address("sami"), THIRD.address("paul")
    extra = f"bcc :\n <{blind}>,\n\t<secret@{THIRD.domain}>\nResent-Bcc: <{blind}>\nX-Kept: yes"
    head, _, text = letter(CLAIRE, here, "Sans temoin").partition(b"\r\n\r\n")
    content = (
        head + b"\r\n" + extra.replace("\n", "\r\n").encode() + b"\r\nCc: <" + there.encode() + b">\r\n\r\n" + text
    )
    before = len(peer.taken)
    assert submit(program, content, here, blind, there).code == 250
    (taken,) = until(lambda: peer.taken[before:], "the other operator has it")
    for source in (content_of(south, "rose"), content_of(south, "sami"), taken.content):
        assert b"bcc" not in source.lower()
        assert b"sami@" not in source
        assert b"secret@" not in source
        assert b"X-Kept: yes\r\n" in source


def test_what_a_header_lacks_is_supplied_and_the_rest_stays(south: Operator, program: MailProgram) -> None:
    raw = b'Subject: caf\xe9 en latin-1, et \xc3\xa9 en UTF-8\r\nDate:\r\nTo: "\xe9t\xe9" <zoe@sud.mssante.fr>\r\n\r\nx\r\n'
    assert submit(program, raw, SOUTH.address("zoe"), options="BODY=8BITMIME").code == 250
    source = content_of(south, "zoe")
    read = message_of(south, "zoe")
    assert str(read["From"]) == f"Dr Claire <{CLAIRE}>"
    assert read["Date"].datetime is not None
    assert str(read["Message-ID"]).endswith(f"@{SOUTH.domain}>")
    assert [len(read.get_all(name, [])) for name in ("From", "Date", "Message-ID")] == [1, 1, 1]
    assert b"Subject: caf\xe9 en latin-1, et \xc3\xa9 en UTF-8\r\n" in source
    assert b"\x98" not in source
    assert source.startswith(b"Received: by mail.sud.mssante.fr (Vaguemestre) with ESMTPSA id ")
    assert b"127.0.0.1" not in source  # where the author was is nobody's business


def test_the_trace_names_what_the_message_came_by(south: Operator, program: MailProgram) -> None:
    """RFC 3848 (A: signed in, S: over TLS), RFC 6531 §4.3."""
    to = SOUTH.address("awa")
    for options, protocol in (("", b"ESMTPSA"), ("BODY=8BITMIME SMTPUTF8", b"UTF8SMTPSA")):
        before = {each.blob_id for each in south.messages("awa")}
        assert submit(program, letter(CLAIRE, to, f"Par {protocol.decode()}"), to, options=options).code == 250
        until(lambda: len(south.messages("awa")) > len(before), "the message")  # noqa: B023 - awaited here
        (new,) = (each for each in south.messages("awa") if each.blob_id not in before)
        assert south.content(new).split(b"\r\n")[0].split(b" id ")[0].endswith(b" (Vaguemestre) with " + protocol)


def test_a_message_without_a_body_or_without_a_header(south: Operator, program: MailProgram) -> None:
    to = SOUTH.address("zoe")
    assert submit(program, f"From: <{CLAIRE}>\r\nSubject: tout est dit\r\n".encode(), to).code == 250
    assert submit(program, b"\r\nUn mot.\r\n", to).code == 250
    assert message_of(south, "zoe").get_content().strip() == "Un mot."


@pytest.mark.parametrize("chunked", [False, True], ids=["DATA", "BDAT"])
def test_twenty_megabytes(south: Operator, program: MailProgram, chunked: bool) -> None:
    to = SOUTH.address("hugo")
    line = random.Random(chunked).randbytes(38).hex().encode() + b"\r\n"
    content = letter(CLAIRE, to, f"Panoramique {chunked}") + line * (20_000_000 // len(line))
    if chunked:
        program.envelope(CLAIRE, to)
        for start in range(0, len(content), 1_000_000):
            piece = content[start : start + 1_000_000]
            last = " LAST" if start + 1_000_000 >= len(content) else ""
            program.write(f"BDAT {len(piece)}{last}\r\n".encode() + piece)
            assert program.answer().code == 250
    else:
        assert submit(program, content, to, options=f"SIZE={len(content)}").code == 250
    assert content_of(south, "hugo").endswith(content)


@pytest.mark.parametrize("announced", [True, False])
def test_a_message_too_large_is_refused(program: MailProgram, announced: bool) -> None:
    to = SOUTH.address("hugo")
    content = letter(CLAIRE, to) + b"0123456789012345678901234567890123456789\r\n" * 1_000_000
    if announced:
        assert program.say(f"MAIL FROM:<{CLAIRE}> SIZE={len(content)}").status == "552 5.3.4"
    else:
        assert submit(program, content, to).status == "552 5.3.4"
    assert program.say("NOOP").code == 250


def test_pipelined_with_one_recipient_refused(south: Operator, program: MailProgram) -> None:
    to = SOUTH.address("karim")
    program.write(f"MAIL FROM:<{CLAIRE}>\r\nRCPT TO:<personne@{SOUTH.domain}>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode())
    assert [program.answer().code for _ in range(4)] == [250, 550, 250, 354]
    program.write(letter(CLAIRE, to, "D'un trait") + b".\r\n")
    assert program.answer().code == 250
    assert south.messages("karim")[0].summary.subject == "D'un trait"


# ---- what remains


def test_delivery_here_is_told_to_who_asked(south: Operator) -> None:
    login = south.let_in("ines")
    with MailProgram.signed_in(south, login) as program:
        to = SOUTH.address("awa")
        program.say(f"MAIL FROM:<{login[0]}> RET=HDRS ENVID=QQ314159")
        assert program.say(f"RCPT TO:<{to}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{to}").code == 250
        program.say("DATA")
        program.write(letter(login[0], to, "Recommande") + b".\r\n")
        assert program.answer().code == 250
    notice = read_notice(
        until(
            lambda: [
                content for content in map(south.content, south.messages("ines")) if b"multipart/report" in content
            ],
            "the notification",
        )[0]
    )
    assert (notice.fields["Action"], notice.fields["Original-Envelope-Id"]) == ("delivered", "QQ314159")
    assert notice.fields["Original-Recipient"] == f"rfc822; {to}"


def test_a_copy_is_filed_where_the_account_wants_it(south: Operator) -> None:
    login = south.let_in("lucie")
    to = SOUTH.address("karim")
    with MailProgram.signed_in(south, login) as program:
        assert submit(program, letter(login[0], to), to, sender=login[0]).code == 250
        assert south.messages("lucie", Role.SENT) == []
        assert south.command("account", "keep-sent", login[0], "on").exit_code == 0
        assert submit(program, letter(login[0], to, "Classee"), to, sender=login[0]).code == 250
        assert submit(program, letter(login[0], to, "Accuse"), to, sender="").code == 250
        (sent,) = south.messages("lucie", Role.SENT)
        assert sent.summary.subject == "Classee"
        assert south.command("account", "keep-sent", login[0], "off").exit_code == 0
        assert submit(program, letter(login[0], to), to, sender=login[0]).code == 250
    assert len(south.messages("lucie", Role.SENT)) == 1


def test_an_account_suspended_a_moment_before_the_end_sends_nothing(operator: OperatorFactory) -> None:
    """The session hears of it within seconds; the transaction that would send looks for itself."""
    alone = operator(SOUTH, ("claire", "karim"))
    loaded = config.load(alone.config_file, {})
    submission = composition.submission(loaded, alone.stores, composition.trusted_set(loaded))
    to = Recipient(SOUTH.address("karim"))

    async def hand_over() -> None:
        account = await submission.account(CLAIRE)
        destination = await submission.destination(to)
        assert destination is not None
        author = Author(account, (CLAIRE,))
        outgoing = submission.begin(author, keep_copy=True)
        outgoing.write(letter(CLAIRE, to.address))
        alone.write(accounts.change_state, CLAIRE, AccountState.SUSPENDED)
        addressed = Addressed(((to, destination),), ())
        await submission.accept(author, addressed, Envelope(CLAIRE, (to,)), outgoing.finish())

    with pytest.raises(SenderRefusedError):
        asyncio.run(hand_over())
    assert alone.messages("karim") == alone.messages("claire", Role.SENT) == []


def test_each_sending_and_each_refusal_leaves_a_trace_without_content(south: Operator) -> None:
    """CONF.17 and CONF.18."""
    login = south.let_in("rose")
    to = SOUTH.address("karim")
    with MailProgram.signed_in(south, login) as program:
        answer = submit(program, letter(login[0], to, "Secret medical"), to, sender=login[0])
        assert program.say(f"MAIL FROM:<{CLAIRE}>").code == 550
    kept = until(lambda: _traces(south, login[0])[1:], "both traces") and _traces(south, login[0])
    assert [(each.protocol, each.request, each.outcome) for each in kept] == [
        ("submission", "DATA", "ok"),
        ("submission", "MAIL", "550 5.7.1"),
    ]
    assert answer.text.endswith(kept[0].target)
    assert kept[0].name == "rose"
    assert "Secret" not in repr(kept)


def _traces(south: Operator, address: str) -> list[Trace]:
    found = [each for each in south.read(sharing.traces_of, address, 0, None, 10) if each.action == "send"]
    return sorted(found, key=lambda each: each.at)
