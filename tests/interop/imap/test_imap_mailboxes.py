"""Mailboxes: made, renamed, deleted, subscribed, listed, counted. RFC 9051 §6.3; RFC 5258, 5819, 6154, 8438, 8474."""

from typing import Any

import pytest

from simulators.imap_peer import ImapPeer, Login, quoted
from simulators.letters import letter
from simulators.mail_servers import MailServer

needs, deviates = pytest.mark.needs, pytest.mark.deviates
pytestmark = pytest.mark.both_stores


def listed(peer: ImapPeer, command: str, name: str = "LIST") -> dict[str, frozenset[str]]:
    """Mailboxes answered: name and attributes in lower case."""
    found: dict[str, frozenset[str]] = {}
    for each in peer.ok(command).of(name):
        mailbox = text(each.values[2])
        assert mailbox not in found, f"told twice: {mailbox}"
        found[mailbox] = frozenset(str(attribute).lower() for attribute in each.values[0])
    return found


def text(value: Any) -> str:
    """A mailbox's name, however it was sent."""
    return value.decode() if isinstance(value, bytes) else str(value)


def status(peer: ImapPeer, mailbox: str, items: str) -> dict[str, Any]:
    """What STATUS tells of one mailbox."""
    (told,) = peer.ok(f"STATUS {quoted(mailbox)} ({items})").of("STATUS")
    values = told.values[1]
    return {str(values[at]).upper(): values[at + 1] for at in range(0, len(values), 2)}


def tree(peer: ImapPeer, *names: str) -> None:
    for name in names:
        peer.ok(f"CREATE {quoted(name)}")


# Made and unmade


def test_a_mailbox_made_is_listed_and_empty(one: ImapPeer) -> None:
    tree(one, "neuf")
    assert "neuf" in listed(one, 'LIST "" *')
    assert one.select("neuf").exists == 0


def test_superiors_are_made_too(one: ImapPeer) -> None:
    tree(one, "a/b/c")
    assert {"a", "a/b", "a/b/c"} <= set(listed(one, 'LIST "" *'))


def test_a_separator_at_the_end_is_no_part_of_the_name(one: ImapPeer) -> None:
    tree(one, "fin/")
    assert "fin" in listed(one, 'LIST "" *')
    assert "fin/" not in listed(one, 'LIST "" *')


def test_what_exists_is_not_made_again(one: ImapPeer) -> None:
    tree(one, "deux")
    assert one.refused("CREATE deux").code in ("ALREADYEXISTS", "")
    one.refused("CREATE INBOX")
    one.refused("CREATE inbox")


def test_what_is_not_there_is_refused_by_its_name(one: ImapPeer) -> None:
    for command in ("DELETE rien", "RENAME rien autre", "SELECT rien", "STATUS rien (MESSAGES)"):
        assert one.refused(command).code in ("NONEXISTENT", ""), command


def test_the_inbox_is_not_deleted(one: ImapPeer) -> None:
    one.refused("DELETE INBOX")


def test_a_mailbox_deleted_is_gone_with_its_messages(one: ImapPeer) -> None:
    tree(one, "perdu")
    one.append(letter(), "perdu")
    before = one.select("perdu").uid_validity
    one.select()
    one.ok("DELETE perdu")
    assert "perdu" not in listed(one, 'LIST "" *')
    tree(one, "perdu")
    seen = one.select("perdu")
    assert seen.exists == 0
    assert seen.uid_validity > before or seen.uid_next > 1, "its UIDs may be taken for the old ones"


@deviates("dovecot", "with mdbox it asks for the inferiors to be deleted first")
def test_a_mailbox_deleted_keeps_its_inferiors(one: ImapPeer) -> None:
    """RFC 9051 §6.3.5."""
    tree(one, "haut/bas")
    one.append(letter(), "haut/bas")
    one.ok("DELETE haut")
    assert status(one, "haut/bas", "MESSAGES") == {"MESSAGES": 1}
    found = listed(one, 'LIST "" *')
    assert "haut" not in found or {"\\noselect", "\\nonexistent"} & found["haut"]


def test_a_rename_takes_messages_and_inferiors_along(one: ImapPeer) -> None:
    tree(one, "vieux/un", "vieux/deux/trois")
    uid = one.append(letter("Garde"), "vieux/deux/trois")
    validity = one.select("vieux/deux/trois").uid_validity
    one.select()
    one.ok("RENAME vieux nouveau/lieu")
    found = set(listed(one, 'LIST "" *'))
    assert {"nouveau/lieu", "nouveau/lieu/un", "nouveau/lieu/deux/trois"} <= found
    assert not {name for name in found if name.startswith("vieux")}
    seen = one.select("nouveau/lieu/deux/trois")
    assert seen.exists == 1
    assert seen.uid_validity == validity
    assert one.uids() == [uid]


