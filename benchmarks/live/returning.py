"""Whether people who were away are recognised: `python -m benchmarks.live.returning VIDEO...`, each of another person.

The first half of each video is shown, one after the other with two seconds of nobody between, then the second halves;
two seconds in the middle are left out. And each second half is shown after the first halves of the others alone, where
it must be a stranger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from benchmarks.report import console
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import InputError
from mdhr_sdk.modelfolder.config import Preprocessing
from mdhr_sdk.pipeline.crops import CropFinder
from mdhr_sdk.vision import Face, FaceMesher, Frame, Scope, list_sources

BETWEEN_S, HALF_S, MIDDLE_S = 2.0, 6.0, 1.0  # the last: left out of each half
app = typer.Typer(add_completion=False, rich_markup_mode=None)
Seen = tuple[Frame, list[Face]]


@dataclass
class Replayed:
    """Gives the faces that were found before, so that each frame is looked at once."""

    faces: list[Face]
    seen: int = 0

    def find(self, image_bgr: object) -> list[Face]:
        return self.faces

    def reset(self) -> None: ...
    def close(self) -> None: ...


def halves(path: Path) -> tuple[list[Seen], list[Seen]]:
    """The frames of both halves, at most six seconds each, with the largest face."""
    mesher, seen = FaceMesher(max_faces=1), list[Seen]()
    with list_sources(path)[0] as source:
        seen = [(frame, mesher.find(frame.image)[:1]) for frame in source]
    mesher.close()
    middle = seen[len(seen) // 2][0].timestamp_s
    first = [one for one in seen if middle - HALF_S <= one[0].timestamp_s < middle - MIDDLE_S]
    return first, [one for one in seen if middle + MIDDLE_S <= one[0].timestamp_s < middle + HALF_S]


def numbers(parts: Sequence[Sequence[Seen]]) -> list[list[int]]:
    """The numbers of the faces of each part, frame by frame, all in one source with nobody between."""
    mesher, now_s, told = Replayed([]), 0.0, list[list[int]]()
    finder = CropFinder(mesher, Preprocessing(), scope=Scope(reidentify=True))
    for part in parts:
        began_s, told = part[0][0].timestamp_s, [*told, []]
        for frame, mesher.faces in part:
            at_s = now_s + frame.timestamp_s - began_s
            told[-1] += finder.find(replace(frame, timestamp_s=at_s)).faces
        mesher.faces, now_s = [], at_s + BETWEEN_S
        finder.find(replace(frame, timestamp_s=now_s - 0.1, image=np.zeros_like(frame.image)))
    return told


def usual(found: Sequence[int]) -> int:
    """The number that most frames have."""
    return Counter(found).most_common(1)[0][0]


@app.command()
def main(videos: Annotated[list[Path], typer.Argument(help="Videos, each of another person.")]) -> None:
    """Show people again who were away, and strangers, and print who was taken for whom."""
    if len(videos) < 2:
        raise InputError(f"expected two or more videos, each of another person; got {len(videos)}; name more")
    people = [halves(path) for path in videos]
    first, again = [one for one, _ in people], [two for _, two in people]
    told = numbers([*first, *again])
    own, late = [usual(found) for found in told[: len(people)]], told[len(people) :]
    table = Table("video", "frames", "own number", "another's", "new", "stranger: taken for another")
    for index, (path, found) in enumerate(zip(videos, late, strict=True)):
        others = [one for number, one in enumerate(first) if number != index]
        strangers = numbers([*others, again[index]])
        known = {number for part in strangers[:-1] for number in part}
        right = sum(number == own[index] for number in found)
        wrong = sum(number in own and number != own[index] for number in found)
        taken = sum(number in known for number in strangers[-1])
        table.add_row(path.name, *map(str, (len(found), right, wrong, len(found) - right - wrong, taken)))
    console.print(table)


if __name__ == "__main__":
    run_app(app)
