"""The machine: folders, disk, names, port, clock."""

import asyncio
import os
import shutil
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from vaguemestre import app as composition
from vaguemestre import clock
from vaguemestre.config import Config, address
from vaguemestre.diagnosis.findings import Case, Finding, Level, Words, clock_behind, good, problem, warning
from vaguemestre.errors import VaguemestreError
from vaguemestre.transport.routing import Router

_LITTLE_SPACE, _NO_SPACE = 5_000_000_000, 500_000_000
_CLOCK_TOLERANCE = timedelta(minutes=5)
_ANSWER_S = 3.0


def data(config: Config) -> Iterator[Finding]:
    """Folders that are there, ours alone, writable, and on one file system; room on the disk."""
    folder = config.data
    if not folder.is_dir():
        yield problem(
            "data",
            Words(f"Le dossier de données {folder} n'existe pas.", f"The data folder {folder} does not exist."),
            Words("Lancez : vaguemestre db migrate --config FICHIER", "Run: vaguemestre db migrate --config FILE"),
        )
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        said = Words(
            f"Le dossier {folder} est ouvert à d'autres ({mode:o}).",
            f"The folder {folder} is open to others ({mode:o}).",
        )
        mend = Words(f"Lancez : chmod 700 {folder}", f"Run: chmod 700 {folder}")
        yield problem("data", said, mend) if mode & 0o022 else warning("data", said, mend)
    objects = composition.objects_folder(config)
    places = [folder, folder / "spool", *([objects] if objects is not None else [])]
    for place in places:
        if place.exists() and not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            yield problem(
                "data",
                Words(f"On ne peut pas écrire dans {place}.", f"{place} cannot be written to."),
                Words("Donnez-le à l'utilisateur du service (chown).", "Give it to the service's user (chown)."),
            )
    if objects is not None and objects.exists() and objects.stat().st_dev != folder.stat().st_dev:
        yield problem(
            "data",
            Words(
                f"{objects} n'est pas sur le même système de fichiers que {folder} : les grands messages seraient refusés.",
                f"{objects} is not on the file system of {folder}: large messages would be refused.",
            ),
            Words("Mettez les deux sur le même système de fichiers.", "Put both on one file system."),
        )
    yield _space(folder)


def _space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    said = Words(f"Place libre pour {folder} : {free / 1e9:.1f} Go", f"Free space for {folder}: {free / 1e9:.1f} GB")
    if free >= _LITTLE_SPACE:
        return good("space", said)
    mend = Words(
        "Libérez de la place ou agrandissez le disque : plein, il fait refuser tout message.",
        "Free some space or enlarge the disk: when it is full every message is refused.",
    )
    return Finding("space", Level.PROBLEM if free < _NO_SPACE else Level.WARNING, said, mend)


def names(case: Case) -> Iterator[Finding]:
    """How others find us, and how we find those with a route. Only warnings: DNS may be absent here on purpose."""
    yield from asyncio.run(_looked_up(case.config))


async def _looked_up(config: Config) -> list[Finding]:
    names = {address(route)[0] for route in config.queue.routes.values()}
    own = [_own_servers(domain, config.hostname) for domain in config.domains]
    return list(await asyncio.gather(*own, *(_resolvable(name) for name in sorted(names))))


async def _own_servers(domain: str, hostname: str) -> Finding:
    try:
        hosts = await asyncio.wait_for(Router(frozenset(), {}).hosts(domain), _ANSWER_S)
    except (VaguemestreError, TimeoutError):
        return warning(
            "names",
            Words(f"Le DNS ne donne pas de serveur pour {domain}.", f"DNS gives no server for {domain}."),
            Words(f"Publiez un MX de {domain} vers {hostname}.", f"Publish an MX record of {domain} to {hostname}."),
        )
    named = ", ".join(host.name for host in hosts)
    said = Words(f"{domain} : courrier vers {named}", f"{domain}: mail goes to {named}")
    if hostname.lower() in [host.name for host in hosts]:
        return good("names", said)
    return warning(
        "names", said, Words(f"Aucun n'est {hostname} : vérifiez le MX.", f"None is {hostname}: check the MX.")
    )