def test_a_rename_onto_another_is_refused(one: ImapPeer) -> None:
    tree(one, "ici", "la")
    assert one.refused("RENAME ici la").code in ("ALREADYEXISTS", "")
    one.refused("RENAME ici INBOX")
    one.refused("RENAME ici ici/dessous")


@deviates("dovecot", "renames the inbox like any other, its inferiors too")
def test_renaming_the_inbox_empties_it_into_a_new_mailbox(one: ImapPeer) -> None:
    """RFC 9051 §6.3.6: its messages move, it stays, its inferiors stay."""
    one.append(letter("Ancien"))
    tree(one, "INBOX/dessous")
    one.ok("RENAME INBOX archives")
    found = listed(one, 'LIST "" *')
    assert {"INBOX", "archives", "INBOX/dessous"} <= set(found)
    assert status(one, "INBOX", "MESSAGES") == {"MESSAGES": 0}
    assert status(one, "archives", "MESSAGES") == {"MESSAGES": 1}


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("Été", "&AMk-t&AOk-"),
        ("R&D", "R&-D"),
        ("台北/日本語", "&U,BTFw-/&ZeVnLIqe-"),
        ("boîte 😀", "bo&AO4-te &2D3eAA-"),
        ("a%b", "a%b"),
        ("espace et (parenthèses)", "espace et (parenth&AOg-ses)"),
    ],
)
def test_names_of_all_the_world(one: ImapPeer, name: str, wire: str) -> None:
    """RFC 3501 §5.1.3, modified UTF-7, for who has not enabled anything else."""
    del name
    tree(one, wire)
    assert wire in listed(one, 'LIST "" *')
    one.select(wire)
    assert status(one, wire, "MESSAGES") == {"MESSAGES": 0}


@pytest.mark.parametrize("wire", ["a&", "&AMk", "&AGE-", "&Jjo!-"])
def test_wrong_utf7_is_refused(one: ImapPeer, wire: str) -> None:
    assert one.command(f"CREATE {quoted(wire)}").status in ("NO", "BAD")


def test_the_inbox_has_one_name_in_any_case(one: ImapPeer) -> None:
    one.append(letter(), "iNbOx")
    assert status(one, "inbox", "MESSAGES") == {"MESSAGES": 1}
    assert [name for name in listed(one, 'LIST "" *') if name.lower() == "inbox"] == ["INBOX"]
    assert list(listed(one, 'LIST "" inbox')) == ["INBOX"]


def test_other_names_have_their_case(one: ImapPeer) -> None:
    tree(one, "Cas", "cas")
    assert {"Cas", "cas"} <= set(listed(one, 'LIST "" *'))
    one.refused("SELECT CAS")


# LIST


def test_wildcards(one: ImapPeer) -> None:
    tree(one, "x/y/z", "xa", "w")
    mine = {"x", "x/y", "x/y/z", "xa", "w"}
    for pattern, found in {
        "%": {"x", "xa", "w"},
        "*": mine,
        "x%": {"x", "xa"},
        "x*": mine - {"w"},
        "x/%": {"x/y"},
        "%/%": {"x/y"},
        "*z": {"x/y/z"},
        "x/*/z": {"x/y/z"},
        "%a": {"xa"},
        "w": {"w"},
        "rien": set(),
    }.items():
        assert {name for name in listed(one, f'LIST "" "{pattern}"') if name in mine} == found, pattern
    assert {name for name in listed(one, 'LIST "x/" "%"') if name in mine} == {"x/y"}


def test_an_empty_pattern_asks_for_the_separator(one: ImapPeer) -> None:
    (told,) = one.ok('LIST "" ""').of("LIST")
    assert told.values[1] == b"/"
    assert text(told.values[2]) == ""


@needs("CHILDREN")
def test_children_are_told(one: ImapPeer) -> None:
    tree(one, "parent/enfant")
    found = listed(one, 'LIST "" *')
    assert "\\haschildren" in found["parent"]
    assert "\\hasnochildren" in found["parent/enfant"]
    one.ok("DELETE parent/enfant")
    assert "\\hasnochildren" in listed(one, 'LIST "" parent')["parent"]


def test_subscriptions_outlive_what_they_name(one: ImapPeer) -> None:
    """RFC 9051 §6.3.7, §6.3.9."""
    tree(one, "abo")
    one.ok("SUBSCRIBE abo")
    assert "abo" in listed(one, 'LSUB "" *', "LSUB")
    one.ok("DELETE abo")
    assert "abo" in listed(one, 'LSUB "" *', "LSUB")
    one.ok("UNSUBSCRIBE abo")
    assert "abo" not in listed(one, 'LSUB "" *', "LSUB")


