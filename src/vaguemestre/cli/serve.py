"""`vaguemestre serve`: run an operator, an authority, or both, until told to stop."""

import asyncio
import signal

import typer
import uvloop

from vaguemestre import app as composition
from vaguemestre.app import Entrance
from vaguemestre.cli.presentation import ConfigFile, load, refusals
from vaguemestre.config import Config
from vaguemestre.errors import ConfigurationError, StorageFailure, VaguemestreError


def serve(config: ConfigFile) -> None:
    """Run what the configuration names; stop with Ctrl-C or SIGTERM, which lets messages under way end."""
    with refusals(False):
        loaded = load(config)
        try:
            entrance = composition.open_entrance(loaded, composition.workers_of(loaded)) if loaded.trust else None
            whole = uvloop.run(_serve(loaded, entrance))
        except OSError as error:
            raise _unusable(error) from error
        except StorageFailure as error:
            raise ConfigurationError(
                f"{error.en} Run vaguemestre doctor, then db check; what is damaged comes back from a back-up.",
                f"{error.fr} Lancez vaguemestre doctor, puis db check ; ce qui est abîmé se rétablit d'une sauvegarde.",
            ) from error
        if not whole:
            raise VaguemestreError(
                "A worker process ended by itself; everything was stopped. Start again, and look at the log.",
                "Un processus de travail s'est arrêté de lui-même ; tout a été arrêté. Relancez, et lisez le journal.",
            )


async def _serve(config: Config, entrance: Entrance | None) -> bool:
    """Serve until told to stop; false when a part ended by itself."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with composition.running(config, entrance) as parts:
        names = ", ".join(f"{part} {port}" for part, port in parts.ports.items())
        typer.echo(f"Vaguemestre {config.hostname} : prêt / ready ({names})", err=True)
        waits = [asyncio.create_task(event.wait()) for event in (stop, *parts.ended)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return stop.is_set()


def _unusable(error: OSError) -> ConfigurationError:
    """What the system refused at the start: a file where it names one, else a port."""
    why = error.strerror or str(error)
    if error.filename is not None:
        return ConfigurationError(
            f"{error.filename} cannot be used: {why}. Correct the path, or the rights of the service's user.",
            f"{error.filename} est inutilisable : {why}. Corrigez le chemin, ou les droits de l'utilisateur du service.",
        )
    return ConfigurationError(
        f"A port cannot be opened: {why}. Is another program using it?",
        f"Un port ne peut pas être ouvert : {why}. Un autre programme l'utilise-t-il ?",
    )
