"""A data set of synthetic clips: what training reads of it, interruption, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mdhr_sdk.atomic import LOCK, PREFIX, _mark, locked
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import ConfigError, DataError
from mdhr_sdk.modelfolder.bundled import model_path
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.synthetic import making
from mdhr_sdk.synthetic.dataset import MakeOptions, make_dataset
from mdhr_sdk.synthetic.kit import FaceKit
from mdhr_sdk.synthetic.labelled import ClipOptions
from mdhr_sdk.training.data.clip_windows import ClipDataset
from mdhr_sdk.training.data.datasets import dataset
from mdhr_sdk.training.data.lists import check_pictures, read_fold, read_test
from mdhr_sdk.training.evaluate.folder_scoring import score_folder
from mdhr_sdk.vision.faces.engine import Face
from processes import alive, environment, started, until
from toy_mesher import PAIRS, ToyMesher

CLIP, PERSONS = ClipOptions(3, 0.2, 64), 14  # with seed 4 every action unit occurs
OPTIONS = MakeOptions(PERSONS, 2, 2, CLIP, 48, seed=4)


@pytest.fixture
def toy_mesher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "render_clip", making.render_clip)  # so that what a toy does to it is undone
    monkeypatch.setattr(making, "FaceMesher", ToyMesher)


@pytest.fixture(scope="module")
def once(kit_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data set that the tests copy."""
    out = tmp_path_factory.mktemp("made") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "render_clip", making.render_clip)
        patch.setattr(making, "FaceMesher", ToyMesher)
        result = make_dataset(kit_file, out, OPTIONS)
    assert (result.persons, result.frames, result.found) == ((PERSONS, 2), 96, 64)
    yield out


@pytest.fixture
def made(once: Path, tmp_path: Path, toy_mesher: None) -> Path:
    return shutil.copytree(once, tmp_path / "out")


