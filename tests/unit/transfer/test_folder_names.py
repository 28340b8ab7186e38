"""Names of folders lead nowhere but to their folder, and come back as they were."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.model import MailboxNameError, Role
from vaguemestre.mailstore.transfer import folders
from vaguemestre.mailstore.transfer.folders import Paths

ODD = st.sampled_from(
    ["..", ".", "a.b", "é", "INBOX", "con", "NUL.txt", "%41", "x.mbox", "manifest.json", " a ", "&", "~", "\\"]
)
LEVEL = ODD | st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=12)


def possible(name: str) -> bool:
    try:
        return mailboxes.checked(name) == name
    except MailboxNameError:
        return False


NAME = st.lists(LEVEL, min_size=1, max_size=5).map("/".join).map(mailboxes.canonical).filter(possible)
ANYTHING = st.lists(ODD | st.text(max_size=600) | st.just(""), max_size=30).map("/".join)


@given(NAME)
def test_a_path_stays_within_and_is_read_back(name: str) -> None:
    path = folders.path(name)
    assert not PurePosixPath(path).is_absolute()
    assert not {"", ".", ".."} & set(path.split("/"))
    assert "\\" not in path
    assert ":" not in path
    assert all(letter.isprintable() or ord(letter) > 127 for letter in path)
    assert folders.name_of(path) == name


@given(NAME)
def test_a_maildir_directory_is_read_back(name: str) -> None:
    directory = folders.maildir(name)
    assert directory.isascii()
    assert "/" not in directory
    assert directory == "" or (directory.startswith(".") and directory not in (".", ".."))
    assert folders.maildir_name(directory) == name


@given(ANYTHING)
def test_any_name_from_outside_becomes_one_a_mailbox_may_have(name: str) -> None:
    written = folders.writable(name)
    assert mailboxes.checked(written) == written
    assert not {"", ".", ".."} & set(written.split("/"))


@given(NAME)
def test_a_good_name_from_outside_is_kept(name: str) -> None:
    if not {".", ".."} & set(name.split("/")) and all(level == level.strip() for level in name.split("/")):
        assert folders.writable(name) == name


@given(st.binary(max_size=40))
def test_no_directory_of_others_makes_reading_raise(octets: bytes) -> None:
    assert isinstance(folders.maildir_name(octets.decode("utf-8", "surrogateescape")), str)
    assert isinstance(folders.name_of(octets.decode("utf-8", "surrogateescape")), str)


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    first, second = "é" * 240, "é" * 239 + "è"
    for spelled in (folders.path, folders.maildir):
        assert len(spelled(first).encode()) <= 220
        assert spelled(first) != spelled(second)


def test_paths_differ_also_where_capitals_do_not() -> None:
    paths = Paths(".mbox")
    taken = [paths.take(name) for name in ("Projets", "projets", "PROJETS")]
    assert len({path.casefold() for path in taken}) == 3


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("inbox", Role.INBOX),
        ("Boîte de réception", Role.INBOX),
        ("Sent", Role.SENT),
        ("Sent Items", Role.SENT),
        ("Éléments envoyés", Role.SENT),
        ("ENVOYÉS", Role.SENT),
        ("INBOX/Sent", Role.SENT),
        ("Drafts", Role.DRAFTS),
        ("Brouillons", Role.DRAFTS),
        ("Trash", Role.TRASH),
        ("Deleted Messages", Role.TRASH),
        ("Corbeille", Role.TRASH),
        ("Courrier indésirable", Role.JUNK),
        ("Junk E-mail", Role.JUNK),
        ("Archives", Role.ARCHIVE),
        ("Projets/Sent", None),
        ("INBOX/INBOX", None),
        ("Patients", None),
        ("", None),
    ],
)
def test_a_special_use_is_known_by_its_common_names(name: str, role: Role | None) -> None:
    assert folders.guessed_role(name) is role
