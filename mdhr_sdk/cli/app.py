"""The command `mdhr`. Every bad input is one line on standard error and exit code 2."""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer

from .. import __version__
from ..errors import CheckpointError, ConfigError, MDHRError
from ..modelfolder.bundled import BUNDLED, DEFAULT, ModelNameWarning
from . import synthetic

app = typer.Typer(
    name="mdhr",
    help="Facial action units from video, with MDHR.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(synthetic.app, name="synthetic")
BAD_INPUT = 2
_format_warning = warnings.formatwarning
MODEL = f"Model folder, or {' or '.join(BUNDLED)}, which comes with mdhr_sdk"


class Mode(str, Enum):
    """Times that the model can keep."""

    clip = "clip"
    stream = "stream"


class Format(str, Enum):
    """Graph formats that `mdhr export` writes."""

    onnx = "onnx"
    torchscript = "torchscript"


@app.command()
def detect(
    source: Annotated[list[str], typer.Argument(help="Videos, images, folders, globs, camera numbers or URLs.")],
    model: Annotated[Optional[str], typer.Option(help=f"{MODEL}; by default {DEFAULT}.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("mdhr-output"),
    backend: Annotated[str, typer.Option(help="auto, or a backend of the README's table.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, bf16 or int8.")] = "auto",
    threads: Annotated[Optional[int], typer.Option(help="CPU threads; of edge 1 for video files on two cores.")] = None,
    fps: Annotated[Optional[float], typer.Option(help="Frames a second of an image sequence; 25 if not given.")] = None,
    sequence: Annotated[
        Optional[bool],
        typer.Option("--sequence/--stills", help="Images of a folder: frames of one video, or unrelated stills."),
    ] = None,
    max_faces: Annotated[int, typer.Option(help="Most faces a frame.")] = 10,
    face_model: Annotated[Optional[Path], typer.Option(help="A MediaPipe face_landmarker.task file.")] = None,
    mode: Annotated[Mode, typer.Option(help="Windows of T frames as in the paper, or frame by frame.")] = Mode.clip,
    lookahead: Annotated[
        Optional[int], typer.Option(help="Frames that a frame waits for in stream mode, 0 to T - 1; of edge 7.")
    ] = None,
    ring_dtype: Annotated[
        Optional[str],
        typer.Option(help="How stream mode keeps a face's last frames: float32, or float16 or bfloat16, half as big."),
    ] = None,
    overlay: Annotated[bool, typer.Option(help="Write the annotated video or image.")] = True,
    codec: Annotated[str, typer.Option(help="Of the annotated video: h264, vp9 or av1.")] = "h264",
    timeline: Annotated[bool, typer.Option(help="Draw the scores over time.")] = True,
    calibrate_neutral: Annotated[
        Optional[str],
        typer.Option(help="Seconds at the start, as 2s, of neutral faces that later scores relate to."),
    ] = None,
    all_aus: Annotated[
        bool, typer.Option("--all-aus", help="Also AUs of reliability tier C, which are off otherwise.")
    ] = False,
) -> None:
    """Read videos or images into tables, timelines and overlays.

    In clip mode, as in the paper: windows of T frames. In stream mode each frame is scored in the window that ends
    LOOKAHEAD frames after it: less delay for cameras, and no frame at a window's edge.
    """
    from ..detector import AUDetector
    from ..vision import list_sources
    from .detect import Files, check_out, model_threads, read_seconds, run_detect

    if ring_dtype is not None and mode is Mode.clip:
        raise ConfigError(f"--ring-dtype belongs to --mode stream; got {ring_dtype} in clip mode")
    sources = list_sources(source, fps=fps, sequence=sequence)
    check_out(source, out)
    neutral_s = None if calibrate_neutral is None else read_seconds(calibrate_neutral)
    with AUDetector.from_pretrained(
        model or DEFAULT,
        backend,
        device,
        precision=precision,
        threads=model_threads(sources, model in (None, DEFAULT)) if threads is None else threads,
        mode=mode.value,
        max_faces=max_faces,
        face_model=face_model,
        all_aus=all_aus,
        ring_dtype=ring_dtype or "float32",
    ) as detector:
        if model is None:
            typer.echo(f"no --model given: taking '{DEFAULT}', which comes with mdhr_sdk")
        files = Files(overlay, codec, timeline)
        failed = run_detect(detector, sources, out, files, lookahead=lookahead, calibrate_neutral_s=neutral_s)
    for error in failed:
        _complain(error)
    if failed:
        raise typer.Exit(BAD_INPUT)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="New folder for the model.")],
    backbone: Annotated[str, typer.Option(help="resnet50, swin_base or a timm name.")] = "resnet50",
    label_set: Annotated[str, typer.Option(help="bp4d (12 AUs) or disfa (8 AUs).")] = "bp4d",
    k: Annotated[int, typer.Option(help="Frames on each side whose differences are averaged.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    pretrained: Annotated[bool, typer.Option(help="ImageNet weights in the backbone (downloads them).")] = False,
    checkpoint: Annotated[Optional[Path], typer.Option(help="Weights of the released code (.pth) to load.")] = None,
) -> None:
    """Make a model folder, untrained or from a checkpoint."""
    from .init import make_folder

    made, parameters = make_folder(folder, label_set, backbone, k, seed, pretrained, checkpoint)
    note = "" if made.config.trained else " Untrained: its scores mean nothing."
    typer.echo(f"{made.path}: {label_set} {backbone}, {parameters:,} parameters.{note}")


@app.command()
def copy(
    model: Annotated[str, typer.Argument(help=MODEL)],
    folder: Annotated[Path, typer.Argument(help="New folder for the copy.")],
) -> None:
    """Copy a model, as to export or build engines from the one that comes with mdhr_sdk."""
    from ..modelfolder.folder import ModelFolder

    typer.echo(f"{ModelFolder.open(model).copy(folder).path}: a copy of {model}")


@app.command()
def average(
    first: Annotated[str, typer.Argument(help=MODEL)],
    second: Annotated[str, typer.Argument(help="Another, trained on from it or beside it.")],
    out: Annotated[Path, typer.Option(help="New folder for their mean.")],
    share: Annotated[float, typer.Option(help="Of the second one in the mean, 0 to 1.")] = 0.5,
    half: Annotated[bool, typer.Option("--half", help="Store matrices in fp16.")] = False,
) -> None:
    """Take the mean of two models' weights."""
    from .train import run_average

    typer.echo(
        f"{run_average(first, second, out, share, half).path}: {1 - share:.2g} of {first}, {share:.2g} of {second}"
    )


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(help="bp4d, disfa, or a YAML or JSON file that describes a data set.")],
    raw: Annotated[Path, typer.Option(help="Folder of the distribution, as it comes.")],
    out: Annotated[Path, typer.Option(help="Folder for crops and lists; run again to complete it.")],
    size: Annotated[int, typer.Option(help="Side of the crops in pixels.")] = 256,
    workers: Annotated[Optional[int], typer.Option(help="Processes; as many as there are cores if not given.")] = None,
    face_model: Annotated[Optional[Path], typer.Option(help="A MediaPipe face_landmarker.task file.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Take what is there of an incomplete data set.")] = False,
) -> None:
    """Turn a data set into aligned crops and the lists of its folds."""
    from .prepare import run_prepare

    run_prepare(dataset, raw, out, size, workers, face_model, partial)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help=MODEL)],
    format: Annotated[Format, typer.Option(help="Graph format.")] = Format.onnx,
    graph: Annotated[
        Optional[list[str]],
        typer.Option(
            help="clip, encoder, head, relations, temporal, clip_u8 or encoder_u8; may be given again. "
            "Default: the first five."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    calibrate: Annotated[
        Optional[str], typer.Option(help="Footage with faces: int8 is measured on it, any precision judged by it.")
    ] = None,
) -> None:
    """Write graphs into a model folder.

    Each is kept only if it answers like the weights.
    """
    from .export import run_export

    for line in run_export(model, format.value, graph or [], precision, calibrate):
        typer.echo(line)


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help=MODEL)],
    on: Annotated[Optional[str], typer.Option(help="Footage with faces to compare on.")] = None,
    backend: Annotated[
        Optional[list[str]], typer.Option(help="Only what this one runs; may be given again. All of 'auto' if not.")
    ] = None,
) -> None:
    """Compare every exported graph of a folder with its weights, on this machine, in every backend that runs it."""
    from .verify import run_verify

    run_verify(model, on, backend or [])


