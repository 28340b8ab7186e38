"""Back-up and restore of the embedded store: a consistent copy of the encrypted file, and the contents beside it.

What it keeps true: a back-up is made while the operator runs and is one moment of it: the rows are copied in one read
transaction, then the packs and objects those rows name, whose bytes never change, and of which none is deleted meanwhile
(storage.holds); it stays encrypted with the same keys, which are not in it. Restore refuses to write over anything.
Either leaves nothing behind when it fails.
PostgreSQL has its own tools (pg_dump, base back-ups): use them, and copy the objects after.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import sqlcipher3.dbapi2 as sqlcipher

from vaguemestre.errors import ConfigurationError, StorageFailure
from vaguemestre.storage import holds
from vaguemestre.storage.durability import force

DATABASE = "vaguemestre.db"


def save(database: Path, key: bytes, folders: Mapping[str, Path], target: Path, progress: Callable[[int], None]) -> int:
    """Copy a store to the new folder `target`: its rows, then its `folders` by name. Returns how many files they had.

    `progress` hears of each file. Raises ConfigurationError where there is no store, or something stands at `target`.
    """
    _refuse_existing(target)
    if not database.exists() or not database.stat().st_size:  # opening it would make an empty one
        raise ConfigurationError(
            f"There is no database at {database}.", f"Il n'y a pas de base de données à {database}."
        )
    try:
        with holds.hold(folders.values()), ExitStack() as made:
            target.mkdir(parents=True, mode=0o700)
            made.callback(shutil.rmtree, target, ignore_errors=True)
            _copy_rows(database, key, target / DATABASE)
            count = _copy_folders({path: target / name for name, path in folders.items()}, progress)
            force(target)
            force(target.parent)
            made.pop_all()  # whole: it stays
    except (OSError, sqlcipher.DatabaseError) as error:
        raise _failure(error) from error
    return count


def restore(source: Path, database: Path, folders: Mapping[str, Path], progress: Callable[[int], None]) -> int:
    """Put a back-up in place of a store that is not there any more. Returns how many files its folders had."""
    if not (source / DATABASE).exists():
        raise ConfigurationError(f"{source} is no back-up.", f"{source} n'est pas une sauvegarde.")
    for ending in ("", "-wal", "-shm"):  # SQLite would replay the log of the lost database into this one
        _refuse_existing(database.with_name(database.name + ending))
    for folder in folders.values():
        if folder.exists() and any(folder.iterdir()):
            _refuse_existing(folder)
    try:
        with ExitStack() as made:
            for folder in folders.values():
                made.callback(shutil.rmtree, folder, ignore_errors=True)
            count = _copy_folders({source / name: path for name, path in folders.items()}, progress)
            database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = database.with_suffix(".partial")
            made.callback(partial.unlink, missing_ok=True)
            _copy_file(source / DATABASE, partial)
            partial.rename(database)  # last: a store appears only once whole
            made.pop_all()
        force(database.parent)
    except OSError as error:
        raise _failure(error) from error
    return count


def _copy_rows(database: Path, key: bytes, target: Path) -> None:
    pragmas = (
        f"PRAGMA key = \"x'{key.hex()}'\"",
        "PRAGMA cipher_hmac_algorithm = HMAC_SHA256",
    )
    source, copy = sqlcipher.connect(str(database)), sqlcipher.connect(str(target))
    try:
        for pragma in pragmas:
            source.execute(pragma)
            copy.execute(pragma)
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    target.chmod(0o600)
    force(target)


def _copy_folders(pairs: Mapping[Path, Path], progress: Callable[[int], None]) -> int:
    count = 0
    for source, target in pairs.items():
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(source.rglob("*")):
            if path.is_dir():
                continue
            copy = target / path.relative_to(source)
            copy.parent.mkdir(exist_ok=True, mode=0o700)
            _copy_file(path, copy)
            count += 1
            progress(count)
        for folder in (*filter(Path.is_dir, target.rglob("*")), target, target.parent):
            force(folder)
    return count


def _copy_file(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)
    force(target)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise ConfigurationError(
            f"{path} exists already; nothing is written over.", f"{path} existe déjà ; rien n'est écrasé."
        )


def _failure(error: Exception) -> StorageFailure:
    what = getattr(error, "strerror", None) or str(error)
    return StorageFailure(f"The copy failed: {what}.", f"La copie a échoué : {what}.")
