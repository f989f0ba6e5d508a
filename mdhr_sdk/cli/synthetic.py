"""`mdhr synthetic pack` and `mdhr synthetic make`: synthetic faces from the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from .options import CONTEXT, say

app = typer.Typer(
    no_args_is_help=True,
    help="Render labelled faces to train on (extra: synthetic).",
    add_completion=False,
    rich_markup_mode=None,
    context_settings=CONTEXT,
)


@app.command()
def pack(
    clone: Annotated[Path, typer.Argument(help="Clone of github.com/ICT-VGL/ICT-FaceKit (MIT).")],
    out: Annotated[Path, typer.Argument(help="File to write, as in facekit.npz.")],
) -> None:
    """Read the face model's meshes into one file."""
    from ..errors import require

    require("numba", "synthetic")
    from ..synthetic.pack import pack as pack_kit

    counts = pack_kit(clone, out)
    say(f"{out}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


@app.command()
def make(
    facekit: Annotated[Path, typer.Argument(help="Packed face model, see: mdhr synthetic pack.")],
    out: Annotated[Path, typer.Option(help="Folder for crops, lists and truth; run again to go on.")],
    persons: Annotated[int, typer.Option(help="People to train on; 0 for a set to test on.")] = 3000,
    test_persons: Annotated[int, typer.Option(help="Other people, to test on.")] = 200,
    clips: Annotated[int, typer.Option(help="Clips of each, every one in a scene of its own.")] = 2,
    frames: Annotated[int, typer.Option(help="Frames a clip.")] = 24,
    spacing: Annotated[float, typer.Option(help="Seconds between frames: 0.04 for video, 0.5 for stills.")] = 0.04,
    size: Annotated[int, typer.Option(help="Side of the rendered pictures in pixels.")] = 256,
    crop: Annotated[int, typer.Option(help="Side of the aligned crops in pixels.")] = 224,
    seed: Annotated[int, typer.Option(help="Which people; no two seeds share one.")] = 0,
    workers: Annotated[Optional[int], typer.Option(help="Processes; as many as there are cores if not given.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="No hard cases: for ablations.")] = False,
) -> None:
    """Render clips with known action units, in the layout that `mdhr train` reads."""
    from ..errors import require

    for package, extra in (("numba", "synthetic"), ("torch", "train")):
        require(package, extra)
    from ..synthetic.clips import ClipOptions
    from ..synthetic.dataset import MakeOptions, make_dataset
    from .progress import cores, counted

    clip = ClipOptions(frames, spacing, size, hard_cases=not plain)
    options = MakeOptions(persons, test_persons, clips, clip, crop, seed, cores() if workers is None else workers)
    start_s = time.monotonic()
    with counted("persons") as moved:
        made = make_dataset(facekit, out, options, moved)
    share, took_s = 100 * made.found / made.frames, time.monotonic() - start_s
    say(f"{made.frames:,} frames of {sum(made.persons):,} people; FaceMesh found {share:.2f} % of the faces")
    if made.new:
        say(f"{made.new:,} of them in {took_s:.0f} s, {made.new / took_s:.1f} frames/s with {options.workers} workers")
    half = "training" if persons else "test"
    say(f"share of {half} frames: " + ", ".join(f"{au} {100 * rate:.0f} %" for au, rate in made.rates.items()))
    say(f"wrote {out / 'dataset.yaml'}, {out / 'list'}, {out / 'truth.csv'} and {out / 'sheet.jpg'}")
