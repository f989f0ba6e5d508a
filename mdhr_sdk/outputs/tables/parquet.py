"""Results as Apache Parquet: typed columns with their units, and the model told once a file."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ...arguments import flag
from ...errors import ConfigError, InputError, MissingDependencyError, install_hint, require
from ...measures import MEASURES, ibug_landmarks
from ...results import FrameResult, ModelInfo
from ..sinks import FileSink
from ..table import BOX, columns, records

if TYPE_CHECKING:
    import pyarrow as pa

Landmarks = Literal["none", "68", "mesh"]
GROUP = 2000  # rows that are written at once, and kept in memory until then
KEY = b"mdhr_sdk"  # of the file's metadata: JSON
INTEGERS = {"frame": "int64", "track_id": "int64", "dropped": "int64"}
LANDMARKS = "landmarks_px"
TEXTS = ("source", "status", "note", "captured_at")
UNITS = {
    "timestamp_s": "s", "delay_ms": "ms", "distance_eyes": "outer eye distances", "eyes_px": "px",
    "sharpness": "ratio", "inside": "share", "quality": "0 to 1", "landmarks_px": "px: x, y, z of each point in turn",
    **dict.fromkeys(BOX, "px"), **dict.fromkeys((name for name in MEASURES if name.endswith("_deg")), "degrees"),
}  # fmt: skip
AU_UNITS = {"_probability": "probability", "_intensity": "0 to 5"}


def import_pyarrow(module: str = "pyarrow") -> Any:
    """Load pyarrow.

    Raises:
        MissingDependencyError: it is not installed, or not one for the NumPy that is here.
    """
    try:
        return require(module, "parquet")
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise MissingDependencyError(
            f"pyarrow is installed but cannot be loaded: {reason}; {install_hint('parquet')}"
        ) from None


class ParquetSink(FileSink[list[dict[str, object]]]):
    """Writes results as a Parquet file; see `FileSink` for when the file appears.

    A row for each face and frame with the columns of `CsvSink`, but the model: the file's metadata tell it under the
    key 'mdhr_sdk', JSON with the fields of `ModelInfo`, thresholds and versions. Each column's metadata tell its
    `unit`. Rows are kept until there are 2,000, and a file without its end cannot be read: what a killed process had
    written is lost, but not what came before a source broke off, or a run was interrupted.

    Args:
        path: the file.
        codes: the AU codes of the model, in its order; or code -> threshold, and the file tells these too.
        measures: with the columns of pose, gaze and quality.
        landmarks: 'none', '68' for those of iBUG, or 'mesh' for all 478, as a list in the column `landmarks_px`.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        ConfigError: another kind of landmarks.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        codes: Sequence[str] | Mapping[str, float],
        *,
        measures: bool = False,
        landmarks: Landmarks = "none",
    ) -> None:
        super().__init__(path)
        if landmarks not in get_args(Landmarks):
            raise ConfigError(f"landmarks must be one of {', '.join(get_args(Landmarks))}; got {landmarks!r}")
        import_pyarrow()
        self.codes = tuple(codes)
        self._thresholds = dict(codes) if isinstance(codes, Mapping) else {}
        self._measures, self._landmarks = flag("measures", measures), landmarks
        self._model: ModelInfo | None = None
        self._waiting: list[dict[str, object]] = []

    def _render(self, result: FrameResult) -> list[dict[str, object]]:
        self._model = self._model or result.model
        if result.model != self._model:
            raise InputError(
                f"a Parquet file tells one model, here '{self._model.name}', and frame {result.index} of "
                f"'{result.source}' is of '{result.model.name}'; write a file for each"
            )
        rows = list(records((result,), self.codes))
        if self._landmarks != "none":
            for row, face in zip(rows, result.faces, strict=False):
                if len(mesh := face.landmarks_px):  # none of a table that was read back
                    mesh = ibug_landmarks(mesh) if self._landmarks == "68" else mesh
                    row["landmarks_px"] = mesh.astype(np.float32).ravel()
        return rows

    def _open(self, part: Path, first: list[dict[str, object]]) -> None:
        parquet = import_pyarrow("pyarrow.parquet")
        assert self._model is not None
        names = columns(self.codes, "captured_at" in first[0], self._measures, self._model.intensities)
        self._names = [one for one in names if one != "model"]
        self._schema = self._make_schema()
        self._writer: Any = parquet.ParquetWriter(part, self._schema, compression="zstd")

    def _make_schema(self) -> pa.Schema:
        pa = import_pyarrow()
        fields = []
        for name in self._names:
            kind = pa.string() if name in TEXTS else pa.float64()
            kind = getattr(pa, INTEGERS[name])() if name in INTEGERS else kind
            kind = pa.int8() if name.endswith("_occurrence") else kind
            unit = UNITS.get(name, AU_UNITS.get(name[len("AU12") :], ""))
            fields.append(pa.field(name, kind, metadata={"unit": unit} if unit else None))
        if self._landmarks != "none":
            kind = pa.list_(pa.float32())  # pyarrow writes no lists of fixed size that may be missing
            fields.append(pa.field("landmarks_px", kind, metadata={"unit": UNITS["landmarks_px"]}))
        return pa.schema(fields, metadata={KEY: json.dumps(self._about())})

    def _about(self) -> dict[str, object]:
        from ... import __version__

        assert self._model is not None
        model = dataclasses.asdict(self._model)
        versions = {"mdhr_sdk": __version__, "pyarrow": import_pyarrow().__version__}
        return {"model": model, "thresholds": self._thresholds, "codes": self.codes, "versions": versions}

    def _put(self, item: list[dict[str, object]]) -> None:
        self._waiting += item
        if len(self._waiting) >= GROUP:
            self._flush()

    def _flush(self) -> None:
        pa = import_pyarrow()
        arrays = [pa.array([_plain(row.get(one.name)) for row in self._waiting], one.type) for one in self._schema]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting.clear()

    def _finish(self) -> None:
        try:
            if self._waiting:
                self._flush()
        finally:
            self._writer.close()


def _plain(value: object) -> object:
    """A file's name that is not UTF-8 reaches Python as lone surrogates, which are written out."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
