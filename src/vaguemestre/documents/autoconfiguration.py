"""What mail programs ask to set themselves up: Mozilla's document, Apple's profile, Outlook's answer.

What holds here: nothing is said of an account, not even that it exists: every document is made of the settings of the
operator and of the address as it was asked, so that an unknown address is answered like any other. What programs send
is hostile until read: no document type, so no entity; bounded in size and in depth.

Rules: services stand in the order given, programs try the first one they know. Apple's profile is not signed: it comes over
HTTPS and says so where it is installed; its identifiers are derived from the address, so that a newer profile replaces
the older one.

Standards: Référentiel #2 ECO.1.1.9 (CONF.04); Mozilla's "Autoconfiguration, Config File Format" 1.1; Apple's
"Configuration Profile Reference", `com.apple.mail.managed`; [MS-OXDSCLI] (plain XML).
"""

import plistlib
import uuid
from collections.abc import Sequence
from xml.parsers import expat
from xml.sax.saxutils import escape

import msgspec

from vaguemestre.errors import VaguemestreError

REQUEST_LIMIT = 16_384  # a real request has some 400 octets
_DEPTH_LIMIT = 20
_ADDRESS_LIMIT = 320
_NAMESPACE = uuid.UUID("5c3f1d2e-0b57-5d0c-9a59-6a1d0d0a4f7e")  # of our profiles; never to change
_REQUEST = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
_RESPONSE = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_ENVELOPE = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_PATH = ["Autodiscover", "Request", "EMailAddress"]


class Service(msgspec.Struct, frozen=True):
    """Where a program connects. `implicit`: TLS from the first octet; else STARTTLS."""

    host: str
    port: int
    implicit: bool


class Settings(msgspec.Struct, frozen=True):
    """What an operator offers to the programs of its accounts, best first; one service of each protocol at least.

    `name` is the service's for people; `authentication` are Mozilla's names: `password-cleartext` (within TLS), `OAuth2`…
    """

    name: str
    imap: tuple[Service, ...]
    submission: tuple[Service, ...]
    authentication: tuple[str, ...]


class DiscoveryRequestError(VaguemestreError):
    """What a program sent is not a request of Outlook's autodiscovery."""

    def __init__(self) -> None:
        super().__init__(
            "This is not an autodiscover request: an address in the format of Outlook is expected.",
            "Ceci n'est pas une demande d'autodiscover : une adresse au format d'Outlook est attendue.",
        )


def mozilla(settings: Settings, domain: str) -> bytes:
    """`config-v1.1.xml` of a domain; the program puts the address in place of `%EMAILADDRESS%`."""
    servers = [_mozilla_server("incomingServer", "imap", each, settings) for each in settings.imap]
    servers += [_mozilla_server("outgoingServer", "smtp", each, settings) for each in settings.submission]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<clientConfig version="1.1">\n'
        f'  <emailProvider id="{escape(domain)}">\n'
        f"    <domain>{escape(domain)}</domain>\n"
        f"    <displayName>{escape(settings.name)} ({escape(domain)})</displayName>\n"
        f"    <displayShortName>{escape(settings.name)}</displayShortName>\n"
        f"{''.join(servers)}"
        "  </emailProvider>\n"
        "</clientConfig>\n"
    ).encode()


def _mozilla_server(element: str, kind: str, service: Service, settings: Settings) -> str:
    ways = "".join(f"      <authentication>{escape(way)}</authentication>\n" for way in settings.authentication)
    return (
        f'    <{element} type="{kind}">\n'
        f"      <hostname>{escape(service.host)}</hostname>\n"
        f"      <port>{service.port}</port>\n"
        f"      <socketType>{'SSL' if service.implicit else 'STARTTLS'}</socketType>\n"
        "      <username>%EMAILADDRESS%</username>\n"
        f"{ways}"
        f"    </{element}>\n"
    )