def files(folder: Path, *names: str) -> dict[str, bytes]:
    paths = [path for name in names for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_training_reads_it(made: Path) -> None:
    spec = dataset(made / "dataset.yaml")
    fold = read_fold(made / "list", spec, 1)
    check_pictures(fold.train, made / "img")
    assert len(fold.train) == 56 and len(fold.test) == 8  # nobody stands in both, or they could not be read
    assert len(set(fold.train.subjects) | set(fold.test.subjects)) == PERSONS + 2
    truth = pd.read_csv(made / "truth.csv").set_index("path")
    for path, labels in zip(fold.train.paths, fold.train.labels, strict=True):
        assert truth.loc[path, list(spec.label_set.codes)].tolist() == labels.tolist()
        assert truth.loc[path, "found"]
    mean, std = (0.5,) * 3, (0.25,) * 3
    clips = ClipDataset(
        fold.train, root=made / "img", clip_length=2, size_px=32, mean=mean, std=std, train=True, seed=0
    )
    assert len(clips) == 28 and clips[0]["clip"].shape == (2, 3, 32, 32)


def test_a_set_to_test_on_needs_nobody_to_train_on(made: Path, kit_file: Path) -> None:
    before = files(made, "list")
    tests_alone = make_dataset(kit_file, made, replace(OPTIONS, persons=0))
    kept = {name: data for name, data in before.items() if "_test_" in name}
    assert (
        len(kept) == 3 and files(made, "list") == kept
    )  # lists of training people are gone, those of test people stay
    truth = pd.read_csv(made / "truth.csv").query("found")[[*tests_alone.rates]]
    assert tests_alone.persons == (0, 2) and len(truth) == 8
    for code, rate in tests_alone.rates.items():
        assert rate == pytest.approx((truth[code] == 1).sum() / max((truth[code] >= 0).sum(), 1)), code
    spec = dataset(made / "dataset.yaml")
    assert len(read_test(made / "list", spec, 1)) == 8
    with pytest.raises(DataError, match=r"no synthetic_train_path_fold1\.txt .* for tests alone, which mdhr evaluate"):
        read_fold(made / "list", spec, 1)
    words = {"dataset": "dataset.yaml", "lists": "list", "images": "img"}
    changes = ["trainer.accelerator=cpu", *(f"data.{key}={made / name}" for key, name in words.items())]
    predictions = score_folder(ModelFolder.open(model_path("edge")), None, changes, [1]).predictions
    assert predictions[1].scores.shape == (8, 15)
    make_dataset(kit_file, made, OPTIONS)
    assert files(made, "list") == before


def test_half_of_a_training_list_is_no_set_to_test_on(made: Path) -> None:
    (made / "list" / "synthetic_train_path_fold1.txt").unlink()
    with pytest.raises(DataError, match=r"no synthetic_train_path_fold1\.txt"):
        read_test(made / "list", dataset(made / "dataset.yaml"), 1)


def _yellow(picture: np.ndarray) -> int:
    blue, green, red = picture.astype(int).transpose(2, 0, 1)
    return int(((green > 180) & (red > 180) & (blue < 90)).sum())


def test_the_sheet_shows_crops(made: Path) -> None:
    sheet = cv2.imread(str(made / "sheet.jpg"))
    assert sheet is not None and sheet.std() > 5
    assert sheet.shape == (6 * 128 + 18, 10 * 128, 3) and _yellow(sheet[-18:]) > 100, "a legend"
    assert _yellow(sheet[:-18]) > 100, "numbers"


def test_it_goes_on_where_it_stopped(made: Path, kit_file: Path) -> None:
    crop = made / "img" / "P004000003" / "1" / "2.jpg"
    before, times = crop.read_bytes(), {p: p.stat().st_mtime_ns for p in (made / "img").rglob("*.jpg")}
    crop.unlink()
    (made / "progress" / "P004000003.json").unlink()
    make_dataset(kit_file, made, OPTIONS)
    assert crop.read_bytes() == before
    untouched = [p for p in times if "P004000003" not in str(p)]
    assert all(p.stat().st_mtime_ns == times[p] for p in untouched)


def test_more_people_are_added(made: Path, kit_file: Path) -> None:
    assert make_dataset(kit_file, made, MakeOptions(PERSONS + 1, 2, 2, CLIP, 48, seed=4)).persons == (PERSONS + 1, 2)
    assert len(read_fold(made / "list", dataset(made / "dataset.yaml"), 1).train) == 60


def test_two_kinds_are_not_mixed(made: Path, kit_file: Path) -> None:
    with pytest.raises(DataError, match=r"other options \(spacing_s: 0.2 there, 0.08 now\)"):
        make_dataset(kit_file, made, MakeOptions(PERSONS, 2, 2, ClipOptions(3, 0.08, 64), 48, seed=4))


@pytest.mark.parametrize("note", ["{", "[]", None])
def test_a_folder_of_another_generator_is_refused(note: str | None, made: Path, kit_file: Path) -> None:
    path = made / "synthetic.json"
    settings = json.loads(path.read_text())
    assert settings.pop("generator") == making.GENERATOR >= 2
    path.write_text(json.dumps(settings) if note is None else note)
    message = "was made by generator 1 .* take a new folder" if note is None else "cannot be read .* take a new folder"
    with pytest.raises(DataError, match=message):
        make_dataset(kit_file, made, OPTIONS)


def test_two_runs_are_kept_apart(made: Path, kit_file: Path) -> None:
    with locked(made), pytest.raises(DataError, match="another run is filling"):
        make_dataset(kit_file, made, OPTIONS)
    make_dataset(kit_file, made, OPTIONS)


def test_only_what_a_killed_run_left_is_removed(made: Path, kit_file: Path) -> None:
    (made / "mine").mkdir()
    kept = [made / "mine" / f"{PREFIX}12345678", made / "img" / ".mine"]
    left = [made / name / f"{PREFIX}12345678" for name in ("img", "list", "progress", "img/P004000000")]
    for path in (*kept, *left):
        path.mkdir()
        (path / LOCK).write_bytes(_mark(path))
    make_dataset(kit_file, made, OPTIONS)
    assert all(path.exists() for path in kept) and not any(path.exists() for path in left)


def test_a_file_in_place_of_the_folder_is_said(kit_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="out' cannot be written"):
        make_dataset(kit_file, tmp_path / "out", OPTIONS)


def change(key: str, value: object) -> Callable[[Path], None]:
    def damage(out: Path) -> None:
        path = out / "progress" / "P004000002.json"
        rows = json.loads(path.read_text())
        rows[4][key] = value
        path.write_text(json.dumps(rows))

    return damage


def record(text: str) -> Callable[[Path], object]:
    return lambda out: (out / "progress" / "P004000002.json").write_text(text)


@pytest.mark.parametrize(
    "damage",
    [
        record('{"half"'), record("[]"), change("labels", [0] * 14), change("labels", [2] * 15), change("found", None),
        change("intensities", ["high"] * 15), change("clip", "P1"), change("yaw_deg", None),
        lambda out: (out / "img" / "P004000002" / "1" / "1.jpg").unlink(),
        lambda out: (out / "img" / "P004000002" / "1" / "1.jpg").write_bytes(b""),  # as a power cut leaves it
        lambda out: shutil.copy(out / "progress" / "P004000003.json", out / "progress" / "P004000002.json"),
    ],
)  # fmt: skip
def test_a_person_that_is_not_whole_is_made_anew(
    damage: Callable[[Path], object], once: Path, made: Path, kit_file: Path
) -> None:
    damage(made)
    make_dataset(kit_file, made, OPTIONS)
    everything = ("img", "list", "progress")
    assert files(made, *everything) == files(once, *everything)


def test_a_damaged_crop_is_named(made: Path, kit_file: Path) -> None:
    (made / "img" / "P004000000" / "0" / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.jpg' is no picture; remove it and run again"):
        make_dataset(kit_file, made, OPTIONS)


@pytest.mark.parametrize("workers", [1, 2])
def test_however_many_work_the_bytes_are_the_same_and_stay_where_people_are_too_few_to_train_on(
    workers: int, once: Path, tmp_path: Path, kit_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "render_clip", making.render_clip)
    options, out = MakeOptions(2, 1, 2, CLIP, 48, seed=4, workers=workers), tmp_path / "out"
    with pytest.raises(DataError, match=r"no training frame shows AU\d.* more --persons \(what is made stays\)"):
        make_dataset(kit_file, out, options, make_mesher=ToyMesher)
    parts = files(out, "img", "progress")
    assert len(parts) == 12 + 3 and parts.items() <= files(once, "img", "progress").items()
    assert len(pd.read_csv(out / "truth.csv")) == 18 and cv2.imread(str(out / "sheet.jpg")).std() > 5


@pytest.mark.parametrize(("share", "found"), [(0.2, True), (-0.3, False)])
def test_a_mesh_on_something_else_is_no_face(share: float, found: bool) -> None:
    """One that is off its place by a share of the eye distance, alone and before the true one."""
    marks = np.random.default_rng(0).uniform(0, 64, (68, 2)).astype(np.float32)
    true = np.zeros((478, 3), np.float32)
    true[making.ALIGNED_BY, :2] = marks[making.TRUE]
    off = true.copy()
    off[2, 1] += share * np.linalg.norm(marks[[36, 39]].mean(axis=0) - marks[[42, 45]].mean(axis=0))
    first, second = Face(off), Face(true)
    assert making.true_face([first], marks) is (first if found else None)
    assert making.true_face([first, second], marks) is (first if found else second)


def test_landmarks_of_mesh_and_model_name_the_same_points(kit: FaceKit) -> None:
    assert dict(zip(making.ALIGNED_BY, making.TRUE, strict=True)) == PAIRS
    x = kit.neutral[kit.landmarks[[36, 39, 33, 42, 45]], 0]  # grows to the subject's left
    assert (np.diff(x) > 0).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"persons": -1}, "^persons must be greater than or equal to 0; got -1"),
        ({"persons": 600_000}, "^persons must be less than or equal to 500000"),
        ({"test_persons": 0}, "^test_persons "), ({"seed": -1}, "^seed "), ({"workers": 0}, "^workers "),
        ({"crop_px": 0}, "^crop_px "), ({"clips": 0}, "^clips "),
    ],
)  # fmt: skip
def test_bad_amounts_are_refused(bad: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MakeOptions(**{"persons": 1, "test_persons": 1, **bad})


def test_no_workers_is_not_all_cores(kit_file: Path, tmp_path: Path) -> None:
    words = ["synthetic", "make", str(kit_file), "--out", str(tmp_path / "out"), "--workers", "0"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, ConfigError) and "workers must be greater than or equal to 1" in str(
        result.exception
    )


def test_the_command_says_what_it_made(kit_file: Path, tmp_path: Path, toy_mesher: None) -> None:
    words = ["synthetic", "make", str(kit_file), "--out", str(tmp_path / "out"), "--persons", str(PERSONS)]
    words += ["--test-persons", "2", "--spacing", "0.2", "--seed", "4"]
    words += ["--frames", "3", "--size", "64", "--crop", "48", "--workers", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "96 frames of 16 people" in result.output and "66.67 %" in result.output
    assert "96 of them in" in result.output and "frames/s with 1 worker" in result.output
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0 and "frames/s" not in again.output  # nothing was left to render
    note = json.loads((tmp_path / "out" / "synthetic.json").read_text())
    assert note["frames"] == 3 and len(note["facekit_sha256"]) == 64


INTERRUPTED = """
import os, sys
from pathlib import Path
(Path(os.environ["PIDS"]) / f"starting.{os.getpid()}").touch()  # workers begin with it too
from mdhr_sdk.synthetic.labelled import ClipOptions
from mdhr_sdk.synthetic.dataset import MakeOptions, make_dataset
from toy_mesher import SlowToyMesher
if __name__ == "__main__":
    kit, out = map(Path, sys.argv[1:])
    try:
        make_dataset(kit, out, MakeOptions(20, 1, 1, ClipOptions(4, 0.2, 64), 48, workers=2), make_mesher=SlowToyMesher)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blow", "at_work"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGKILL, True)]
)  # fmt: skip
def test_workers_end_with_the_run_and_in_silence(
    blow: signal.Signals, at_work: bool, kit_file: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    words = [sys.executable, script, kit_file, tmp_path / "out"]
    with (
        (tmp_path / "errors").open("w") as errors,
        started(words, env=environment(PIDS=tmp_path), stderr=errors) as process,
    ):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        signs, count = ("worker.*", 2) if at_work else ("starting.*", 3)
        until(lambda: process.poll() is not None or len(list(tmp_path.glob(signs))) == count)
        assert process.poll() is None, (tmp_path / "errors").read_text()
        pids = children.read_text().split()
        assert len(pids) == 3, "two workers, and the process that keeps multiprocessing's semaphores"
        time.sleep(0.1)  # into what they import, or into a frame
        if blow == signal.SIGINT:
            os.killpg(process.pid, blow)  # as a terminal does
        else:
            process.kill()
        code = process.wait(timeout=120)
        until(lambda: not any(alive(int(pid)) for pid in pids))
        assert code == (130 if blow == signal.SIGINT else -signal.SIGKILL)
        assert "Traceback" not in (tmp_path / "errors").read_text()
