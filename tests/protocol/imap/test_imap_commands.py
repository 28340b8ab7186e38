"""A command's octets become the value that they spell, or the fault that says what is wrong with them."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.imap import commands, events, faults
from vaguemestre.protocols.imap import search_keys as keys
from vaguemestre.protocols.imap.commands import ListReturn, ListSelection, StatusItem, StoreHow
from vaguemestre.protocols.imap.fetch_items import Attribute, Binary, BinarySize, Preview, Section, SectionText
from vaguemestre.protocols.imap.notifications import EventGroup, NotifyEvent, Watched
from vaguemestre.protocols.imap.search_keys import Day, Return, Returned, SortBy, SortKey, When
from vaguemestre.protocols.imap.sequence_sets import SAVED, STAR, Partial, SequenceSet
from vaguemestre.protocols.imap.server import ServerConnection
from vaguemestre.protocols.imap.standing import Limits

ONE = SequenceSet(((1, 1),))
SEEN, FLAGGED = keys.HasFlag("\\Seen"), keys.HasFlag("\\Flagged")


def read(line: bytes, *, enabled: tuple[str, ...] = ("QRESYNC",), signed_in: bool = True) -> events.Event:
    """What a line says, the same whole and octet by octet."""
    found = []
    for size in (len(line) + 4, 1):
        machine = ServerConnection(Limits(ranges=100), tls_active=True)
        if signed_in:
            machine.authenticated()
            machine.selected(read_only=False)
            machine.enable(enabled)
        said = b"t " + line + b"\r\n"
        for start in range(0, len(said), size):
            assert machine.next_event() is events.NEED_DATA
            machine.receive_data(said[start : start + size])
        event = machine.next_event()
        assert not isinstance(event, events.Wait), line
        turned = isinstance(event, events.Command) and isinstance(event.command, commands.TURNING)
        assert machine.next_event() is (events.PAUSED if turned else events.NEED_DATA)
        found.append(event)
    whole, cut = found
    if isinstance(whole, events.Rejected):
        assert isinstance(cut, events.Rejected)
        assert (whole.tag, type(whole.fact)) == (cut.tag, type(cut.fact))
    else:
        assert whole == cut
    return whole


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"capability", commands.Capability()),
        (b"Noop", commands.Noop()),
        (b"LOGOUT", commands.Logout()),
        (b"ID NIL", commands.Id()),
        (b"ID ()", commands.Id()),
        (b'ID ("name" "mutt" "os" nil)', commands.Id((("name", "mutt"), ("os", None)))),
        (b'ID ("name" {3+}\r\na"b)', commands.Id((("name", 'a"b'),))),
        (b"AUTHENTICATE plain", commands.Authenticate("PLAIN")),
        (b"AUTHENTICATE PLAIN =", commands.Authenticate("PLAIN", b"")),
        (b"AUTHENTICATE XOAUTH2 dXNlcg==", commands.Authenticate("XOAUTH2", b"user")),
        (b"LOGIN anne sesame", commands.Login("anne", "sesame")),
        (b'LOGIN "an\\"ne" {8+}\r\n\xc3\xa9"]\\{1}', commands.Login('an"ne', 'é"]\\{1}')),
        (b'LOGIN a]b ""', commands.Login("a]b", "")),
        (b"STARTTLS", None),
    ],
)
def test_commands_of_any_state_and_before_sign_in(line: bytes, command: commands.Command | None) -> None:
    event = read(line, signed_in=False)
    if command is None:
        assert isinstance(event, events.Rejected)
        assert isinstance(event.fact, faults.TlsActiveError)
    else:
        assert event == events.Command(b"t", command)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"ENABLE condstore UTF8=ACCEPT CONDSTORE", commands.Enable(("CONDSTORE", "UTF8=ACCEPT"))),
        (b"SELECT InBox", commands.Select("INBOX")),
        (b'SELECT "a b" (CONDSTORE)', commands.Select("a b", condstore=True)),
        (b"EXAMINE {4+}\r\na&-b", commands.Select("a&b", read_only=True)),
        (b"SELECT &AOk-t&AOk-", commands.Select("été")),
        (b"SELECT a (QRESYNC (67890007 20050715194045000))", commands.Select(
            "a", resynchronization=commands.Resynchronization(67890007, 20050715194045000))),
        (b"SELECT a (QRESYNC (1 2 41,43:211) CONDSTORE)", commands.Select(
            "a", False, True, commands.Resynchronization(1, 2, SequenceSet(((41, 41), (43, 211)))))),
        (b"SELECT a (QRESYNC (1 2 1:9 (1:2,5 10:11,20)))", commands.Select(
            "a", resynchronization=commands.Resynchronization(1, 2, SequenceSet(((1, 9),)), (
                SequenceSet(((1, 2), (5, 5))), SequenceSet(((10, 11), (20, 20))))))),
        (b"SELECT a (QRESYNC (1 2 (1 7)))", commands.Select(
            "a", resynchronization=commands.Resynchronization(1, 2, None, (ONE, SequenceSet(((7, 7),)))))),
        (b"CREATE a/b", commands.Create("a/b")),
        (b"CREATE a/b/", commands.Create("a/b")),
        (b"CREATE a (USE (\\sent \\Trash \\Sent))", commands.Create("a", ("\\Sent", "\\Trash"))),
        (b"CREATE a (USE ())", commands.Create("a")),
        (b"CREATE a (USE (\\Else))", commands.Create("a", ("\\Else",))),
        (b"DELETE a", commands.Delete("a")),
        (b"RENAME inbox {3+}\r\na b", commands.Rename("INBOX", "a b")),
        (b"SUBSCRIBE a", commands.Subscribe("a")),
        (b"UNSUBSCRIBE INBOX/b", commands.Unsubscribe("INBOX/b")),
        (b'LIST "" *', commands.List("", ("*",))),
        (b'LIST a/ "%"', commands.List("a/", ("%",))),
        (b'LIST "" ""', commands.List("", ("",))),
        (b'LIST "" &AOk', commands.List("", ("&AOk",))),
        (b'LIST "" "&AOk-*"', commands.List("", ("é*",))),
        (b'LIST () "" (a "b c" %)', commands.List("", ("a", "b c", "%"), extended=True)),
        (b'LIST (SUBSCRIBED REMOTE RECURSIVEMATCH SPECIAL-USE) "" * RETURN (SPECIAL-USE SUBSCRIBED CHILDREN)',
            commands.List("", ("*",), frozenset(ListSelection), frozenset(ListReturn), extended=True)),
        (b'LIST "" % return (status (messages unseen) children)', commands.List(
            "", ("%",), returns=frozenset({ListReturn.CHILDREN}),
            status=(StatusItem.MESSAGES, StatusItem.UNSEEN), extended=True)),
        (b'LIST "" % RETURN ()', commands.List("", ("%",), extended=True)),
        (b"LSUB \"\" {1+}\r\n*", commands.Lsub("", "*")),
        (b"NAMESPACE", commands.Namespace()),
        (b"STATUS a (MESSAGES uidnext UIDVALIDITY UNSEEN RECENT DELETED SIZE HIGHESTMODSEQ MAILBOXID DELETED-STORAGE"
            b" APPENDLIMIT SIZE)", commands.Status("a", tuple(StatusItem))),
        (b"IDLE", commands.Idle()),
        (b'GETQUOTA ""', commands.GetQuota("")),
        (b"GETQUOTAROOT INBOX", commands.GetQuotaRoot("INBOX")),
        (b'SETQUOTA "" (storage 512 MESSAGE 9223372036854775807)',
            commands.SetQuota("", (("STORAGE", 512), ("MESSAGE", (1 << 63) - 1)))),
        (b"SETQUOTA a ()", commands.SetQuota("a", ())),
        (b"COMPRESS deflate", commands.Compress("DEFLATE")),
        (b"CHECK", commands.Check()),
        (b"CLOSE", commands.Close()),
        (b"UNSELECT", commands.Unselect()),
        (b"EXPUNGE", commands.Expunge()),
        (b"UID EXPUNGE 1,4:*", commands.Expunge(SequenceSet(((1, 1), (4, STAR))))),
        (b"uid expunge $", commands.Expunge(SAVED)),
        (b'CANCELUPDATE "a1" "b2"', commands.CancelUpdate((b"a1", b"b2"))),
        (b"COPY 2:4 a", commands.Copy(SequenceSet(((2, 4),)), "a")),
        (b"UID COPY $ {1+}\r\na", commands.Copy(SAVED, "a", uid=True)),
        (b"MOVE *:2 a", commands.Move(SequenceSet(((2, STAR),)), "a")),
        (b"UID MOVE * a", commands.Move(SequenceSet(((STAR, STAR),)), "a", uid=True)),
        (b"STORE 1 FLAGS (\\seen $Forwarded)", commands.Store(
            ONE, StoreHow.REPLACE, frozenset({"\\Seen", "$Forwarded"}))),
        (b"STORE 1 +flags.silent \\DELETED a", commands.Store(
            ONE, StoreHow.ADD, frozenset({"\\Deleted", "a"}), silent=True)),
        (b"UID STORE 1 -FLAGS ()", commands.Store(ONE, StoreHow.REMOVE, frozenset(), uid=True)),
        (b"STORE 1 FLAGS (\\Recent)", commands.Store(ONE, StoreHow.REPLACE, frozenset({"\\Recent"}))),
        (b"STORE 1 (UNCHANGEDSINCE 0) FLAGS (" + b"k" * 200 + b")", commands.Store(
            ONE, StoreHow.REPLACE, frozenset({"k" * 200}), unchanged_since=0)),
    ],
)  # fmt: skip
def test_commands_after_sign_in(line: bytes, command: commands.Command) -> None:
    assert read(line) == events.Command(b"t", command)


@pytest.mark.parametrize(
    ("line", "items"),
    [
        (b"FLAGS", [Attribute.FLAGS]),
        (b"fast", [Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE]),
        (b"ALL", [Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE]),
        (b"FULL", [Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE, Attribute.ENVELOPE, Attribute.BODY]),
        (b"(UID BODY BODYSTRUCTURE MODSEQ EMAILID THREADID SAVEDATE uid)", [
            Attribute.UID, Attribute.BODY, Attribute.BODYSTRUCTURE, Attribute.MODSEQ, Attribute.EMAILID,
            Attribute.THREADID, Attribute.SAVEDATE]),
        (b"(PREVIEW FLAGS)", [Preview(), Attribute.FLAGS]),
        (b"(PREVIEW (LAZY) FLAGS)", [Preview(True), Attribute.FLAGS]),
        (b"preview (lazy)", [Preview(True)]),
        (b"RFC822", [Section(b"RFC822")]),
        (b"RFC822.HEADER", [Section(b"RFC822.HEADER", text=SectionText.HEADER, peek=True)]),
        (b"rfc822.text", [Section(b"RFC822.TEXT", text=SectionText.TEXT)]),
        (b"RFC822.SIZE", [Attribute.SIZE]),
        (b"BODY[]", [Section(b"BODY[]")]),
        (b"body.peek[]<0.2048>", [Section(b"BODY[]<0>", partial=(0, 2048), peek=True)]),
        (b"BODY[HEADER]", [Section(b"BODY[HEADER]", text=SectionText.HEADER)]),
        (b"BODY[1.2.text]", [Section(b"BODY[1.2.TEXT]", (1, 2), SectionText.TEXT)]),
        (b"BODY[4.MIME]<7.1>", [Section(b"BODY[4.MIME]<7>", (4,), SectionText.MIME, partial=(7, 1))]),
        (b"BODY.PEEK[3]", [Section(b"BODY[3]", (3,), peek=True)]),
        (b"BODY[HEADER.FIELDS (Date From)]", [
            Section(b"BODY[HEADER.FIELDS (Date From)]", (), SectionText.FIELDS, ("Date", "From"))]),
        (b'BODY.PEEK[1.HEADER.FIELDS.NOT ("X-A" "b c" "d\\"e")]', [
            Section(b'BODY[1.HEADER.FIELDS.NOT (X-A "b c" "d\\"e")]', (1,), SectionText.FIELDS_NOT,
                    ("X-A", "b c", 'd"e'), peek=True)]),
        (b"BODY[HEADER.FIELDS ({4+}\r\nDate)]", [
            Section(b"BODY[HEADER.FIELDS (Date)]", (), SectionText.FIELDS, ("Date",))]),
        (b"BINARY[1]", [Binary(b"BINARY[1]", (1,))]),
        (b"BINARY.PEEK[]<5.6>", [Binary(b"BINARY[]<5>", (), (5, 6), True)]),
        (b"BINARY.SIZE[1.2]", [BinarySize(b"BINARY.SIZE[1.2]", (1, 2))]),
    ],
)  # fmt: skip
def test_items_of_fetch(line: bytes, items: list[object]) -> None:
    assert read(b"FETCH 1 " + line) == events.Command(b"t", commands.Fetch(ONE, tuple(items)))  # type: ignore[arg-type]
    with_uid = tuple(dict.fromkeys([Attribute.UID, *items]))
    assert read(b"UID FETCH 1 " + line) == events.Command(b"t", commands.Fetch(ONE, with_uid, uid=True))  # type: ignore[arg-type]


def test_modifiers_of_fetch() -> None:
    uid_flags = (Attribute.UID, Attribute.FLAGS)
    assert read(b"UID FETCH 1 (FLAGS) (CHANGEDSINCE 12345 VANISHED)") == events.Command(
        b"t", commands.Fetch(ONE, (*uid_flags, Attribute.MODSEQ), True, 12345, True)
    )
    assert read(b"FETCH 1 FLAGS (PARTIAL -1:-100)") == events.Command(
        b"t", commands.Fetch(ONE, (Attribute.FLAGS,), partial=Partial(-1, -100))
    )
    assert read(b"UID FETCH 1:* (UID FLAGS) (PARTIAL 5:1 CHANGEDSINCE 7)") == events.Command(
        b"t",
        commands.Fetch(SequenceSet(((1, STAR),)), (*uid_flags, Attribute.MODSEQ), True, 7, partial=Partial(5, 1)),
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b"ALL", keys.All()),
        (b"answered", keys.HasFlag("\\Answered")),
        (b"UNDRAFT", keys.Not(keys.HasFlag("\\Draft"))),
        (b"NEW", keys.And((keys.HasFlag("\\Recent"), keys.Not(SEEN)))),
        (b"OLD", keys.Not(keys.HasFlag("\\Recent"))),
        (b"KEYWORD $Junk", keys.HasFlag("$Junk")),
        (b"UNKEYWORD $Junk", keys.Not(keys.HasFlag("$Junk"))),
        (b"SEEN FLAGGED", keys.And((SEEN, FLAGGED))),
        (b"(SEEN FLAGGED)", keys.And((SEEN, FLAGGED))),
        (b"(SEEN)", SEEN),
        (b"NOT SEEN", keys.Not(SEEN)),
        (b"OR SEEN (FLAGGED ALL)", keys.Or(SEEN, keys.And((FLAGGED, keys.All())))),
        (b"OR NOT SEEN OR ALL FLAGGED", keys.Or(keys.Not(SEEN), keys.Or(keys.All(), FLAGGED))),
        (b'FROM "Anne B"', keys.Header("from", "Anne B")),
        (b"BCC a CC b SUBJECT c TO d", keys.And((
            keys.Header("bcc", "a"), keys.Header("cc", "b"), keys.Header("subject", "c"), keys.Header("to", "d")))),
        (b'HEADER Message-ID ""', keys.Header("message-id", "")),
        (b"BODY {5+}\r\n\xc3\xa9t\xc3\xa9", keys.Body("été")),
        (b"TEXT x", keys.Text("x")),
        (b"BEFORE 1-Feb-1994", keys.Dated(Day.RECEIVED, When.BEFORE, date(1994, 2, 1))),
        (b'ON "01-feb-1994"', keys.Dated(Day.RECEIVED, When.ON, date(1994, 2, 1))),
        (b"SENTSINCE 29-Feb-2024", keys.Dated(Day.SENT, When.SINCE, date(2024, 2, 29))),
        (b"SAVEDBEFORE 1-Jan-2027", keys.Dated(Day.SAVED, When.BEFORE, date(2027, 1, 1))),
        (b"SAVEDON 1-Jan-2027", keys.Dated(Day.SAVED, When.ON, date(2027, 1, 1))),
        (b"SAVEDSINCE 1-Jan-2027", keys.Dated(Day.SAVED, When.SINCE, date(2027, 1, 1))),
        (b"SAVEDATESUPPORTED", keys.SaveDateSupported()),
        (b"LARGER 0", keys.Larger(0)),
        (b"SMALLER 9000000000", keys.Smaller(9_000_000_000)),
        (b"OLDER 3600", keys.Older(3600)),
        (b"YOUNGER 1", keys.Younger(1)),
        (b"UID 1:*", keys.Uids(SequenceSet(((1, STAR),)))),
        (b"UID $", keys.Uids(SAVED)),
        (b"$", keys.Numbers(SAVED)),
        (b"*", keys.Numbers(SequenceSet(((STAR, STAR),)))),
        (b"3,1:2", keys.Numbers(SequenceSet(((3, 3), (1, 2))))),
        (b"MODSEQ 620162338", keys.ModSeq(620162338)),
        (b'MODSEQ "/flags/\\\\draft" all 620162338', keys.ModSeq(620162338, "/flags/\\\\draft", "all")),
        (b"EMAILID M6d99ac3275bb4e", keys.EmailId("M6d99ac3275bb4e")),
        (b"THREADID T64b478a75b7ea9", keys.ThreadId("T64b478a75b7ea9")),
        (b"NOT UID 1 NOT $", keys.And((keys.Not(keys.Uids(ONE)), keys.Not(keys.Numbers(SAVED))))),
    ],
)  # fmt: skip
def test_keys_of_search(text: bytes, key: keys.Key) -> None:
    assert read(b"SEARCH " + text) == events.Command(b"t", commands.Search(key))
    assert read(b"UID SEARCH CHARSET us-ascii " + text) == events.Command(b"t", commands.Search(key, uid=True))
    assert read(b"SORT (DATE) UTF-8 " + text) == events.Command(b"t", commands.Sort((SortKey(SortBy.DATE),), key))
    assert read(b"UID THREAD references UTF-8 " + text) == events.Command(
        b"t", commands.Thread(keys.Threading.REFERENCES, key, uid=True)
    )


@pytest.mark.parametrize(
    ("text", "returned"),
    [
        (b"RETURN ()", Returned(Return.ALL)),
        (b"RETURN (MIN MAX COUNT ALL)", Returned(Return.MIN | Return.MAX | Return.COUNT | Return.ALL)),
        (b"return (save)", Returned(Return.SAVE)),
        (b"RETURN (PARTIAL 1:500)", Returned(Return(0), Partial(1, 500))),
        (b"RETURN (COUNT PARTIAL -1:-5 UPDATE CONTEXT)",
            Returned(Return.COUNT | Return.UPDATE | Return.CONTEXT, Partial(-1, -5))),
    ],
)  # fmt: skip
def test_return_options(text: bytes, returned: Returned) -> None:
    assert read(b"SEARCH " + text + b" ALL") == events.Command(b"t", commands.Search(keys.All(), returns=returned))
    assert read(b"UID SORT " + text + b" (SUBJECT REVERSE DISPLAYFROM) UTF-8 ALL") == events.Command(
        b"t",
        commands.Sort(
            (SortKey(SortBy.SUBJECT), SortKey(SortBy.DISPLAYFROM, True)), keys.All(), uid=True, returns=returned
        ),
    )


NEW, GONE, FLAG = NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE, NotifyEvent.FLAG_CHANGE


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (b"NONE", commands.Notify()),
        (b"SET (personal NONE)", commands.Notify((EventGroup(Watched.PERSONAL, frozenset()),))),
        (b"SET STATUS (selected (MessageNew (UID BODY.PEEK[]) messageexpunge FlagChange)) (inboxes (MailboxName))",
            commands.Notify((
                EventGroup(Watched.SELECTED, frozenset({NEW, GONE, FLAG}), (), (
                    Attribute.UID, Section(b"BODY[]", peek=True))),
                EventGroup(Watched.INBOXES, frozenset({NotifyEvent.MAILBOX_NAME})),
            ), status=True)),
        (b"SET (selected-delayed (MessageNew MessageExpunge)) (subtree (a \"b c\") (SubscriptionChange))"
            b" (mailboxes &AOk- (MessageNew MessageExpunge)) (subscribed NONE)",
            commands.Notify((
                EventGroup(Watched.SELECTED_DELAYED, frozenset({NEW, GONE})),
                EventGroup(Watched.SUBTREE, frozenset({NotifyEvent.SUBSCRIPTION_CHANGE}), ("a", "b c")),
                EventGroup(Watched.MAILBOXES, frozenset({NEW, GONE}), ("é",)),
                EventGroup(Watched.SUBSCRIBED, frozenset()),
            ))),
    ],
)  # fmt: skip
def test_notify(text: bytes, command: commands.Notify) -> None:
    assert read(b"NOTIFY " + text) == events.Command(b"t", command)


def test_names_and_quoted_strings_are_utf_8_once_enabled() -> None:
    for enabled in ("UTF8=ACCEPT", "IMAP4REV2"):
        assert read('SELECT "Été & co"'.encode(), enabled=(enabled,)) == events.Command(
            b"t", commands.Select("Été & co")
        )
    assert read(b"SEARCH CHARSET UTF-8 ALL", enabled=("IMAP4REV2",)) == events.Command(
        b"t", commands.Search(keys.All())
    )


MALFORMED = [
    b"NOOP x", b"LOGOUT ", b"ID", b"ID (name a)", b'ID ("a")', b'ID "a"', b"ID (" + b'"a" "b" ' * 31 + b")",
    b"ENABLE", b"ENABLE  a", b"SELECT", b"SELECT ", b"SELECT a b", b"SELECT a ()", b"SELECT a (CONDSTORE CONDSTORE)",
    b"SELECT a (QRESYNC)", b"SELECT a (QRESYNC (1))", b"SELECT a (QRESYNC (0 1))", b"SELECT a (QRESYNC (1 0))",
    b"SELECT a (QRESYNC (1 2 1:*))", b"SELECT a (QRESYNC (1 2 (1:2 5)))", b"SELECT a (QRESYNC (1 2 3 (1)))",
    b"SELECT (a)", b'SELECT "a', b'SELECT "a"b', b'SELECT "\\x"', b"SELECT a%", b"SELECT a*", b'SELECT a"b',
    b"CREATE a (USE)", b"CREATE ~{1+}\r\na", b"CREATE a (SIZE (\\Sent))", b"CREATE a (USE (Sent))", b"RENAME a", b"RENAME a b c",
    b"LIST", b'LIST ""', b'LIST "" ()', b'LIST (SUBSCRIBED "" *', b'LIST (NOTHING) "" *', b'LIST "" * RETURN',
    b'LIST "" * CHILDREN', b'LIST "" * RETURN (STATUS)', b'LIST "" * RETURN (STATUS ())', b'LIST "" * x',
    b'LIST (SUBSCRIBED)"" *', b"STATUS a", b"STATUS a ()", b"STATUS a (NOTHING)", b"STATUS a (MESSAGES", b"STATUS a MESSAGES",
    b"SETQUOTA a", b"SETQUOTA a (STORAGE)", b"SETQUOTA a (STORAGE -1)", b"SETQUOTA a (STORAGE 9223372036854775808)",
    b"COMPRESS", b"CANCELUPDATE", b"CANCELUPDATE a", b"UID EXPUNGE", b"EXPUNGE 1", b"UID", b"UID CLOSE",
    b"COPY 1", b"COPY a b", b"COPY 1: b", b"COPY :1 b", b"COPY 1,, b", b"COPY ,1 b", b"COPY 01 b", b"COPY 0 b", b"COPY 1:0 b",
    b"COPY 4294967296 b", b"COPY 1:99999999999 b", b"COPY $,1 b", b"COPY 1-2 b", b"COPY 1:2:3 b", b"COPY ** b",
    b"STORE 1", b"STORE 1 FLAGS", b"STORE 1 FLAGS ", b"STORE 1 +LABELS (a)", b"STORE 1 FLAGS (a", b"STORE 1 FLAGS a)",
    b"STORE 1 FLAGS (a  b)", b"STORE 1 FLAGS (\\)", b"STORE 1 FLAGS (\\*)", b"STORE 1 (CHANGEDSINCE 1) FLAGS a",
    b"STORE 1 (UNCHANGEDSINCE) FLAGS a", b"STORE 1 (UNCHANGEDSINCE 1)FLAGS a", b"STORE 1 (UNCHANGEDSINCE -1) FLAGS a",
    b'STORE 1 FLAGS ("a")', b"STORE 1 FLAGS (a]b)",
    b"FETCH 1", b"FETCH 1 ()", b"FETCH 1 (ALL)", b"FETCH 1 (FLAGS", b"FETCH 1 FLAGS)", b"FETCH 1 FLAGS UID",
    b"FETCH 1 (FLAGS,UID)",
    b"FETCH 1 NOTHING", b"FETCH 1 BODY[", b"FETCH 1 BODY[1", b"FETCH 1 BODY[0]", b"FETCH 1 BODY[1.]", b"FETCH 1 BODY[.TEXT]",
    b"FETCH 1 BODY[1TEXT]", b"FETCH 1 BODY[MIME]", b"FETCH 1 BODY[TEXT.1]", b"FETCH 1 BODY[HEADER.FIELDS]",
    b"FETCH 1 BODY[HEADER.FIELDS ()]", b"FETCH 1 BODY[HEADER.FIELDS (a]", b"FETCH 1 BODY[HEADER (a)]", b"FETCH 1 BODY[]<0>",
    b"FETCH 1 BODY[]<0.0>", b"FETCH 1 BODY[]<-1.2>", b"FETCH 1 BODY []", b"FETCH 1 BODY.PEEK", b"FETCH 1 BINARY",
    b"FETCH 1 RFC822[]",
    b"FETCH 1 BINARY[TEXT]", b"FETCH 1 BINARY.SIZE[1]<0.1>", b"FETCH 1 BINARY.SIZE", b"FETCH 1 FLAGS[]",
    b"FETCH 1 BODY[HEADER.FIELDS ({3+}\r\na\nb)]", b'FETCH 1 BODY[HEADER.FIELDS ("")]',
    b'FETCH 1 BODY[HEADER.FIELDS ("a:")]',
    b"FETCH 1 FLAGS ()", b"FETCH 1 FLAGS (CHANGEDSINCE)", b"FETCH 1 FLAGS (CHANGEDSINCE 0)", b"FETCH 1 FLAGS (PARTIAL 1)",
    b"FETCH 1 FLAGS (PARTIAL 1:-2)", b"FETCH 1 FLAGS (PARTIAL 0:1)", b"FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)",
    b"SEARCH", b"SEARCH ", b"SEARCH NOTHING", b"SEARCH NOT", b"SEARCH OR ALL", b"SEARCH ()", b"SEARCH (ALL", b"SEARCH ALL)",
    b"SEARCH ALL  ALL", b"SEARCH FROM", b"SEARCH HEADER a", b"SEARCH BEFORE", b"SEARCH BEFORE 1-1-2027",
    b"SEARCH BEFORE 1-Foo-2027",
    b'SEARCH BEFORE "1-Jan-2027', b"SEARCH ON 30-Feb-2027", b"SEARCH LARGER a", b"SEARCH OLDER 0", b"SEARCH UID a", b"SEARCH UID",
    b"SEARCH MODSEQ", b'SEARCH MODSEQ "/flags/a" 5', b'SEARCH MODSEQ "/flag/a" all 5', b"SEARCH EMAILID", b"SEARCH EMAILID a/b",
    b"SEARCH KEYWORD \\Seen", b"SEARCH CHARSET", b"SEARCH CHARSET UTF-8", b"SEARCH RETURN ALL", b"SEARCH RETURN (ALL",
    b"SEARCH RETURN (NOTHING) ALL", b"SEARCH RETURN ()", b"SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
    b"SORT ALL", b"SORT () UTF-8 ALL", b"SORT (REVERSE) UTF-8 ALL", b"SORT (NOTHING) UTF-8 ALL",
    b"SORT (DATE" + b" DATE" * 9 + b") UTF-8 ALL", b"THREAD UTF-8 ALL", b"THREAD REFERENCES UTF-8", b"THREAD NOTHING UTF-8 ALL",
    b"NOTIFY", b"NOTIFY SET", b"NOTIFY SET STATUS", b"NOTIFY ALL", b"NOTIFY SET (personal)", b"NOTIFY SET (personal ())",
    b"NOTIFY SET (subtree NONE)", b"NOTIFY SET (mailboxes () NONE)", b"NOTIFY SET (mailboxes a)", b"NOTIFY SET (personal NONE",
    b"NOTIFY SET (selected (MessageNew () MessageExpunge))", b"NOTIFY SET (personal SOME)",
]  # fmt: skip


@pytest.mark.parametrize("line", MALFORMED)
def test_what_is_malformed_is_refused(line: bytes) -> None:
    event = read(line)
    assert isinstance(event, events.Rejected), event
    assert event.tag == b"t"
    assert isinstance(event.fact, faults.ArgumentError | faults.UnknownCommandError | faults.UnknownFlagError)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"CREATE &AOk", faults.MailboxEncodingError),
        (b"CREATE &/-", faults.MailboxEncodingError),
        (b"FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", faults.CombinationError),
        (b"UID FETCH 1 FLAGS (VANISHED)", faults.CombinationError),
        (b"SEARCH CHARSET x ALL", faults.CharsetError),
        (b"SEARCH TEXT {1+}\r\n\xff", faults.TextEncodingError),
        (b"SEARCH RETURN (ALL PARTIAL 1:2) ALL", faults.CombinationError),
        (b"SEARCH " + b"NOT " * 50 + b"ALL", faults.NestingError),
        (b"SEARCH " + b"(" * 50 + b"ALL" + b")" * 50, faults.NestingError),
        (b"SEARCH " + b"OR 1 " * 50 + b"1", faults.NestingError),
        (b"SEARCH 1" + b" 1" * 1000, faults.NestingError),
        (b"COPY 1" + b",1:2" * 100 + b" a", faults.RangesError),
        (b"STORE 1 FLAGS (\\Foo)", faults.UnknownFlagError),
        (b'LIST (RECURSIVEMATCH REMOTE) "" *', faults.CombinationError),
        (b"NOTIFY SET (personal (MessageMetadata))", faults.NotifyEventError),
        (b"NOTIFY SET (personal (MessageNew))", faults.CombinationError),
        (b"NOTIFY SET (selected (SubscriptionChange))", faults.CombinationError),
        (b"NOTIFY SET (selected NONE) (selected NONE)", faults.CombinationError),
    ],
)
def test_what_is_refused_says_why(line: bytes, fault: type[faults.ClientError]) -> None:
    event = read(line)
    assert isinstance(event, events.Rejected), event
    assert type(event.fact) is fault


def test_what_needs_qresync_needs_it_enabled() -> None:
    for line in (b"SELECT a (QRESYNC (1 2))", b"UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)"):
        event = read(line, enabled=("CONDSTORE",))
        assert isinstance(event, events.Rejected)
        assert isinstance(event.fact, faults.NotEnabledError)


def test_a_tree_of_keys_tells_what_it_uses() -> None:
    modseq, seen = keys.ModSeq(1), keys.HasFlag("\\Seen")
    assert not keys.uses(keys.And((seen, keys.Or(seen, keys.Not(seen)))), keys.ModSeq)
    assert keys.uses(keys.And((seen, keys.Or(seen, keys.Not(modseq)))), keys.ModSeq)
    assert keys.uses(keys.Or(modseq, seen), keys.ModSeq)
    assert keys.uses(keys.Not(seen), keys.Not)


def test_a_search_as_deep_as_allowed_is_read() -> None:
    assert isinstance(read(b"SEARCH " + b"NOT " * 49 + b"ALL"), events.Command)


@given(st.lists(st.tuples(st.integers(1, (1 << 32) - 1), st.integers(1, STAR)), min_size=1, max_size=20))
def test_a_sequence_set_reads_as_it_is_spelled(ranges: list[tuple[int, int]]) -> None:
    spelled = ",".join(f"{low}:{'*' if high == STAR else high}" for low, high in ranges)
    event = read(f"COPY {spelled} a".encode())
    assert isinstance(event, events.Command)
    expected = SequenceSet(tuple((min(pair), max(pair)) for pair in ranges))
    assert event.command == commands.Copy(expected, "a")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=60))
def test_any_text_goes_through_a_literal(text: str) -> None:
    octets = text.encode()
    event = read(b"SEARCH TEXT {%d+}\r\n%b BODY {%d+}\r\n%b" % (len(octets), octets, len(octets), octets))
    assert isinstance(event, events.Command)
    assert event.command == commands.Search(keys.And((keys.Text(text), keys.Body(text))))
