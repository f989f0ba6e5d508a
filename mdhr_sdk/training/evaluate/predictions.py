"""Scores of every frame of a list, with what is needed to judge them: one .npz file without pickled objects."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import whole, write_whole
from ...bounded import read_arrays
from ...errors import InputError
from .metrics import check_labels, check_scores

TEXTS = ("codes", "subjects", "paths")


@dataclass(frozen=True)
class Frames:
    """The frames of a list, in its order.

    Attributes:
        codes: 'AU01', ... of the columns.
        labels: int8 (n, N) in {0, 1, -1}.
        subjects, paths: one per frame.
        starts: int64, the rows at which a run of consecutive frames begins; the first is 0.
    """

    codes: tuple[str, ...]
    labels: NDArray[np.int8]
    subjects: tuple[str, ...]
    paths: tuple[str, ...]
    starts: NDArray[np.int64]

    @property
    def runs(self) -> list[slice]:
        """Rows of consecutive frames."""
        ends = [*self.starts[1:].tolist(), len(self.labels)]
        return [slice(first, last) for first, last in zip(self.starts.tolist(), ends, strict=True)]

    def of(self, codes: Sequence[str]) -> Frames:
        """The same with some of the AUs, in the order given."""
        columns = [self.codes.index(code) for code in codes]
        return replace(self, codes=tuple(codes), labels=self.labels[:, columns])


@dataclass(frozen=True)
class Predictions:
    """Scores float32 (n, N) of the frames.

    Raises:
        InputError: scores and labels do not fit each other.
    """

    frames: Frames
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        check_labels(self.frames.labels)
        check_scores(self.scores, self.frames.labels)

    def of(self, codes: Sequence[str]) -> Predictions:
        """Those of some AUs, in the order given."""
        columns = [self.frames.codes.index(code) for code in codes]
        return Predictions(self.frames.of(codes), self.scores[:, columns])

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        columns = {f.name: np.asarray(getattr(self.frames, f.name)) for f in fields(Frames)}
        with whole(path, settled=True) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, scores=self.scores, **columns)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote."""
        if not path.is_file():
            raise InputError(
                f"there is no file '{path}'; mdhr evaluate MODEL RECIPE.yaml --out FOLDER writes one per fold"
            )
        try:
            found = read_arrays(path, (*TEXTS, "labels", "starts", "scores"))
            texts = {name: tuple(found[name].tolist()) for name in TEXTS}
            frames = Frames(labels=found["labels"], starts=found["starts"], **texts)
            return cls(frames, found["scores"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"'{path}' holds no predictions of mdhr train or evaluate: {error}") from None

    def to_csv(self, path: Path) -> None:
        """Write one row per frame: path, subject, then label and score of every AU; unknown labels stay empty."""
        codes = self.frames.codes
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["path", "subject", *(f"{code}_label" for code in codes), *(f"{code}_score" for code in codes)])
        for place in zip(self.frames.paths, self.frames.subjects, self.frames.labels, self.scores, strict=True):
            file, subject, labels, scores = place
            known = ["" if label < 0 else int(label) for label in labels]
            rows.writerow([file, subject, *known, *(f"{score:.6f}" for score in scores)])
        write_whole(path, text.getvalue(), settled=True)