async def _resolvable(name: str) -> Finding:
    try:
        await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo(name, None), _ANSWER_S)
    except (OSError, TimeoutError):
        return warning(
            "names",
            Words(f"L'hôte {name} d'une route est introuvable.", f"The host {name} of a route cannot be found."),
            Words("Corrigez [queue.routes] ou le DNS.", "Correct [queue.routes] or the DNS."),
        )
    return good("names", Words(f"Route vers {name} : trouvée", f"Route to {name}: found"))


def port(case: Case) -> Iterator[Finding]:
    """The service listens, or could."""

    def ours(line: socket.socket) -> bool:
        banner = line.recv(512)
        return banner.startswith(f"220 {case.config.hostname} ".encode()) and b"Vaguemestre" in banner

    yield from answering("port", case.config.smtp.listen, "listen [smtp]", ours)


def answering(check: str, listen: str, setting: str, ours: Callable[[socket.socket], bool]) -> Iterator[Finding]:
    """Whether our service answers at an address, by `ours`, which speaks to whoever does; or could listen there.

    `setting` is what the configuration calls it: `listen [smtp]`.
    """
    if not listen:
        return
    host, port = address(listen)
    if not port:  # any free one: there is nothing to ask
        return
    here = "127.0.0.1" if host in ("", "0.0.0.0") else "::1" if host == "::" else host  # noqa: S104 - compared, not bound
    key, _, section = setting.partition(" ")
    try:
        with socket.create_connection((here, port), _ANSWER_S) as line:
            line.settimeout(_ANSWER_S)
            recognised = ours(line)
    except ConnectionRefusedError:
        yield _bindable(check, host, port, key, section)
        return
    except (ssl.SSLError, ConnectionError, TimeoutError):
        recognised = False
    if recognised:
        yield good(check, Words(f"Le service répond sur {here}:{port}", f"The service answers on {here}:{port}"))
        return
    yield problem(
        check,
        Words(f"Un autre programme répond sur {here}:{port}.", f"Another program answers on {here}:{port}."),
        Words(f"Arrêtez-le, ou changez {key} dans {section}.", f"Stop it, or change {key} in {section}."),
    )


def _bindable(check: str, host: str, port: int, key: str, section: str) -> Finding:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        why = error.strerror or str(error)
        return problem(
            check,
            Words(
                f"Le port {host}:{port} ne peut pas être ouvert ({why}).",
                f"The port {host}:{port} cannot be opened ({why}).",
            ),
            Words(
                f"Corrigez {key} dans {section} ; un port sous 1024 demande la capacité CAP_NET_BIND_SERVICE.",
                f"Correct {key} in {section}; a port below 1024 needs the capability CAP_NET_BIND_SERVICE.",
            ),
        )
    return warning(
        check,
        Words(
            f"Le service ne tourne pas ; le port {port} est libre.", f"The service is not running; port {port} is free."
        ),
        Words("Lancez : vaguemestre serve --config FICHIER", "Run: vaguemestre serve --config FILE"),
    )


def clock_against_files(case: Case) -> Iterator[Finding]:
    """Against what was certainly written before now."""
    written = [
        (path.stat().st_mtime, path)
        for path in (*case.config.data.glob("*"), case.identity.certificate)
        if path.is_file()
    ]
    if written:
        newest, path = max(written)
        at = clock.from_ms(int(newest * 1000))
        if at > case.now + _CLOCK_TOLERANCE:
            yield clock_behind(case.now, Words(f"le fichier {path}", f"the file {path}"), at)
            return
    yield good(
        "clock", Words(f"Horloge : {case.now:%d/%m/%Y %H:%M:%S} UTC", f"Clock: {case.now:%Y-%m-%d %H:%M:%S} UTC")
    )
