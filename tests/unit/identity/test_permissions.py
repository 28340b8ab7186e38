"""The table of what each may do towards an account, whole: a change to it is a change to this page."""

import pytest

from vaguemestre.identity import permissions
from vaguemestre.identity.model import ALL_RIGHTS, NO_RIGHTS, NotPermittedError, Rights
from vaguemestre.identity.permissions import ADMINISTRATOR, Act, Actor, Part

ALLOWED = {
    #                     read   write  send   own    others grant  set    trace  state
    Part.HOLDER: (True, True, True, True, True, True, True, True, False),
    Part.DELEGATE: (True, True, True, True, False, False, False, False, False),
    Part.RESPONSIBLE: (True, True, True, True, True, True, True, True, False),
    Part.AUDITOR: (False, False, False, False, False, False, False, True, False),
    Part.ADMINISTRATOR: (False, False, False, False, True, True, True, True, True),
    Part.SOFTWARE: (True, True, True, False, False, False, False, False, False),
}
MAIL = (Act.READ, Act.WRITE, Act.SEND)


@pytest.mark.parametrize("part", list(Part))
def test_the_table_is_this_one(part: Part) -> None:
    assert tuple(permissions.may(part, act, ALL_RIGHTS) for act in Act) == ALLOWED[part]


@pytest.mark.parametrize("part", [Part.DELEGATE, Part.RESPONSIBLE])
@pytest.mark.parametrize("granted", [Rights(bits) for bits in range(8)])
def test_whoever_was_let_in_has_the_rights_granted_and_no_other(part: Part, granted: Rights) -> None:
    had = [permissions.may(part, act, granted) for act in MAIL]
    assert had == [right in granted for right in (Rights.READ, Rights.WRITE, Rights.SEND)]


@pytest.mark.parametrize("part", [Part.HOLDER, Part.SOFTWARE])
def test_holders_and_software_need_no_grant_of_each_right(part: Part) -> None:
    assert permissions.rights(part, NO_RIGHTS) == ALL_RIGHTS


@pytest.mark.parametrize("granted", [NO_RIGHTS, ALL_RIGHTS])
def test_an_administrator_reads_no_mail_whatever_was_granted(granted: Rights) -> None:
    assert not any(permissions.may(Part.ADMINISTRATOR, act, granted) for act in MAIL)
    assert permissions.rights(Part.ADMINISTRATOR, granted) == NO_RIGHTS


def test_a_delegate_changes_their_own_devices_and_nobody_elses() -> None:
    delegate = Actor(Part.DELEGATE, 7)
    permissions.refuse(delegate, Act.DEVICES, of=7)
    for other in (8, 0):
        with pytest.raises(NotPermittedError):
            permissions.refuse(delegate, Act.DEVICES, of=other)


def test_an_administrator_is_no_person_whose_devices_are_their_own() -> None:
    permissions.refuse(ADMINISTRATOR, Act.DEVICES, of=7)
    with pytest.raises(NotPermittedError):
        permissions.refuse(Actor(Part.DELEGATE), Act.DEVICES, of=0)


@pytest.mark.parametrize("act", [Act.GRANT, Act.STATE, Act.SETTINGS, Act.TRACES])
def test_a_delegate_runs_nothing(act: Act) -> None:
    with pytest.raises(NotPermittedError):
        permissions.refuse(Actor(Part.DELEGATE, 7), act)
