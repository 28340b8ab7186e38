"""A caller for the machine that decides by what it reads, so that dialogues need no code.

It accepts everything but: a reverse-path at refused.example, the recipient unknown@, content for the recipient full@
(refused at DATA or BDAT), content that holds `X-Refuse`, a sign-in with another password than sesame, and one without anything.
"""

from dataclasses import dataclass, field

from vaguemestre.protocols.smtp import events
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.protocols.smtp.server import ServerConnection
from vaguemestre.protocols.smtp.submission import SubmissionConnection

OK = Reply(250, "2.0.0", ("OK",))
REFUSED = Reply(550, "5.7.1", ("Refused",))


@dataclass
class ScriptedCaller:
    machine: ServerConnection
    sent: bytearray = field(default_factory=bytearray)  # replies, in order
    log: list[str] = field(default_factory=list)  # event names, runs of Content as one
    messages: list[bytes] = field(default_factory=list)  # acknowledged content
    recipients: list[str] = field(default_factory=list)
    spool: bytearray = field(default_factory=bytearray)
    prompts: list[bytes] = field(default_factory=list)  # challenges left to send

    def feed(self, data: bytes) -> None:
        self.machine.receive_data(data)
        self.pump()

    def pump(self) -> None:
        while not isinstance(event := self.machine.next_event(), events.Wait):
            name = type(event).__name__
            if isinstance(event, events.ContentEnds) and event.fault and self.log[-1] == "Content":
                self.log.pop()  # how much of it came before the fault depends on how it was cut
            if name != "Content" or not self.log or self.log[-1] != "Content":
                self.log.append(name)
            if isinstance(event, events.Content):
                self.spool += event.data
            else:
                self.sent += self.answer(event)
                if isinstance(event, events.StartTls):
                    self.machine.tls_started()
        if self.machine.closed and self.log[-1] != "closed":
            self.log.append("closed")

    def answer(self, event: events.Event) -> bytes:
        reply = self.machine.reply
        match event:
            case events.Hello():
                self.spool.clear()
                self.recipients.clear()
                return self.machine.accept_hello()
            case events.StartTls():
                return reply(Reply(220, "2.0.0", ("Go ahead",)))
            case events.Authenticate(mechanism, response):
                self.prompts = [b""] if mechanism == "PLAIN" else [b"Username:", b"Password:"]
                if response is None:
                    return self.challenge()
                return self.signed_in(response)
            case events.SaslResponse(response):
                return self.challenge() if self.prompts else self.signed_in(response)
            case events.MailFrom(command):
                self.recipients.clear()
                sender = command.reverse_path
                return reply(REFUSED if sender and sender.domain == "refused.example" else OK)
            case events.RcptTo(command):
                if command.forward_path.local_part == "unknown":
                    return reply(Reply(550, "5.1.1", ("No such mailbox",)))
                self.recipients.append(command.forward_path.text)
                return reply(OK)
            case events.ContentStarts():
                self.spool.clear()
                if any(recipient.startswith("full@") for recipient in self.recipients):
                    return reply(Reply(452, "4.2.2", ("Mailbox full",)))
                return self.machine.accept_content()
            case events.ContentEnds(size, fault, refusal):
                content = bytes(self.spool)
                self.spool.clear()
                if fault is not None and refusal is not None:
                    return reply(refusal)
                assert size == len(content)
                if b"X-Refuse" in content:
                    return reply(REFUSED)
                self.messages.append(content)
                return reply(OK)
            case events.Reset():
                self.spool.clear()
                return reply(OK)
            case events.Quit():
                return reply(Reply(221, "2.0.0", ("Bye",)))
            case events.Answered(ready) | events.Rejected(_, ready) | events.Violation(_, ready):
                return reply(ready)
        raise AssertionError(event)

    def challenge(self) -> bytes:
        assert isinstance(self.machine, SubmissionConnection)
        return self.machine.challenge(self.prompts.pop(0))

    def signed_in(self, response: bytes) -> bytes:
        if not response:
            return self.machine.reply(Reply(501, "5.5.2", ("Malformed",)))
        good = response.split(b"\0")[-1] == b"sesame"
        return self.machine.reply(Reply(235, "2.7.0", ("Signed in",)) if good else Reply(535, "5.7.8", ("No",)))
