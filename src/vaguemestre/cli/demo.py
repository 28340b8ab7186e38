"""`vaguemestre demo`: the whole space on loopback, a letter with a panoramic sent across it, and its journey told."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from vaguemestre import demonstration, log
from vaguemestre.cli.presentation import iso, octets, refusals
from vaguemestre.cli.progress import Bar
from vaguemestre.clock import from_ms
from vaguemestre.demonstration import DENTISTS, HOSPITAL, Journey, Space
from vaguemestre.errors import ConfigurationError
from vaguemestre.evidence.journal import Recorded
from vaguemestre.transport.submission import Submitted

_TITLES = {
    "submission": "déposé par l'auteur / submitted",
    "acceptance": "accepté par l'opérateur B / accepted by operator B",
    "delivery": "visible dans la boîte de réception / visible in the inbox",
    "relay": "transmis, réponse 250 lue par A / relayed, A read 250",
    "bounce": "non remis / bounced",
    "deferral": "remis à plus tard / deferred",
    "repetition": "répétition reconnue / repetition recognised",
    "notification": "auteur averti / author told",
}
_PARTS = {
    "making": "Personnes fictives / fictitious people",
    "people": "Annuaire : personnes / directory: people",
    "addresses": "Annuaire : adresses / directory: addresses",
}
_DETAILS = ("peer", "certificate", "tls", "list", "reply", "why", "rule")


def demo(
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Where the space stands.")] = None,
    port_base: Annotated[int, typer.Option("--port-base", min=1024, max=64_500, metavar="N")] = 42_000,
    people: Annotated[
        int, typer.Option("--people", min=1, max=5_000_000, metavar="N", help="In the register, at the first start.")
    ] = 50_000,
    check: Annotated[
        bool, typer.Option("--check", help="Send the letter once, print its journey as JSON, stop.")
    ] = False,
) -> None:
    """Run an authority and two operators on loopback; send a letter with an X-ray and tell its journey."""
    folder = data or Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "vaguemestre" / "demo"
    with refusals(check):
        log.configure("ERROR" if check else "WARNING")
        if not uvloop.run(_demo(Space(folder.absolute(), port_base, people), check)):
            raise typer.Exit(1)


async def _demo(space: Space, check: bool) -> bool:
    console = Console(stderr=check, highlight=False)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    start = time.monotonic()
    console.print(
        "Vaguemestre : un espace de confiance sur cette machine / a trust space on this machine", style="bold"
    )
    console.print(f"  dossier / folder  {space.folder}")
    if not (space.folder / "made").exists():
        console.print(
            "  premier démarrage : autorité, certificats, liste, boîtes, annuaire… / first start, some seconds…"
        )
    with Bar(_PARTS) as bar:
        await asyncio.to_thread(demonstration.prepare, space, bar)
    counts = await asyncio.to_thread(demonstration.in_register, space)
    try:
        async with demonstration.running(space):
            http, port_a, port_b = space.ports
            console.print(f"  autorité / authority  http://127.0.0.1:{http}/listeblanchemssante.xml")
            console.print(f"  opérateur A  {DENTISTS.domain}  127.0.0.1:{port_a}")
            console.print(f"  opérateur B  {HOSPITAL.domain}  127.0.0.1:{port_b}")
            console.print(
                f"  annuaire / directory  {counts['practitioners']} professionnels fictifs / fictitious professionals, "
                f"{counts['organizations']} structures / organizations, {counts['addresses']} adresses / addresses"
            )
            console.print(f"  prêt en / ready in {time.monotonic() - start:.1f} s\n")
            sent = await asyncio.to_thread(demonstration.send_letter, space)
            journey = await demonstration.follow(space, sent)
            arrived = journey.arrived is not None and all(journey.attachments.values())
            if check:
                print(json.dumps(_journey_facts(sent, journey, arrived) | {"register": counts}, ensure_ascii=False))
                return arrived
            _tell(console, sent, journey)
            _offer(console, space)
            _invite(console, space)
            _suggest(console, space)
            await stop.wait()
            return arrived
    except OSError as error:
        raise ConfigurationError(
            f"A port cannot be opened ({error.strerror or error}). Is a demo running already? Try --port-base 43000.",
            f"Un port ne peut pas être ouvert ({error.strerror or error}). Une démo tourne-t-elle déjà ? "
            "Essayez --port-base 43000.",
        ) from error


def _tell(console: Console, sent: Submitted, journey: Journey) -> None:
    author, reader = DENTISTS.people[0], HOSPITAL.people[0]
    console.print("Le trajet de la lettre / The letter's journey", style="bold")
    console.print(f"  de / from  {author.name} <{author.address}>")
    console.print(f"  à / to     {reader.name} <{reader.address}>")
    console.print(f"  message    {sent.id}\n")
    for place, entry in journey.hops:
        side = "A" if place is DENTISTS else "B"
        console.print(
            f"  {from_ms(entry.at):%H:%M:%S.%f}"[:-3] + f"  [bold]{side}[/]  {_TITLES.get(entry.event, entry.event)}"
        )
        console.print(f"                   entrée / entry {entry.seq}  {entry.hash[:16]}…", style="dim")
        for key, value in _details(entry).items():
            console.print(f"                   {key:<12} {value}", style="dim", markup=False)
    if journey.arrived is None:
        console.print("\n  La lettre n'est pas arrivée. / The letter did not arrive.", style="bold red")
        return
    console.print(
        f"\n  Arrivée en / Arrived in {journey.seconds * 1000:.0f} ms, {octets(journey.arrived.size)}", style="green"
    )
    for name, intact in journey.attachments.items():
        console.print(
            f"  {name:<14} {'intact' if intact else 'ALTÉRÉ / ALTERED'}", style="green" if intact else "bold red"
        )


def _offer(console: Console, space: Space) -> None:
    console.print("\nPour un logiciel de messagerie / For a mail program", style="bold")
    console.print("  serveur / server  localhost ; nom et mot de passe / name and password:")
    for place, side in ((DENTISTS, "A"), (HOSPITAL, "B")):
        ports = space.program_ports(place)
        console.print(
            f"  [bold]{side}[/]  IMAP {ports.imap} (STARTTLS), {ports.imaps} (TLS)"
            f" ; SMTP {ports.submission} (STARTTLS), {ports.submissions} (TLS)"
        )
        for login in demonstration.logins(space):
            if login.place is place:
                console.print(f"     {login.address}  {login.password}", soft_wrap=True, markup=False)
    console.print(f"  autorité à importer / authority to import  {space.authorities}", soft_wrap=True, markup=False)


def _invite(console: Console, space: Space) -> None:
    console.print("\nOuvrir une boîte en cinq minutes / Open a mailbox in five minutes", style="bold")
    console.print(f"  {space.web}", style="bold cyan", markup=False)
    console.print(
        "  choisissez un dentiste fictif dans le Pro Santé Connect de démonstration / choose a made-up dentist",
        style="dim",
    )


def _suggest(console: Console, space: Space) -> None:
    command = Path(sys.argv[0]).with_name("vaguemestre")
    a, b = space.config_file(DENTISTS), space.config_file(HOSPITAL)
    reader = HOSPITAL.people[0].address
    console.print("\nÀ essayer dans un autre terminal / Try in another terminal", style="bold")
    for what, line in (
        ("lire la boîte de B / read B's inbox", f"{command} mailbox list -c {b} {reader} -m INBOX"),
        (
            "écrire une lettre / write a letter",
            f'{command} send -c {a} -f {DENTISTS.people[0].address} -s "Bonjour" -t "Un mot" {reader}',
        ),
        (
            "sortir de l'espace de confiance (refusé) / leave the trust space (refused)",
            f'{command} send -c {a} -f {DENTISTS.people[0].address} -s "Bonjour" quelquun@example.org',
        ),
        ("le journal de B / B's journal", f"{command} evidence log -c {b}"),
        ("vérifier le journal / verify it", f"{command} evidence verify -c {b}"),
        ("l'état de l'installation / the installation's health", f"{command} doctor -c {a}"),
        (
            "trouver à qui écrire, fautes comprises / find whom to write to, mistakes and all",
            f"{command} directory search -c {a} lefevre claire dentiste",
        ),
        (
            "l'annuaire comme l'API nationale / the directory as the national API",
            f"curl --cacert {space.authorities} "
            f"'https://localhost:{space.directory_port}/fhir/v2/Practitioner?name=lefevre&_count=2'",
        ),
        (
            "et pendant la frappe / and while typing",
            f"curl --cacert {space.authorities} 'https://localhost:{space.directory_port}/directory/search?q=lefe+cla'",
        ),
        (
            "et par LDAP / and by LDAP",
            f"LDAPTLS_CACERT={space.authorities} ldapsearch -x -LLL -H ldaps://127.0.0.1:{space.ldap_port} "
            "-b o=annuaire -z 5 '(cn=claire lef*)' mail",
        ),
        (
            "combien de dentistes ont une adresse / how many dentists have an address",
            f"{command} stats adoption -c {a} --by department --profession 40",
        ),
    ):
        console.print(f"  {what}", style="dim")
        console.print(f"    {line}", soft_wrap=True, markup=False)
    console.print("\nCtrl-C pour arrêter / to stop")


def _details(entry: Recorded) -> dict[str, Any]:
    known = {**entry.facts, **(entry.personal or {})}
    return {key: known[key] for key in _DETAILS if known.get(key)}


def _journey_facts(sent: Submitted, journey: Journey, arrived: bool) -> dict[str, Any]:
    return {
        "ok": arrived,
        "message": sent.id,
        "from": DENTISTS.people[0].address,
        "to": HOSPITAL.people[0].address,
        "seconds": round(journey.seconds, 3),
        "attachments": journey.attachments,
        "hops": [
            {
                "operator": place.domain,
                "at": iso(entry.at),
                "event": entry.event,
                "entry": entry.seq,
                "hash": entry.hash,
                **_details(entry),
            }
            for place, entry in journey.hops
        ],
    }
