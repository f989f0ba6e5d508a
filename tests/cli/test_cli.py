"""The command line: what it writes, and one line with exit code 2 for every bad input."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import typer

from commands import Command
from fakes import write_film
from mdhr_sdk.cli import app as cli
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.outputs import CsvSink
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import list_sources


@pytest.fixture(scope="module")
def frames(demo_path: Path) -> list[np.ndarray]:
    (source,) = list_sources(demo_path)
    with source:
        return [frame.image for frame, _ in zip(source, range(40), strict=False)]


@pytest.fixture
def short(tmp_path: Path, frames: list[np.ndarray]) -> Path:
    return write_film(tmp_path / "short.mp4", frames[:10])


@pytest.fixture
def detect(mdhr: Command, tiny_onnx_folder: Path, tmp_path: Path) -> Command:
    """`mdhr detect ARGUMENTS` with a small model, into the folder 'out'."""
    return lambda *words: mdhr("detect", *words, "--model", tiny_onnx_folder, "--out", tmp_path / "out")


def test_standard_input_with_options_is_no_option(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["mdhr", "live", "-#format=mpegts&size=1x", "--csv"])
    with pytest.raises(SystemExit) as ended:
        cli.run_app(cli.app)
    assert ended.value.code == 2
    assert "the option size of a source must be as in size=1280x720" in capsys.readouterr().err


def test_detect_writes_table_timeline_and_overlay(detect: Command, short: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, stdout, stderr = detect(short)
    assert (code, stderr.strip()) == (0, "")
    assert "untrained" in stdout and "onnxruntime fp32 on cpu" in stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "short_aus.csv", "short_events.csv", "short_overlay.mp4", "short_timeline.png",
    ]  # fmt: skip
    table = pd.read_csv(out / "short_aus.csv")
    assert list(table.frame) == list(range(10)) and set(table.status) == {"ok"}
    assert table.model.str.contains("untrained").all()
    assert table.filter(like="_probability").shape[1] == 12
    overlay = cv2.VideoCapture(str(out / "short_overlay.mp4"))
    assert overlay.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    assert cv2.imread(str(out / "short_timeline.png")).std() > 0


def test_detect_a_still_and_a_folder_of_stills(detect: Command, frames: list[np.ndarray], tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, image in (("smile.png", frames[0]), ("frown.png", frames[30]), ("wall.jpg", np.full_like(frames[0], 90))):
        cv2.imwrite(str(pictures / name), image)
    out = tmp_path / "out"
    code, _, _ = detect(pictures)
    assert code == 0
    assert {path.name for path in out.iterdir()} == {
        f"{stem}{end}" for stem in ("smile", "frown", "wall") for end in ("_aus.csv", "_overlay.jpg", "_timeline.png")
    }
    assert list(pd.read_csv(out / "wall_aus.csv").status) == ["no_face"]


def test_a_truncated_video_keeps_and_names_what_was_read(
    detect: Command, frames: list[np.ndarray], tmp_path: Path
) -> None:
    whole = write_film(tmp_path / "whole.avi", frames, "MJPG").read_bytes()
    broken = tmp_path / "broken.avi"
    broken.write_bytes(whole[: len(whole) // 3])
    out = tmp_path / "out"
    code, _, stderr = detect(broken)
    assert code == 2 and stderr.count("\n") == 1 and stderr.startswith("error: ")
    names = {path.name for path in out.iterdir()}
    ends = ("aus.incomplete.csv", "events.incomplete.csv", "overlay.incomplete.mp4", "timeline.incomplete.png")
    assert names == {f"broken_{end}" for end in ends}
    assert all(name in stderr for name in names)
    kept = pd.read_csv(out / "broken_aus.incomplete.csv")
    assert 3 < len(kept) < 40 and f"{len(kept)} frames" in stderr


def test_ctrl_c_keeps_and_names_what_was_read(
    detect: Command, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = CsvSink.write

    def interrupted(sink: CsvSink, result: FrameResult) -> None:
        if result.index == 6:
            raise KeyboardInterrupt
        write(sink, result)

    monkeypatch.setattr(CsvSink, "write", interrupted)
    code, stdout, _ = detect(short, "--no-overlay")
    assert code == 130
    assert len(pd.read_csv(tmp_path / "out" / "short_aus.incomplete.csv")) == 6
    assert "short_aus.incomplete.csv" in stdout and "short_timeline.incomplete.png" in stdout


def test_out_must_not_be_the_folder_that_is_read(mdhr: Command, short: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    code, _, stderr = mdhr("detect", tmp_path, "--out", tmp_path / "link" / "new" / "..")
    assert code == 2 and stderr.count("\n") == 1 and "choose another folder with --out" in stderr
    assert {path.name for path in tmp_path.iterdir()} == {"short.mp4", "link"}


@pytest.mark.parametrize("kind", ["missing", "text", "cut", "empty folder", "camera", "glob"])
def test_bad_sources_are_one_line(kind: str, detect: Command, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    if kind == "text":
        source.write_text("not a video")
    elif kind == "cut":
        whole = write_film(source, [np.zeros((64, 64, 3), np.uint8)] * 30).read_bytes()
        source.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty folder":
        source.mkdir()
    code, stdout, stderr = detect({"camera": "99", "glob": tmp_path / "*.nothing"}.get(kind, source))
    assert code == 2 and stdout.strip() == ""
    assert stderr.startswith("error: ") and stderr.count("\n") == 1, stderr
    assert not (tmp_path / "out").exists()


def test_one_bad_source_does_not_cost_the_others(detect: Command, short: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_text("not a video")
    out = tmp_path / "out"
    code, stdout, stderr = detect(tmp_path / "*.mp4", "--no-overlay")
    assert code == 2 and "broken.mp4 (failed)" in stdout and stderr.count("\n") == 1
    assert sorted(path.name for path in out.iterdir()) == ["short_aus.csv", "short_events.csv", "short_timeline.png"]
    code, stdout, stderr = detect(short, tmp_path / "nope.mp4", "--no-overlay")
    assert code == 2 and "nope.mp4 (failed)" in stdout and "short_aus.csv, in place of an earlier one" in stdout
    assert stderr.startswith("error: nothing exists at") and stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "tensorflow"), "unknown backend 'tensorflow'"),
        (("--backend", "torch", "--device", "cuda:7"), "cuda:7"),
        (("--device", "tpu"), "unknown device 'tpu'"),
        (("--threads", "0"), "threads must be an integer of at least 1"),
        (("--max-faces", "0"), "max_faces"),
        (("--fps", "-1"), "fps"),
        (("--calibrate-neutral", "soon"), "--calibrate-neutral expects a time above 0, as 90, 30s"),
        (("--calibrate-neutral", "0s"), "expects a time above 0"),
        (("--face-model", "none.task"), "none.task"),
        (("--ring-dtype", "float16"), "--ring-dtype belongs to --mode stream"),
        (("--threads", "9999999"), "threads must be at most 1,024; got 9,999,999"),
        (("--max-faces", "99999999999"), "max_faces must be at most 1,000; got 99,999,999,999"),
        (("--codec", "mp3"), "codec is one of h264"),
        (("--no-overlay", "--codec", "vp9"), "--codec belongs to the annotated video"),
        (("--fps", "10"), "--fps is for image sequences, and no source is one; got 10"),
        (("--stills",), "--stills is for images"),
        (("--face-model", "long" * 99), "longlong...' is too long for the name of a file"),
        (("--sequence",), "--sequence is for images"),
        (("--calibrate-neutral", "2s", "--start", "1", "--end", "3"), "so no frame is left to score"),
        (("--mode", "stream", "--backend", "torch", "--ring-dtype", "int8"), "float32, float16, bfloat16"),
    ],
)
def test_bad_options_are_one_line(detect: Command, arguments: tuple[str, ...], message: str, short: Path) -> None:
    if "cuda:7" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    code, _, stderr = detect(short, *arguments)
    assert code == 2 and stderr.count("\n") == 1 and message in stderr


def test_init_makes_an_untrained_folder_once(mdhr: Command, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    options = ("init", folder, "--backbone", "mobilenetv4_conv_small", "--label-set", "disfa", "--k", "3")
    code, stdout, _ = mdhr(*options)
    assert code == 0 and "ntrained" in stdout
    config = ModelFolder.open(folder).config
    assert (config.trained, config.model.k, config.model.label_set.name) == (False, 3, "disfa")
    before = (folder / "model.safetensors").stat().st_mtime_ns
    code, _, stderr = mdhr(*options)
    assert code == 2 and "not an empty folder" in stderr
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_init_refuses_a_checkpoint_that_does_not_fit(mdhr: Command, tmp_path: Path) -> None:
    torch.save({"Backbone.conv1.weights": torch.zeros(1)}, tmp_path / "renamed.pth")
    options = ("init", tmp_path / "model", "--label-set", "disfa", "--checkpoint", tmp_path / "renamed.pth")
    code, _, stderr = mdhr(*options)
    assert code == 2 and stderr.count("\n") == 1
    assert "missing: Backbone.conv1.weight, " in stderr and "1 unexpected: Backbone.conv1.weights" in stderr
    assert not (tmp_path / "model").exists()


def test_export_names_what_it_cannot_take(mdhr: Command, tiny_folder: Path, tmp_path: Path) -> None:
    code, _, stderr = mdhr("export", tmp_path / "none")
    assert code == 2 and "does not exist" in stderr
    code, _, stderr = mdhr("export", tiny_folder, "--format", "caffe")
    assert code == 2 and "caffe" in stderr


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'cv2', 'mediapipe', 'matplotlib', 'pandas', 'onnxruntime', 'rich.progress'}"
    code = (
        "import sys; sys.argv = ['mdhr', 'detect', '--help']\n"
        "from mdhr_sdk.cli.app import main\n"
        "try: main()\n"
        f"except SystemExit: pass\nassert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--model" in done.stdout


def test_every_command_says_in_the_overview_what_its_own_help_says() -> None:
    for name, told in cli.COMMANDS.items():
        command = typer.main.get_command(cli.command_file(name).app)
        assert (command.help or "").partition("\n")[0].strip() == told


def test_a_caller_has_its_own_signals_and_warnings_back(mdhr: Command) -> None:
    before = signal.getsignal(signal.SIGTERM), warnings.formatwarning
    for arguments in (("--version",), ("detect", "nope.mp4"), ("detect", "--nonsense")):
        mdhr(*arguments)
        assert (signal.getsignal(signal.SIGTERM), warnings.formatwarning) == before


def test_version(mdhr: Command) -> None:
    from mdhr_sdk import __version__

    assert mdhr("--version")[:2] == (0, f"mdhr_sdk {__version__}\n")
