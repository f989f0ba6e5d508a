"""A model on disk: `config.json`, `model.safetensors`, whatever was exported, and `manifest.json`.

Nothing in a folder is read unless the manifest vouches for its bytes, and nothing is written but whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .config import FolderConfig
from .errors import ConfigError, ModelFolderError

CONFIG = "config.json"
MANIFEST = "manifest.json"
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
        """Open an existing folder.

        Raises:
            ModelFolderError: no such folder, no `config.json` in it, or one that cannot be read.
        """
        path = Path(path)
        if not path.is_dir():
            what = "is a file, not a folder" if path.exists() else "does not exist"
            raise ModelFolderError(f"model folder '{path}' {what}; make one with: mdhr init FOLDER")
        try:
            config = FolderConfig.from_json((path / CONFIG).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelFolderError(
                f"'{path}' is not a model folder: it has no {CONFIG}; see: mdhr init --help"
            ) from None
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            raise ModelFolderError(f"'{path / CONFIG}' cannot be read: {error}") from None
        return cls(path, config)

    @classmethod
    def create(cls, path: str | Path, config: FolderConfig) -> ModelFolder:
        """Make a folder that holds only `config.json`.

        Raises:
            ModelFolderError: the path holds something already, or cannot be written.
        """
        path = Path(path)
        cls.check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            with _written(path / CONFIG, config.to_json()) as temporary:
                temporary.replace(path / CONFIG)
        except OSError as error:
            raise ModelFolderError(f"model folder '{path}' cannot be made: {error}") from None
        return cls(path, config)

    @staticmethod
    def check_free(path: str | Path) -> None:
        """Check that a new folder can be made there, before the work of filling it.

        Raises:
            ModelFolderError: the path holds something already.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ModelFolderError(f"'{path}' exists and is not an empty folder; name a new folder or remove it")

    @property
    def manifest(self) -> dict[str, dict[str, Any]]:
        """File name -> how it was made, with 'sha256' and 'bytes'; empty without `manifest.json`."""
        path = self.path / MANIFEST
        if not path.is_file():
            return {}
        try:
            files = json.loads(path.read_text(encoding="utf-8"))["files"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFolderError(f"'{path}' cannot be read ({error}); export the artefacts again") from None
        if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
            raise ModelFolderError(f"'{path}': expected an object of files; export the artefacts again")
        return files

    def has(self, name: str) -> bool:
        """Whether a file of that name is there."""
        return (self.path / name).is_file()

    def artefact(self, name: str) -> Path:
        """Path of a file whose SHA-256 is the one in the manifest.

        Raises:
            ModelFolderError: the file is missing, not in the manifest, or has other bytes.
        """
        path = self.path / name
        if not path.is_file():
            raise ModelFolderError(f"'{self.path}' has no {name}; make it again, or take another backend")
        expected = self.manifest.get(name, {}).get("sha256")
        if expected is None:
            raise ModelFolderError(f"{MANIFEST} of '{self.path}' does not vouch for {name}; make it again with mdhr")
        if sha256(path) != expected:
            raise ModelFolderError(
                f"'{path}' has other bytes than {MANIFEST} says (SHA-256): damaged or replaced; make it again"
            )
        return path

    @contextlib.contextmanager
    def writing(self, name: str, made: Mapping[str, Any]) -> Iterator[Path]:
        """Write artefact `name` whole or not at all: yields a temporary path; `made` goes to the manifest.

        Raises:
            ModelFolderError: the folder cannot be written; an earlier artefact stays as it was.
        """
        if re.search(r"[/\\]|^\.|^$", name):
            raise ModelFolderError(f"an artefact must have a plain file name; got '{name}'")
        temporary = self.path / f".{name}.part"
        try:
            yield temporary
            temporary.chmod(0o644)
            entry = {**made, "bytes": temporary.stat().st_size, "sha256": sha256(temporary)}
            files = {**self.manifest, name: entry}
            with _written(self.path / MANIFEST, json.dumps({"files": files}, indent=2) + "\n") as manifest:
                temporary.replace(self.path / name)
                manifest.replace(self.path / MANIFEST)
        except OSError as error:
            raise ModelFolderError(f"'{self.path / name}' cannot be written: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _written(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path` that holds `text`, for the block to move there; nothing of it stays behind."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