@app.command()
def doctor(
    model: Annotated[Optional[str], typer.Argument(help=f"{MODEL}, to see what can run it here.")] = None,
) -> None:
    """Say what this installation has: kernels, CUDA devices, backends; and what can run a model."""
    from .doctor import run_doctor

    run_doctor(model)


@app.command()
def train(
    words: Annotated[
        Optional[list[str]], typer.Argument(help="CONFIG (a YAML file), then section.key=value ...")
    ] = None,
    fold: Annotated[
        Optional[list[int]], typer.Option(help="Folds to train, as in --fold 1 2 3; all by default.")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="New folder for the run.")] = None,
    resume: Annotated[Optional[Path], typer.Option(help="Folder of a run to go on with.")] = None,
) -> None:
    """Train a model a fold, or go on with a run that was interrupted.

    Settings that CONFIG leaves out are the paper's.
    """
    from .train import run_train

    run_train(words or [], fold or [], out, resume)


@app.command()
def evaluate(
    folder: Annotated[str, typer.Argument(help=f"Folder of a run, or a model: {MODEL}.")],
    words: Annotated[
        Optional[list[str]], typer.Argument(help="For a model folder: CONFIG, section.key=value ...")
    ] = None,
    fold: Annotated[
        Optional[list[int]], typer.Option(help="Folds, as in --fold 1 2 3; a run's own by default.")
    ] = None,
    against: Annotated[Optional[str], typer.Option(help="Another run, or model, to test the difference.")] = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder for JSON and predictions.")] = None,
) -> None:
    """Judge a run under four protocols side by side, or a model folder at its thresholds."""
    from .evaluate import run_evaluate

    run_evaluate(folder, words or [], fold or [], against, out)


