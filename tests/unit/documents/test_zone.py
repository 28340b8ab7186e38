"""The records to publish: what is offered, what is not, and nothing that nobody knows."""

import dns.zone

from vaguemestre.documents import zone
from vaguemestre.documents.autoconfiguration import Service
from vaguemestre.documents.zone import Record

DOMAIN, HOST = "nord.mssante.fr", "mail.nord.mssante.fr"
IMAP = (Service(HOST, 143, False), Service(HOST, 993, True))
SUBMISSION = (Service(HOST, 587, False),)


def test_the_zone_says_where_everything_is() -> None:
    found = zone.records(DOMAIN, HOST, IMAP, SUBMISSION, HOST, ("192.0.2.7", "2001:db8::7"))
    assert found == [
        Record("nord.mssante.fr.", "MX", "10 mail.nord.mssante.fr."),
        Record("mail.nord.mssante.fr.", "A", "192.0.2.7"),
        Record("mail.nord.mssante.fr.", "AAAA", "2001:db8::7"),
        Record("autoconfig.nord.mssante.fr.", "CNAME", "mail.nord.mssante.fr."),
        Record("autodiscover.nord.mssante.fr.", "CNAME", "mail.nord.mssante.fr."),
        Record("_autodiscover._tcp.nord.mssante.fr.", "SRV", "0 0 443 autodiscover.nord.mssante.fr."),
        Record("_imaps._tcp.nord.mssante.fr.", "SRV", "0 1 993 mail.nord.mssante.fr."),
        Record("_imap._tcp.nord.mssante.fr.", "SRV", "10 1 143 mail.nord.mssante.fr."),
        Record("_submissions._tcp.nord.mssante.fr.", "SRV", "0 0 0 ."),
        Record("_submission._tcp.nord.mssante.fr.", "SRV", "10 1 587 mail.nord.mssante.fr."),
        Record("_pop3s._tcp.nord.mssante.fr.", "SRV", "0 0 0 ."),
        Record("_pop3._tcp.nord.mssante.fr.", "SRV", "0 0 0 ."),
    ]


def test_addresses_nobody_configured_are_left_open_as_comments() -> None:
    text = zone.fragment(DOMAIN, zone.records(DOMAIN, HOST, IMAP, SUBMISSION, HOST))
    lines = text.splitlines()
    assert lines[0] == "; nord.mssante.fr"
    assert ["nord.mssante.fr.", "3600", "IN", "MX", "10", "mail.nord.mssante.fr."] in [line.split() for line in lines]
    assert lines[-1] == "; mail.nord.mssante.fr. : A, AAAA ?"
    known = zone.fragment(DOMAIN, zone.records(DOMAIN, HOST, IMAP, SUBMISSION, HOST, ("192.0.2.7",)))
    assert "?" not in known


def test_other_software_reads_the_same_records() -> None:
    found = zone.records(DOMAIN, HOST, IMAP, SUBMISSION, HOST, ("192.0.2.7", "2001:db8::7"))
    read = dns.zone.from_text(zone.fragment(DOMAIN, found), f"{DOMAIN}.", relativize=False, check_origin=False)
    assert {(str(name), str(ttl)) for name, ttl, _ in read.iterate_rdatas()} == {(each.name, "3600") for each in found}
    assert sum(1 for _ in read.iterate_rdatas()) == len(found)
    (mx,) = read.find_rdataset(f"{DOMAIN}.", "MX")
    assert str(mx) == f"10 {HOST}."


def test_a_host_of_another_domain_gets_no_address_from_us() -> None:
    found = zone.records(DOMAIN, "mx.ailleurs.fr", IMAP, SUBMISSION, "mx.ailleurs.fr", ("192.0.2.7",))
    assert not [record for record in found if record.type in ("A", "AAAA")]


def test_a_name_is_never_an_alias_of_itself() -> None:
    web = f"autoconfig.{DOMAIN}"
    found = zone.records(DOMAIN, HOST, IMAP, SUBMISSION, web, ("192.0.2.7",))
    assert Record(f"{web}.", "A", "192.0.2.7") in found
    assert Record(f"autodiscover.{DOMAIN}.", "CNAME", f"{web}.") in found
    assert not [record for record in found if record.type == "CNAME" and record.value == record.name]
    named = [record.name for record in zone.records(DOMAIN, web, IMAP, SUBMISSION, HOST) if record.type == "CNAME"]
    assert named == [f"autodiscover.{DOMAIN}."]


def test_without_autoconfiguration_nothing_leads_to_it() -> None:
    names = {record.name for record in zone.records(DOMAIN, HOST, IMAP, SUBMISSION)}
    assert not any("auto" in name for name in names)