def test_lsub_tells_of_superiors_that_are_not_subscribed(one: ImapPeer) -> None:
    """RFC 3501 §6.3.9."""
    tree(one, "foo/bar")
    one.ok("SUBSCRIBE foo/bar")
    found = listed(one, 'LSUB "" "%"', "LSUB")
    assert "\\noselect" in found["foo"]


@needs("LIST-EXTENDED")
def test_list_selects_and_returns_subscriptions(one: ImapPeer) -> None:
    """RFC 5258 §3, §5."""
    tree(one, "fruit/pomme", "fruit/poire", "legume")
    tree(one, "absent")
    for name in ("fruit/pomme", "legume", "absent"):
        one.ok(f"SUBSCRIBE {name}")
    one.ok("DELETE absent")
    found = listed(one, 'LIST (SUBSCRIBED) "" *')
    assert {"fruit/pomme", "legume", "absent"} <= set(found)
    assert "fruit/poire" not in found
    assert all("\\subscribed" in each for each in found.values())
    assert "\\nonexistent" in found["absent"]
    every = listed(one, 'LIST "" * RETURN (SUBSCRIBED)')
    assert "\\subscribed" in every["legume"]
    assert "\\subscribed" not in every["fruit/poire"]
    assert "absent" not in every


@needs("LIST-EXTENDED")
def test_recursive_match_tells_of_superiors(one: ImapPeer) -> None:
    tree(one, "haut/bas")
    one.ok("SUBSCRIBE haut/bas")
    answer = one.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"')
    (told,) = [each for each in answer.of("LIST") if text(each.values[2]) == "haut"]
    assert "\\subscribed" not in {str(each).lower() for each in told.values[0]}
    tag, selected = told.values[3]
    assert text(tag).upper() == "CHILDINFO"
    assert [text(each).upper() for each in selected] == ["SUBSCRIBED"]
    one.refused('LIST (RECURSIVEMATCH) "" "%"', status="BAD")


@needs("LIST-EXTENDED")
def test_several_patterns_at_once(one: ImapPeer) -> None:
    tree(one, "p1", "p2", "q")
    assert set(listed(one, 'LIST "" ("p1" "p%" "INBOX")')) == {"p1", "p2", "INBOX"}
    tree(one, "q/r")
    assert "\\haschildren" in listed(one, 'LIST "" % RETURN (CHILDREN)')["q"]
    one.refused('LIST (NOSUCHOPTION) "" *', status="BAD")


@needs("LIST-STATUS")
def test_list_returns_status(one: ImapPeer) -> None:
    """RFC 5819: a STATUS after each LIST of a mailbox that can be selected."""
    tree(one, "compte")
    one.append(letter(), "compte")
    answer = one.ok('LIST "" (compte INBOX) RETURN (STATUS (MESSAGES UNSEEN UIDNEXT UIDVALIDITY))')
    told = {text(each.values[0]): each.values[1] for each in answer.of("STATUS")}
    assert set(told) == {"compte", "INBOX"}
    counts = dict(zip(told["compte"][::2], told["compte"][1::2], strict=True))
    assert counts["MESSAGES"] == counts["UNSEEN"] == 1
    assert counts["UIDNEXT"] == 2
    names = [each.name for each in answer.untagged]
    assert names == ["LIST", "STATUS", "LIST", "STATUS"]


@needs("SPECIAL-USE")
def test_special_uses_are_told_and_selected(one: ImapPeer) -> None:
    """RFC 6154."""
    plain = listed(one, 'LIST "" *')
    special = {name: uses for name, uses in plain.items() if {"\\sent", "\\drafts", "\\trash"} & uses}
    assert {use for uses in special.values() for use in uses} >= {"\\sent", "\\drafts", "\\trash"}
    assert set(special) <= set(listed(one, 'LIST (SPECIAL-USE) "" *'))
    assert "INBOX" not in listed(one, 'LIST (SPECIAL-USE) "" *')
    returned = listed(one, 'LIST "" * RETURN (SPECIAL-USE)')
    assert all(uses & returned[name] for name, uses in special.items())


@needs("CREATE-SPECIAL-USE")
def test_a_mailbox_may_be_made_for_a_use(one: ImapPeer) -> None:
    answer = one.command(r"CREATE mien (USE (\Archive))")
    assert answer.status == "OK" or answer.code == "USEATTR"
    one.refused(r"CREATE tien (USE (\Nonsense))", code="USEATTR")


# STATUS


def test_status_counts(one: ImapPeer) -> None:
    for flags in ("", "\\Seen", "\\Seen \\Deleted"):
        one.append(letter(), flags=flags)
    one.ok("NOOP")
    selected = one.select()
    told = status(one, "INBOX", "MESSAGES UIDNEXT UIDVALIDITY UNSEEN")
    assert told == {
        "MESSAGES": 3,
        "UIDNEXT": selected.uid_next,
        "UIDVALIDITY": selected.uid_validity,
        "UNSEEN": 1,
    }


