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

MANIFEST = "manifest.json"
NEXT = ".manifest.json.part"  # written elsewhere and moved here whole, by whoever holds the folder's lock
AGAIN_S = 0.1
OBJECTS = ("options", "target", "parity")  # of an entry; and whatever begins with one of these:
FOUND = ("parity_in_", "streams_in_")
Files = dict[str, dict[str, Any]]


def read_manifest(folder: Path) -> Files:
    """File name -> how it was made, with 'sha256' and 'bytes'; empty without `manifest.json`.

    Raises:
        ModelFolderError: it is damaged.
    """
    path = folder / MANIFEST
    return _parsed(path) if path.is_file() else {}


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
    return json.dumps({"files": files}, indent=2) + "\n"


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
    expected = files.get(name, {}).get("sha256")
    if expected is None:
        raise ModelFolderError(f"{MANIFEST} of '{folder}' does not vouch for {name}; make it again with mdhr")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ModelFolderError(f"'{folder / name}' cannot be read: {error.strerror or error}") from None
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


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def findings(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Later comparisons of a file. They are kept if it is exported again with the same bytes."""
    return {key: fact for key, fact in entry.items() if key.startswith(FOUND) or (key == "parity" and failed_on(fact))}


def failed_on(fact: Any) -> str | None:
    """The footage on which a comparison failed, or one of several under a key; None if none did."""
    reports = [fact, *fact.values()] if isinstance(fact, dict) else []
    failed = (one for one in reports if isinstance(one, dict) and one.get("failure"))
    return next((one["on"] for one in failed if one.get("on")), None)


def _finish(folder: Path) -> None:
    """Let a manifest that was written whole take its place, if the files that it is about have taken theirs.

    A writer that is killed between the two leaves it beside the old one, which vouches for other bytes.
    """
    new = folder / NEXT
    if new.is_symlink():  # no writer of ours makes one
        return
    with contextlib.suppress(ModelFolderError, OSError):
        files, before = _parsed(new), read_manifest(folder)
        digests = {name: entry.get("sha256") for name, entry in files.items()}
        changed = [name for name in files if digests[name] != before.get(name, {}).get("sha256")]
        moved = (sha256(folder / name) == digests[name] for name in changed)
        if before.keys() <= files.keys() and all(moved):
            new.replace(folder / MANIFEST)


def _parsed(path: Path) -> Files:
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFolderError(f"'{path}' cannot be read ({error}); make the folder again") from None
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise ModelFolderError(f"'{path}' must hold an object of files and does not; make the folder again")
    for name, entry in files.items():
        if wrong := next(_wrong(entry), None):
            raise ModelFolderError(
                f"'{path}' is damaged: of {name} it says {wrong}; take that entry out of it and make the file again, "
                "or take the folder from where it came"
            )
    return files


def _wrong(entry: Mapping[str, Any]) -> Iterator[str]:
    """What of an entry is not of the kind that its readers rely on."""
    if not isinstance(entry.get("sha256", ""), str):
        yield "a 'sha256' that is no text"
    for key, value in entry.items():
        if key.startswith((*OBJECTS, *FOUND)) and not isinstance(value, dict | None):
            yield f"a '{key}' that is no object"
        if key.startswith("streams_in_") and not all(isinstance(one, dict) for one in (value or {}).values()):
            yield f"a '{key}' that holds something else than objects"
    options = entry.get("options") or {}
    if "graph" in options and not all(isinstance(options.get(key), str) for key in ("graph", "precision")):
        yield "'options' whose graph or precision is no text"
