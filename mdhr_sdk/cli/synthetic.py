"""`mdhr synthetic pack` and `mdhr synthetic make`: synthetic faces from the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from .parts.options import command_app

app = command_app(no_args_is_help=True, help="Render labelled faces to train on (extra: synthetic).")


@app.command()
def pack(
    clone: Annotated[Path, typer.Argument(help="Clone of github.com/ICT-VGL/ICT-FaceKit (MIT).")],
    out: Annotated[Path, typer.Argument(help="File to write, such as facekit.npz.")],
) -> None:
    """Read the face model's meshes into one file."""
    from ..errors import require

    require("numba", "synthetic")
    from ..synthetic.pack import pack as pack_kit

    counts = pack_kit(clone, out)
    typer.echo(f"{out}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


@app.command()
def make(
    facekit: Annotated[Path, typer.Argument(help="Packed face model, of mdhr synthetic pack.")],
    out: Annotated[Path, typer.Option(help="Folder for crops, lists and truth; run again to go on.")],
    persons: Annotated[int, typer.Option(help="People to train on; 0 for a set to test on.")] = 3000,
    test_persons: Annotated[int, typer.Option(help="Other people to test on.")] = 200,
    clips: Annotated[int, typer.Option(help="Clips per person, each in a scene of its own.")] = 2,
    frames: Annotated[int, typer.Option(help="Frames per clip.")] = 24,
    spacing: Annotated[float, typer.Option(help="Seconds between frames: 0.04 for video, 0.5 for stills.")] = 0.04,
    size: Annotated[int, typer.Option(help="Side of the rendered pictures in pixels.")] = 256,
    crop: Annotated[int, typer.Option(help="Side of the aligned crops in pixels.")] = 224,
    seed: Annotated[int, typer.Option(help="Which people; no two seeds share one.")] = 0,
    workers: Annotated[Optional[int], typer.Option(help="Processes; as many as there are cores if not given.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="No hard cases: for ablations.")] = False,
) -> None:
    """Render clips with known action units, for `mdhr train`."""
    from ..errors import check_imaging, number_of, require

    check_imaging()
    for package, extra in (("numba", "synthetic"), ("torch", "train")):
        require(package, extra)
    from ..synthetic.dataset import MakeOptions, make_dataset
    from ..synthetic.labelled import ClipOptions
    from .parts.progress import counted, usable_cores

    clip = ClipOptions(frames, spacing, size, hard_cases=not plain)
    options = MakeOptions(
        persons, test_persons, clips, clip, crop, seed, usable_cores() if workers is None else workers
    )
    start_s = time.monotonic()
    with counted("persons") as moved:
        made = make_dataset(facekit, out, options, moved)
    share, took_s = 100 * made.found / made.frames, time.monotonic() - start_s
    made_of = f"{number_of(made.frames, 'frame')} of {number_of(sum(made.persons), 'person', 'people')}"
    typer.echo(f"{made_of}; FaceMesh found {share:.2f} % of the faces")
    if made.new:
        rate = f"{made.new / took_s:.1f} frames/s with {number_of(options.workers, 'worker')}"
        typer.echo(f"{made.new:,} of them in {took_s:.0f} s, {rate}")
    half = "training" if persons else "test"
    typer.echo(f"share of {half} frames: " + ", ".join(f"{au} {100 * rate:.0f} %" for au, rate in made.rates.items()))
    typer.echo(f"wrote {out / 'dataset.yaml'}, {out / 'list'}, {out / 'truth.csv'} and {out / 'sheet.jpg'}")
