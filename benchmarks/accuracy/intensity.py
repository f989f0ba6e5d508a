"""How well intensities agree with the truth in rendered video, and whether they rise with the movement.

    python -m benchmarks.accuracy.intensity edge FACEKIT --seed 242 [--labels LABELS.json]

The model is asked as users ask it, in video of 25 frames a second of people that it was not fitted on. Each begins with
two seconds at rest. Then a clip as those that models are trained on is played, of which every frame counts in which
anybody could tell; and each action unit grows alone in a second, from nothing to the usual apex. With labels, brows and
corners of the mouth of real faces that are called neutral are moved in the picture, a little more each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.accuracy.brows import Camera, Maps, brow_maps, largest
from benchmarks.report import Json, console, write_json
from mdhr_sdk import AUDetector
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import require

if TYPE_CHECKING:
    from mdhr_sdk.synthetic.face.motion import Motion
    from mdhr_sdk.synthetic.face.person import Person
    from mdhr_sdk.synthetic.kit import FaceKit

FPS, AT_REST, CLIP, GROWING, BETWEEN = 25, 50, 50, 25, 8  # frames a second, and of each part
STEPS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05)  # of the distance between the outer corners of the eyes
HELD = 9  # frames of each step
PARTING = {"mouthLowerDown": 0.6, "mouthUpperUp": 0.2}  # of AU25 that grows
Picture = NDArray[np.uint8]
Values = NDArray[np.float64]
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass
class Told:
    """What was found of one AU.

    Attributes:
        told, truth: intensities of the frames of the clips.
        ranks: Spearman's correlation with the movement that grows, one a person.
        least, most: what is told before it grows, and where it is at its most.
        apex: the truth there, which for AU25 is measured on the lips.
    """

    told: list[float] = field(default_factory=list)
    truth: list[float] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    apex: list[float] = field(default_factory=list)


def at_rest(kit: FaceKit, person: Person, pose: Values, frames: int) -> Motion:
    """A person who does nothing."""
    from mdhr_sdk.synthetic.face.motion import Motion

    weights = person.rest.copy()
    for side in "LR":
        weights[kit.shape[f"eyeBlink_{side}"]] = np.clip(weights[kit.shape[f"eyeBlink_{side}"]] + person.lid, 0, 1)
    none = np.zeros((frames, 15), np.float32)
    return Motion(np.tile(weights, (frames, 1)), none, np.stack([none, none], 1), np.tile(pose, (frames, 1)), "")


def growing(kit: FaceKit, person: Person, pose: Values, au: int) -> Motion:
    """One AU from nothing to the usual apex, on both sides."""
    from mdhr_sdk.synthetic.face.motion import JAW_AT_1, side_weights
    from mdhr_sdk.synthetic.face.muscles import INDEX

    motion, ramp = at_rest(kit, person, pose, GROWING), np.linspace(0, 1, GROWING, dtype=np.float32)
    half = np.zeros((GROWING, 15), np.float32)
    half[:, INDEX[au]] = ramp
    weights = motion.weights + sum(half @ side for side in side_weights(kit))
    shapes = PARTING if au == 25 else {"jawOpen": JAW_AT_1} if au == 26 else {}
    for name, most in shapes.items():
        for place in [kit.shape[name]] if name in kit.shape else [kit.shape[f"{name}_{side}"] for side in "LR"]:
            weights[:, place] += most * ramp
    return replace(motion, weights=weights, intensities=half, halves=np.stack([half, half], 1))


def joined(parts: list[Motion]) -> Motion:
    arrays = ("weights", "intensities", "halves", "poses_rad")
    return replace(parts[0], **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays})


def strengths(detector: AUDetector, frames: Iterable[Picture], codes: list[str]) -> Values:
    """(T, codes) what is told of the largest face, NaN where there is none."""
    faces = [largest(result.faces) for result in detector.predict(iter(frames), fps=FPS)]
    rows = [[np.nan if face is None else face.aus[code].intensity for code in codes] for face in faces]
    return np.array(rows, np.float64)


def rendered(detector: AUDetector, facekit: Path, seed: int, persons: int, codes: list[str]) -> dict[str, Told]:
    """A clip, and each AU growing, of the first test people of a seed."""
    from mdhr_sdk.synthetic.dataset import PERSONS_A_SEED
    from mdhr_sdk.synthetic.face.motion import clip_motion
    from mdhr_sdk.synthetic.face.muscles import LABELS
    from mdhr_sdk.synthetic.face.person import Person
    from mdhr_sdk.synthetic.kit import FaceKit
    from mdhr_sdk.synthetic.labelled import ClipOptions, render_motion
    from mdhr_sdk.synthetic.picture.render import Renderer

    options = ClipOptions(spacing_s=1 / FPS)
    kit = FaceKit.load(facekit)
    renderer, found = Renderer(kit, options.size_px), {code: Told() for code in codes}
    places = [LABELS.codes.index(code) for code in codes]
    first = int((seed + 0.5) * PERSONS_A_SEED)
    for person in (Person.draw(kit, one) for one in range(first, first + persons)):
        rng = np.random.default_rng((person.seed, 6))
        played = clip_motion(kit, rng, np.arange(CLIP) / FPS, person.rest, person.lid)
        pose = played.poses_rad[0]
        clip = render_motion(renderer, person, 0, joined([at_rest(kit, person, pose, AT_REST), played]), options)
        told = strengths(detector, clip.frames, codes)
        for column, (code, place) in enumerate(zip(codes, places, strict=True)):
            counts = (clip.labels[:, place] >= 0) & np.isfinite(told[:, column])
            counts[:AT_REST] = False
            found[code].told += told[counts, column].tolist()
            found[code].truth += (5 * np.clip(clip.intensities[counts, place], 0, 1)).tolist()
        pose, parts = pose * 0.3, [at_rest(kit, person, pose * 0.3, AT_REST)]
        for place in places:
            parts += [growing(kit, person, pose, LABELS.aus[place]), at_rest(kit, person, pose, BETWEEN)]
        clip = render_motion(renderer, person, 1, joined(parts), options)
        told = strengths(detector, clip.frames, codes)
        add_growth(found, told, clip.intensities[:, places])
    return found


def add_growth(found: dict[str, Told], told: NDArray[np.float64], truth: NDArray[np.float32]) -> None:
    """Of a clip in which one AU grows after the other: whether what is told grows along, (frames, AUs) each."""
    from scipy.stats import spearmanr

    for column, told_of_au in enumerate(found.values()):
        begin = AT_REST + column * (GROWING + BETWEEN)
        grown, wanted = (one[begin : begin + GROWING, column] for one in (told, truth))
        if np.isfinite(grown).all():
            rank = spearmanr(grown, wanted).statistic
            told_of_au.ranks.append(0.0 if np.isnan(rank) else float(rank))  # 0 where it does not change at all
            told_of_au.least.append(float(grown[0]))
            told_of_au.most.append(float(grown[-1]))
            told_of_au.apex.append(float(5 * min(wanted[-1], 1)))


def smile_maps(shape: tuple[int, ...], mesh: NDArray[np.float32], rise: float) -> Maps:
    """The skin at the corners of the mouth moved up and outward."""
    eyes_px = float(np.linalg.norm(mesh[33, :2] - mesh[263, :2]))
    up = mesh[168, :2] - mesh[2, :2]
    up /= np.linalg.norm(up)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    across, down = columns.copy(), rows.copy()
    for corner, other in ((61, 291), (291, 61)):
        out = mesh[corner, :2] - mesh[other, :2]
        out = 0.6 * out / np.linalg.norm(out) + 0.8 * up
        far = ((columns - mesh[corner, 0]) ** 2 + (rows - mesh[corner, 1]) ** 2) / (0.13 * eyes_px) ** 2
        share = np.exp(-0.5 * far).astype(np.float32) * np.float32(rise * eyes_px)
        across, down = across - out[0] * share, down - out[1] * share
    return across.astype(np.float32), down.astype(np.float32)


WARPS = {
    "AU01": brow_maps,
    "AU02": brow_maps,
    "AU04": lambda shape, mesh, rise: brow_maps(shape, mesh, -rise),
    "AU12": smile_maps,
}


def warped(detector: AUDetector, labels: Path, people: int, codes: list[str]) -> dict[str, list[Values]]:
    """AU -> for each face the intensities told at `STEPS`."""
    from mdhr_sdk.training.evaluate.pictures.labels import read_cases

    stills = [case for case in read_cases(labels) if case.frame is None and "neutral" in case.stated][:people]
    found: dict[str, list[Values]] = {code: [] for code in WARPS if code in codes}
    for image in (cv2.imread(str(case.path)) for case in stills):
        face = None if image is None else largest(next(iter(detector.predict(image))).faces)
        if image is None or face is None:
            continue
        for code, rows in found.items():
            picture, mesh = np.asarray(image, np.uint8), np.asarray(face.landmarks_px, np.float32)
            camera = Camera(picture, mesh, np.random.default_rng(0))
            steps = [WARPS[code](picture.shape, mesh, step) for step in STEPS]
            parts = zip([steps[0], *steps], [AT_REST, *[HELD] * len(STEPS)], strict=True)
            frames = [frame for maps, count in parts for frame in camera.film(maps, count)]
            told = strengths(detector, frames, [code])[AT_REST:, 0].reshape(len(STEPS), HELD)
            if np.isfinite(told).all():
                rows.append(told[:, HELD // 2 :].mean(axis=1))
    return found


def lines_of(found: dict[str, Told]) -> Iterator[list[str]]:
    from mdhr_sdk.training.evaluate.agreement import intra_class_correlation, mean_absolute_error

    for code, one in found.items():
        told, truth = np.array(one.told), np.array(one.truth)
        figures = [intra_class_correlation(told, truth), mean_absolute_error(told, truth)]
        figures += [
            float(np.mean(values)) if values else np.nan for values in (one.ranks, one.least, one.most, one.apex)
        ]
        yield [code, str(len(told)), *(f"{figure:.2f}" for figure in figures)]


@app.command()
def intensity(
    model: Annotated[str, typer.Argument(help="Model folder, or edge.")],
    facekit: Annotated[Path, typer.Argument(help="As made by: mdhr synthetic pack.")],
    seed: Annotated[int, typer.Option(help="Which people; one that nothing was fitted or chosen on.")],
    persons: Annotated[int, typer.Option(min=1, help="How many.")] = 30,
    labels: Annotated[
        Optional[Path], typer.Option(help="Labelled pictures of real faces; see docs/real_faces.md.")
    ] = None,
    people: Annotated[int, typer.Option(help="Most real faces to take.")] = 30,
    json: Json = None,
) -> None:
    """Hold intensities against rendered video and moved pictures."""
    from scipy.stats import spearmanr

    require("numba", "synthetic")
    with AUDetector.from_pretrained(model, max_faces=1, threads=1) as detector:
        codes = list(detector.info.intensities)
        found = rendered(detector, facekit, seed, persons, codes)
        real = {} if labels is None else warped(detector, labels, people, codes)
    names = ("frames", "ICC(3,1)", "mean error", "rank", "at rest", "at most", "truth")
    table = Table("AU", *names, caption=f"{persons} people of seed {seed}; rank: Spearman's, of one that grows")
    for line in lines_of(found):
        table.add_row(*line)
    console.print(table)
    told = {}
    for code, rows in real.items():
        ranks = [float(np.nan_to_num(spearmanr(STEPS, row).statistic)) for row in rows]
        told[code] = {"faces": len(rows), "rank": float(np.mean(ranks)), "told": np.mean(rows, axis=0).tolist()}
        means = ", ".join(f"{value:.2f}" for value in told[code]["told"])
        console.print(
            f"{code}: {len(rows)} real faces moved by {STEPS[0]:g} to {STEPS[-1]:g}: rank {np.mean(ranks):.2f}; {means}"
        )
    figures = {code: dict(zip(names, line[1:], strict=True)) for code, line in zip(found, lines_of(found), strict=True)}
    write_json(json, {"model": model, "seed": seed, "persons": persons, "rendered": figures, "real": told})


if __name__ == "__main__":
    run_app(app)
