"""Does a model see that brows of real faces moved a little, once it knows the face at rest?

    python -m benchmarks.accuracy.brows edge LABELS.json [--people 44]

Takes stills of LABELS.json (see docs/real_faces.md) of which `stated` says "neutral". Each becomes a video: three
seconds of the face at rest; then the face unmoved, with its brows up by 0.02 of the distance between the outer corners
of the eyes, and down by 0.03. In all frames the head drifts (it is turned, scaled, pushed and squeezed, as by small
turns to the side and up and down), the skin trembles, light changes, and each frame has grain and is a JPEG of its own.
Prints the area under the ROC curve of moved against unmoved faces, over people.
"""

from __future__ import annotations

from collections.abc import Iterator
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
# Standard deviations of roll, scale, squeeze, shear and shifts, the last of the eye distance; frames go on from those
# before by LASTING.
DRIFT, LASTING = (0.02, 0.02, 0.015, 0.01, 0.03, 0.03), 0.9
TREMBLE, PATCHES = 0.003, 7  # of the eye distance, in so many patches a side
LIGHT, GRAIN, JPEG = 0.04, 3.0, (50, 90)
Picture = NDArray[np.uint8]
Maps = tuple[NDArray[np.float32], NDArray[np.float32]]  # for each pixel from where it is taken
app = typer.Typer(add_completion=False, rich_markup_mode=None)


def brow_maps(shape: tuple[int, ...], mesh: NDArray[np.float32], rise: float) -> Maps:
    """The skin at the brows moved up along the face; it fades out within the forehead and the lids."""
    eyes_px = float(np.linalg.norm(mesh[33, :2] - mesh[263, :2]))
    up = mesh[168, :2] - mesh[2, :2]
    up /= np.linalg.norm(up)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    share = np.zeros(shape[:2], np.float32)
    for x, y in mesh[BROWS, :2]:
        above, beside = (columns - x) * up[0] + (rows - y) * up[1], (rows - y) * up[0] - (columns - x) * up[1]
        reach = np.where(above > 0, 0.22, 0.07) * eyes_px
        share = np.maximum(share, np.exp(-0.5 * (above / reach) ** 2 - 0.5 * (beside / (0.09 * eyes_px)) ** 2))
    share = np.clip(1.08 * cv2.GaussianBlur(share, (0, 0), 0.02 * eyes_px + 0.5), 0, 1) * rise * eyes_px
    return (columns - up[0] * share).astype(np.float32), (rows - up[1] * share).astype(np.float32)


class Camera:
    """Films a still: each frame shows the head a little elsewhere, and is noisy."""

    def __init__(self, image: Picture, mesh: NDArray[np.float32], rng: np.random.Generator) -> None:
        self._image, self._rng = image, rng
        self._rows, self._columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
        self._grain = np.empty((len(image), image[0].size), np.float32)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        self._eyes_px = float(np.linalg.norm(mesh[33, :2] - mesh[263, :2]))
        self._centre = mesh[:, :2].mean(axis=0)
        self._drift = rng.normal(0, DRIFT)
        self._light = 0.0

    def film(self, maps: Maps, frames: int) -> Iterator[Picture]:
        """So many frames of the picture with its skin moved by `maps`."""
        for _ in range(frames):
            self._drift = LASTING * self._drift + np.sqrt(1 - LASTING**2) * self._rng.normal(0, DRIFT)
            self._light = LASTING * self._light + np.sqrt(1 - LASTING**2) * self._rng.normal(0, LIGHT)
            x, y = self._where()
            across, down = (cv2.remap(one, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for one in maps)
            seen = cv2.remap(self._image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            cv2.randn(self._grain, np.zeros(1), np.full(1, GRAIN))
            noisy = np.float32(1 + self._light) * seen + self._grain.reshape(seen.shape)
            noisy = np.clip(noisy, 0, 255).astype(np.uint8)
            coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, int(self._rng.integers(*JPEG))])
            yield np.asarray(cv2.imdecode(coded[1], cv2.IMREAD_COLOR), np.uint8)

    def _where(self) -> Maps:
        roll, scale, squeeze, shear, *shift = self._drift
        cosine, sine = np.cos(roll), np.sin(roll)
        turn = np.array([[cosine, -sine], [sine, cosine]]) @ [[1 + squeeze, shear], [0, 1 - squeeze]] * (1 + scale)
        offset = self._centre - turn @ self._centre + np.array(shift) * self._eyes_px
        patches = self._rng.normal(0, TREMBLE * self._eyes_px, (2, PATCHES, PATCHES)).astype(np.float32)
        size = self._image.shape[1::-1]
        x, y = (
            self._columns * np.float32(row[0]) + self._rows * np.float32(row[1]) + np.float32(start)
            + cv2.resize(patch, size, interpolation=cv2.INTER_CUBIC)
            for row, start, patch in zip(turn, offset, patches, strict=True)
        )  # fmt: skip
        return x, y


def largest(faces: tuple[FaceResult, ...]) -> FaceResult | None:
    return max(faces, key=lambda face: face.box_px[2] - face.box_px[0], default=None)


def scores(detector: AUDetector, image: Picture, seed: int) -> list[dict[str, float]] | None:
    """Scores of the face unmoved, with brows up, and with brows down; None where the face is lost."""
    face = largest(next(iter(detector.predict(image))).faces)
    if face is None:
        return None
    mesh = np.asarray(face.landmarks_px, np.float32)
    camera = Camera(image, mesh, np.random.default_rng(seed))
    parts = [brow_maps(image.shape, mesh, rise) for rise in (0.0, 0.02, -0.03)]
    frames = [frame for maps, count in zip([parts[0], *parts], [AT_REST, HELD, HELD, HELD], strict=True)
              for frame in camera.film(maps, count)]  # fmt: skip
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
    all_scores = []
    with AUDetector.from_pretrained(model, all_aus=True, max_faces=1) as detector:
        for number, case in enumerate(stills[:people]):
            image = cv2.imread(str(case.path))
            found = None if image is None else scores(detector, np.asarray(image, np.uint8), number)
            all_scores += [] if found is None else [found]
    print(f"{len(all_scores)} faces of {len(stills[:people])}, each after {AT_REST / FPS:g} s at rest")
    for code, rise in CASES.items():
        part = 1 if rise > 0 else 2
        values = np.array([[one[part][code] for one in all_scores], [one[0][code] for one in all_scores]]).reshape(
            -1, 1
        )
        truth = np.repeat(np.array([1, 0], np.int8), len(all_scores)).reshape(-1, 1)
        print(f"{code}  brows moved by {rise:+.2f}: AUC {area_under_curve(values, truth)[0]:.3f}")


if __name__ == "__main__":
    run_app(app)
