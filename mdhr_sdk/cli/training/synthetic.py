"""`mdhr synthetic pack`, `make`, `geometry` and `intensity`: synthetic faces from the command line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ...arguments import numbers_by_au
from ..parts.options import command_app, say

if TYPE_CHECKING:
    from ...modelfolder.folder import ModelFolder
    from ...pipeline.scores.geometry import GeometryModel
    from ...synthetic.geometry.fit import FitOptions
    from ...synthetic.geometry.meshes import People

app = command_app(no_args_is_help=True, help="Render labelled faces to train on (extra: synthetic).")


@app.command()
def pack(
    clone: Annotated[Path, typer.Argument(help="Clone of github.com/ICT-VGL/ICT-FaceKit (MIT).")],
    out: Annotated[Path, typer.Argument(help="File to write, such as facekit.npz.")],
) -> None:
    """Read the face model's meshes into one file."""
    from ...errors import require

    require("numba", "synthetic")
    from ...synthetic.pack import pack as pack_kit

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
    from ...errors import check_imaging, number_of, require

    check_imaging()
    for package, extra in (("numba", "synthetic"), ("torch", "train")):
        require(package, extra)
    from ...children import usable_cores
    from ...synthetic.dataset import MakeOptions, make_dataset
    from ...synthetic.labelled import ClipOptions
    from ..parts.progress import counted

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
    _check_installed()
    from ...children import usable_cores
    from ...synthetic.geometry.fit import FitOptions
    from ...synthetic.geometry.judge import judge, lines
    from ...synthetic.geometry.meshes import People, load_meshes
    from ...synthetic.geometry.saving import check_target, save_geometry

    folder = check_target(into)
    labels = folder.config.model.label_set
    own, moved_by = (numbers_by_au(labels.aus, words, otherwise=0.0) for words in (shares, relative))
    people = People(persons, test_persons, seed, usable_cores() if workers is None else workers)
    model = _geometry(facekit, out, people, FitOptions(epochs=epochs, seed=draw), folder, moved_by, own)
    told = judge(model, load_meshes(out, people.test), folder)
    say(f"AUC on frames of {test_persons} other rendered people; in brackets with the person's face at rest known")
    for line in lines(labels.codes, told):
        say(line)
    made_from = f"{persons} rendered people of seed {seed}, {epochs} epochs, random numbers of seed {draw}"
    save_geometry(folder, model, made_from)
    say(f"wrote geometry.safetensors into {into}")
    if any(folder.config.intensity):
        say("its intensities are gone, since they read the geometry before; make them again: mdhr synthetic intensity")


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
    _check_installed()
    from ...children import usable_cores
    from ...synthetic.geometry.meshes import People, load_meshes, render_meshes
    from ...synthetic.geometry.saving import check_target
    from ...synthetic.intensity.fit import fit, read_people
    from ...synthetic.intensity.judge import good, judge, lines
    from ...synthetic.intensity.saving import geometry_of, save_intensity
    from ..parts.progress import counted

    folder = check_target(into)
    read = geometry_of(folder)
    people = People(persons, test_persons, seed, usable_cores() if workers is None else workers)
    with counted("persons") as moved:
        render_meshes(facekit, out, [*people.train, *people.test], people.workers, progress=moved)
    model = fit(read_people(load_meshes(out, people.train), read, folder), read)
    told = judge(model, read, read_people(load_meshes(out, people.test), read, folder))
    kept = good(told, folder.config.reliability)
    say(f"intensities on frames of {test_persons} other rendered people; in brackets with the face at rest known")
    for line in lines(folder.config.model.label_set.codes, told, kept):
        say(line)
    save_intensity(folder, replace(model, told=kept), f"{persons} rendered people of seed {seed}")
    say(f"wrote intensity.safetensors into {into}")


def _check_installed() -> None:
    from ...errors import check_imaging, require

    check_imaging()
    for package, extra in (("numba", "synthetic"), ("torch", "train"), ("scipy", "train")):
        require(package, extra)


def _geometry(
    facekit: Path,
    out: Path,
    people: People,
    options: FitOptions,
    folder: ModelFolder,
    relative: Sequence[float],
    shares: Sequence[float],
) -> GeometryModel:
    """Render the people and train on them."""
    from ...synthetic.geometry.fit import fit
    from ...synthetic.geometry.meshes import load_meshes, render_meshes
    from ...synthetic.geometry.saving import with_rest_logits
    from ...synthetic.geometry.together import judge_together
    from ..parts.progress import counted

    with counted("persons") as moved:
        render_meshes(facekit, out, people.test, people.workers, moved)
        render_meshes(facekit, out, people.train, people.workers, moved, varied=True)
    with counted("networks") as moved:
        meshes = load_meshes(out, people.train)
        fitted = fit(meshes, options, moved)
    return judge_together(with_rest_logits(fitted, folder, meshes, relative, shares), meshes, folder)
