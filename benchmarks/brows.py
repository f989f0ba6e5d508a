"""Does a model see that brows of real faces moved a little, once it knows the face at rest?

    python benchmarks/brows.py edge LABELS.json [--people 44]

Takes stills of LABELS.json (see docs/real_faces.md) of which `stated` says "neutral". Each becomes a video: three
seconds of the face as it is, with some grain; then the face unmoved, with its brows up by 0.02 of the distance between
the outer corners of the eyes, and down by 0.03. Prints the area under the ROC curve of moved against unmoved faces,
over people.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from mdhr_sdk import AUDetector, FaceResult
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.training.evaluate.metrics import area_under_curve
from mdhr_sdk.training.evaluate.pictures.labels import read_cases

BROWS = [55, 65, 52, 53, 46, 107, 66, 105, 63, 70, 285, 295, 282, 283, 276, 336, 296, 334, 293, 300]
CASES = {"AU01": 0.02, "AU02": 0.02, "AU04": -0.03}  # how far brows go up
AT_REST, HELD, FPS = 75, 9, 25  # frames of each part
Picture = NDArray[np.uint8]
app = typer.Typer(add_completion=False, rich_markup_mode=None)


def moved(image: Picture, mesh: NDArray[np.float32], rise: float) -> Picture:
    """The picture with the skin at the brows moved up along the face; it fades out within the forehead and the lids."""
    eyes_px = float(np.linalg.norm(mesh[33, :2] - mesh[263, :2]))
    up = mesh[168, :2] - mesh[2, :2]
    up /= np.linalg.norm(up)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    share = np.zeros(image.shape[:2], np.float32)
    for x, y in mesh[BROWS, :2]:
        above, beside = (columns - x) * up[0] + (rows - y) * up[1], (rows - y) * up[0] - (columns - x) * up[1]
        reach = np.where(above > 0, 0.22, 0.07) * eyes_px
        share = np.maximum(share, np.exp(-0.5 * (above / reach) ** 2 - 0.5 * (beside / (0.09 * eyes_px)) ** 2))
    share = np.clip(1.08 * cv2.GaussianBlur(share, (0, 0), 0.02 * eyes_px + 0.5), 0, 1) * rise * eyes_px
    across, down = (columns - up[0] * share).astype(np.float32), (rows - up[1] * share).astype(np.float32)
    return np.asarray(cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def grainy(image: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(np.clip(image + rng.normal(0, 2, image.shape), 0, 255), np.uint8)


def largest(faces: tuple[FaceResult, ...]) -> FaceResult | None:
    return max(faces, key=lambda face: face.box_px[2] - face.box_px[0], default=None)


def scores(detector: AUDetector, image: Picture) -> list[dict[str, float]] | None:
    """Scores of the face unmoved, with brows up, and with brows down; None where the face is lost."""
    face = largest(next(iter(detector.predict(image))).faces)
    if face is None:
        return None
    rng = np.random.default_rng(0)
    parts = [image, moved(image, face.landmarks_px, 0.02), moved(image, face.landmarks_px, -0.03)]
    frames = [grainy(image, rng) for _ in range(AT_REST)] + [grainy(one, rng) for one in parts for _ in range(HELD)]
    results = list(detector.predict(iter(frames), fps=FPS, mode="stream"))
    found = [largest(results[AT_REST + HELD * part + HELD // 2].faces) for part in range(len(parts))]
    return [{code: one.aus[code].probability for code in CASES} for one in found if one] if all(found) else None


@app.command()
def main(
    model: str,
    labels: Path,
    people: Annotated[int, typer.Option(help="Most faces to take.")] = 44,
) -> None:
    """Whether a model sees that brows of real faces moved a little."""
    stills = [case for case in read_cases(labels) if case.frame is None and "neutral" in case.stated]
    with AUDetector.from_pretrained(model, all_aus=True, max_faces=1) as detector:
        images = (cv2.imread(str(case.path)) for case in stills[:people])
        all_scores = [
            found for image in images if image is not None and (found := scores(detector, np.asarray(image, np.uint8)))
        ]
    print(f"{len(all_scores)} faces, each after {AT_REST / FPS:g} s at rest")
    for code, rise in CASES.items():
        part = 1 if rise > 0 else 2
        values = np.array([[one[part][code] for one in all_scores], [one[0][code] for one in all_scores]]).reshape(
            -1, 1
        )
        truth = np.repeat(np.array([1, 0], np.int8), len(all_scores)).reshape(-1, 1)
        print(f"{code}  brows moved by {rise:+.2f}: AUC {area_under_curve(values, truth)[0]:.3f}")


if __name__ == "__main__":
    run_app(app)
