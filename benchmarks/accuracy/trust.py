"""From when on a face is not to be trusted: how well AUs are told as faces get smaller, blurred and turned away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.accuracy.pose import Face, rendered
from benchmarks.report import Json, console, write_json
from mdhr_sdk import AUDetector
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.training.evaluate.metrics import area_under_curve
from mdhr_sdk.vision.faces.measures import LEAST_EYES_PX, LEAST_SHARPNESS, MOST_TURN_DEG

Image = NDArray[np.uint8]
NOT_MEASURED = ("AU25",)  # the renderer sets it by the lips' gap, which single pictures here do not tell
OCCURS, ABSENT = 0.3, 0.1  # intensities; what lies between counts for neither
SHRINK = (1.0, 0.5, 0.3, 0.2, 0.14, 0.1, 0.07)
BLUR_PX = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # of pictures of 256 pixels
TURN_DEG = (0.0, 15.0, 30.0, 40.0, 50.0, 60.0)  # edges of the bins
app = typer.Typer(add_completion=False, rich_markup_mode=None)


def level(detector: AUDetector, faces: Sequence[Face], change: Callable[[Image], Image]) -> dict[str, float]:
    """Mean AUC over AUs of the pictures after a change, the share of faces found, and medians of what is measured."""
    from mdhr_sdk.synthetic.face.muscles import LABELS

    codes = [code for code in detector.codes if code not in NOT_MEASURED]
    scores, truths, measured = [], [], []
    for face in faces:
        frame = detector.predict(change(face.image), measures=True)[0]
        if frame.faces and (one := frame.faces[0].measures) is not None:
            turn = np.degrees(np.arccos(np.clip(one.rotation[2, 2], -1, 1)))
            measured.append((one.eyes_px, one.sharpness, turn, one.quality))
            scores.append([frame.faces[0][code].probability for code in codes])
            truths.append([face.intensities[LABELS.codes.index(code)] for code in codes])
    score, truth = np.array(scores), np.array(truths)
    labels = np.where(truth >= OCCURS, 1, np.where(truth <= ABSENT, 0, -1)).astype(np.int8)
    names = ("eyes_px", "sharpness", "turn_deg", "quality")
    medians = dict(zip(names, np.median(np.array(measured), axis=0).tolist(), strict=True))
    return {"auc": float(np.nanmean(area_under_curve(score, labels))), "found": len(scores) / len(faces), **medians}


def shrunk(share: float) -> Callable[[Image], Image]:
    return lambda image: np.asarray(cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.uint8)


def blurred(sigma_px: float) -> Callable[[Image], Image]:
    return lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8) if sigma_px else image


def turned(faces: Iterable[Face]) -> list[list[Face]]:
    """By the angle between the face's direction and the camera: the bins of `TURN_DEG`."""
    bins: list[list[Face]] = [[] for _ in TURN_DEG[1:]]
    for face in faces:
        turn = np.degrees(np.arccos(np.clip(face.rotation[2, 2], -1, 1)))
        place = int(np.searchsorted(TURN_DEG, turn, side="right")) - 1
        if place < len(bins):
            bins[place].append(face)
    return bins


@app.command()
def trust(
    facekit: Annotated[Path, typer.Argument(help="As made by: mdhr synthetic pack.")],
    model: Annotated[str, typer.Option(help="Model folder, or edge.")] = "edge",
    seed: Annotated[int, typer.Option(help="Which people.")] = 2103,
    persons: Annotated[int, typer.Option(min=1, help="People.")] = 40,
    poses: Annotated[int, typer.Option(min=1, help="Pictures of each.")] = 6,
    json: Json = None,
) -> None:
    """Print how well AUs are told on rendered faces that are small, blurred or turned."""
    frontal = list(rendered(facekit, seed, persons, poses, (15.0, 12.0, 10.0)))
    sides = turned(rendered(facekit, seed, persons, 2 * poses, (60.0, 15.0, 5.0)))
    with AUDetector.from_pretrained(model, max_faces=1) as detector:
        rows = {f"{share:g} of the size": level(detector, frontal, shrunk(share)) for share in SHRINK}
        rows |= {f"blur {sigma:g} px": level(detector, frontal, blurred(sigma)) for sigma in BLUR_PX}
        for low, high, faces in zip(TURN_DEG, TURN_DEG[1:], sides, strict=False):
            rows[f"turned {low:g} to {high:g}° (n {len(faces)})"] = level(detector, faces, lambda image: image)
    limits = f"limits: {LEAST_EYES_PX:g} px, sharpness {LEAST_SHARPNESS:g}, {MOST_TURN_DEG:g}°"
    table = Table("pictures", "mean AUC", "found", "eyes px", "sharpness", "turn", "quality", caption=limits)
    for name, row in rows.items():
        cells = (f"{row['auc']:.3f}", f"{100 * row['found']:.0f} %", f"{row['eyes_px']:.0f}", f"{row['sharpness']:.3f}")
        table.add_row(name, *cells, f"{row['turn_deg']:.0f}°", f"{row['quality']:.2f}")
    console.print(table)
    write_json(json, {"seed": seed, "persons": persons, "poses": poses, "model": model, "levels": rows})


if __name__ == "__main__":
    run_app(app)
