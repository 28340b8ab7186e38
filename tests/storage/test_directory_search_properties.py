"""What holds of any register: a word of a name always finds it, however it is written; who is hidden never is found.

The store plays no part here: each example is a register of its own, made in memory of one process.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from simulators.searched_registers import KEY, Searched, activity, address, build, organization, practitioner, searched
from vaguemestre.directory.register import Place
from vaguemestre.directory.search import building
from vaguemestre.directory.search.index import Shelf
from vaguemestre.documents.names import CIVILITIES, PARTICLES
from vaguemestre.documents.words import words

_SYLLABLES = tuple(
    "ba bé chè dou ël fran ça gno hu ï jô ler mar nœ oû pi quo ra sei tu vé za".split()  # noqa: SIM905
)
_PARTICLES = ("", "", "", "DE ", "DU ", "D'", "LE ", "DE LA ", "VAN DER ", "EL ")
_word = st.lists(st.sampled_from(_SYLLABLES), min_size=2, max_size=4).map("".join)
_family = st.builds(
    lambda particle, parts, joint, upper: (
        particle + (joint.join(parts).upper() if upper else joint.join(parts).title())
    ),
    st.sampled_from(_PARTICLES),
    st.lists(_word, min_size=1, max_size=2),
    st.sampled_from(("-", " ")),
    st.booleans(),
)
_given = st.builds(
    lambda parts, joint: joint.join(parts).upper(), st.lists(_word, min_size=1, max_size=3), st.sampled_from("- ")
)
_people = st.lists(st.tuples(_family, _given, st.booleans()), min_size=1, max_size=8)
_settings = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def _register(people: list[tuple[str, str, bool]]) -> list[object]:
    things: list[object] = [organization(1, "CABINET DES LICES", "RENNES", "35000")]
    for number, (family, given_name, addressed) in enumerate(people, 1):
        things += [practitioner(number, family, given_name), activity(number, number, 1)]
        if addressed:
            things.append(address(number, f"a{number}@pro.mssante.fr", number))
    return things


def _plain(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))


def _rewritten(draw: st.DrawFn, text: str) -> str:
    """The same words in another order, case and typography."""
    parts = draw(st.permutations(words(text)))
    cased = [draw(st.sampled_from((str.upper, str.lower, str.title)))(part) for part in parts]
    joint = draw(st.sampled_from((" ", "-", "  ", "' ")))
    return joint.join(cased)


def _asking(folder: str, things: list[object]):
    return searched(Place(Path(folder) / "register", KEY), Path(folder), *things)


@_settings
@given(_people, st.data())
def test_any_words_of_a_name_find_it_however_written(people: list[tuple[str, str, bool]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, _asking(folder, _register(people)) as search:
        number = data.draw(st.integers(1, len(people)))
        family, given_name, _ = people[number - 1]
        known = words(family) + words(given_name)
        chosen = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True))
        asked = _rewritten(data.draw, " ".join(chosen))
        assert number in [found.id for found in search(asked, limit=50)], asked
        # As they are written in the register, and joined, and without accents.
        for text in (
            family,
            f"{given_name} {family}",
            _plain(f"{family} {given_name}"),
            family.replace("-", "").replace(" ", ""),
        ):
            if len(words(text)[0]) <= 30:
                assert number in [found.id for found in search(text, limit=50)], text


@_settings
@given(_people, st.data())
def test_the_beginnings_of_words_are_enough(people: list[tuple[str, str, bool]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, _asking(folder, _register(people)) as search:
        number = data.draw(st.integers(1, len(people)))
        known = words(people[number - 1][0]) + words(people[number - 1][1])
        parts = [word[: data.draw(st.integers(1, len(word)))] for word in known[:3]]
        assert number in [found.id for found in search(" ".join(parts), limit=50)], parts


@_settings
@given(_people, st.data())
def test_a_mistake_in_a_word_still_finds_it(people: list[tuple[str, str, bool]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, _asking(folder, _register(people)) as search:
        number = data.draw(st.integers(1, len(people)))
        long_ones = [word for word in words(people[number - 1][0]) if len(word) >= 5 and word.isascii()]
        assume(long_ones)
        word = data.draw(st.sampled_from(long_ones))
        place = data.draw(st.integers(0, len(word) - 2))
        letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
        wrong = data.draw(
            st.sampled_from((
                word[:place] + word[place + 1 :],
                word[:place] + letter + word[place:],
                word[:place] + letter + word[place + 1 :],
                word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            ))
        )  # fmt: skip
        assume(wrong not in PARTICLES and wrong not in CIVILITIES)
        assert number in [found.id for found in search(wrong, limit=50)], (word, wrong)


@_settings
@given(_people, st.data())
def test_nobody_hidden_is_ever_found(people: list[tuple[str, str, bool]], data: st.DataObject) -> None:
    things = _register(people)
    number = len(people) + 1
    family = data.draw(_family)
    things += [
        practitioner(number, family, "PARTI", active=False),
        address(number, "parti@pro.mssante.fr", number),
        practitioner(number + 1, family, "CACHÉ"),
        address(number + 1, "secret.rouge@pro.mssante.fr", number + 1, red_list=True),
        address(number + 2, "service.rouge@pro.mssante.fr", None, 1, red_list=True),
    ]
    with tempfile.TemporaryDirectory() as folder, _asking(folder, things) as search:
        for asked in (
            family,
            *words(family),
            "parti",
            "cache",
            "secret rouge",
            "pro.mssante.fr",
            "35000",
            "lices",
            "service",
        ):
            answer = search(asked, limit=100)
            assert number not in [found.id for found in answer if found.what == "person"]
            shown = [each.address for found in answer for each in found.addresses]
            assert not [each for each in shown if "rouge" in each or "parti" in each]


_change = st.tuples(st.integers(1, 6), _family, _given, st.booleans(), st.booleans(), st.booleans())


@_settings
@given(_people, st.lists(st.lists(_change, min_size=1, max_size=4), min_size=1, max_size=4))
def test_following_gives_what_building_anew_would(
    people: list[tuple[str, str, bool]], changes: list[list[tuple[int, str, str, bool, bool, bool]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, _asking(folder, _register(people)) as search:
        names = {family for family, _, _ in people}
        for change in changes:
            things: list[object] = []
            for number, family, given_name, active, addressed, red in {each[0]: each for each in change}.values():
                names.add(family)
                things += [
                    practitioner(number, family, given_name, active=active),
                    activity(number, number, 1),
                    address(number, f"a{number}@pro.mssante.fr", number, active=addressed, red_list=red),
                ]
            search.change(*things)
        asked = [word for family in sorted(names) for word in words(family)] + ["rennes", "lices"]
        followed = [_exact(search, text) for text in asked]
        search.refresh(whole=True)
        assert [_exact(search, text) for text in asked] == followed


def _exact(search: Searched, text: str) -> list[object]:
    """What near words add depends on words that were: it is left out."""
    return [found for found in search(text, limit=100) if found.match in ("exact", "beginning", "identifier")]


_BUILD = """
import sys
from pathlib import Path
from vaguemestre.directory.register import Place
from vaguemestre.directory.search import building
from vaguemestre.directory.search.index import Shelf
folder, key = Path(sys.argv[1]), bytes(range(32))
print("begun", flush=True)
building.refresh(Place(folder / "register", key).open(), Shelf(folder / "index", key), whole=True)
print("done", flush=True)
"""


def _built(folder: Path, patience: float) -> tuple[float, bool]:
    """A build in a process of its own, killed once it lasted so many seconds: how long it did, and whether it was killed."""
    command = [sys.executable, "-c", _BUILD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        began = time.monotonic()
        try:
            run.wait(patience)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
        return time.monotonic() - began, run.wait() != 0


def test_a_build_that_is_killed_leaves_the_former_index(tmp_path: Path) -> None:
    chance = random.Random(5)
    with searched(Place(tmp_path / "register", KEY), tmp_path, practitioner(1, "DUPONT")) as search:
        build(search.place, *(practitioner(number, f"MARTIN {number}") for number in range(1, 1500)))
        lasts, killed = _built(tmp_path, 60)[0], 0
        for _ in range(6):
            killed += _built(tmp_path, lasts * chance.uniform(0.1, 0.8))[1]
            answer = search("dupont") or search("martin")
            assert answer, "neither the former index nor the new one"
        assert killed, "no build was killed: the test says nothing"
        fresh = search.place.open()
        try:
            assert building.refresh(fresh, search.shelf, whole=True).records == 1499
        finally:
            fresh.close()
        assert search("dupont") == []
        assert len(search("martin", limit=20)) == 20
        assert [path.name for path in search.shelf.folder.glob("*.building*")] == []


def test_one_process_at_a_time_changes_the_index(tmp_path: Path) -> None:
    with searched(Place(tmp_path / "register", KEY), tmp_path, practitioner(1, "DUPONT")) as search:
        with search.shelf.only_writer():
            busy = building.refresh(search.register, Shelf(search.shelf.folder, KEY), wait=False)
        assert busy.outcome is building.Outcome.BUSY


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 500])
def test_a_damaged_index_is_made_again(tmp_path: Path, damage: bytes) -> None:
    with searched(Place(tmp_path / "register", KEY), tmp_path, practitioner(1, "DUPONT")) as search:
        path = search.shelf.current()
        assert path is not None
        path.write_bytes(damage)
        assert search.refresh().outcome is building.Outcome.BUILT
        assert search.names("dupont") == ["Dr Zoé DUPONT"]
