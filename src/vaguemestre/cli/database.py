"""`vaguemestre db`: make, upgrade, check, back up and restore an operator's store."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vaguemestre import app as composition
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals, show
from vaguemestre.config import Config
from vaguemestre.errors import ConfigurationError
from vaguemestre.mailstore import accounts, indexing, integrity
from vaguemestre.mailstore.indexer import Indexer
from vaguemestre.storage import backup as backups
from vaguemestre.storage import keys

app = typer.Typer(help="La base de données / The database.", no_args_is_help=True)


@app.command()
def migrate(config: ConfigFile, as_json: AsJson = False) -> None:
    """Make the store, or bring it to this software's version."""
    with refusals(as_json):
        version = composition.migrate(load(config))
    show(as_json, {"ok": True, "version": version}, [f"Base en version {version} / The store is at version {version}"])


@app.command()
def check(config: ConfigFile, as_json: AsJson = False) -> None:
    """Look for damage: every page, every message's content, the journal's chain, the counters."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        length = stores.database.read(integrity.content_count)
        with typer.progressbar(length=length, label="Contenus / Contents", file=sys.stderr) as bar:
            found = stores.database.read(integrity.check, stores.blobs, bar.update)
    ok = not any(found.values())
    lines = [f"{kind}: {what}" for kind, findings in found.items() for what in findings]
    show(as_json, {"ok": ok, **found}, lines or ["Aucune anomalie / Nothing wrong."])
    if not ok:
        raise typer.Exit(1)


@app.command()
def reindex(
    config: ConfigFile,
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="One account only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Index messages for search anew. Searches go on meanwhile: they read what is not indexed yet."""
    with refusals(as_json), composition.open_stores(load(config)) as stores:
        account = stores.database.read(accounts.get, address).id if address else None
        stores.database.write(indexing.reindex, account)
        length = stores.database.read(indexing.pending, account)
        indexer = Indexer(stores.database, stores.blobs)
        try:
            with typer.progressbar(length=length, label="Messages", file=sys.stderr) as bar:
                while left := stores.database.read(indexing.pending, account):
                    bar.update(length - left - bar.pos)
                    if not indexer.work():  # what is left could not be had: the server tries again later
                        break
                bar.update(length - left - bar.pos)
            indexer.keep_up()
        finally:
            indexer.close()
    facts = {"ok": True, "messages": length - left, "waiting": left}
    show(
        as_json,
        facts,
        [f"{length - left} messages indexés / indexed" + (f" ; {left} plus tard / later" if left else "")],
    )


@app.command()
def backup(config: ConfigFile, target: Annotated[Path, typer.Argument(metavar="DIR")], as_json: AsJson = False) -> None:
    """Copy the store to a new folder while it runs. The keys are not in it: keep them elsewhere."""
    with refusals(as_json):
        loaded = load(config)
        key = keys.load(composition.keys_path(loaded)).database
        folders = _local_folders(loaded)
        count = backups.save(composition.database_path(loaded), key, folders, target, _counted)
    show(as_json, {"ok": True, "files": count}, [f"Sauvegarde faite / Backed up: {target} (+{count} fichiers / files)"])


@app.command()
def restore(
    config: ConfigFile, source: Annotated[Path, typer.Argument(metavar="DIR")], as_json: AsJson = False
) -> None:
    """Put a back-up where no store stands. The key file must be the one it was made with."""
    with refusals(as_json):
        loaded = load(config)
        keys.load(composition.keys_path(loaded))
        folders = _local_folders(loaded)
        count = backups.restore(source, composition.database_path(loaded), folders, _counted)
        with composition.open_stores(loaded):
            pass  # opens with these keys, at this version
    show(
        as_json,
        {"ok": True, "files": count},
        [f"Sauvegarde restaurée / Restored: {source} (+{count} fichiers / files)"],
    )


def _local_folders(config: Config) -> dict[str, Path]:
    folder = composition.objects_folder(config)
    if config.storage.database or folder is None:
        raise ConfigurationError(
            "This store is not embedded: back it up with PostgreSQL's and the object store's own tools.",
            "Cette base n'est pas embarquée : sauvegardez-la avec les outils de PostgreSQL et du magasin d'objets.",
        )
    return {"objects": folder, "packs": composition.packs_folder(config)}


def _counted(count: int) -> None:
    if count % 1000 == 0 and sys.stderr.isatty():
        typer.echo(f"{count} fichiers / files…", err=True)
