"""Where converted graphs lie, and what is known of them: what they were made from, and how near they come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass as plain_dataclass
from pathlib import Path

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ....bounded import read_bounded
from ....errors import SourceError
from ..fetch import cache_folder

DETECTOR, MESH, RECORD = "detector.onnx", "mesh.onnx", "faces.json"
FORMAT = 1
MOST_RECORD, MOST_GRAPH = 1 << 20, 1 << 28  # bytes
MOST_MEAN, LEAST_SHARE = 0.01, 0.99  # of outer eye distances: of so many faces the mesh lies so near, on average


@dataclass(frozen=True)
class Record:
    """What `mdhr faces export` found out.

    Attributes:
        made_from: the file whose networks these are.
        source_sha256: its sum.
        size_px: side of the pictures that the mesh's network takes.
        reference: the engine that they were compared with.
        faces: how many faces were compared.
        missed: how many of the reference's faces were not found.
        mean: mean distance between both meshes' landmarks, in outer eye distances, over all faces.
        near: share of the reference's faces whose landmarks lie within `MOST_MEAN` on average.
        sha256: name of a graph -> its sum.
    """

    made_from: str
    source_sha256: str
    size_px: int = Field(ge=64, le=1024)
    reference: str = ""
    faces: int = 0
    missed: int = 0
    mean: float = 1.0
    near: float = 0.0
    sha256: dict[str, str] = Field(default_factory=dict)
    format: int = FORMAT

    @property
    def passed(self) -> bool:
        """Whether the graphs may be used."""
        return self.faces > 0 and self.near >= LEAST_SHARE

    def __str__(self) -> str:
        return (
            f"made from {self.made_from}; of {self.faces:,} faces {100 * self.near:.1f} % within "
            f"{100 * MOST_MEAN:g} % of the outer eye distance of {self.reference}, {100 * self.mean:.2f} % on average"
        )


def graphs_folder() -> Path:
    """Where this machine's converted graphs lie, in the cache."""
    return cache_folder() / "faces"


def to_json(record: Record) -> bytes:
    return TypeAdapter(Record).dump_json(record, indent=1) + b"\n"


@plain_dataclass(frozen=True)
class Graphs:
    """Graphs that may be used, and their record.

    Attributes:
        contents: name of a graph -> its bytes, which are those that the record is of.
    """

    record: Record
    contents: dict[str, bytes]


def usable_record() -> Record:
    """The record of `usable_graphs`."""
    return usable_graphs().record


def usable_graphs() -> Graphs:
    """Graphs that are there, unchanged, and near enough to MediaPipe; they are read once, so what is compared is run.

    Raises:
        SourceError: there are none, with the remedy.
    """
    folder, remedy = graphs_folder(), "run: mdhr faces export"
    try:
        record = TypeAdapter(Record).validate_json(read_bounded(folder / RECORD, MOST_RECORD))
        contents = {name: read_bounded(folder / name, MOST_GRAPH) for name in (DETECTOR, MESH)}
    except FileNotFoundError:
        raise SourceError(f"faces='onnx' needs converted graphs, and '{folder}' has none; {remedy}") from None
    except OSError as error:
        raise SourceError(f"'{error.filename}' cannot be read: {error.strerror}; {remedy}") from None
    except (ValidationError, RecursionError) as error:
        raise SourceError(f"'{folder / RECORD}' cannot be read ({type(error).__name__}); {remedy}") from None
    changed = [name for name, content in contents.items() if record.sha256.get(name) != sha256(content)]
    if changed or record.format != FORMAT:
        what = f"{', '.join(changed)} changed" if changed else f"they are of format {record.format} and not {FORMAT}"
        raise SourceError(f"the converted graphs in '{folder}' cannot be used: {what}; {remedy}")
    if not record.passed:
        raise SourceError(f"the converted graphs in '{folder}' are not near enough to MediaPipe: {record}")
    return Graphs(record, contents)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