@needs("STATUS=SIZE")
def test_status_tells_the_size(one: ImapPeer) -> None:
    """RFC 8438: the sum of RFC822.SIZE, or more."""
    contents = [letter("Un"), letter("Deux", "x" * 5000)]
    for content in contents:
        one.append(content)
    assert status(one, "INBOX", "SIZE")["SIZE"] >= sum(map(len, contents))


@needs("IMAP4REV2")
def test_status_tells_of_deleted(one: ImapPeer) -> None:
    one.append(letter(), flags="\\Deleted")
    assert status(one, "INBOX", "DELETED MESSAGES") == {"DELETED": 1, "MESSAGES": 1}


@needs("CONDSTORE")
def test_status_tells_the_highest_modseq(one: ImapPeer) -> None:
    one.append(letter())
    first = status(one, "INBOX", "HIGHESTMODSEQ")["HIGHESTMODSEQ"]
    one.ok("NOOP")
    one.ok(r"STORE 1 +FLAGS (\Seen)")
    assert status(one, "INBOX", "HIGHESTMODSEQ")["HIGHESTMODSEQ"] > first


@needs("APPENDLIMIT")
def test_the_limit_of_append_is_told_and_kept(one: ImapPeer) -> None:
    """RFC 7889."""
    (limit,) = (int(each.partition("=")[2]) for each in one.capabilities() if each.startswith("APPENDLIMIT="))
    assert status(one, "INBOX", "APPENDLIMIT") == {"APPENDLIMIT": limit}
    one.send(b"x APPEND INBOX {%d}\r\n" % (limit + 1))
    data = one.receive()
    assert data.startswith(b"x NO [TOOBIG]"), data


# OBJECTID


@needs("OBJECTID")
def test_mailbox_ids_are_told_everywhere_and_outlive_a_rename(one: ImapPeer) -> None:
    """RFC 8474 §4."""
    answer = one.ok("CREATE objet")
    assert answer.code.startswith("MAILBOXID (")
    made = answer.code[len("MAILBOXID (") : -1]
    assert one.select("objet").mailbox_id == made
    assert status(one, "objet", "MAILBOXID") == {"MAILBOXID": (made,)}
    one.select()
    one.ok("RENAME objet autre")
    assert status(one, "autre", "MAILBOXID") == {"MAILBOXID": (made,)}
    one.ok("CREATE objet")
    assert status(one, "objet", "MAILBOXID") != {"MAILBOXID": (made,)}


@needs("OBJECTID")
def test_a_copy_has_its_original_s_email_id(one: ImapPeer) -> None:
    """RFC 8474 §5: EMAILID of the content, THREADID of the conversation."""
    first, other = letter("Question"), letter("Re: Question", In_Reply_To="<rien@x.fr>")
    one.append(first)
    one.append(other)
    tree(one, "copie")
    one.ok("NOOP")
    one.ok("COPY 1 copie")
    (here, there) = one.fetch("1:2", "(EMAILID THREADID)").values()
    assert here["EMAILID"] != there["EMAILID"]
    one.select("copie")
    copied = one.fetch(1, "(EMAILID THREADID)")[1]
    assert copied["EMAILID"] == here["EMAILID"]
    assert copied["THREADID"] == here["THREADID"]
    one.select()
    assert one.search(f"EMAILID {here['EMAILID'][0]}") == [1]
    assert 1 in one.search(f"THREADID {here['THREADID'][0]}")


# QUOTA


@needs("QUOTA")
def test_quotas_are_told(one: ImapPeer) -> None:
    """RFC 9208: the roots of a mailbox, what they use and may use."""
    one.append(letter("Poids", "x" * 200_000))
    answer = one.ok("GETQUOTAROOT INBOX")
    (root,) = answer.of("QUOTAROOT")
    assert text(root.values[0]) == "INBOX"
    (quota,) = answer.of("QUOTA")
    resources = quota.values[1]
    told = {str(resources[at]).upper(): (resources[at + 1], resources[at + 2]) for at in range(0, len(resources), 3)}
    used, limit = told["STORAGE"]
    assert 195 <= used <= 250
    assert limit > used
    name = quoted(text(root.values[1]))
    assert one.ok(f"GETQUOTA {name}").of("QUOTA")[0].values == quota.values
    one.refused("GETQUOTA nothing-of-that-name")
    assert one.command(f"SETQUOTA {name} (STORAGE 1)").status == "NO"


def test_a_mailbox_of_another_person_is_not_there(mail: MailServer, one: ImapPeer) -> None:
    stranger: Login = mail.newcomer()
    other = mail.open(stranger)
    tree(other, "secret")
    other.append(letter("Secret"), "secret")
    assert "secret" not in listed(one, 'LIST "" *')
    one.refused("SELECT secret")
