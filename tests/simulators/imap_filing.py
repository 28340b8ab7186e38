"""Mail programs that file without pause, each of which knows what was acknowledged to it and what was still under way.

A `Filer` has mailboxes of its own and puts letters into shared ones too; there it touches its own letters only, so that
what each should find is known. When its connection is cut, what it has not heard OK of may have been done or not, but in
the order it was asked, each thing whole or not at all: `Filer.settle` takes what a session finds afterwards and fails
unless that is so.

What must hold besides: UIDVALIDITY stays; a UID is never given twice; MODSEQs and HIGHESTMODSEQ never fall, and a change
that anybody was told of stands. RFC 9051 §2.3.1, §6.3.12, §6.4.7, §6.4.8; RFC 3502, RFC 4315, RFC 6851, RFC 7162.
"""

import random
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import count

from simulators.imap_account import Box, Boxes, Flags, Letter, content, difference
from simulators.imap_answers import Answer, Untagged, code_of, expand
from simulators.imap_peer import ImapPeer, Login, Part, items_of, quoted

MOST_LETTERS, MOST_BOXES, MOST_UNDER_WAY = 40, 5, 3
_FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "urgent", "vu")


@dataclass(frozen=True, slots=True)
class Deed:
    """A command that changes something: how, once it is known which UIDs it gave in `target`, `gives` of them."""

    kind: str
    parts: tuple[Part, ...]
    change: Callable[[Boxes, list[int]], None]
    target: str = ""
    gives: int = 0


