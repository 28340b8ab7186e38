"""What mail programs are told: exact documents, made of settings alone; and their questions, hostile until read."""

import plistlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from vaguemestre.documents import autoconfiguration
from vaguemestre.documents.autoconfiguration import REQUEST_LIMIT, DiscoveryRequestError, Service, Settings

HOST = "mail.nord.mssante.fr"
SETTINGS = Settings(
    "MSSanté du Nord",
    (Service(HOST, 143, False), Service(HOST, 993, True)),
    (Service(HOST, 587, False), Service(HOST, 465, True)),
    ("password-cleartext", "OAuth2"),
)
CLAIRE = "claire@nord.mssante.fr"
ASKED = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">'
    "<Request><EMailAddress>{}</EMailAddress><AcceptableResponseSchema>"
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
    "</AcceptableResponseSchema></Request></Autodiscover>"
)
ENTITY = ASKED.replace("?>", '?><!DOCTYPE Autodiscover [<!ENTITY a "claire@nord.mssante.fr">]>', 1)
BOMB = ASKED.replace(
    "?>",
    '?><!DOCTYPE lol [<!ENTITY l0 "lol">'
    + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    + "]>",
    1,
).format("&l9;")
OUTSIDE = ASKED.replace("?>", '?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>', 1).format("&x;")


def test_mozilla_s_document_offers_starttls_first_then_implicit_tls() -> None:
    assert (
        autoconfiguration.mozilla(SETTINGS, "nord.mssante.fr").decode()
        == f"""\
<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="nord.mssante.fr">
    <domain>nord.mssante.fr</domain>
    <displayName>MSSanté du Nord (nord.mssante.fr)</displayName>
    <displayShortName>MSSanté du Nord</displayShortName>
    <incomingServer type="imap">
      <hostname>{HOST}</hostname>
      <port>143</port>
      <socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
      <authentication>OAuth2</authentication>
    </incomingServer>
    <incomingServer type="imap">
      <hostname>{HOST}</hostname>
      <port>993</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
      <authentication>OAuth2</authentication>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>{HOST}</hostname>
      <port>587</port>
      <socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
      <authentication>OAuth2</authentication>
    </outgoingServer>
    <outgoingServer type="smtp">
      <hostname>{HOST}</hostname>
      <port>465</port>
      <socketType>SSL</socketType>
      <username>%EMAILADDRESS%</username>
      <authentication>password-cleartext</authentication>
      <authentication>OAuth2</authentication>
    </outgoingServer>
  </emailProvider>
</clientConfig>
"""
    )


def test_apple_s_profile_sets_up_both_ways_over_tls_and_replaces_an_older_one() -> None:
    profile = plistlib.loads(autoconfiguration.apple(SETTINGS, CLAIRE, "nord.mssante.fr"))
    assert profile["PayloadType"] == "Configuration"
    assert profile["PayloadIdentifier"].startswith("fr.mssante.nord.mail.")
    (account,) = profile["PayloadContent"]
    assert (
        account.items()
        >= {
            "PayloadType": "com.apple.mail.managed",
            "EmailAccountType": "EmailTypeIMAP",
            "EmailAddress": CLAIRE,
            "IncomingMailServerHostName": HOST,
            "IncomingMailServerPortNumber": 993,
            "IncomingMailServerUseSSL": True,
            "IncomingMailServerUsername": CLAIRE,
            "OutgoingMailServerHostName": HOST,
            "OutgoingMailServerPortNumber": 465,
            "OutgoingMailServerUseSSL": True,
            "OutgoingMailServerUsername": CLAIRE,
            "OutgoingPasswordSameAsIncomingPassword": True,
        }.items()
    )
    again = plistlib.loads(autoconfiguration.apple(SETTINGS, CLAIRE, "nord.mssante.fr"))
    other = plistlib.loads(autoconfiguration.apple(SETTINGS, "karim@nord.mssante.fr", "nord.mssante.fr"))
    identifiers = [
        (each["PayloadUUID"], each["PayloadIdentifier"], each["PayloadContent"][0]["PayloadUUID"])
        for each in (profile, again, other)
    ]
    assert identifiers[0] == identifiers[1]
    assert len({identifier for each in (identifiers[0], identifiers[2]) for identifier in each}) == 6


