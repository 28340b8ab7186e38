"""The files of a source: the newest of each in a folder, or what is behind an address, fetched.

What it keeps true: a file is whole before it has its name; what is fetched travels over TLS checked against the configured
authorities, and is bounded; a file not changed since is not fetched again.

Rules: of files whose names differ by their stamp alone, the newest one counts; one that was written to within the last
minute is left for the next time. Redirects are not followed.

Spec directory §2: the server's chain ends at IGC-Santé, which no system trusts by itself; the name is in
Content-Disposition.
"""

import re
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from vaguemestre.documents.extraction import stamp
from vaguemestre.errors import VaguemestreError
from vaguemestre.storage.durability import force

MOST_OCTETS = 4 << 30
_SETTLED_S = 60
_TIMEOUT = httpx.Timeout(60.0, read=300.0)
_NAME = re.compile(r'filename="?([^";]+)"?')
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")


class SourceError(VaguemestreError):
    """A source could not be read; it may be later."""

    rule = "source-failed"


def files(source: Sequence[str], folder: Path, tls: ssl.SSLContext | None = None) -> list[Path]:
    """The newest files of a source; what is fetched goes to `folder`. Raises SourceError, OSError."""
    found: list[Path] = []
    for each in source:
        if each.startswith("https://"):
            found.append(_fetch(each, folder, tls))
        elif "://" in each:
            raise SourceError(
                f"{each}: a source is a folder, a file or an https:// address.",
                f"{each} : une source est un dossier, un fichier ou une adresse https://.",
            )
        else:
            found += newest(Path(each)) if Path(each).is_dir() else [Path(each)]
    return found


def newest(folder: Path) -> list[Path]:
    """Of each file of a folder (.txt, .zip), the newest by its stamp."""
    found: dict[str, tuple[str, float, Path]] = {}
    now = time.time()
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".txt", ".zip") or not path.is_file():
            continue
        written = path.stat().st_mtime
        if now - written < _SETTLED_S:
            continue
        said = stamp(path.name)
        name = path.name.replace(said, "") if said else path.name
        found[name] = max(found.get(name, ("", 0.0, path)), (said, written, path))
    return [path for _, _, path in found.values()]


def _fetch(address: str, folder: Path, tls: ssl.SSLContext | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = _SAFE.sub("-", urlsplit(address).path.strip("/"))[-100:] or "file"
    last, tag = _last(folder, place), folder / f"{place}.etag"
    seen = tag.read_text("utf-8") if last is not None and tag.exists() else ""
    headers = {"If-None-Match": seen} if seen else {}
    being_written = folder / f"{place}.part"
    try:
        with (
            httpx.Client(verify=tls or True, timeout=_TIMEOUT, trust_env=False) as client,
            client.stream("GET", address, headers=headers) as answer,
        ):
            if answer.status_code == 304 and last is not None:
                return last
            if answer.status_code != 200:
                raise _failed(address, f"HTTP {answer.status_code}")
            said = _NAME.search(answer.headers.get("Content-Disposition", ""))
            name = _SAFE.sub("-", Path(said[1]).name if said else place)[-150:]
            size = 0
            with being_written.open("wb") as file:
                for block in answer.iter_bytes():
                    size += file.write(block)
                    if size > MOST_OCTETS:
                        raise _failed(address, f"> {MOST_OCTETS} octets")
    except (httpx.HTTPError, ssl.SSLError) as error:
        raise _failed(address, str(error) or type(error).__name__) from error
    force(being_written)
    for former in folder.glob(f"{place}@*"):
        former.unlink()
    target = folder / f"{place}@{name}"
    being_written.replace(target)
    tag.write_text(answer.headers.get("ETag", ""), "utf-8")
    return target


def _last(folder: Path, place: str) -> Path | None:
    return next(iter(folder.glob(f"{place}@*")), None)


def _failed(address: str, why: str) -> SourceError:
    return SourceError(f"{address} could not be fetched: {why}.", f"{address} n'a pas pu être téléchargé : {why}.")
