r"""A caller for the machine that holds a few mailboxes in memory, so that dialogues need no other server.

It knows one account, INBOX and what the client makes; it does what the dialogues ask and says NO to the rest. Commands
are answered as they come; APPEND is refused above 1000 octets, and where the mailbox is not there.
"""

from dataclasses import dataclass, field

from simulators.dialogue import PASSWORD, USER
from vaguemestre.protocols.imap import commands, events, response_codes, responses, values
from vaguemestre.protocols.imap import search_keys as keys
from vaguemestre.protocols.imap.fetch_items import Attribute, Item, Section
from vaguemestre.protocols.imap.sequence_sets import SAVED, MessageSet
from vaguemestre.protocols.imap.server import ServerConnection

LARGEST = 1000
FLAGS = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")


@dataclass
class Kept:
    uid: int
    content: bytes
    flags: set[str]
    date: int = 1_700_000_000_000


@dataclass
class Box:
    uid_next: int = 1
    messages: list[Kept] = field(default_factory=list)
    subscribed: bool = False

    def add(self, content: bytes, flags: frozenset[str] | set[str], date: int | None = None) -> int:
        self.messages.append(Kept(self.uid_next, content, set(flags), date or Kept.date))
        self.uid_next += 1
        return self.uid_next - 1


@dataclass
class SmallServer:
    machine: ServerConnection
    sent: bytearray = field(default_factory=bytearray)
    log: list[str] = field(default_factory=list)  # event names, runs of AppendContent as one
    boxes: dict[str, Box] = field(default_factory=lambda: {"INBOX": Box()})
    name: str = ""  # of the selected mailbox
    read_only: bool = False
    target: str = ""
    draft: list[bytes] = field(default_factory=list)
    drafts: list[tuple[events.AppendMessage, bytes]] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)

    def feed(self, data: bytes) -> None:
        self.machine.receive_data(data)
        self.pump()

    def pump(self) -> None:
        while not isinstance(event := self.machine.next_event(), events.Wait):
            self.sent += self.machine.data_to_send()
            name = type(event.command if isinstance(event, events.Command) else event).__name__
            if name != "AppendContent" or self.log[-1:] != [name]:
                self.log.append(name)
            self.sent += self.answer(event)
            self.sent += self.machine.data_to_send()
        self.sent += self.machine.data_to_send()

    @property
    def box(self) -> Box:
        return self.boxes[self.name]

    # ---- events

    def answer(self, event: events.Event) -> bytes:
        match event:
            case events.Command(tag, command):
                answer = self.carry_out(tag, command)
                if not isinstance(command, commands.Authenticate | commands.Idle | commands.StartTls):
                    self.machine.answered()
                return answer
            case events.SaslResponse(tag, data):
                return self.sign_in(tag, *data.decode().split("\0")[1:])
            case events.SaslCancelled(tag):
                self.machine.answered()
                return responses.bad(tag, "Cancelled")
            case events.IdleDone(tag):
                return responses.ok(tag, "IDLE ended")
            case events.Rejected() | events.Violation():
                return b""
        return self.append(event)

    def append(self, event: events.Event) -> bytes:
        match event:
            case events.AppendStarts(tag, mailbox):
                self.target, self.drafts = mailbox, []
                self.tag = tag
                if mailbox not in self.boxes:
                    self.machine.refuse_append(responses.no(tag, "No such mailbox", b"TRYCREATE"))
            case events.AppendMessage():
                self.draft, self.message = [], event
            case events.AppendLiteral(size):
                if size > LARGEST:
                    self.machine.refuse_append(responses.no(self.tag, "Too large", b"TOOBIG"))
                else:
                    self.machine.accept_literal()
            case events.AppendContent(data):
                self.draft.append(data)
            case events.AppendUrl(url):
                if "UID=" not in url:
                    self.machine.refuse_append(responses.no(self.tag, "No such part", response_codes.bad_url(url)))
                self.draft += [kept.content for kept in self.boxes["INBOX"].messages if url.endswith(f"UID={kept.uid}")]
            case events.AppendMessageEnds():
                self.drafts.append((self.message, b"".join(self.draft)))
            case events.AppendEnds(tag):
                box = self.boxes[self.target]
                uids = [box.add(content, message.flags, message.date) for message, content in self.drafts]
                self.machine.answered()
                told = responses.exists(len(box.messages)) if self.target == self.name else b""
                return told + responses.ok(tag, "Appended", response_codes.append_uid(1, uids))
        return b""

    def sign_in(self, tag: bytes, user: str, password: str) -> bytes:
        known = (user, password) == (USER, PASSWORD)
        if known:
            self.machine.authenticated()
        self.machine.answered()
        if known:
            return responses.ok(tag, "Welcome")
        return responses.no(tag, "Not you", b"AUTHENTICATIONFAILED")

    # ---- commands

    def carry_out(self, tag: bytes, command: commands.Command) -> bytes:
        done = responses.ok(tag, "Done")
        match command:
            case commands.Noop() | commands.Check() | commands.CancelUpdate() | commands.Compress():
                return done
            case commands.Capability():
                return responses.capability(["IMAP4rev2", "IMAP4rev1", "IDLE"]) + done
            case commands.Logout():
                return responses.bye("Until next time") + done
            case commands.Id():
                return responses.identification([("name", "small server")]) + done
            case commands.StartTls():
                self.machine.tls_started()
                return done
            case commands.Login(user, password):
                return self.sign_in(tag, user, password)
            case commands.Authenticate(mechanism, initial):
                if mechanism == "PLAIN" and initial is not None:
                    return self.sign_in(tag, *initial.decode().split("\0")[1:])
                if mechanism == "PLAIN":
                    self.machine.challenge(b"")
                    return b""
                self.machine.answered()
                return responses.no(tag, "No such mechanism")
            case commands.Idle():
                self.machine.start_idle()
                return b""
            case commands.Enable(names):
                granted = [each for each in names if each in ("UTF8=ACCEPT", "IMAP4REV2", "QRESYNC", "CONDSTORE")]
                self.machine.enable(granted)
                return responses.enabled(granted) + done
            case commands.Namespace():
                return responses.namespace() + done
            case commands.Select():
                return self.select(tag, command)
            case commands.Close():
                if not self.read_only:
                    self.box.messages = [each for each in self.box.messages if "\\Deleted" not in each.flags]
                self.machine.unselected()
                return done
            case commands.Unselect():
                self.machine.unselected()
                return done
        return self.on_mailboxes(tag, command) or self.on_messages(tag, command)

    def select(self, tag: bytes, command: commands.Select) -> bytes:
        self.machine.unselected()
        if command.mailbox not in self.boxes:
            return responses.no(tag, "No such mailbox", b"NONEXISTENT")
        self.name, self.read_only = command.mailbox, command.read_only
        self.machine.selected(command.read_only)
        said = responses.flags(FLAGS) + responses.exists(len(self.box.messages))
        said += responses.untagged_ok("UIDs valid", response_codes.uid_validity(1))
        said += responses.untagged_ok("Next", response_codes.uid_next(self.box.uid_next))
        return said + responses.ok(tag, "Selected", b"READ-ONLY" if command.read_only else b"READ-WRITE")

    def on_mailboxes(self, tag: bytes, command: commands.Command) -> bytes:
        done, utf8 = responses.ok(tag, "Done"), self.machine.utf8
        missing = responses.no(tag, "No such mailbox", b"NONEXISTENT")
        match command:
            case commands.Create(mailbox):
                if mailbox in self.boxes:
                    return responses.no(tag, "It is there", b"ALREADYEXISTS")
                self.boxes[mailbox] = Box()
                return done
            case commands.Delete(mailbox):
                return done if self.boxes.pop(mailbox, None) else missing
            case commands.Rename(source, target):
                if source not in self.boxes:
                    return missing
                self.boxes[target] = self.boxes.pop(source)
                return done
            case commands.Subscribe(mailbox) | commands.Unsubscribe(mailbox):
                if mailbox not in self.boxes:
                    return missing
                self.boxes[mailbox].subscribed = isinstance(command, commands.Subscribe)
                return done
            case commands.List("", ("",)):
                return responses.mailbox_list("", ["\\Noselect"], utf8) + done
            case commands.List(patterns=patterns):
                found = [name for name in self.boxes if {name, "*", "%"} & set(patterns)]
                return b"".join(responses.mailbox_list(name, (), utf8) for name in found) + done
            case commands.Lsub():
                found = [name for name, box in self.boxes.items() if box.subscribed]
                return b"".join(responses.mailbox_list(name, (), utf8, lsub=True) for name in found) + done
            case commands.Status(mailbox, items):
                if mailbox not in self.boxes:
                    return missing
                box = self.boxes[mailbox]
                known = {commands.StatusItem.MESSAGES: len(box.messages), commands.StatusItem.UIDNEXT: box.uid_next}
                return responses.status(mailbox, [(item, known.get(item, 1)) for item in items], utf8) + done
        return b""

    def on_messages(self, tag: bytes, command: commands.Command) -> bytes:
        done = responses.ok(tag, "Done")
        match command:
            case commands.Fetch(messages, items, uid):
                return b"".join(self.fetch(number, kept, items) for number, kept in self.named(messages, uid)) + done
            case commands.Store(messages, how, flags, uid, silent):
                said = b""
                for number, kept in self.named(messages, uid):
                    changed = {"": set(flags), "+": kept.flags | flags, "-": kept.flags - flags}[how.value]
                    kept.flags = changed
                    spelled = values.flag_list(sorted(changed))
                    said += b"" if silent else responses.fetch_flags(number, spelled, kept.uid if uid else None)
                return said + done
            case commands.Expunge(uids):
                chosen = {kept.uid for _, kept in self.named(uids, True)} if uids else None
                return (
                    self.remove(
                        lambda kept: "\\Deleted" in kept.flags and chosen in (None, {kept.uid} | (chosen or set()))
                    )
                    + done
                )
            case commands.Copy(messages, mailbox, uid) | commands.Move(messages, mailbox, uid):
                if mailbox not in self.boxes:
                    return responses.no(tag, "No such mailbox", b"TRYCREATE")
                source = [kept for _, kept in self.named(messages, uid)]
                if not source:
                    return done
                copies = [self.boxes[mailbox].add(kept.content, kept.flags, kept.date) for kept in source]
                code = response_codes.copy_uid(1, [kept.uid for kept in source], copies)
                if isinstance(command, commands.Copy):
                    return responses.ok(tag, "Copied", code)
                return responses.untagged_ok("Moved", code) + self.remove(lambda kept: kept in source) + done
            case commands.Search(key, uid, returns):
                found = [
                    (number, kept) for number, kept in enumerate(self.box.messages, 1) if self.fits(key, number, kept)
                ]
                numbers = [kept.uid if uid else number for number, kept in found]
                if returns is None:
                    return responses.search(numbers) + done
                if keys.Return.SAVE in returns.options:
                    self.saved = [kept.uid for _, kept in found]
                all_, count = keys.Return.ALL in returns.options, keys.Return.COUNT in returns.options
                result = responses.Found(len(numbers) if count else None, all=numbers if all_ else ())
                return responses.esearch(tag, result, uid=uid) + done
        return responses.no(tag, "Not here")

    def remove(self, leaves: "object") -> bytes:
        said = b""
        for number in range(len(self.box.messages), 0, -1):
            if leaves(self.box.messages[number - 1]):  # type: ignore[operator]
                del self.box.messages[number - 1]
                said += responses.expunged(number)
        return said

    def named(self, messages: MessageSet, uid: bool) -> list[tuple[int, Kept]]:
        everything = list(enumerate(self.box.messages, 1))
        if messages is SAVED:
            return [(number, kept) for number, kept in everything if kept.uid in self.saved]
        assert not isinstance(messages, type(SAVED))
        maximum = everything[-1][1].uid if uid and everything else len(everything)
        ranges = messages.resolve(maximum)
        return [
            (number, kept)
            for number, kept in everything
            if any(low <= (kept.uid if uid else number) <= high for low, high in ranges)
        ]

    def fits(self, key: keys.Key, number: int, kept: Kept) -> bool:
        match key:
            case keys.All():
                return True
            case keys.HasFlag(flag):
                return flag in kept.flags
            case keys.Not(inner):
                return not self.fits(inner, number, kept)
            case keys.Or(left, right):
                return self.fits(left, number, kept) or self.fits(right, number, kept)
            case keys.And(inner):
                return all(self.fits(each, number, kept) for each in inner)
            case keys.Text(text) | keys.Body(text) | keys.Header(_, text):
                return text.lower() in kept.content.decode("utf-8", "replace").lower()
            case keys.Numbers(messages) | keys.Uids(messages):
                return (number, kept) in self.named(messages, isinstance(key, keys.Uids))
        return False

    def fetch(self, number: int, kept: Kept, items: tuple[Item, ...]) -> bytes:
        parts = []
        for item in items:
            match item:
                case Attribute.UID:
                    parts.append(b"UID %d" % kept.uid)
                case Attribute.FLAGS:
                    parts.append(b"FLAGS " + values.flag_list(sorted(kept.flags)))
                case Attribute.SIZE:
                    parts.append(b"RFC822.SIZE %d" % len(kept.content))
                case Attribute.INTERNALDATE:
                    parts.append(b"INTERNALDATE " + values.internal_date(kept.date))
                case Section(label, (), partial=partial, peek=peek):
                    first, count = partial or (0, len(kept.content))
                    parts.append(label + b" " + values.literal(kept.content[first : first + count]))
                    if not peek and not self.read_only:
                        kept.flags.add("\\Seen")
        return responses.fetch(number, *parts)
