"""`vaguemestre serve`: run an operator, an authority, or both, until told to stop."""

import asyncio
import signal

import typer
import uvloop

from vaguemestre import app as composition
from vaguemestre.app import Entrance
from vaguemestre.cli.presentation import ConfigFile, load, refusals
from vaguemestre.config import Config
from vaguemestre.errors import ConfigurationError, VaguemestreError


def serve(config: ConfigFile) -> None:
    """Run what the configuration names; stop with Ctrl-C or SIGTERM, which lets messages under way end."""
    with refusals(False):
        loaded = load(config)
        try:
            entrance = composition.open_entrance(loaded, composition.workers_of(loaded)) if loaded.trust else None
            whole = uvloop.run(_serve(loaded, entrance))
        except OSError as error:
            raise ConfigurationError(
                f"A port cannot be opened: {error.strerror or error}. Is another program using it?",
                f"Un port ne peut pas être ouvert : {error.strerror or error}. Un autre programme l'utilise-t-il ?",
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
