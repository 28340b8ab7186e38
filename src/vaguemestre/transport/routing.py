"""Routing: which servers take mail for a domain.

Rules: domains of this operator are local; a configured route wins over DNS; otherwise MX records, best preference first,
equal ones shuffled, and the domain's own address where there is no MX (RFC 5321 §5.1). A null MX means that the domain
takes no mail (RFC 7505). DNS is not trusted with anything: a wrong answer leads to a server whose certificate trust
refuses before any mail is sent.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from vaguemestre.errors import VaguemestreError

SMTP_PORT = 25
# A name that DNS cannot hold, whatever it answers.
_chance = random.Random()  # noqa: S311 - an order among equals is no secret
_IMPOSSIBLE = (
    dns.name.EmptyLabel,
    dns.name.LabelTooLong,
    dns.name.NameTooLong,
    dns.name.BadEscape,
    dns.name.IDNAException,
)


@dataclass(frozen=True, slots=True)
class Host:
    """A server to try."""

    name: str
    port: int = SMTP_PORT


class UnroutableError(VaguemestreError):
    """The domain takes no mail: no server, or a null MX. Trying again will not help."""


class RoutingFailure(VaguemestreError):
    """DNS did not answer; trying again may help."""


class Router:
    """Knows the local domains and finds the servers of the others."""

    def __init__(
        self,
        local_domains: frozenset[str],
        routes: Mapping[str, Host],
        resolver: dns.asyncresolver.Resolver | None = None,
    ) -> None:
        self.local_domains = frozenset(domain.lower() for domain in local_domains)
        self._routes = {domain.lower(): route for domain, route in routes.items()}
        self._resolver = resolver

    def is_local(self, domain: str) -> bool:
        """Whether mail for the domain stays here."""
        return domain.lower() in self.local_domains

    async def hosts(self, domain: str) -> list[Host]:
        """Servers of a domain in the order to try them. Raises UnroutableError, RoutingFailure."""
        route = self._routes.get(domain.lower())
        if route is not None:
            return [route]
        try:
            resolver = self._resolver or dns.asyncresolver.Resolver()
            answer = await resolver.resolve(domain, "MX", lifetime=20, search=False)
        except (dns.resolver.NXDOMAIN, *_IMPOSSIBLE) as error:
            raise _unroutable(domain) from error
        except dns.resolver.NoAnswer:
            return [Host(domain)]
        except (dns.exception.DNSException, OSError) as error:
            raise RoutingFailure(
                f"The servers of {domain} cannot be looked up for now.",
                f"Les serveurs de {domain} ne peuvent pas être trouvés pour l'instant.",
            ) from error
        records = [
            (record.preference, _chance.random(), record.exchange.to_text(omit_final_dot=True)) for record in answer
        ]
        servers = [Host(name.lower()) for _, _, name in sorted(records) if name != "."]
        if not servers:
            raise _unroutable(domain)
        return servers


def _unroutable(domain: str) -> UnroutableError:
    return UnroutableError(
        f"The domain {domain} takes no mail. Check the address in the directory.",
        f"Le domaine {domain} ne reçoit pas de courrier. Vérifiez l'adresse dans l'annuaire.",
    )
