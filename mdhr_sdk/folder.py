"""A model on disk: `config.json`, `model.safetensors`, whatever was exported, and `manifest.json`.

Nothing in a folder is used unless the manifest vouches for its bytes, exported graphs only with the weights and the
configuration they were made from, and nothing is written but whole. Several processes may write into a folder at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .bundled import is_bundled, model_path
from .config import FolderConfig
from .errors import ConfigError, ModelFolderError
from .scratch import LOCK, PREFIX, locked, scratch, written

CONFIG = "config.json"
MANIFEST = "manifest.json"
CARD = "MODEL_CARD.md"
WEIGHTS = "model.safetensors"
AGAIN_S = 0.1


class ModelFolder:
    """Reads and extends a model folder.

    Attributes:
        path: the folder.
        config: its parsed `config.json`.
    """

    def __init__(self, path: Path, config: FolderConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def open(cls, path: str | Path) -> ModelFolder:
        """Open an existing folder, or by its name a model that comes with the package (see `mdhr_sdk.bundled`).

        Raises:
            ModelFolderError: no such folder, no `config.json` in it, or one that cannot be read.
        """
        path = model_path(path)
        if not path.is_dir():
            what = "is a file, not a folder" if path.exists() else "does not exist"
            raise ModelFolderError(f"model folder '{path}' {what}; make one with: mdhr init FOLDER")
        if not (path / CONFIG).is_file():
            raise ModelFolderError(f"'{path}' is not a model folder: it has no {CONFIG}; see: mdhr init --help")
        return cls(path, _config(path, _read(path, CONFIG)))

    @classmethod
    def create(cls, path: str | Path, config: FolderConfig) -> ModelFolder:
        """Make a folder that holds only `config.json` and the manifest.

        Raises:
            ModelFolderError: the path holds something already, or cannot be written.
        """
        path = Path(path)
        cls.check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder = cls(path, config)
            with folder.writing(CONFIG, {"tool": "mdhr_sdk"}) as temporary:
                temporary.write_text(config.to_json(), encoding="utf-8")
        except OSError as error:
            raise ModelFolderError(f"model folder '{path}' cannot be made: {error}") from None
        return folder

    def copy(self, path: str | Path) -> ModelFolder:
        """Copy what the manifest vouches for into a new folder, with the model card if there is one.

        Raises:
            ModelFolderError: the path holds something already, or cannot be written; or a file is not what the
                manifest says. Nothing is left there then.
        """
        self.check_free(path)
        target = Path(path).resolve()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=PREFIX, dir=target.parent) as own:
                building = Path(own) / target.name
                building.mkdir()
                files = self.manifest
                for name in filter(self.has, files):
                    _check_plain(name)
                    (building / name).write_bytes(_verified(self.path, name, files))
                for name in filter(self.has, (CARD, MANIFEST)):
                    shutil.copyfile(self.path / name, building / name)
                (target / LOCK).unlink(missing_ok=True)  # all that it may hold; with it, it could not be replaced
                building.replace(target)
        except OSError as error:
            raise ModelFolderError(f"model folder '{path}' cannot be made: {error.strerror or error}") from None
        return ModelFolder(target, self.config)

    @staticmethod
    def check_free(path: str | Path) -> None:
        """Check that a new folder can be made there, before the work of filling it.

        Raises:
            ModelFolderError: the path holds something already.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(inside.name != LOCK for inside in path.iterdir())):
            raise ModelFolderError(f"'{path}' exists and is not an empty folder; name a new folder or remove it")

    @property
    def manifest(self) -> dict[str, dict[str, Any]]:
        """File name -> how it was made, with 'sha256' and 'bytes'; empty without `manifest.json`."""
        return _manifest(self.path)

    @property
    def bundled(self) -> bool:
        """Whether it is one of the package's own, which nothing is written to."""
        return is_bundled(self.path)

    def check_own(self) -> None:
        """Check that the folder is a user's, before work that would end in writing to it.

        Raises:
            ModelFolderError: it is one of the package's own.
        """
        if self.bundled:
            name = self.path.name
            raise ModelFolderError(
                f"'{name}' comes with mdhr_sdk and is not written to; make a copy and work on that: "
                f"mdhr copy {name} FOLDER"
            )

    def has(self, name: str) -> bool:
        """Whether a file of that name is there."""
        return (self.path / name).is_file()

    def stale(self, name: str) -> str | None:
        """Why an artefact no longer belongs to this folder's weights and configuration; None if it does."""
        files = self.manifest
        if name not in files:
            return None
        entry = files[name]
        if not _of_these_weights(entry, files):
            return f"{name} was made from other weights than {WEIGHTS}; export it again"
        if entry.get("config_sha256", self._graph_digest()) != self._graph_digest():
            return f"{name} was made for another architecture, input or clip length than {CONFIG} says; export it again"
        return None

    def read(self, name: str) -> bytes:
        """Bytes of a file, after they proved to be those of the manifest.

        Raises:
            ModelFolderError: the file is missing, not in the manifest, has other bytes, or is stale.
        """
        if not self.has(name):
            remedy = "make it again, or take another backend"
            if name == WEIGHTS:
                remedy = "training, export and comparison need it: copy it from the folder that this one was made from"
            raise ModelFolderError(f"'{self.path}' has no {name}; {remedy}")
        if reason := self.stale(name):
            raise ModelFolderError(f"'{self.path}': {reason}")
        return _read(self.path, name)

    def update(self, **changes: Any) -> ModelFolder:
        """Change fields of `config.json`, as in `folder.update(thresholds=(0.4, ...))`, and seal it again.

        Returns:
            The folder with what `config.json` now says: fields that others changed meanwhile stay as they made them.

        Raises:
            ConfigError: an unknown field or a bad value.
            ModelFolderError: the folder cannot be written, or its `config.json` is damaged.
        """
        self.check_own()
        try:
            with scratch(self.path) as own, locked(self.path):
                config = _config(self.path, _verified(self.path, CONFIG, self.manifest))
                try:
                    config = dataclasses.replace(config, **changes)
                except TypeError as error:
                    raise ConfigError(f"{CONFIG} has no such field: {error}") from None
                temporary = own / CONFIG
                temporary.write_text(config.to_json(), encoding="utf-8")
                self._commit(temporary, _entry(temporary, {"tool": "mdhr_sdk"}))
        except OSError as error:
            raise self._unwritten(CONFIG, error) from error
        return ModelFolder(self.path, config)

    def note(self, name: str, digest: str, **facts: Any) -> None:
        """Change what the manifest says of a file besides its hash, as what a later comparison found.

        Args:
            digest: SHA-256 of the file that the facts are about.

        Raises:
            ModelFolderError: the manifest does not vouch for such a file, cannot be written, or is of a bundled folder.
        """
        self.check_own()
        try:
            with locked(self.path):
                files = self.manifest
                if files.get(name, {}).get("sha256") != digest:
                    raise ModelFolderError(f"'{self.path}': {name} was replaced or removed meanwhile; try again")
                files = {**files, name: {**files[name], **facts}}
                with written(self.path / MANIFEST, _json(files)) as manifest:
                    manifest.replace(self.path / MANIFEST)
        except OSError as error:
            raise self._unwritten(MANIFEST, error) from error

    def _graph_digest(self) -> str:
        """SHA-256 of what exported graphs depend on: not thresholds, licence or provenance."""
        fields = dataclasses.asdict(self.config)
        parts = {name: fields[name] for name in ("model", "preprocessing", "clip_length")}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @contextlib.contextmanager
    def writing(self, name: str, made: Mapping[str, Any]) -> Iterator[Path]:
        """Write artefact `name` whole or not at all: yields a temporary path; `made` goes to the manifest.

        Raises:
            ModelFolderError: the folder cannot be written, or is bundled, or no longer holds the weights of
                `made["source_sha256"]`; an earlier artefact stays as it was.
        """
        self.check_own()
        _check_plain(name)
        try:
            with scratch(self.path) as own:
                temporary = own / name
                yield temporary
                entry = _entry(temporary, made)
                if name not in (CONFIG, WEIGHTS):
                    entry["config_sha256"] = self._graph_digest()
                with locked(self.path):
                    self._commit(temporary, entry)
        except OSError as error:
            raise self._unwritten(name, error) from error

    def _commit(self, temporary: Path, entry: Mapping[str, Any]) -> None:
        """Move a finished file into the folder under its own name, and let the manifest vouch for it; locked."""
        name, files = temporary.name, self.manifest
        if not _of_these_weights(entry, files):
            raise ModelFolderError(
                f"'{self.path}': {WEIGHTS} was replaced while {name} was made from the one before, and {name} is not "
                "kept; make it again"
            )
        with written(self.path / MANIFEST, _json({**files, name: entry})) as manifest:
            temporary.replace(self.path / name)
            manifest.replace(self.path / MANIFEST)

    def _unwritten(self, name: str, error: OSError) -> ModelFolderError:
        return ModelFolderError(f"'{self.path / name}' cannot be written: {error.strerror or error}")


