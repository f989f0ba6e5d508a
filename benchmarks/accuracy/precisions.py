"""Do decisions stay when a model runs in another precision than fp32?

    mdhr copy edge models/edge-half && mdhr export models/edge-half --format onnx --graph clip --precision fp16
    python -m benchmarks.accuracy.precisions models/edge-half fp16 VIDEO ... [--backend onnxruntime] [--frames 300]

Each video is read twice, in fp32 and in the other precision. Unlike `mdhr verify`, which judges graphs by themselves,
it counts the decisions that people get: after the geometry of the mesh, at the model's thresholds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mdhr_sdk import AUDetector
from mdhr_sdk.cli.app import run_app

from .agreement import Agreement, decided

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    model: str,
    precision: str,
    videos: list[Path],
    backend: Annotated[str, typer.Option(help="What runs both.")] = "onnxruntime",
    frames: Annotated[int, typer.Option(help="Most frames of each video.")] = 300,
) -> None:
    """Whether decisions stay in another precision."""
    with (
        AUDetector.from_pretrained(model, backend=backend, precision="fp32", max_faces=1) as exact,
        AUDetector.from_pretrained(model, backend=backend, precision=precision, max_faces=1) as rounded,
    ):
        print(f"{exact.info.where} and {rounded.info.where}")
        agreement = Agreement(exact.codes)
        for video in videos:
            print(agreement.add(video, *(decided(one, video, frames) for one in (exact, rounded))))
    print("\n".join(agreement.lines()))


if __name__ == "__main__":
    run_app(app)
