"""`manifest.json`: what vouches for the bytes of a model folder, and how a writer that was killed is made good."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..atomic import LOCK, locked, place, scratch, settle
from ..errors import ModelFolderError
from ..plain_json import parsed
from . import inside
from .entries import wrong

MANIFEST = "manifest.json"
NEXT = ".manifest.json.part"  # written elsewhere and moved here whole, by whoever holds the folder's lock
AGAIN_S = 0.1
MOST_FILES = 1000
MOST_BYTES = 16 << 30  # of all files: who copies a folder or proves its digest reads that much
Files = dict[str, dict[str, Any]]


def read_manifest(folder: Path) -> Files:
    """File name -> how it was made, with 'sha256' and 'bytes'; empty without `manifest.json`.

    Raises:
        ModelFolderError: it is damaged.
    """
    return _parsed(folder, MANIFEST) if inside.has(folder, MANIFEST) else {}


@contextlib.contextmanager
def new_manifest(folder: Path, files: Mapping[str, Any]) -> Iterator[Path]:
    """A whole manifest beside the one of `folder`, for the block to move there; only inside `changing`.

    A writer that is killed in the block leaves it, and `changing` finishes what it had begun.
    """
    path = folder / NEXT
    with scratch(folder) as own:
        part = own / MANIFEST
        part.write_text(manifest_text(files), encoding="utf-8")
        settle(part)
        place(part, path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def manifest_text(files: Mapping[str, Any]) -> str:
    """What `manifest.json` holds."""
    return json.dumps({"files": files}, indent=2, allow_nan=False) + "\n"


def folder_digest(files: Files) -> str:
    """'sha256:...' of the names and contents that a manifest vouches for, whatever else it says of them."""
    named = sorted((name, entry.get("sha256")) for name, entry in files.items())
    return f"sha256:{hashlib.sha256(json.dumps(named).encode()).hexdigest()}"


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Lock the folder for writing. First finish what a killed writer left almost done.

    Raises:
        OSError: as `locked`.
    """
    with locked(folder):
        _finish(folder)
        yield


def read_vouched(folder: Path, name: str) -> bytes:
    """The bytes that the manifest vouches for.

    A writer replaces a file and the manifest one after the other. Where they disagree, they are read again while
    nobody writes; where the folder cannot be locked, as on a medium that is read-only, a moment later.

    Raises:
        ModelFolderError: it does not vouch for the file or for these bytes of it, or one of them cannot be read.
    """
    try:
        return verified(folder, name, read_manifest(folder))
    except ModelFolderError:
        if not (folder / LOCK).exists():  # nobody ever wrote here, nor is anything to be left here
            raise
    try:
        with changing(folder):
            return verified(folder, name, read_manifest(folder))
    except OSError:
        time.sleep(AGAIN_S)
        return verified(folder, name, read_manifest(folder))


def verified(folder: Path, name: str, files: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Read once, so that what is used is what was checked; raises as `read_vouched`."""
    entry = files.get(name, {})
    expected = entry.get("sha256")
    if expected is None:
        raise ModelFolderError(f"{MANIFEST} of '{folder}' does not vouch for {name}; make it again with mdhr")
    content = inside.read(folder, name, entry.get("bytes", 0))
    if hashlib.sha256(content).hexdigest() != expected:
        raise ModelFolderError(
            f"'{folder / name}' has other bytes than {MANIFEST} says (SHA-256): damaged or replaced; "
            f"{_remedy(folder, name)}"
        )
    return content


def _remedy(folder: Path, name: str) -> str:
    if name.endswith((".safetensors", ".json")):
        return "take the folder anew from where it came"
    return f"make it again (mdhr export {folder}, or export/build_engine.py), or take another backend"


def _finish(folder: Path) -> None:
    """Let a manifest that was written whole take its place, if the files that it is about have taken theirs.

    A writer that is killed between the two leaves it beside the old one, which vouches for other bytes.
    """
    with contextlib.suppress(ModelFolderError, OSError):
        if (folder / NEXT).is_symlink():  # no writer of ours makes one
            return
        files, before = _parsed(folder, NEXT), read_manifest(folder)
        digests = {name: entry.get("sha256") for name, entry in files.items()}
        changed = [name for name in files if digests[name] != before.get(name, {}).get("sha256")]
        moved = (inside.digest(folder, name, files[name].get("bytes", 0)) == digests[name] for name in changed)
        if before.keys() <= files.keys() and all(moved):
            place(folder / NEXT, folder / MANIFEST)


def _parsed(folder: Path, name: str) -> Files:
    path = folder / name
    try:
        files = parsed(inside.read(folder, name))["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(f"'{path}' cannot be read ({error}); make the folder again") from None
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise ModelFolderError(f"'{path}' must hold an object of files and does not; make the folder again")
    _check_names(path, files)
    total = 0
    for one, entry in files.items():
        if what := next(wrong(entry), None):
            raise ModelFolderError(
                f"'{path}' is damaged: of {one} it says {what}; take that entry out of it and make the file again, "
                "or take the folder from where it came"
            )
        total += int(entry.get("bytes", 0))
    if total > MOST_BYTES:
        raise ModelFolderError(f"'{path}' names files of {total:,} bytes together, and at most {MOST_BYTES:,} are read")
    return files


def _check_names(path: Path, files: Files) -> None:
    """Names that mean one file each, on every file system."""
    if len(files) > MOST_FILES:
        raise ModelFolderError(f"'{path}' names {len(files):,} files, and a model folder has at most {MOST_FILES:,}")
    seen: dict[str, str] = {}
    for name in files:
        if not inside.is_plain(name):
            raise ModelFolderError(
                f"'{path}' names '{name[:200]}', and a model folder's files have plain names; take that entry out of it"
            )
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise ModelFolderError(f"'{path}' names both {other} and {name}, which can be one file; keep one entry")
