"""`mdhr prepare` as a person types it, on a data set of their own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2
import pytest

from fakes import write_film
from mdhr_sdk.cli import app as cli
from mdhr_sdk.training.data.datasets import dataset
from mdhr_sdk.training.data.folds import fold_data
from mdhr_sdk.training.data.lists import read_fold
from mdhr_sdk.training.fit.settings import read_settings
from mdhr_sdk.vision import list_sources
from processes import run_python

DESCRIPTION = """
name: mylab
aus: [1, 2, 12]
folds: [[ben], [anna]]
raw:
  labels: "labels/{subject}_{task}.csv"
  pictures: ["videos/{subject}_{task}.mp4"]
"""


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `mdhr WORDS`."""
    monkeypatch.setattr(sys, "argv", ["mdhr", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.fixture(scope="module")
def lab(demo_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos and label tables, and its description."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("videos", "labels"):
        (folder / name).mkdir()
    (source,) = list_sources(demo_path)
    with source:
        frames = [frame.image for frame, _ in zip(source, range(20), strict=False)]
    for subject, start in (("anna", 0), ("ben", 8)):
        write_film(folder / f"videos/{subject}_smile.mp4", frames[start : start + 12])
        rows = "".join(f"{i},{i % 2},{i % 3 == 0:d},{9 if i == 4 else i % 2}\n" for i in range(12))
        (folder / f"labels/{subject}_smile.csv").write_text(f"frame,AU01,AU02,AU12\n{rows}")
    (folder / "mylab.yaml").write_text(DESCRIPTION)
    return folder


def test_a_lab_prepares_its_own_videos(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = ("prepare", lab / "mylab.yaml", "--raw", lab, "--out", out, "--size", 64, "--workers", 1)
    code, stdout, stderr = run(capsys, monkeypatch, *words)
    assert (code, stderr) == (0, "")
    assert "24 frames of 2 videos are listed; crops 64 px, mdhr-5pt-v1" in stdout and "left out" not in stdout
    fold = read_fold(out / "list", dataset(lab / "mylab.yaml"), 1)
    assert fold.train.paths[:2] == ("anna/smile/0.jpg", "anna/smile/1.jpg") and set(fold.test.subjects) == {"ben"}
    assert fold.train.labels[:5].tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 0, -1]]
    assert cv2.imread(str(out / "img/ben/smile/11.jpg")).shape == (64, 64, 3)
    assert run(capsys, monkeypatch, *words)[:2] == (0, stdout)
    monkeypatch.chdir(out)  # where the settings' defaults find what was made
    data = fold_data(read_settings(None, [f"data.dataset={lab / 'mylab.yaml'}", "model.input_size_px=64"]), 1)
    assert data.prepare(data.train[0]["clip"]).shape == (16, 3, 64, 64) and set(data.frames.subjects) == {"ben"}


def test_frames_without_a_face_and_rows_that_a_table_skips_are_told(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = shutil.copytree(lab, tmp_path / "lab"), tmp_path / "out"
    (source,) = list_sources(lab / "videos/ben_smile.mp4")
    with source:
        frames = [frame.image // (1 if frame.index < 5 else 255) for frame in source]
    write_film(raw / "videos/ben_smile.mp4", frames)
    table = raw / "labels" / "anna_smile.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join(rows[:6] + rows[8:]) + "\n")  # without frames 5 and 6
    words = ("prepare", raw / "mylab.yaml", "--raw", raw, "--out", out, "--workers", 1, "--size", 64)
    code, stdout, _ = run(capsys, monkeypatch, *words)
    assert code == 0 and "left out: 7 frames, no face" in stdout and "ben/smile: 7" in stdout
    assert (out / "left_out.csv").read_text().count("no face") == 7
    assert "15 frames of 2 videos are listed" in stdout
    assert "no row in the label tables, between a video's first and last: anna/smile: 2; clips end there" in stdout


def test_folds_that_an_incomplete_data_set_does_not_give_are_named(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(lab, tmp_path / "lab")
    (tmp_path / "lab/videos/ben_smile.mp4").unlink()
    words = ("prepare", lab / "mylab.yaml", "--raw", tmp_path / "lab", "--out", tmp_path / "out", "--size", 64)
    code, stdout, stderr = run(capsys, monkeypatch, *words)
    assert (code, stdout) == (2, "") and "no pictures of ben/smile (1 of 2 videos)" in stderr
    code, stdout, stderr = run(capsys, monkeypatch, *words, "--partial", "--workers", 1)
    assert (code, stderr) == (0, "") and "12 frames of 1 video are listed" in stdout
    assert "1 subject in no list: ben (without pictures, or without labels)" in stdout
    assert "no pictures of 1 video with 12 coded frames: ben/smile: 12" in stdout
    assert (tmp_path / "out" / "left_out.csv").read_text().count("ben/smile/") == 12
    for fold, half in ((1, "test"), (2, "train")):
        assert f"no lists of fold {fold}: mylab_{half}_path_fold{fold}.txt: no subject of this half" in stdout


@pytest.mark.parametrize(
    "words",
    [("train", "c.yaml", "--out", "r"), ("evaluate", "r"), ("prepare", "bp4d", "--raw", ".", "--out", "o"),
     ("synthetic", "make", "k", "--out", "o")],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_missing_opencv_is_one_line(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, stdout, stderr = run(capsys, monkeypatch, *words)
    assert (code, stdout) == (2, "") and stderr.startswith("error: this needs OpenCV") and stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bp5d", "--raw", ".", "--out", "out"), "unknown data set 'bp5d'; known: bp4d, disfa"),
        (("bp4d", "--raw", "missing", "--out", "out"), "is no folder; --raw wants"),
        (("disfa", "--raw", ".", "--out", "out"), "has no ActionUnit_Labels/"),
        (("gft", "--raw", "missing", "--out", "out"), "is no folder; --raw wants"),
        (("bp4d_plus", "--raw", ".", "--out", "out"), "has no AUCoding/"),
        (("affwild2", "--raw", ".", "--out", "out"), "has no AU_Detection_Challenge/Validation_Set/"),
        (("bp4d", "--raw", ".", "--out", "out", "--size", "0"), "size_px must be greater than or equal to 1; got 0"),
        (("missing.yaml", "--raw", ".", "--out", "out"), "'missing.yaml' cannot be read"),
    ],
)
def test_bad_input_is_one_line(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = run(capsys, monkeypatch, "prepare", *words)
    assert (code, stdout) == (2, "") and len(stderr.splitlines()) == 1
    assert stderr.startswith("error: ") and message in stderr
    assert not (tmp_path / "out").exists()


def test_preparing_needs_no_pytorch() -> None:
    code = "import sys, mdhr_sdk.training.data.preparation; sys.exit('torch' in sys.modules)"
    assert run_python("-c", code).returncode == 0
