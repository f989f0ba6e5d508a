"""`mdhr synthetic pack`, `make`, `geometry` and `intensity`: synthetic faces from the command line."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import typer

from .parts.options import command_app, say

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
    say(f"{out}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


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
    say(f"{made_of}; FaceMesh found {share:.2f} % of the faces")
    if made.new:
        rate = f"{made.new / took_s:.1f} frames/s with {number_of(options.workers, 'worker')}"
        say(f"{made.new:,} of them in {took_s:.0f} s, {rate}")
    half = "training" if persons else "test"
    say(f"share of {half} frames: " + ", ".join(f"{au} {100 * rate:.0f} %" for au, rate in made.rates.items()))
    say(f"wrote {out / 'dataset.yaml'}, {out / 'list'}, {out / 'truth.csv'} and {out / 'sheet.jpg'}")


@app.command()
def geometry(
    facekit: Annotated[Path, typer.Argument(help="Packed face model, of mdhr synthetic pack.")],
    out: Annotated[Path, typer.Option(help="Folder for the meshes; run again to go on.")],
    into: Annotated[Path, typer.Option(help="Model folder that is given the geometry.")],
    shares: Annotated[
        str, typer.Option(help="Share of AUs' logits that geometry judges too, as in 1=0.7,4=0.3; 0 for others.")
    ],
    relative: Annotated[
        str, typer.Option(help="How far the model's scores are made relative to the person's own face, as --shares.")
    ] = "",
    persons: Annotated[int, typer.Option(help="People to train on.")] = 300,
    test_persons: Annotated[int, typer.Option(help="Other people to test on.")] = 80,
    epochs: Annotated[int, typer.Option(help="Over four copies of all meshes.")] = 5,
    seed: Annotated[int, typer.Option(help="Which people; no two seeds share one.")] = 0,
    draw: Annotated[int, typer.Option(help="Seed of the random numbers of training.")] = 0,
    workers: Annotated[Optional[int], typer.Option(help="Processes; as many as there are cores if not given.")] = None,
) -> None:
    """Train what reads the geometry of face meshes beside a model's network, on rendered people.

    The model must have the AUs of the synthetic label set.
    """
    from ..errors import check_imaging, require

    check_imaging()
    for package, extra in (("numba", "synthetic"), ("torch", "train"), ("scipy", "train")):
        require(package, extra)
    from ..synthetic.dataset import PERSONS_A_SEED
    from ..synthetic.geometry.fit import FitOptions, fit
    from ..synthetic.geometry.judge import judge
    from ..synthetic.geometry.meshes import load_meshes, render_meshes
    from ..synthetic.geometry.saving import by_au, check_target, save_geometry, with_rest_logits
    from ..synthetic.geometry.together import judge_together
    from .parts.progress import counted, usable_cores

    folder = check_target(into)
    own, moved_by = by_au(folder, shares), by_au(folder, relative)
    first = seed * PERSONS_A_SEED
    train = range(first, first + persons)
    test = range(first + PERSONS_A_SEED // 2, first + PERSONS_A_SEED // 2 + test_persons)
    with counted("persons") as moved:
        cores = usable_cores() if workers is None else workers
        render_meshes(facekit, out, test, cores, moved)
        render_meshes(facekit, out, train, cores, moved, varied=True)
    with counted("networks") as moved:
        meshes = load_meshes(out, train)
        fitted = fit(meshes, FitOptions(epochs=epochs, seed=draw), moved)
    model = judge_together(with_rest_logits(fitted, folder, meshes, moved_by, own), meshes, folder)
    told = judge(model, load_meshes(out, test), folder)
    codes = folder.config.model.label_set.codes
    say(f"AUC on frames of {test_persons} other rendered people; in brackets with the person's face at rest known")
    say("      geometry alone  with the network")
    columns = [told.auc_new, told.auc_known, told.combined_new, told.combined_known]
    rows = [*zip(codes, zip(*columns, strict=True), strict=True), ("mean", [np.nanmean(column) for column in columns])]
    for code, row in rows:
        say(f"{code:4s}  {row[0]:.3f} ({row[1]:.3f})   {row[2]:.3f} ({row[3]:.3f})")
    say(f"faces at rest are told from others with an AUC of {told.rest_auc:.3f}")
    made_from = f"{persons} rendered people of seed {seed}, {epochs} epochs, random numbers of seed {draw}"
    save_geometry(folder, model, made_from)
    say(f"wrote geometry.safetensors into {into}")
    if any(folder.config.intensity):
        say(
            "its intensities are gone, since they read the geometry before: make them again by mdhr synthetic intensity"
        )


@app.command()
def intensity(
    facekit: Annotated[Path, typer.Argument(help="Packed face model, of mdhr synthetic pack.")],
    out: Annotated[Path, typer.Option(help="Folder for the meshes; run again to go on.")],
    into: Annotated[Path, typer.Option(help="Model folder with geometry that is given intensities.")],
    seed: Annotated[int, typer.Option(help="Which people: others than those of its geometry.")],
    persons: Annotated[int, typer.Option(help="People to fit on.")] = 400,
    test_persons: Annotated[int, typer.Option(help="Other people to judge on.")] = 200,
    workers: Annotated[Optional[int], typer.Option(help="Processes; as many as there are cores if not given.")] = None,
) -> None:
    """Fit how strong action units are, from 0 to 5, on rendered people, whose intensities are known.

    Told are those of tier A and B that agree well with the truth on people it was not fitted on.
    """
    from ..errors import check_imaging, require

    check_imaging()
    for package, extra in (("numba", "synthetic"), ("torch", "train"), ("scipy", "train")):
        require(package, extra)
    from ..synthetic.dataset import PERSONS_A_SEED
    from ..synthetic.geometry.meshes import load_meshes, render_meshes
    from ..synthetic.geometry.saving import check_target
    from ..synthetic.intensity.fit import fit, read_people
    from ..synthetic.intensity.judge import good, judge, lines
    from ..synthetic.intensity.saving import geometry_of, save_intensity
    from .parts.progress import counted, usable_cores

    folder = check_target(into)
    read = geometry_of(folder)
    train, test = (
        range(first, first + count)
        for first, count in ((seed * PERSONS_A_SEED, persons), (int((seed + 0.5) * PERSONS_A_SEED), test_persons))
    )
    with counted("persons") as moved:
        cores = usable_cores() if workers is None else workers
        render_meshes(facekit, out, [*train, *test], cores, progress=moved)
    model = fit(read_people(load_meshes(out, train), read, folder), read)
    told = judge(model, read, read_people(load_meshes(out, test), read, folder))
    kept = good(told, folder.config.reliability)
    say(f"intensities on frames of {test_persons} other rendered people; in brackets with the face at rest known")
    for line in lines(folder.config.model.label_set.codes, told, kept):
        say(line)
    save_intensity(folder, replace(model, told=kept), f"{persons} rendered people of seed {seed}")
    say(f"wrote intensity.safetensors into {into}")
