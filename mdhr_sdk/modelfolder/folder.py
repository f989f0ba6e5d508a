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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..atomic import LOCK, scratch, settle
from ..errors import ConfigError, ModelFolderError
from .bundled import BUNDLED, is_bundled, model_path
from .config import FolderConfig
from .manifest import (
    MANIFEST,
    Files,
    changing,
    findings,
    manifest_text,
    new_manifest,
    read_manifest,
    read_vouched,
    sha256,
    verified,
)
from .selection import select

CONFIG = "config.json"
CARD = "MODEL_CARD.md"
WEIGHTS = "model.safetensors"


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
        """Open an existing folder, or by its name a model that comes with the package (see `bundled`).

        Raises:
            ModelFolderError: no such folder, no `config.json` in it, or one that cannot be read.
        """
        path = model_path(path)
        if not path.is_dir():
            what = "is a file, not a folder" if path.exists() else "does not exist"
            ours = ", ".join(map(repr, BUNDLED))
            remedy = f"{ours} comes with mdhr_sdk (see mdhr copy), and mdhr init FOLDER makes an untrained model"
            if path.is_file():
                remedy = f"give the folder it lies in, '{path.parent}'"
            raise ModelFolderError(f"model folder '{path}' {what}; {remedy}")
        if not (path / CONFIG).is_file():
            raise ModelFolderError(f"'{path}' is not a model folder: it has no {CONFIG}; see: mdhr init --help")
        return cls(path, _config(path, read_vouched(path, CONFIG)))

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
            with scratch(target.parent) as own, contextlib.ExitStack() as stack:
                building = own / target.name
                building.mkdir()
                if (self.path / LOCK).exists():  # somebody writes there; what cannot be locked nobody writes to
                    with contextlib.suppress(OSError):
                        stack.enter_context(changing(self.path))
                self._copy_into(building)
                (target / LOCK).unlink(missing_ok=True)  # all that it may hold; with it, it could not be replaced
                building.replace(target)
        except OSError as error:
            raise ModelFolderError(f"model folder '{path}' cannot be made: {error.strerror or error}") from None
        return ModelFolder(target, self.config)

    def _copy_into(self, building: Path) -> None:
        files = {name: entry for name, entry in self.manifest.items() if self.has(name)}
        for name in files:
            _check_plain(name)
            (building / name).write_bytes(verified(self.path, name, files))
        if self.has(CARD):
            (building / CARD).write_bytes((self.path / CARD).read_bytes())
        (building / MANIFEST).write_text(manifest_text(files), encoding="utf-8")
        for path in building.iterdir():
            settle(path)

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
    def manifest(self) -> Files:
        """File name -> how it was made, with 'sha256' and 'bytes'; empty without `manifest.json`."""
        return read_manifest(self.path)

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
        return read_vouched(self.path, name)

    def update(self, **changes: Any) -> ModelFolder:
        """Change fields of `config.json`, as in `folder.update(thresholds={"AU12": 0.4})`, and seal it again.

        Thresholds are given by code, or all of them in the model's order.

        Returns:
            The folder with what `config.json` now says: fields that others changed meanwhile stay as they made them.

        Raises:
            ConfigError: an unknown field or a bad value.
            ModelFolderError: the folder cannot be written, or its `config.json` is damaged.
        """
        self.check_own()
        try:
            with scratch(self.path) as own, changing(self.path):
                config = _config(self.path, verified(self.path, CONFIG, self.manifest))
                if isinstance(given := changes.get("thresholds"), Mapping):
                    changes["thresholds"] = tuple(select(config, given, all_aus=True).thresholds.values())
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
            with changing(self.path):
                files = self.manifest
                if files.get(name, {}).get("sha256") != digest:
                    raise ModelFolderError(f"'{self.path}': {name} was replaced or removed meanwhile; try again")
                files = {**files, name: {**files[name], **facts}}
                with new_manifest(self.path, files) as manifest:
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
                with changing(self.path):
                    self._commit(temporary, entry)
        except OSError as error:
            raise self._unwritten(name, error) from error

    def _commit(self, temporary: Path, entry: Mapping[str, Any]) -> None:
        """Move a finished file into the folder under its own name, and let the manifest vouch for it; locked."""
        name, files = temporary.name, self.manifest
        if files.get(name, {}).get("sha256") == entry["sha256"]:
            entry = {**entry, **findings(files[name])}
        if not _of_these_weights(entry, files):
            raise ModelFolderError(
                f"'{self.path}': {WEIGHTS} was replaced while {name} was made from the one before, and {name} is not "
                "kept; make it again"
            )
        settle(temporary)
        with new_manifest(self.path, {**files, name: entry}) as manifest:
            temporary.replace(self.path / name)
            manifest.replace(self.path / MANIFEST)

    def _unwritten(self, name: str, error: OSError) -> ModelFolderError:
        return ModelFolderError(f"'{self.path / name}' cannot be written: {error.strerror or error}")


def _check_plain(name: str) -> None:
    """A manifest is anybody's text, and its names become paths."""
    if re.search(r"[/\\]|^\.|^$", name):
        raise ModelFolderError(f"an artefact must have a plain file name; got '{name}'")


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
