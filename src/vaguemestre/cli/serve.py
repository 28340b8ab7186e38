"""`vaguemestre serve`: run an operator, an authority, or both, until told to stop."""

import asyncio
import signal

import typer
import uvloop

from vaguemestre import app as composition
from vaguemestre.cli.presentation import ConfigFile, load, refusals
from vaguemestre.config import Config
from vaguemestre.errors import ConfigurationError


def serve(config: ConfigFile) -> None:
    """Run what the configuration names; stop with Ctrl-C or SIGTERM, which lets messages under way end."""
    with refusals(False):
        uvloop.run(_serve(load(config)))


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with composition.running(config) as ports:
            names = ", ".join(f"{part} {port}" for part, port in ports.items())
            typer.echo(f"Vaguemestre {config.hostname} : prêt / ready ({names})", err=True)
            await stop.wait()
    except OSError as error:
        raise ConfigurationError(
            f"A port cannot be opened: {error.strerror or error}. Is another program using it?",
            f"Un port ne peut pas être ouvert : {error.strerror or error}. Un autre programme l'utilise-t-il ?",
        ) from error