@app.command()
def ablate(
    study: Annotated[str, typer.Argument(help="components, dynamics, edges, neighbours, lambda or regions.")],
    words: Annotated[
        Optional[list[str]], typer.Argument(help="CONFIG (a YAML file), then section.key=value ...")
    ] = None,
    fold: Annotated[Optional[list[int]], typer.Option(help="Folds, as in --fold 1 2 3; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the runs; give it again to go on.")] = Path("mdhr-ablation"),
    json: Annotated[Optional[Path], typer.Option(help="Write the table there.")] = None,
) -> None:
    """Train every row of a table of the paper and print it beside the published figures."""
    from .train import run_ablation

    run_ablation(study, words or [], fold or [], out, json)


@app.command()
def figures(
    words: Annotated[Optional[list[str]], typer.Argument(help="For labels: CONFIG, section.key=value ...")] = None,
    fold: Annotated[Optional[list[int]], typer.Option(help="Fold whose two halves are the data set.")] = None,
    model: Annotated[Optional[str], typer.Option(help=f"{MODEL}, for weights and graph.")] = None,
    on: Annotated[Optional[str], typer.Option(help="Footage with a face, for weights and graph.")] = None,
    first: Annotated[int, typer.Option(help="Frame of the footage to start at.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("mdhr-figures"),
) -> None:
    """Draw the paper's figures: label distribution, adaptive weights a scale, the graph on the face."""
    from .figures import run_figures

    for path in run_figures(model, on, words or [], fold or [], out, first):
        typer.echo(path)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    """Facial action units from video, with MDHR."""
    if version:
        typer.echo(f"mdhr_sdk {__version__}")
        raise typer.Exit


def _complain(error: MDHRError) -> None:
    text = error.listing(most=3) if isinstance(error, CheckpointError) else str(error)
    text = " ".join(text.split())
    print(f"error: {text}", file=sys.stderr)


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Our own warnings are lines for a reader; those of other packages keep their form."""
    if category is ModelNameWarning:
        return f"note: {message}\n"
    return _format_warning(message, category, filename, lineno, line)


def _terminate(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def run_app(app: typer.Typer, *before: str) -> None:
    """Run a command line, with the words `before` put before those that were typed.

    Whatever goes wrong on purpose is one line on standard error and exit code 2.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)  # what a job scheduler sends; files are finished as for Ctrl-C
    warnings.formatwarning = _one_line
    try:
        app(args=[*before, *sys.argv[1:]])
    except MDHRError as error:
        _complain(error)
        sys.exit(BAD_INPUT)


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