def apple(settings: Settings, address: str, domain: str) -> bytes:
    """A configuration profile for an address, to be opened on a phone, a tablet or a Mac, which asks for the password.

    Apple's programs know one server a protocol: the first with implicit TLS, where there is one, for `UseSSL` alone does
    not tell them to insist on STARTTLS.
    """
    imap, submission = _surest(settings.imap), _surest(settings.submission)
    reverse = ".".join(reversed(domain.split(".")))
    stable = uuid.uuid5(_NAMESPACE, address)
    identifier = f"{reverse}.mail.{stable}"
    account = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{identifier}.account",
        "PayloadUUID": _upper(uuid.uuid5(stable, "account")),
        "PayloadDisplayName": f"{settings.name} – {address}",
        "EmailAccountDescription": f"{settings.name} ({domain})",
        "EmailAccountName": address,
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAddress": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": imap.host,
        "IncomingMailServerPortNumber": imap.port,
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": address,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": submission.host,
        "OutgoingMailServerPortNumber": submission.port,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": address,
        "OutgoingPasswordSameAsIncomingPassword": True,
        "PreventMove": True,  # a letter of this account is not to be moved to one outside the trust space
        "PreventAppSheet": False,
        "SMIMEEnabled": False,
        "disableMailRecentsSyncing": True,  # correspondents are nobody's business but the account's
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": _upper(uuid.uuid5(stable, "profile")),
        "PayloadDisplayName": f"{settings.name} – {address}",
        "PayloadDescription": f"Messagerie sécurisée de santé : réception (IMAP) et envoi (SMTP) pour {address}.",
        "PayloadOrganization": settings.name,
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [account],
    }
    return plistlib.dumps(profile)


def outlook(settings: Settings, address: str) -> bytes:
    """The answer to Outlook's autodiscovery for an address."""
    imap, submission = _surest(settings.imap), _surest(settings.submission)
    return _discovery(
        f'<Response xmlns="{_RESPONSE}"><Account><AccountType>email</AccountType><Action>settings</Action>'
        f"{_outlook_protocol('IMAP', imap, address)}"
        f"{_outlook_protocol('SMTP', submission, address)}"
        "</Account></Response>"
    )


def outlook_refusal() -> bytes:
    """The answer to what is not a request: error 600, which programs show to nobody."""
    return _discovery(
        "<Response><Error><ErrorCode>600</ErrorCode><Message>Invalid Request</Message><DebugData/></Error></Response>"
    )


def outlook_address(request: bytes) -> str:
    """The address that Outlook asks about, as it was sent. Raises DiscoveryRequestError."""
    if len(request) > REQUEST_LIMIT:
        raise DiscoveryRequestError
    reader = _RequestReader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse  # before any entity is declared
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(request, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise DiscoveryRequestError from error
    address = "".join(reader.found).strip()
    if not address or len(address) > _ADDRESS_LIMIT:
        raise DiscoveryRequestError
    return address


class _RequestReader:
    """Follows the one path of elements that matters, whatever stands beside it."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._open: list[str] = []

    def refuse(self, *_: object) -> None:
        raise DiscoveryRequestError

    def start(self, name: str, _: dict[str, str]) -> None:
        space, local = name.rpartition(" ")[::2]
        if len(self._open) >= _DEPTH_LIMIT or (not self._open and (space, local) != (_REQUEST, _PATH[0])):
            raise DiscoveryRequestError
        self._open.append(local)

    def end(self, _: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        if self._open == _PATH:
            self.found.append(text)


def _discovery(response: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?>\n<Autodiscover xmlns="{_ENVELOPE}">{response}</Autodiscover>\n'.encode()


def _outlook_protocol(kind: str, service: Service, address: str) -> str:
    return (
        f"<Protocol><Type>{kind}</Type><Server>{escape(service.host)}</Server><Port>{service.port}</Port>"
        f"<DomainRequired>off</DomainRequired><LoginName>{escape(address)}</LoginName><SPA>off</SPA>"
        f"<SSL>on</SSL><Encryption>{'SSL' if service.implicit else 'TLS'}</Encryption><AuthRequired>on</AuthRequired>"
        "</Protocol>"
    )


def _surest(services: Sequence[Service]) -> Service:
    """The first with implicit TLS, else the first."""
    return next((each for each in services if each.implicit), services[0])


def _upper(identifier: uuid.UUID) -> str:
    return str(identifier).upper()