def _check_plain(name: str) -> None:
    """A manifest is anybody's text, and its names become paths."""
    if re.search(r"[/\\]|^\.|^$", name):
        raise ModelFolderError(f"an artefact must have a plain file name; got '{name}'")


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFolderError(f"'{path}' cannot be read ({error}); make the folder again") from None
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise ModelFolderError(f"'{path}' must hold an object of files and does not; make the folder again")
    return files


def _json(files: Mapping[str, Any]) -> str:
    return json.dumps({"files": files}, indent=2) + "\n"


def _entry(path: Path, made: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of a finished file."""
    path.chmod(0o644)
    return {**made, "bytes": path.stat().st_size, "sha256": sha256(path)}


def _of_these_weights(entry: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether an artefact was made from the weights that a manifest names; what does not say so was."""
    weights = files.get(WEIGHTS, {}).get("sha256")
    return bool(entry.get("source_sha256", weights) == weights)


def _config(folder: Path, content: bytes) -> FolderConfig:
    try:
        return FolderConfig.from_json(content.decode("utf-8"))
    except (ConfigError, UnicodeDecodeError) as error:
        raise ModelFolderError(f"'{folder / CONFIG}' cannot be read: {error}") from None


def _read(folder: Path, name: str) -> bytes:
    """The bytes that the manifest vouches for.

    A writer replaces a file and the manifest one after the other. Where they disagree, they are read again while
    nobody writes; where the folder cannot be locked, as on a medium that is read-only, a moment later.
    """
    try:
        return _verified(folder, name, _manifest(folder))
    except ModelFolderError:
        if not (folder / LOCK).exists():  # nobody ever wrote here, nor is anything to be left here
            raise
    try:
        with locked(folder):
            return _verified(folder, name, _manifest(folder))
    except OSError:
        time.sleep(AGAIN_S)
        return _verified(folder, name, _manifest(folder))


def _verified(folder: Path, name: str, manifest: dict[str, dict[str, Any]]) -> bytes:
    """Read once, so that what is used is what was checked."""
    expected = manifest.get(name, {}).get("sha256")
    if expected is None:
        raise ModelFolderError(f"{MANIFEST} of '{folder}' does not vouch for {name}; make it again with mdhr")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ModelFolderError(f"'{folder / name}' cannot be read: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != expected:
        raise ModelFolderError(
            f"'{folder / name}' has other bytes than {MANIFEST} says (SHA-256): damaged or replaced; make it again"
        )
    return content


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
