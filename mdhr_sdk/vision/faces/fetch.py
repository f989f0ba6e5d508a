"""Files of others that are fetched once, checked, and kept in the user's cache.

The table here says how long each is and what its SHA-256 is; nothing else passes, whatever a server says.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from ...atomic import locked, place, settle, told, whole
from ...errors import ConfigError, FetchError
from ...folders import user_folder

VARIABLE = "MDHR_CACHE"
WAIT_S = 900.0  # for another process that fetches
log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True)
class Asset:
    """A file as its publisher has it.

    Attributes:
        name: its name in the cache.
        url: where it is published.
        size_bytes, sha256: what it must be.
        licence: its terms and whose it is.
    """

    name: str
    url: str
    size_bytes: int
    sha256: str
    licence: str


FACE_LANDMARKER = Asset(
    "face_landmarker.task",
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    3_758_596,
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    "Apache License 2.0, Google (MediaPipe)",
)


def cache_folder() -> Path:
    """`MDHR_CACHE`, else `mdhr_sdk` in `XDG_CACHE_HOME`, else in the user's `.cache` (on Windows in `LOCALAPPDATA`).

    Raises:
        ConfigError: `MDHR_CACHE` is no absolute path, or there is no home.
    """
    return user_folder(VARIABLE, ("XDG_CACHE_HOME", "LOCALAPPDATA"), ".cache", "a cache", ConfigError)


def cached(asset: Asset) -> Path | None:
    """The cache's copy, if there is a whole one: its bytes are read and their sum compared."""
    path = cache_folder() / asset.name
    return path if _is(asset, path) else None


def fetch(asset: Asset) -> Path:
    """The cache's copy; fetched, with a line in the log that says so, if there is none.

    Processes and threads that want the same file wait for the one that fetches it. What a broken transfer brought is
    kept, and the next call goes on from there.

    Raises:
        FetchError: it cannot be fetched, is not what it must be, or the cache cannot be written.
    """
    path = cache_folder() / asset.name
    if found := cached(asset):
        return found
    with told(path, FetchError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent, WAIT_S):
            if not cached(asset):
                again = "; the copy there is damaged" if path.exists() else ""
                log.warning("fetching %s (%.1f MB, once) from %s to '%s'%s",
                            asset.name, asset.size_bytes / 1e6, asset.url, path.parent, again)  # fmt: skip
                part = path.with_name(f".{asset.sha256[:16]}.part")
                _download(asset, part)
                settle(part)
                place(part, path)
    return path


def take(asset: Asset, file: Path) -> Path:
    """Put a copy of a file that the user has into the cache.

    Raises:
        FetchError: it is another file, or the cache cannot be written.
    """
    if not _is(asset, file):
        raise FetchError(
            f"'{file}' is not the {asset.name} with SHA-256 {asset.sha256} ({asset.size_bytes:,} bytes); download it "
            f"again from {asset.url}"
        )
    path = cache_folder() / asset.name
    with whole(path, FetchError, settled=True) as part:
        shutil.copyfile(file, part)
    return path


def _is(asset: Asset, path: Path) -> bool:
    try:
        return path.stat().st_size == asset.size_bytes and _sum(path) == asset.sha256
    except OSError:
        return False


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _download(asset: Asset, part: Path) -> None:
    """Fill `part` with the asset, or leave in it what came.

    Raises:
        FetchError: as `fetch`.
    """
    from .transfer import TransferError, transfer

    try:
        resumed = part.exists()
        transfer(asset.url, part, asset.size_bytes)
        if resumed and _sum(part) != asset.sha256:  # the part may have been of another file
            part.unlink()
            transfer(asset.url, part, asset.size_bytes)
        if (came := _sum(part)) != asset.sha256:
            part.unlink()
            raise TransferError(f"what came has SHA-256 {came} and not {asset.sha256}")
    except TransferError as error:
        raise FetchError(
            f"{asset.name} cannot be fetched from {asset.url}: {error}; try again when the network is there, or "
            "download it elsewhere and run: mdhr fetch faces --from FILE"
        ) from None
