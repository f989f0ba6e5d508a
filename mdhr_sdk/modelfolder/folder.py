"""A model on disk: `config.json`, `model.safetensors`, whatever was exported, and `manifest.json`.

Nothing in a folder is used unless the manifest vouches for its bytes, exported graphs only with the weights and the
configuration they were made from, and nothing is written but whole. Several processes may write into a folder at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ..atomic import LOCK, place, scratch, settle
from ..errors import ConfigError, ModelFolderError
from ..plain_json import parsed
from . import inside
from .bundled import BUNDLED, is_bundled, model_path
from .config import FolderConfig
from .entries import findings
from .inside import check_plain, sha256
from .manifest import (
    MANIFEST,
    Files,
    changing,
    folder_digest,
    manifest_text,
    new_manifest,
    read_manifest,
    read_vouched,
    verified,
)
from .new_folder import check_free, new_folder
from .onnx_file import check_onnx
from .onnx_sizes import check_sizes
from .selection import select
from .signing import is_code, is_graph, signed, unsigned

CONFIG = "config.json"
CARD = "MODEL_CARD.md"
WEIGHTS = "model.safetensors"
Trust = Literal["code"]


class ModelFolder:
    """Reads and extends a model folder.

    Attributes:
        path: the folder.
        config: its parsed `config.json`.
        trust: 'code' where code of this folder is run that was not made on this machine.
    """

    def __init__(
        self, path: Path, config: FolderConfig, trust: Trust | None = None, pinned: Files | None = None
    ) -> None:
        self.path = path
        self.config = config
        self.trust = trust
        self._pinned = pinned

    @classmethod
    def open(cls, path: str | Path, digest: str | None = None, trust: Trust | None = None) -> ModelFolder:
        """Open an existing folder, or by its name a model that comes with the package (see `bundled`).

        Args:
            digest: 'sha256:...' as `mdhr digest` prints it: only a folder of these very files is opened.
            trust: 'code' runs TorchScript and engines that were not made on this machine, too.

        Raises:
            ModelFolderError: no such folder, no `config.json` in it, one that cannot be read, or another digest.
            ConfigError: another `trust`.
        """
        if trust not in (None, "code"):
            raise ConfigError(f"trust must be 'code' or None; got {trust!r}")
        path = model_path(path)
        try:
            there = path.is_dir()
        except OSError as error:  # as of a name that is too long
            raise ModelFolderError(f"no model folder can be called '{str(path)[:80]}': {error.strerror}") from None
        if not there:
            what = "is a file, not a folder" if path.exists() else "does not exist"
            ours = ", ".join(map(repr, BUNDLED))
            remedy = f"{ours} comes with mdhr_sdk (see mdhr copy), and mdhr init FOLDER makes an untrained model"
            if path.is_file():
                remedy = f"give the folder it lies in, '{path.parent}'"
            raise ModelFolderError(f"model folder '{path}' {what}; {remedy}")
        if not inside.has(path, CONFIG):
            raise ModelFolderError(f"'{path}' is not a model folder: it has no {CONFIG}; see: mdhr init --help")
        if digest is None:
            return cls(path, _config(path, read_vouched(path, CONFIG)), trust)
        files = read_manifest(path)
        if (found := folder_digest(files)) != digest:
            raise ModelFolderError(
                f"'{path}' has the digest {found}, and {digest} was asked for; take the folder that this is of"
            )
        return cls(path, _config(path, verified(path, CONFIG, files)), trust, files)

    @classmethod
    def create(cls, path: str | Path, config: FolderConfig) -> ModelFolder:
        """Make a folder that holds only `config.json` and the manifest.

        Raises:
            ModelFolderError: the path holds something already, or cannot be written.
        """
        path = Path(path)
        check_free(path)
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
        with new_folder(path) as building, contextlib.ExitStack() as stack:
            if (self.path / LOCK).exists():  # somebody writes there; what cannot be locked nobody writes to
                with contextlib.suppress(OSError):
                    stack.enter_context(changing(self.path))
            self._copy_into(building)
        return ModelFolder(Path(path).resolve(), self.config)

    def _copy_into(self, building: Path) -> None:
        files = {name: entry for name, entry in self.manifest.items() if self.has(name)}
        for name in files:
            (building / name).write_bytes(verified(self.path, name, files))
        if self.has(CARD):
            (building / CARD).write_bytes(inside.read(self.path, CARD))
        (building / MANIFEST).write_text(manifest_text(files), encoding="utf-8")
        for path in building.iterdir():
            settle(path)

    check_free = staticmethod(check_free)

    @property
    def manifest(self) -> Files:
        """File name -> how it was made, with 'sha256' and 'bytes'; empty without `manifest.json`."""
        return read_manifest(self.path) if self._pinned is None else self._pinned

    @property
    def digest(self) -> str:
        """'sha256:...' of all files that the manifest vouches for, by name; not of what was measured of them."""
        return folder_digest(self.manifest)

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
        """Whether a file of that name is there, or a link, which `read` may refuse."""
        return inside.has(self.path, name)

    def untrusted(self, name: str) -> str | None:
        """Why a file is not loaded although its bytes are right: it is code of somebody else's. None if it may be."""
        if self.trust == "code" or not is_code(name):
            return None
        reason = unsigned(name, self.manifest.get(name, {}))
        return reason and (
            f"{name} is code, and {reason}; make it again here, or if you trust who made it: trust='code' "
            "(--trust-code)"
        )

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
            ModelFolderError: the file is missing, not in the manifest, has other bytes, or is stale; it is code of
                somebody else's; or an ONNX file with more in it than a graph of `mdhr export`.
        """
        if not self.has(name):
            remedy = "make it again, or take another backend"
            if name == WEIGHTS:
                remedy = "training, export and comparison need it: copy it from the folder that this one was made from"
            raise ModelFolderError(f"'{self.path}' has no {name}; {remedy}")
        if reason := self.stale(name):
            raise ModelFolderError(f"'{self.path}': {reason}")
        content = read_vouched(self.path, name) if self._pinned is None else verified(self.path, name, self._pinned)
        if reason := self.untrusted(name):
            raise ModelFolderError(f"'{self.path}': {reason}")
        if is_graph(name) and not self.bundled and unsigned(name, self.manifest.get(name, {})):
            self._check_graph(name, content)
        return content

    def _check_graph(self, name: str, content: bytes) -> None:
        """Look through a graph of anybody's, before a runtime sees it."""
        check_onnx(content, self.path / name)
        pixels = self.config.clip_length * self.config.model.input_size_px**2
        check_sizes(content, hashlib.sha256(content).hexdigest(), pixels, self.path / name)

    def read_json(self, name: str) -> Any:
        """What a JSON file says; raises as `read`, and where it is no JSON."""
        try:
            return parsed(self.read(name))
        except ValueError as error:
            raise ModelFolderError(f"'{self.path / name}' cannot be read: {error}") from None

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
                config = _config(self.path, verified(self.path, CONFIG, read_manifest(self.path)))
                if isinstance(given := changes.get("thresholds"), Mapping):
                    changes["thresholds"] = tuple(select(config, given, all_aus=True).thresholds.values())
                config = dataclasses.replace(config, **changes)
                temporary = own / CONFIG
                temporary.write_text(config.to_json(), encoding="utf-8")
                self._commit(temporary, _entry(temporary, {"tool": "mdhr_sdk"}))
        except OSError as error:
            raise self._unwritten(CONFIG, error) from error
        return ModelFolder(self.path, config, self.trust)

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
                files = read_manifest(self.path)
                if files.get(name, {}).get("sha256") != digest:
                    raise ModelFolderError(f"'{self.path}': {name} was replaced or removed meanwhile; try again")
                files = {**files, name: {**files[name], **facts}}
                with new_manifest(self.path, files) as manifest:
                    place(manifest, self.path / MANIFEST)
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
        check_plain(name)
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
        name, files = temporary.name, read_manifest(self.path)
        if files.get(name, {}).get("sha256") == entry["sha256"]:
            entry = {**entry, **findings(files[name])}
        if not _of_these_weights(entry, files):
            raise ModelFolderError(
                f"'{self.path}': {WEIGHTS} was replaced while {name} was made from the one before, and {name} is not "
                "kept; make it again"
            )
        settle(temporary)
        with new_manifest(self.path, {**files, name: signed(name, entry)}) as manifest:
            place(temporary, self.path / name)
            place(manifest, self.path / MANIFEST)

    def _unwritten(self, name: str, error: OSError) -> ModelFolderError:
        return ModelFolderError(f"'{self.path / name}' cannot be written: {error.strerror or error}")


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
