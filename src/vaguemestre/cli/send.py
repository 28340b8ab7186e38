"""`vaguemestre send`: send a message, from a file or from arguments, as an account of this operator."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from vaguemestre import app as composition
from vaguemestre import clock
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals, show
from vaguemestre.documents.addresses import Mailbox
from vaguemestre.documents.compose import Attachment, compose
from vaguemestre.errors import VaguemestreError
from vaguemestre.mailstore import accounts
from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.transport.envelope import Envelope, Recipient

_STEP = 65_536


def send(
    config: ConfigFile,
    to: Annotated[list[str], typer.Argument(metavar="TO...", help="Recipients' addresses.")],
    sender: Annotated[str, typer.Option("--from", "-f", help="The account that writes.")],
    subject: Annotated[str, typer.Option("--subject", "-s")] = "",
    text: Annotated[str, typer.Option("--text", "-t", help="The letter; @FILE reads it from a file.")] = "",
    attach: Annotated[list[Path] | None, typer.Option("--attach", "-a", exists=True, dir_okay=False)] = None,
    message: Annotated[
        Path | None, typer.Option("--message", help="A whole message (RFC 5322); - reads it from standard input.")
    ] = None,
    receipt: Annotated[bool, typer.Option("--receipt", help="Ask to be told when it is delivered (DSN).")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a message. Refused at once, with the reason, if any recipient cannot be written to."""
    with refusals(as_json):
        loaded = load(config)
        notify = frozenset({"SUCCESS", "FAILURE", "DELAY"} if receipt else ())
        recipients = tuple(Recipient(Address.parse(each).text, notify) for each in to)
        envelope = Envelope(Address.parse(sender).text, recipients)
        with composition.open_stores(loaded) as stores:
            if message is None:
                author = stores.database.read(accounts.get, envelope.reverse_path)
                content = iter([_composed((author.name, author.address), envelope, subject, text, attach)])
            else:
                content = _canonical(sys.stdin.buffer if str(message) == "-" else _opened(message))
            submission = composition.submission(loaded, stores, composition.trusted_set(loaded))
            done = submission.submit(envelope, content)
    facts = {"ok": True, "id": done.id, "delivered": done.delivered, "queued": done.queued}
    lines = [f"Message {done.id}"]
    lines += [f"  {address} : remis / delivered" for address in done.delivered]
    lines += [f"  {address} : en route / on its way" for address in done.queued]
    show(as_json, facts, lines)


def _composed(author: Mailbox, envelope: Envelope, subject: str, text: str, attach: list[Path] | None) -> bytes:
    if text.startswith("@"):
        with _opened(Path(text[1:])) as file:
            text = file.read().decode("utf-8", "replace")
    to = [("", recipient.address) for recipient in envelope.recipients]
    attachments = [Attachment(path.name, path.read_bytes()) for path in attach or []]
    return compose(author=author, to=to, subject=subject, text=text, at=clock.now(), attachments=attachments)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise VaguemestreError(
            f"{path} cannot be read: {error.strerror}.", f"{path} ne peut pas être lu : {error.strerror}."
        ) from error


def _canonical(file: BinaryIO) -> Iterator[bytes]:
    """The file's content with every line ended by CRLF, whatever ended it (RFC 5321 §2.3.8)."""
    with file:
        carried = last = b""
        while chunk := file.read(_STEP):
            chunk = carried + chunk
            carried = b"\r" if chunk.endswith(b"\r") else b""
            chunk = chunk[: len(chunk) - len(carried)]
            yield chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
            last = chunk[-1:]
        if carried or last != b"\n":
            yield b"\r\n"
