"""An account as a session finds it: its mailboxes and letters by token, held against what it says of itself.

What must hold: counters, sizes and the quota agree with a count; no UID stands twice, nor at UIDNEXT or beyond; no message
changed after HIGHESTMODSEQ; each mailbox has a UIDVALIDITY of its own; a letter has the octets that were sent.
RFC 9051 §2.3.1, §6.3.11; RFC 7162 §3.1.2; RFC 9208.
"""

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulators.imap_peer import ImapPeer, flag_set
from simulators.letters import letter

Flags = frozenset[str]

SIZES = (1_000, 1_000, 3_000, 1_000, 60_000, 1_000, 300_000)  # the largest go to the object store


@dataclass(slots=True)
class Letter:
    """A letter in a mailbox. `modseq` 0: not told yet."""

    token: str
    flags: Flags
    modseq: int = 0


@dataclass(slots=True)
class Box:
    """A mailbox, or one client's part of it. `validity` 0: not told yet, but more than `above`; `uid_next` and `highest`
    are lower bounds."""

    validity: int = 0
    uid_next: int = 1
    highest: int = 0
    letters: dict[int, Letter] = field(default_factory=dict)
    above: int = 0

    def may_have(self, validity: int) -> bool:
        """Whether this can be its UIDVALIDITY."""
        return validity == self.validity if self.validity else validity > self.above


Boxes = dict[str, Box]


def content(token: str) -> bytes:
    """The letter of this token, the same each time."""
    size = SIZES[zlib.crc32(token.encode()) % len(SIZES)]
    text = f"{token} {zlib.crc32(token.encode()):08x}\r\n" * (size // (len(token) + 11))
    return letter(f"Lettre {token}", text, Message_ID=f"<{token}@nord.mssante.fr>")


def look(peer: ImapPeer, arrivals: Mapping[str, bytes], *, contents: bool = False) -> Boxes:
    """Read a whole account, and hold its counters against a count; `contents`: each letter against what was sent.

    `arrivals`: of letters that may have come by other ways, which write a trace before them, the content by token.
    """
    items = "MESSAGES UNSEEN DELETED SIZE UIDNEXT UIDVALIDITY HIGHESTMODSEQ"
    boxes: dict[str, Box] = {}
    octets: dict[str, int] = {}
    for told in peer.ok(f'LIST "" "*" RETURN (STATUS ({items}))').of("STATUS"):
        name, values = _text(told.values[0]), told.values[1]
        says = {str(values[at]).upper(): int(values[at + 1]) for at in range(0, len(values), 2)}
        box = Box(says["UIDVALIDITY"], says["UIDNEXT"], says["HIGHESTMODSEQ"])
        boxes[name] = box
        seen = peer.select(name, read_only=True)
        assert (seen.exists, seen.uid_validity, seen.uid_next) == (says["MESSAGES"], box.validity, box.uid_next), name
        wanted = "UID FLAGS MODSEQ RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]" + (
            " BODY.PEEK[]" if contents else ""
        )
        fetched = peer.fetch("1:*", f"({wanted})") if seen.exists else {}
        sizes = 0
        for each in fetched.values():
            token = each["BODY[HEADER.FIELDS (MESSAGE-ID)]"].split(b"<")[1].split(b"@")[0].decode()
            uid, modseq, size = int(each["UID"]), int(each["MODSEQ"][0]), int(each["RFC822.SIZE"])
            assert uid not in box.letters, f"{name}: UID {uid} twice"
            assert uid < box.uid_next, f"{name}: UID {uid}, yet UIDNEXT is {box.uid_next}"
            assert modseq <= box.highest, f"{name}: UID {uid} has MODSEQ {modseq}, yet HIGHESTMODSEQ is {box.highest}"
            sent, traced = arrivals.get(token) or content(token), token in arrivals
            assert size > len(sent) if traced else size == len(sent), f"{name}: {token} has {size} octets"
            whole = not contents or (each["BODY[]"].endswith(sent) if traced else each["BODY[]"] == sent)
            assert whole, f"{name}: {token} is not what was sent"
            box.letters[uid] = Letter(token, flag_set(each["FLAGS"]), modseq)
            octets[token] = size
            sizes += size
        flags = [each.flags for each in box.letters.values()]
        counted = {
            "MESSAGES": len(flags),
            "UNSEEN": sum("\\Seen" not in each for each in flags),
            "DELETED": sum("\\Deleted" in each for each in flags),
            "SIZE": sizes,
        }
        assert counted == {each: says[each] for each in counted}, f"{name}: {counted}, yet it says {says}"
    (quota,) = peer.ok('GETQUOTAROOT "INBOX"').of("QUOTA")
    used = int(quota.values[1][1])
    held = sum(octets.values())  # a copy is another place of the same letter
    assert used == -(-held // 1024), f"{held} octets are kept, yet the quota says {used} KiB"
    validities = Counter(each.validity for each in boxes.values())
    assert max(validities.values()) == 1, f"UIDVALIDITY is not each mailbox's own: {validities}"
    return boxes


def difference(expected: Boxes, found: Boxes) -> str:
    """What is otherwise than expected, or nothing. Letters under negative UIDs are expected under any that is new."""
    if expected.keys() != found.keys():
        return f"mailboxes {sorted(expected.keys() ^ found.keys())} are only here or there"
    for name, box in expected.items():
        there = found[name]
        if not box.may_have(there.validity):
            return f"{name}: UIDVALIDITY was {box.validity}, or above {box.above}; it is {there.validity}"
        if there.uid_next < box.uid_next or there.highest < box.highest:
            return f"{name}: UIDNEXT {box.uid_next}→{there.uid_next}, HIGHESTMODSEQ {box.highest}→{there.highest}"
        for uid, each in box.letters.items():
            if uid > 0:
                other = there.letters.get(uid)
                if other is None or (other.token, other.flags) != (each.token, each.flags):
                    return f"{name}: UID {uid} was {each}, is {other}"
                if each.modseq not in (0, other.modseq):
                    return f"{name}: MODSEQ of UID {uid} was {each.modseq}, is {other.modseq}"
        new = {uid: each for uid, each in there.letters.items() if uid not in box.letters}
        due = sorted((each.token, sorted(each.flags)) for uid, each in box.letters.items() if uid < 0)
        if sorted((each.token, sorted(each.flags)) for each in new.values()) != due:
            return f"{name}: {new}, where {due} was due"
        if any(uid < box.uid_next for uid in new):
            return f"{name}: {new}, yet UIDs before {box.uid_next} were given"
    return ""


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
