"""Debian's ldapsearch, ldapwhoami, ldapcompare and ldapmodify hold the directory to LDAP (package ldap-utils).

Standards: RFC 4511 to 4519, RFC 2696. Filters: as Thunderbird and Outlook write them.
"""

import base64
import re
import socket
import subprocess
from collections.abc import Iterator

import pytest

from simulators import small_register
from simulators.operators import Operator
from simulators.patience import until
from simulators.software import program
from simulators.space import SOUTH, Identity, Place, TrustSpace
from vaguemestre import config, directory_parts
from vaguemestre.servers.ldap.readers import digest

BASE = "o=annuaire"
READER, PASSWORD = "cn=agenda,o=annuaire", "un secret de lecture"
MAIL = small_register.MAIL
STRANGER = Place("ailleurs.mssante.fr", "ailleurs", "CN=ailleurs,OU=1,O=AILLEURS,ST=Var (83),C=FR")
THUNDERBIRD = (
    "(&(objectclass=inetOrgPerson)(|(cn=*{0}*)(givenName=*{0}*)(sn=*{0}*)(mozillaNickname=*{0}*)(mail=*{0}*)"
    "(mozillaSecondEmail=*{0}*)(&(description=*{0}*))))"
)
OUTLOOK = "(&(mail=*)(|(mail={0}*)(|(cn={0}*)(|(sn={0}*)(givenName={0}*)(displayName={0}*)))))"


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that serves the small register."""
    ldap = {
        "listen": "127.0.0.1:0",
        "listen_tls": "127.0.0.1:0",
        "base": BASE,
        "readers": {READER: digest(PASSWORD)},
        "most": 50,
    }
    # OpenLDAP asks the certificate of localhost for the machine's own name.
    names = [SOUTH.host, "localhost", socket.gethostname(), socket.getfqdn()]
    identity = space.issue(SOUTH.dn, "named after the machine", names)
    tls = {"certificate": str(identity.certificate), "key": str(identity.key)}
    running = Operator(space, tmp_path_factory.mktemp("south"), SOUTH, directory={"ldap": ldap}, tls=tls)
    small_register.build(directory_parts.place(config.load(running.config_file, {})))
    yield running.start_process()
    running.close()


class Client:
    """The programs of OpenLDAP, connected to one operator."""

    def __init__(self, space: TrustSpace, operator: Operator) -> None:
        self.space, self.operator = space, operator

    def run(
        self,
        name: str,
        *words: str,
        tls: str = "ldaps",
        who: "tuple[str, ...] | None" = None,
        identity: Identity | None = None,
        says: str = "",
    ) -> "subprocess.CompletedProcess[str]":
        """`tls`: ldaps, starttls or none; signed in with the password unless `who` says otherwise."""
        scheme = "ldaps" if tls == "ldaps" else "ldap"
        command = [program(name, "ldap-utils"), "-H", f"{scheme}://localhost:{self.operator.ports[scheme]}"]
        command += ["-ZZ"] if tls == "starttls" else []
        command += ["-x", "-D", READER, "-w", PASSWORD] if who is None else list(who)
        environment = {
            "LDAPTLS_CACERT": str(self.space.authorities),
            "LDAPTLS_REQCERT": "demand",
            "LDAPCONF": "/dev/null",
        }
        if identity is not None:
            environment |= {"LDAPTLS_CERT": str(identity.certificate), "LDAPTLS_KEY": str(identity.key)}
        return subprocess.run(
            [*command, *words], input=says, env=environment, check=False, capture_output=True, text=True, timeout=60
        )

    def search(
        self, wanted: str, *attributes: str, base: str = BASE, scope: str = "sub", options: tuple[str, ...] = ()
    ) -> list[dict[str, list[str]]]:
        """The entries found."""
        seen = self.run(
            "ldapsearch", "-LLL", "-o", "ldif-wrap=no", *options, "-b", base, "-s", scope, wanted, *attributes
        )
        assert seen.returncode == 0, seen.stderr + seen.stdout
        return entries(seen.stdout)

    def mails(self, wanted: str, **where: str) -> list[str]:
        """The local parts of the addresses found."""
        return [entry["mail"][0].partition("@")[0] for entry in self.search(wanted, "mail", **where) if "mail" in entry]


def entries(ldif: str) -> list[dict[str, list[str]]]:
    """What ldapsearch printed."""
    found = []
    for block in re.split(r"\n\n+", ldif.strip()):
        entry: dict[str, list[str]] = {}
        for line in block.splitlines():
            name, _, value = line.partition(":")
            plain = base64.b64decode(value[1:].strip()).decode() if value.startswith(":") else value.strip()
            if not name.startswith("#"):
                entry.setdefault(name, []).append(plain)
        if entry:
            found.append(entry)
    return found


@pytest.fixture(scope="module")
def client(space: TrustSpace, south: Operator) -> Client:
    """ldapsearch, once the directory answers."""
    made = Client(space, south)
    until(lambda: made.run("ldapsearch", "-b", BASE, "(mail=jean.dupont*)").returncode == 0, "the index is there")
    return made


# ---- who


def test_it_answers_over_ldaps_and_over_starttls(client: Client) -> None:
    for tls in ("ldaps", "starttls"):
        seen = client.run("ldapwhoami", tls=tls)
        assert seen.stdout.strip() == f"dn:{READER}", seen.stderr


def test_nothing_is_read_in_clear(client: Client) -> None:
    seen = client.run("ldapsearch", "-b", BASE, "(cn=*)", tls="none")
    assert "Confidentiality required (13)" in seen.stderr
    assert "StartTLS" in seen.stderr
    anonymous = client.run("ldapsearch", "-b", BASE, "(cn=*)", tls="none", who=("-x",))
    assert "Confidentiality required" in anonymous.stderr + anonymous.stdout


def test_the_root_says_before_tls_what_there_is(client: Client) -> None:
    seen = client.run(
        "ldapsearch",
        "-LLL",
        "-b",
        "",
        "-s",
        "base",
        "(objectClass=*)",
        "+",
        tls="none",
        who=("-x", "-o", "nettimeout=5"),
    )
    assert "Confidentiality required" in seen.stderr  # the bind that ldapsearch sends first
    (root,) = client.search("(objectClass=*)", "+", base="", scope="base")
    assert root["namingContexts"] == [BASE]
    assert root["supportedLDAPVersion"] == ["3"]
    assert root["supportedControl"] == ["1.2.840.113556.1.4.319"]
    assert "1.3.6.1.4.1.1466.20037" in root["supportedExtension"]
    assert root["supportedSASLMechanisms"] == ["EXTERNAL"]
    assert root["subschemaSubentry"] == ["cn=subschema"]


def test_a_wrong_password_opens_nothing(client: Client) -> None:
    for dn, password in ((READER, "faux"), ("cn=personne,o=annuaire", PASSWORD)):
        seen = client.run("ldapsearch", "-b", BASE, "(cn=*)", who=("-x", "-D", dn, "-w", password))
        assert "Invalid credentials (49)" in seen.stderr
        assert "Le nom ou le mot de passe est incorrect" in seen.stderr


def test_nobody_reads_anonymously_unless_it_is_configured(client: Client) -> None:
    seen = client.run("ldapsearch", "-b", BASE, "(cn=*)", who=("-x",))
    assert "Inappropriate authentication (48)" in seen.stderr
    unauthenticated = client.run("ldapsearch", "-b", BASE, "(cn=*)", who=("-x", "-D", READER))
    assert "unwilling to perform (53)" in unauthenticated.stderr


def test_an_operator_of_the_trust_space_reads_with_its_certificate(client: Client, space: TrustSpace) -> None:
    external = ("-Y", "EXTERNAL", "-Q")
    seen = client.run("ldapwhoami", who=external, identity=space.identity(SOUTH))
    assert "mail.sud.mssante.fr" in seen.stdout, seen.stderr
    for bad, why in (
        (space.revoked, "révoqué"),
        (space.expired, "expiré"),
        (space.foreign(SOUTH.dn), "autorité"),
        (space.identity(STRANGER), "inscrit"),
    ):
        seen = client.run("ldapwhoami", who=external, identity=bad)
        assert seen.returncode != 0
        assert "Invalid credentials" in seen.stderr
        assert why in seen.stderr
    nobody = client.run("ldapwhoami", who=external)
    assert nobody.returncode != 0


# ---- what is shown


def test_an_entry_says_who_it_is(client: Client) -> None:
    (zoe,) = client.search("(mail=ZOE.lefevre-noel@annuaire.mssante.fr)")
    assert zoe["dn"] == ["uid=1,ou=people,o=annuaire"]
    assert zoe["objectClass"] == ["top", "person", "organizationalPerson", "inetOrgPerson", "vgmAddress"]
    assert zoe["cn"] == ["Zoé LEFÈVRE-NOËL", "LEFÈVRE-NOËL Zoé"]
    assert zoe["title"] == ["Chirurgien-Dentiste", "Orthopédie dento-faciale"]
    assert zoe["employeeNumber"] == ["99700000001"]
    assert (zoe["o"], zoe["l"], zoe["postalCode"], zoe["st"]) == (["CABINET DES LILAS"], ["LYON"], ["69003"], ["Rhône"])
    assert (zoe["vgmKind"], zoe["vgmStructureIdType"], zoe["vgmStructureId"]) == (["PER"], ["FINESS"], ["690000001"])
    assert zoe["vgmPaperless"] == ["TRUE"]
    (heart,) = client.search("(vgmKind=ORG)")
    assert heart["dn"] == ["uid=8,ou=organizations,o=annuaire"]
    assert heart["objectClass"] == ["top", "organizationalUnit", "vgmAddress"]
    assert heart["cn"] == ["CENTRE HOSPITALIER DUPUYTREN - Cardiologie"]


def test_red_list_and_withdrawn_are_never_shown(client: Client) -> None:
    every = {entry["uid"][0] for entry in client.search("(objectClass=*)", "uid") if "uid" in entry}
    assert every == {str(number) for number in small_register.SHOWN}
    for hidden in ("rosa.duprecieux", "alain.duparti", "jean.ancien"):
        assert client.mails(f"(mail={hidden}@{MAIL})") == []
        assert client.mails(f"(mail=*{hidden[3:]}*)") == []
    seen = client.run("ldapsearch", "-b", f"uid=5,ou=people,{BASE}", "-s", "base")
    assert "result: 32 No such object" in seen.stdout
    assert f"matchedDN: ou=people,{BASE}" in seen.stdout


# ---- filters


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (THUNDERBIRD.format("dup"), ["jean.dupont", "jeanne.dupond", "marc.ledupleix"]),
        (OUTLOOK.format("dup"), ["jean.dupont", "jeanne.dupond"]),
        ("(anr=dup jea)", ["jean.dupont", "jeanne.dupond"]),
        ("(anr=jeanne.d)", ["jeanne.dupond"]),
        ("(|(displayName=DUPONT*)(displayName=jean dup*))", ["jean.dupont"]),
        ("(cn=lefevre-noel zoe)", ["zoe.lefevre-noel"]),
        ("(cn=*É*E*)", ["zoe.lefevre-noel", "jeanne.dupond", "marc.ledupleix", "cardiologie", "automate"]),
        ("(sn=le*)", ["zoe.lefevre-noel", "marc.ledupleix"]),
        ("(sn=*nt)", ["jean.dupont"]),
        ("(sn=d*)", ["jean.dupont", "jeanne.dupond"]),
        ("(&(sn=dup*)(!(sn=dupont)))", ["jeanne.dupond"]),
        ("(!(objectClass=inetOrgPerson))", ["cardiologie", "automate"]),
        ("(&(mail=*)(vgmProfessionCode=10))", ["jeanne.dupond"]),
        ("(employeeNumber=99700000002)", ["jean.dupont"]),
        ("(vgmFiness=330000002)", ["marc.ledupleix", "cardiologie", "automate"]),
        ("(&(vgmFiness=330000002)(objectClass=organizationalUnit))", ["cardiologie", "automate"]),
        ("(sn>=dupont)", ["zoe.lefevre-noel", "jean.dupont", "marc.ledupleix"]),
        ("(sn<=dupond)", ["jeanne.dupond"]),
        ("(cn~=lef zoe)", ["zoe.lefevre-noel"]),
        ("(cn~=noel)", ["zoe.lefevre-noel"]),
        ("(sn:caseIgnoreMatch:=DUPONT)", ["jean.dupont"]),
        ("(:caseIgnoreMatch:=bordeaux)", ["marc.ledupleix", "cardiologie", "automate"]),
        ("(ou:dn:=organizations)", ["cardiologie", "automate"]),
        ("(unknownAttribute=x)", []),
        ("(!(unknownAttribute=x))", []),
        ("(objectClass=posixAccount)", []),
        ("(&)", ["zoe.lefevre-noel", "jean.dupont", "jeanne.dupond", "marc.ledupleix", "cardiologie", "automate"]),
        ("(|)", []),
        ("(l=lyon)", ["zoe.lefevre-noel", "jean.dupont"]),
        ("(telephoneNumber=*)", ["zoe.lefevre-noel", "jean.dupont", "marc.ledupleix", "cardiologie", "automate"]),
    ],
)
def test_filters(client: Client, wanted: str, found: list[str]) -> None:
    assert sorted(client.mails(wanted)) == sorted(found)


def test_names_that_begin_so_come_first(client: Client) -> None:
    assert client.mails("(cn=*dup*)") == ["jean.dupont", "jeanne.dupond", "cardiologie", "automate", "marc.ledupleix"]


# ---- scopes, attributes, limits


def test_scopes(client: Client) -> None:
    assert [entry["dn"][0] for entry in client.search("(objectClass=*)", "1.1", scope="one")] == [
        "ou=people,o=annuaire",
        "ou=organizations,o=annuaire",
    ]
    assert [entry["dn"][0] for entry in client.search("(objectClass=*)", "1.1", scope="base")] == ["o=annuaire"]
    people = client.search("(objectClass=*)", "1.1", base="ou=people,o=annuaire", scope="one")
    assert [entry["dn"][0] for entry in people] == [f"uid={number},ou=people,o=annuaire" for number in (1, 2, 3, 4)]
    assert len(client.search("(objectClass=*)", "1.1", base="OU=Organizations, O=ANNUAIRE")) == 3
    (one,) = client.search("(objectClass=*)", "sn", base="uid=2,ou=people,o=annuaire")
    assert one["sn"] == ["DUPONT"]
    assert client.search("(sn=autre)", "sn", base="uid=2,ou=people,o=annuaire", scope="base") == []


def test_what_is_not_there(client: Client) -> None:
    for base, code in (
        ("ou=nulle part,o=annuaire", "32 No such object"),
        ("n'importe quoi", "34 Invalid DN syntax"),
    ):
        seen = client.run("ldapsearch", "-b", base, "(cn=*)")
        assert code in seen.stdout + seen.stderr


def test_selected_attributes(client: Client) -> None:
    (nothing,) = client.search("(sn=dupont)", "1.1")
    assert set(nothing) == {"dn"}
    (some,) = client.search("(sn=dupont)", "surname", "2.5.4.3", "x-unknown")
    assert set(some) == {"dn", "sn", "cn"}
    (operational,) = client.search("(sn=dupont)", "+")
    assert operational["entryDN"] == ["uid=2,ou=people,o=annuaire"]
    assert set(operational) == {"dn", "entryDN", "subschemaSubentry", "structuralObjectClass"}
    (types,) = client.search("(sn=dupont)", "sn", "cn", options=("-A",))
    assert types == {"dn": ["uid=2,ou=people,o=annuaire"], "sn": [""], "cn": [""]}


def test_the_size_limit(client: Client) -> None:
    seen = client.run("ldapsearch", "-LLL", "-z", "2", "-b", BASE, "(mail=*)", "mail")
    assert "Size limit exceeded (4)" in seen.stderr + seen.stdout
    assert seen.stdout.count("mail:") == 2
    exact = client.run("ldapsearch", "-LLL", "-z", "6", "-b", BASE, "(mail=*)", "mail")
    assert exact.returncode == 0


def test_pages_show_everything_once(client: Client) -> None:
    for size in (1, 2, 3, 6, 50):
        seen = client.search("(|(cn=*dup*)(mail=*))", "uid", options=("-E", f"pr={size}/noprompt"))
        assert sorted(entry["uid"][0] for entry in seen if "uid" in entry) == sorted(map(str, small_register.SHOWN))


def test_the_subschema_describes_what_entries_hold(client: Client) -> None:
    (schema,) = client.search(
        "(objectClass=subschema)", "attributeTypes", "objectClasses", base="cn=subschema", scope="base"
    )
    described = {
        name for each in schema["attributeTypes"] for name in re.findall(r"'([A-Za-z0-9]+)'", each.split(" DESC ")[0])
    }
    for entry in client.search("(mail=*)"):
        assert set(entry) - {"dn"} <= described
    assert any("'vgmAddress'" in each and "vgmDepartment" in each for each in schema["objectClasses"])


# ---- other operations


def test_compare(client: Client) -> None:
    def compared(dn: str, assertion: str) -> str:
        seen = client.run("ldapcompare", dn, assertion)
        return seen.stdout + seen.stderr

    dn = "uid=2,ou=people,o=annuaire"
    assert compared(dn, "sn:dupont").strip() == "TRUE"
    assert compared(dn, "sn:durand").strip() == "FALSE"
    assert "No such attribute (16)" in compared(dn, "description:x")
    assert "Undefined attribute type (17)" in compared(dn, "x-unknown:x")
    assert "No such object (32)" in compared("uid=99,ou=people,o=annuaire", "sn:x")
    assert "No such object (32)" in compared("uid=5,ou=people,o=annuaire", "sn:duprecieux")


def test_nothing_is_written(client: Client) -> None:
    change = "dn: uid=2,ou=people,o=annuaire\nchangetype: modify\nreplace: sn\nsn: AUTRE\n"
    seen = client.run("ldapmodify", says=change)
    assert "unwilling to perform (53)" in seen.stderr
    assert "API FHIR" in seen.stderr
    new = "dn: uid=77,ou=people,o=annuaire\nobjectClass: person\nsn: X\ncn: X\n"
    assert "(53)" in client.run("ldapadd", says=new).stderr
    assert "(53)" in client.run("ldapdelete", "uid=2,ou=people,o=annuaire").stderr
    assert client.mails("(sn=dupont)") == ["jean.dupont"]
