"""How near events come to the truth: onsets and offsets in rendered clips, where both are known to the frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.report import Json, console, write_json
from mdhr_sdk import AUDetector, AUEvent
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import require
from mdhr_sdk.pipeline.modes import Mode

if TYPE_CHECKING:
    from mdhr_sdk.synthetic.labelled import SyntheticClip

FPS = 25
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass
class Errors:
    """What was found of one AU; errors in frames, found less true.

    Attributes:
        true: events of the truth.
        missed: of them, those that no event overlaps.
        false: events that overlap no frame in which the AU occurs, or may.
        onsets, offsets: of the events that were found, where the clip shows the true one.
    """

    true: int
    missed: int
    false: int
    onsets: list[int]
    offsets: list[int]


def runs(labels: NDArray[np.int8]) -> Iterator[tuple[int, int]]:
    """First and last frame of each run of 1 among the labels (T,) of an AU."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], labels == 1, [0]))))
    yield from zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)


def compare(found: Sequence[AUEvent], labels: NDArray[np.int8]) -> Errors:
    """Hold events of one AU against its labels (T,), of which -1 is unknown.

    A true event goes with the event that shares most frames with it, each once. An end of it that the clip does not
    show, or that lies beside unknown frames, is not measured.
    """
    true = list(runs(labels))
    shared = [
        (min(last, one.offset_frame) - max(first, one.onset_frame) + 1, number, place)
        for number, (first, last) in enumerate(true)
        for place, one in enumerate(found)
    ]
    errors, pairs = Errors(len(true), 0, 0, [], []), dict[int, int]()
    for frames, number, place in sorted(shared, key=lambda item: (-item[0], *item[1:])):
        if frames > 0 and number not in pairs and place not in pairs.values():
            pairs[number] = place
            (first, last), one = true[number], found[place]
            if first > 0 and labels[first - 1] == 0:
                errors.onsets.append(one.onset_frame - first)
            if last + 1 < len(labels) and labels[last + 1] == 0:
                errors.offsets.append(one.offset_frame - last)
    errors.missed = len(true) - len(pairs)
    errors.false = sum(not labels[one.onset_frame : one.offset_frame + 1].any() for one in found)
    return errors


def pooled(rows: Sequence[Errors]) -> Errors:
    """Of several clips or AUs together."""
    total = Errors(0, 0, 0, [], [])
    for row in rows:
        total.true += row.true
        total.missed += row.missed
        total.false += row.false
        total.onsets += row.onsets
        total.offsets += row.offsets
    return total


def rendered(facekit: Path, seed: int, persons: int, frames: int) -> Iterator[SyntheticClip]:
    """A clip of each of the first test persons of a seed, which no other seed has."""
    require("numba", "synthetic")
    from mdhr_sdk.synthetic.dataset import PERSONS_A_SEED
    from mdhr_sdk.synthetic.face.person import Person
    from mdhr_sdk.synthetic.kit import FaceKit
    from mdhr_sdk.synthetic.labelled import ClipOptions, render_clip
    from mdhr_sdk.synthetic.picture.render import Renderer

    options = ClipOptions(frames=frames, spacing_s=1 / FPS)
    renderer = Renderer(FaceKit.load(facekit), options.size_px)
    first = seed * PERSONS_A_SEED + PERSONS_A_SEED // 2
    for person in range(first, first + persons):
        yield render_clip(renderer, Person.draw(renderer.kit, person), 0, options)


def measure(detector: AUDetector, clips: Iterable[SyntheticClip]) -> dict[str, Errors]:
    """Code -> errors over all clips."""
    from mdhr_sdk.synthetic.face.muscles import LABELS

    found: dict[str, list[Errors]] = {code: [] for code in detector.codes}
    for clip in clips:
        events = detector.predict(clip.frames, fps=FPS).events
        for code, rows in found.items():
            own = [event for event in events if event.au == code]
            rows.append(compare(own, clip.labels[:, LABELS.codes.index(code)]))
    return {code: pooled(rows) for code, rows in found.items()}


def row(name: str, errors: Errors) -> list[str]:
    """A line of the table: counts, and of both ends the median and the 90th percentile of their absolute errors."""
    told = [name, f"{errors.true}", f"{errors.missed}", f"{errors.false}"]
    for ends in (errors.onsets, errors.offsets):
        size = np.abs(ends)
        told += [f"{np.median(size):g}", f"{np.percentile(size, 90):.0f}", f"{len(ends)}"] if ends else ["-", "-", "0"]
    return told


@app.command()
def events(
    model: Annotated[str, typer.Argument(help="Model folder, or edge.")],
    facekit: Annotated[Path, typer.Argument(help="As made by: mdhr synthetic pack.")],
    seed: Annotated[int, typer.Option(help="Which people; one that nothing was trained or chosen on.")],
    persons: Annotated[int, typer.Option(min=1, help="A clip of each.")] = 30,
    frames: Annotated[int, typer.Option(min=2, help="Frames a clip, 25 a second.")] = 100,
    mode: Annotated[Mode, typer.Option(help="As of mdhr detect.")] = "clip",
    smooth: Annotated[Optional[float], typer.Option(help="As of mdhr detect.")] = None,
    json: Json = None,
) -> None:
    """Hold events against rendered clips."""
    with AUDetector.from_pretrained(model, mode=mode, max_faces=1, threads=1, smoothing=smooth) as detector:
        found = measure(detector, rendered(facekit, seed, persons, frames))
        tiers = detector.info.tiers
    names = ("true", "missed", "false", "onset", "90 %", "n", "offset", "90 %", "n")
    table = Table("AU", *names, caption="median error of onsets and offsets in frames, and 90th percentile")
    for tier in sorted(set(tiers.values())):
        if own := [errors for code, errors in found.items() if tiers[code] == tier]:
            table.add_row(*row(f"tier {tier}", pooled(own)))
    for code, errors in found.items():
        table.add_row(*row(detector.info.label(code), errors))
    console.print(table)
    settings = {
        "model": model,
        "seed": seed,
        "persons": persons,
        "frames": frames,
        "mode": mode,
        "smooth": smooth,
    }
    write_json(json, settings | {"errors_frames": {code: asdict(errors) for code, errors in found.items()}})


if __name__ == "__main__":
    run_app(app)
