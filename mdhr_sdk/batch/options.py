"""What decides about the results of a file: the model, how the file is read, and what is written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..detector import AUDetector
from ..errors import MDHRError
from ..modelfolder.bundled import DEFAULT
from ..modelfolder.folder import ModelFolder, Trust
from ..outputs.files import Files
from ..pipeline.modes import Mode, Reading
from ..results import ModelInfo
from ..vision import Scope
from .fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

# What changes the speed only.
SPEED = ("threads",)
BLANK = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Described:
    """The model that workers use.

    Attributes:
        info: as of a detector.
        choice: which backend, and why.
        codes: the AUs that are reported.
        key: of the options and the model's files; results of another key are other results.
    """

    info: ModelInfo
    choice: str
    codes: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class DetectOptions:
    """The options of `mdhr detect` that results depend on, as worker processes get them; see `AUDetector`.

    Sources know `fps` and their scope themselves: here it makes results of another rate other results.
    """

    model: str | Path = DEFAULT
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    mode: Mode = "clip"
    max_faces: int = 10
    face_model: Path | None = None
    faces: str = "auto"
    all_aus: bool = False
    ring_dtype: str = "float32"
    digest: str | None = None
    trust: Trust | None = None
    smoothing: float | None = None
    lookahead: int | None = None
    calibrate_neutral_s: float | None = None
    fps: float | None = None
    scope: Scope = field(default_factory=Scope)
    min_quality: float = 0.0
    files: Files = field(default_factory=Files)

    def open(self) -> AUDetector:
        """Open the model; raises as `AUDetector.from_pretrained`, and for options that no file could be read with."""
        own = {"lookahead", "calibrate_neutral_s", "fps", "scope", "min_quality", "files", "model"}
        options: dict[str, Any] = {name: value for name, value in vars(self).items() if name not in own}
        detector = AUDetector.from_pretrained(self.model, **options)
        try:
            detector.predict(BLANK, stream=True, **self.reading).close()
        except MDHRError:
            detector.close()
            raise
        return detector

    def with_threads(self, threads: int | None) -> DetectOptions:
        """The same options, with so many threads if no number was given."""
        return self if self.threads is not None else replace(self, threads=threads)

    @property
    def reading(self) -> Reading:
        """How files are read; their scope is in their sources."""
        return {
            "lookahead": self.lookahead,
            "calibrate_neutral_s": self.calibrate_neutral_s,
            "images": self.files.overlay,
            "measures": self.files.measures,
            "min_quality": self.min_quality,
        }

    def describe(self, detector: AUDetector) -> Described:
        """What workers say of their model."""
        used = f"{ModelFolder.open(self.model).digest}, faces by {detector.info.faces}"
        if self.face_model is not None:
            used += f" of {fingerprint([self.face_model])}"
        return Described(detector.info, detector.choice, detector.codes, self.key(used))

    def key(self, used: str) -> str:
        """SHA-256 of these options, the models that are used and this version; another one has other results."""
        from .. import __version__

        told = {name: value for name, value in asdict(self).items() if name not in (*SPEED, "model")}
        return _digest({**told, "model": used, "version": __version__})


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