def test_apple_and_outlook_are_told_of_starttls_where_nothing_else_is_offered() -> None:
    only = Settings("N", (Service(HOST, 143, False),), (Service(HOST, 587, False),), ("OAuth2",))
    (account,) = plistlib.loads(autoconfiguration.apple(only, CLAIRE, "nord.mssante.fr"))["PayloadContent"]
    assert (account["IncomingMailServerPortNumber"], account["OutgoingMailServerPortNumber"]) == (143, 587)
    assert account["IncomingMailServerUseSSL"]
    assert b"<Port>143</Port>" in autoconfiguration.outlook(only, CLAIRE)
    assert b"<Encryption>TLS</Encryption>" in autoconfiguration.outlook(only, CLAIRE)


def test_outlook_is_answered_in_its_own_schema() -> None:
    assert autoconfiguration.outlook_address(ASKED.format(f" {CLAIRE}\n").encode()) == CLAIRE
    answer = etree.fromstring(autoconfiguration.outlook(SETTINGS, CLAIRE))
    schema = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
    assert answer.tag == "{http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006}Autodiscover"
    assert answer.findtext(f".//{schema}Action") == "settings"
    told = [{each.tag.removeprefix(schema): each.text for each in one} for one in answer.iter(f"{schema}Protocol")]
    same = {"Server": HOST, "LoginName": CLAIRE, "DomainRequired": "off", "SPA": "off", "SSL": "on"}
    same |= {"Encryption": "SSL", "AuthRequired": "on"}
    assert told == [{**same, "Type": "IMAP", "Port": "993"}, {**same, "Type": "SMTP", "Port": "465"}]


@pytest.mark.parametrize(
    "request_",
    [
        ENTITY.format("&a;"),
        ENTITY.format(CLAIRE),
        BOMB,
        OUTSIDE,
        ASKED.format(""),
        ASKED.format("a" * 321),
        ASKED.format(CLAIRE) + " " * REQUEST_LIMIT,
        ASKED.format(CLAIRE)[:-5],
        ASKED.format("<b>" * 30 + "</b>" * 30),
        ASKED.format(CLAIRE).replace("requestschema", "other"),
        ASKED.format(CLAIRE).replace("utf-8", "no-such-charset"),
        "",
        "{}",
        "\0",
    ],
    ids=lambda text: str(text)[40:70],
)
def test_what_is_not_a_plain_request_is_refused(request_: str) -> None:
    with pytest.raises(DiscoveryRequestError):
        autoconfiguration.outlook_address(request_.encode())


def test_requests_are_read_in_any_encoding_of_xml() -> None:
    written = ASKED.format(CLAIRE).replace("utf-8", "utf-16")
    assert autoconfiguration.outlook_address(written.encode("utf-16")) == CLAIRE
    with pytest.raises(DiscoveryRequestError):
        autoconfiguration.outlook_address(ENTITY.format("&a;").replace("utf-8", "utf-16").encode("utf-16"))


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=30))
def test_whatever_the_service_is_called_the_documents_are_well_formed(name: str) -> None:
    settings = Settings(name, SETTINGS.imap, SETTINGS.submission, SETTINGS.authentication)
    address = f"o'neil&<b>@{'nord.mssante.fr'}"
    document = etree.fromstring(autoconfiguration.mozilla(settings, "nord.mssante.fr"))
    assert (document.findtext(".//displayShortName") or "") == name
    assert etree.fromstring(autoconfiguration.outlook(settings, address)).xpath(
        "//*[local-name()='LoginName']/text()"
    ) == [
        address,
        address,
    ]
    assert plistlib.loads(autoconfiguration.apple(settings, address, "nord.mssante.fr"))["PayloadOrganization"] == name