class Filer:
    """One client of an account, over as many connections as it takes. Not for two threads at once."""

    def __init__(self, name: str, login: Login, shared: tuple[str, ...], seed: int) -> None:
        self.name, self.login, self.shared = name, login, shared
        self.boxes: Boxes = {each: Box() for each in shared}
        self.under_way: list[Deed] = []
        self.acknowledged: Counter[str] = Counter()
        self.cut_short: Counter[str] = Counter()
        self.done_unheard: Counter[str] = Counter()
        self.working = threading.Event()
        self.failure: BaseException | None = None
        self._chance = random.Random(f"{name} {seed}")
        self._numbers = count(1)
        self._at = ""
        self._buried = 0  # the greatest UIDVALIDITY that a mailbox had which is deleted
        self._peer: ImapPeer
        self._kinds: list[tuple[int, Callable[[], list[Deed]]]] = [
            (25, self._append),
            (20, self._store),
            (12, self._copy),
            (15, self._move),
            (10, self._expunge),
            (4, self._create),
            (4, self._rename),
            (2, self._delete),
        ]

    def owns(self, mailbox: str) -> bool:
        """Whether this is a mailbox of its own."""
        return mailbox.startswith(f"{self.name}-")

    def wrote(self, token: str) -> bool:
        """Whether this is a letter of its own."""
        return token.startswith(f"{self.name}.")

    # Filing

    def file(self, port: int, context: ssl.SSLContext) -> None:
        """Sign in and change things until the connection is cut; `failure` is what else went wrong."""
        self._at = ""
        try:
            with ImapPeer.connect(port, context, implicit=True) as self._peer:
                self._peer.heard = self._hear
                self._peer.literals = self._chance.choice(("+", "synchronising"))
                self._peer.login(self.login)
                self._peer.ok("ENABLE CONDSTORE")
                while True:
                    self._do_something()
                    self.working.set()
        except OSError:  # cut: TLS says it in its own way
            self.cut_short.update(each.kind for each in self.under_way)
        except BaseException as failure:
            self.failure = failure
        finally:
            self.working.set()

    def _do_something(self) -> None:
        """One or some commands, sent at once, then their answers."""
        held = sum(len(box.letters) for box in self.boxes.values())
        weights = [weight for weight, _ in self._kinds]
        if held >= MOST_LETTERS:
            weights[0], weights[2], weights[4] = 0, 0, 60
        (choose,) = self._chance.choices([kind for _, kind in self._kinds], weights)
        deeds = choose()
        if (
            deeds
            and deeds[0].kind in ("STORE", "APPEND")
            and self._peer.literals == "+"
            and self._chance.random() < 0.3
        ):
            for _ in range(self._chance.randrange(MOST_UNDER_WAY)):  # on letters that those before leave in peace
                deeds += self._append()
        if not deeds:
            return
        self.under_way = list(deeds)
        tags = [self._peer.begin(*each.parts) for each in deeds]
        for tag, deed in zip(tags, deeds, strict=True):
            answer = self._peer.finish(tag)
            assert answer.status == "OK", (
                f"{self.name}, {deed.parts!r:.300}: {answer.status} {answer.code} {answer.text}"
            )
            self._acknowledge(deed, answer)
            self.under_way.pop(0)

    def _acknowledge(self, deed: Deed, answer: Answer) -> None:
        given: list[int] = []
        if deed.gives:
            codes = [answer.code, *(code_of(each) for each in answer.of("OK"))]
            (code,) = (each for each in codes if each.startswith(("APPENDUID", "COPYUID")))
            words = code.split(" ")
            given = expand(words[-1])
            box = self.boxes[deed.target]
            assert len(given) == deed.gives, f"{deed.kind} of {deed.gives}: {code}"
            assert min(given) >= box.uid_next, f"{self.name}: {code}, yet {box.uid_next - 1} was given in {deed.target}"
            assert box.may_have(int(words[1])), f"{self.name}: {code}, yet UIDVALIDITY was {box.validity}"
            box.validity = int(words[1])
        deed.change(self.boxes, given)
        if deed.kind == "STORE":
            self._learn(answer)
        self.acknowledged[deed.kind] += 1

    def _learn(self, answer: Answer) -> None:
        """MODSEQs that a STORE told."""
        letters = self.boxes[self._at].letters
        for told in answer.of("FETCH"):
            items = items_of(told)
            if "MODSEQ" in items and int(items.get("UID", 0)) in letters:
                letters[int(items["UID"])].modseq = int(items["MODSEQ"][0])

    def _hear(self, told: Untagged) -> None:
        """What anybody was told to be so is so, whatever happens next: of this client's own doing or not."""
        if told.name == "FETCH" and "MODSEQ" in (items := items_of(told)):
            box = self.boxes[self._at]
            box.highest = max(box.highest, int(items["MODSEQ"][0]))

    # What may be done: each gives commands, or none where there is nothing to do it with

    def _append(self) -> list[Deed]:
        target, size = self._any_box(), self._chance.choice((1, 1, 1, 2, 3))
        new = [Letter(f"{self.name}.{next(self._numbers)}", self._some_flags()) for _ in range(size)]
        parts: list[Part] = [f"APPEND {quoted(target)}"]
        for each in new:
            parts += [f" ({' '.join(sorted(each.flags))}) ", content(each.token)]

        def change(boxes: Boxes, given: list[int]) -> None:
            _put(boxes[target], given, deepcopy(new))

        return [Deed("APPEND" if size == 1 else "MULTIAPPEND", tuple(parts), change, target, size)]

    def _store(self) -> list[Deed]:
        uids = self._some_letters()
        if not uids:
            return []
        how, silent = self._chance.choice(("+", "-", "")), self._chance.choice(("", ".SILENT"))
        flags = self._some_flags() or frozenset({"\\Seen"})
        return [self._storing(uids, how, flags, silent)]

    def _storing(self, uids: list[int], how: str, flags: Flags, silent: str) -> Deed:
        at = self._at

        def change(boxes: Boxes, _: list[int]) -> None:
            for uid in uids:
                one = boxes[at].letters[uid]
                changed = {"+": one.flags | flags, "-": one.flags - flags, "": flags}[how]
                if changed != one.flags:
                    one.flags, one.modseq = changed, 0

        return Deed("STORE", (f"UID STORE {_set(uids)} {how}FLAGS{silent} ({' '.join(sorted(flags))})",), change)

    def _copy(self) -> list[Deed]:
        uids, target = self._some_letters(), self._any_box()
        if not uids:
            return []
        at = self._at

        def change(boxes: Boxes, given: list[int]) -> None:
            _put(
                boxes[target],
                given,
                [Letter(boxes[at].letters[uid].token, boxes[at].letters[uid].flags) for uid in uids],
            )

        return [Deed("COPY", (f"UID COPY {_set(uids)} {quoted(target)}",), change, target, len(uids))]

    def _move(self) -> list[Deed]:
        uids, target = self._some_letters(), self._any_box()
        if not uids or target == self._at:
            return []
        at = self._at

        def change(boxes: Boxes, given: list[int]) -> None:
            moved = [boxes[at].letters.pop(uid) for uid in uids]
            _put(boxes[target], given, [Letter(each.token, each.flags) for each in moved])

        return [Deed("MOVE", (f"UID MOVE {_set(uids)} {quoted(target)}",), change, target, len(uids))]

    def _expunge(self) -> list[Deed]:
        uids = self._some_letters()
        if not uids:
            return []
        at = self._at

        def change(boxes: Boxes, _: list[int]) -> None:
            for uid in uids:
                del boxes[at].letters[uid]

        marked = self._storing(uids, "+", frozenset({"\\Deleted"}), ".SILENT")
        return [marked, Deed("EXPUNGE", (f"UID EXPUNGE {_set(uids)}",), change)]

    def _create(self) -> list[Deed]:
        own = self._own()
        if len(own) >= MOST_BOXES:
            return []
        name = f"{self.name}-{self._chance.randrange(8)}"  # names come again: another mailbox then
        if name in own:
            name = f"{name}/{self._chance.randrange(8)}"
            if name in own:
                return []

        above = self._buried

        def change(boxes: Boxes, _: list[int]) -> None:
            boxes[name] = Box(above=above)

        return [Deed("CREATE", (f"CREATE {quoted(name)}",), change)]

    def _rename(self) -> list[Deed]:
        own = [each for each in self._own() if "/" not in each]
        new = f"{self.name}-{self._chance.randrange(8)}"
        if not own or any(each == new or each.startswith(f"{new}/") for each in self._own()):
            return []
        old = self._chance.choice(own)

        def change(boxes: Boxes, _: list[int]) -> None:
            for each in [each for each in boxes if each == old or each.startswith(f"{old}/")]:
                boxes[new + each[len(old) :]] = boxes.pop(each)

        self._leave()
        return [Deed("RENAME", (f"RENAME {quoted(old)} {quoted(new)}",), change)]

    def _delete(self) -> list[Deed]:
        own = self._own()
        leaves = [each for each in own if not any(other.startswith(f"{each}/") for other in own)]
        if not leaves:
            return []
        name = self._chance.choice(leaves)

        def change(boxes: Boxes, _: list[int]) -> None:
            self._buried = max(self._buried, boxes.pop(name).validity)

        self._leave()
        return [Deed("DELETE", (f"DELETE {quoted(name)}",), change)]

    def _own(self) -> list[str]:
        return sorted(filter(self.owns, self.boxes))

    def _any_box(self) -> str:
        return self._chance.choice(sorted(self.boxes))

    def _some_flags(self) -> Flags:
        return frozenset(self._chance.sample(_FLAGS, self._chance.randrange(4)))

    def _some_letters(self) -> list[int]:
        """UIDs of some letters of its own, in a mailbox that is selected then; none where it has none."""
        filled = sorted(name for name, box in self.boxes.items() if box.letters)
        if not filled:
            return []
        if self._at not in filled or self._chance.random() < 0.3:
            self._select(self._chance.choice(filled))
        known = sorted(self.boxes[self._at].letters)
        return sorted(self._chance.sample(known, min(len(known), self._chance.choice((1, 1, 2, 5)))))

    def _select(self, name: str) -> None:
        self._at = name
        seen, box = self._peer.select(name), self.boxes[name]
        assert box.may_have(seen.uid_validity), f"{name}: UIDVALIDITY was {box.validity}, is {seen.uid_validity}"
        assert seen.uid_next >= box.uid_next, f"{name}: UIDNEXT fell from {box.uid_next} to {seen.uid_next}"
        assert seen.modseq >= box.highest, f"{name}: HIGHESTMODSEQ fell from {box.highest} to {seen.modseq}"
        box.validity, box.uid_next, box.highest = seen.uid_validity, seen.uid_next, seen.modseq

    def _leave(self) -> None:
        if self._at:
            self._peer.ok("UNSELECT")
            self._at = ""

    # Afterwards

    def settle(self, found: Boxes) -> None:
        """Hold what a session found against what was acknowledged and what was under way, and go on from there.

        `found`: its own mailboxes whole, and of the shared ones its own letters.
        """
        reasons = []
        expected = deepcopy(self.boxes)
        placeholders = count(-1, -1)
        for deed in [None, *self.under_way]:
            if deed is not None:
                deed.change(expected, [next(placeholders) for _ in range(deed.gives)])
            reason = difference(expected, found)
            if not reason:
                self.done_unheard.update(each.kind for each in self.under_way[: len(reasons)])
                break
            reasons.append(f"after {deed.parts!r:.200}: {reason}" if deed else reason)
        else:
            raise AssertionError(f"{self.name}: " + "; ".join(reasons))
        self.under_way = []
        self.boxes = found


def settle(filers: Sequence[Filer], found: Boxes) -> list[str]:
    """Hold all of an account against what each of its clients knows; the tokens of what none of them put there."""
    for name in filers[0].shared:
        known = max(each.boxes[name].uid_next for each in filers)
        for each in filers:
            each.boxes[name].uid_next = known
    for filer in filers:
        part: Boxes = {}
        for name, box in found.items():
            if filer.owns(name) or name in filer.shared:
                letters = {uid: each for uid, each in box.letters.items() if filer.wrote(each.token)}
                part[name] = Box(box.validity, box.uid_next, box.highest, deepcopy(letters))
        filer.settle(part)
    return [each.token for box in found.values() for each in box.letters.values() if not _known(filers, each)]


def _known(filers: Sequence[Filer], one: Letter) -> bool:
    return any(filer.wrote(one.token) for filer in filers)


def _put(box: Box, given: list[int], letters: list[Letter]) -> None:
    for uid, each in zip(given, letters, strict=True):
        box.letters[uid] = each
        box.uid_next = max(box.uid_next, uid + 1)


def _set(uids: list[int]) -> str:
    return ",".join(map(str, uids))
