"""From a distribution to crops and lists: with the real aligner, killed and continued, and with bad input."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mdhr_sdk.errors import ConfigError, DataError
from mdhr_sdk.training.data.datasets import DATASETS
from mdhr_sdk.training.data.lists import check_pictures, read_fold, read_intensities
from mdhr_sdk.training.data.preparation import Prepared, PrepareOptions, prepare
from mdhr_sdk.vision import DEFAULT_TEMPLATE, FaceMesher, align, list_sources
from processes import alive, environment, interruptible, started, until
from raw_trees import SlowWholeFrame, WholeFrame, rebuild, text, write_bp4d, write_disfa
from sample_lists import make_list, small_fold

BP4D, DISFA = DATASETS["bp4d"], DATASETS["disfa"]
SMALL, PART = PrepareOptions(size_px=16), PrepareOptions(size_px=16, partial=True)


@pytest.fixture(scope="module")
def faces(demo_path: Path) -> list[np.ndarray]:
    (source,) = list_sources(demo_path)
    with source:
        return [frame.image for frame, _ in zip(source, range(24), strict=False)]


def two_subjects(raw: Path, rows: int = 30) -> None:
    """One video of a subject that fold 1 trains on and one of a subject that it tests."""
    write_bp4d(raw, [make_list(BP4D, [("F001", "T1", range(5, 5 + rows)), ("F007", "T1", range(2, 2 + rows))])])


def crops(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted((out / "img").rglob("*.*"))}


def in_place(out: Path) -> list[Path]:
    """Crops that have their names, without those that a killed process was about to write."""
    return [path for path in out.glob("img/**/[0-9]*.jpg") if ".mdhr-" not in str(path.relative_to(out))]


def followed(frames: list[np.ndarray]) -> list[np.ndarray]:
    """What the detector's own aligner makes of a video's frames."""
    with FaceMesher(max_faces=1) as mesher:
        return [align(frame, mesher.find(frame)[0].landmarks_px, DEFAULT_TEMPLATE, 256) for frame in frames]


@pytest.mark.parametrize(("name", "fold"), [("bp4d", 1), ("bp4d", 3), ("disfa", 2)])
def test_a_distribution_gives_the_lists_it_was_made_from(name: str, fold: int, tmp_path: Path) -> None:
    dataset = DATASETS[name]
    given = small_fold(dataset, fold)
    done = rebuild(dataset, given, tmp_path / "raw", tmp_path / "out")
    found = read_fold(tmp_path / "out" / "list", dataset, fold)
    for ours, theirs in ((given.train, found.train), (given.test, found.test)):
        assert ours.paths == theirs.paths
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.regions, theirs.regions)
        check_pictures(ours, tmp_path / "out" / "img")
    if dataset.has_intensities:
        kept = read_intensities(tmp_path / "out" / "list", dataset, "test", fold)
        np.testing.assert_array_equal(kept >= dataset.raw.positive_from, found.test.labels == 1)
    else:
        with pytest.raises(ConfigError, match="bp4d codes whether an AU occurs, and not how strongly"):
            read_intensities(tmp_path / "out" / "list", dataset, "test", fold)
    counts = (len(given.train), len(given.test))
    assert done.listed == sum(counts) and done.folds[fold - 1] == counts
    assert text(tmp_path / "out" / "left_out.csv") == "path,reason"


def test_images_become_the_crops_that_the_detector_would_read(faces: list[np.ndarray], tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    two_subjects(raw, rows=16)
    for number, face in enumerate(faces[:16]):
        cv2.imwrite(str(raw / f"2D+3D/F001/T1/{5 + number}.jpg"), face)
        cv2.imwrite(str(raw / f"2D+3D/F007/T1/{2 + number}.jpg"), face)
    cv2.imwrite(str(raw / "2D+3D/F007/T1/9.jpg"), np.full((320, 320, 3), 90, np.uint8))
    (raw / "2D+3D/F007/T1/11.jpg").unlink()
    done = prepare(BP4D, raw, out, PrepareOptions(partial=True))

    stored = [cv2.imread(str(raw / f"2D+3D/F001/T1/{5 + number}.jpg")) for number in range(16)]
    for number, crop in enumerate(followed(stored)):
        wanted = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        assert (out / f"img/F001/T1/{5 + number}.jpg").read_bytes() == wanted
    assert done.left_out == {"F007/T1": {9: "no face", 11: "no picture"}}
    assert text(out / "left_out.csv").splitlines()[1:] == ["F007/T1/9.jpg,no face", "F007/T1/11.jpg,no picture"]
    test = read_fold(out / "list", BP4D, 1).test
    assert test.numbers.tolist() == [2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 15, 16, 17]
    assert [len(range(*run.indices(14))) for run in test.runs()] == [7, 1, 6]
    note = json.loads((out / "prepare.json").read_text())
    assert note["template"] == DEFAULT_TEMPLATE and note["size_px"] == 256 and "MediaPipe" in note["faces"]
    assert note["frames"] == 30 and note["left_out"] == {"no face": 1, "no picture": 1}


def test_a_video_becomes_lossless_crops_with_the_right_numbers(faces: list[np.ndarray], tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_disfa(raw, [make_list(DISFA, [("SN003", "", range(12)), ("SN001", "", range(12))])])
    path = raw / "Video_LeftCamera/LeftVideoSN001_comp.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (320, 320))
    for face in faces[:12]:
        video.write(face)
    video.release()
    done = prepare(DISFA, raw, out, PrepareOptions(partial=True))
    (source,) = list_sources(path)
    with source:
        wanted = followed([frame.image for frame in source])
    for number, crop in enumerate(wanted):
        np.testing.assert_array_equal(cv2.imread(str(out / f"img/SN001/SN001_{number}.png")), crop)
    assert done.reasons == {"no face": 12}  # SN003 shows one colour
    assert [isinstance(fold, str) for fold in done.folds] == [True] * 3  # one subject is no fold


def test_a_video_of_which_nothing_is_coded_and_images_with_an_offset(tmp_path: Path) -> None:
    dataset = replace(BP4D, raw=replace(BP4D.raw, list_offset=-2))
    two_subjects(tmp_path / "raw")
    table = tmp_path / "raw/AUCoding/AU_OCC/F001_T2.csv"
    table.write_text(
        (tmp_path / "raw/AUCoding/AU_OCC/F001_T1.csv").read_text().split("\n")[0] + "\n4" + 17 * ",9" + "\n"
    )
    cv2.VideoWriter(str(tmp_path / "raw/2D+3D/F001/T2.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20, (16, 16)).release()
    done = prepare(dataset, tmp_path / "raw", tmp_path / "out", PART, make_mesher=WholeFrame)
    assert done.left_out == {"F001/T2": {2: "not coded"}} and done.listed == 60
    crop, image = tmp_path / "out/img/F001/T1/3.jpg", tmp_path / "raw/2D+3D/F001/T1/5.jpg"
    assert np.abs(cv2.imread(str(crop)).astype(int) - cv2.imread(str(image))).max() <= 3


def test_run_again_only_what_is_missing_is_made(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    two_subjects(raw)
    prepare(BP4D, raw, out, PART, make_mesher=WholeFrame)
    before = crops(out)
    (out / "img/F001/T1/17.jpg").unlink()
    times = {path: path.stat().st_mtime_ns for path in (out / "img").rglob("*.jpg")}
    seen: list[tuple[int, int]] = []
    prepare(BP4D, raw, out, PART, progress=lambda *counts: seen.append(counts), make_mesher=WholeFrame)
    assert crops(out) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert seen == [(done, 30) for done in range(31)]  # the frames of one video
    prepare(BP4D, raw, out, PART, progress=lambda *counts: seen.append(counts), make_mesher=WholeFrame)
    assert seen[31:] == [(0, 0)]


def test_pictures_that_come_later_and_new_labels_are_taken_in(tmp_path: Path) -> None:
    """A distribution prepared while it was still being unpacked."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    two_subjects(raw)
    late = {path: path.read_bytes() for path in (raw / "2D+3D/F001/T1").glob("1?.jpg")}
    for path in late:
        path.unlink()
    assert prepare(BP4D, raw, out, PART, make_mesher=WholeFrame).reasons == {"no picture": 10}
    labels = read_fold(out / "list", BP4D, 1).test.labels
    for path, content in late.items():
        path.write_bytes(content)
    table = raw / "AUCoding/AU_OCC/F007_T1.csv"
    header, first, *others = table.read_text().splitlines()
    flipped = first.replace(",0", ",x").replace(",1", ",0").replace(",x", ",1")
    table.write_text("\n".join([header, flipped, *others[:-3]]))
    done = prepare(BP4D, raw, out, PART, make_mesher=WholeFrame)
    assert done.left_out == {} and done.listed == 57
    again = read_fold(out / "list", BP4D, 1).test.labels
    assert (again[0] == 1 - labels[0]).all() and (again[1:] == labels[1:-3]).all()
    prepare(BP4D, raw, tmp_path / "whole", PART, make_mesher=WholeFrame)
    assert crops(out) == crops(tmp_path / "whole")


@pytest.mark.parametrize("finished", [True, False])
def test_replaced_pictures_leave_no_old_crop(finished: bool, tmp_path: Path) -> None:
    """Crops of other videos stay as they are; a video that was broken off is no different from a finished one."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    two_subjects(raw)
    broken = raw / "2D+3D/F001/T1/34.jpg"
    content = broken.read_bytes()
    if finished:
        prepare(BP4D, raw, out, PART, make_mesher=WholeFrame)
    else:
        broken.write_bytes(b"no image")
        with pytest.raises(DataError, match="1 of 2 videos cannot be used"):
            prepare(BP4D, raw, out, PART, make_mesher=WholeFrame)
    assert (out / "img/F001/T1/20.jpg").is_file()
    other = {path: path.stat().st_mtime_ns for path in (out / "img/F007").rglob("*.jpg")}
    for number in range(5, 34):
        cv2.imwrite(str(raw / f"2D+3D/F001/T1/{number}.jpg"), np.full((16, 16, 3), 7 * (number - 4), np.uint8))
    broken.write_bytes(content)
    table = raw / "AUCoding/AU_OCC/F001_T1.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-3]))  # frames 32 to 34 are coded no more
    prepare(BP4D, raw, out, PART, make_mesher=WholeFrame)
    prepare(BP4D, raw, tmp_path / "whole", PART, make_mesher=WholeFrame)
    assert crops(out) == crops(tmp_path / "whole") and len(crops(out)) == 57
    assert {path: path.stat().st_mtime_ns for path in other} == other


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_crops(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    two_subjects(raw, rows=150)
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path; from raw_trees import *\n"
        "if __name__ == '__main__':\n"
        "    options = PrepareOptions(size_px=16, partial=True, workers=2)\n"
        f"    prepare(DATASETS['bp4d'], Path({str(raw)!r}), Path({str(out)!r}), options, make_mesher=SlowWholeFrame)\n"
    )
    with started([sys.executable, script], env=environment(PIDS=tmp_path)) as process:
        until(lambda: process.poll() is not None or any(out.glob("img/**/*.jpg")))
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.wait(timeout=60)
        workers = [int(path.suffix[1:]) for path in tmp_path.glob("worker.*")]
        until(lambda: not any(alive(pid) for pid in workers))
    assert not (out / "list").exists()
    assert all(cv2.imread(str(path)) is not None for path in in_place(out))
    broken = len(in_place(out))
    prepare(BP4D, raw, out, PART, make_mesher=SlowWholeFrame)
    prepare(BP4D, raw, tmp_path / "whole", PART, make_mesher=SlowWholeFrame)
    assert 0 < broken < len(crops(out)) == 300 and crops(out) == crops(tmp_path / "whole")
    assert not list(out.rglob(".mdhr-*"))


def test_a_damaged_picture_or_two_of_one_frame_are_named_once_the_others_are_done(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    two_subjects(raw)
    damaged = raw / "2D+3D/F001/T1/20.jpg"
    good = damaged.read_bytes()
    damaged.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 2 videos cannot be used: F001/T1: expected an image in .*20.jpg.*again"):
        prepare(BP4D, raw, out, PART, make_mesher=WholeFrame)
    assert len(list((out / "img/F007/T1").iterdir())) == 30 and not (out / "list").exists()
    damaged.write_bytes(good)
    assert prepare(BP4D, raw, out, PART, make_mesher=WholeFrame).listed == 60
    damaged.with_name("020.jpg").write_bytes(good)
    with pytest.raises(DataError, match=r"1 of 2 videos cannot be used: F001/T1: .* has two images of frame 20"):
        prepare(BP4D, raw, out, PART, make_mesher=WholeFrame)


def test_crops_of_two_kinds_are_not_mixed(tmp_path: Path) -> None:
    two_subjects(tmp_path / "raw")
    prepare(BP4D, tmp_path / "raw", tmp_path / "out", PART, make_mesher=WholeFrame)
    other = PrepareOptions(size_px=32, partial=True)
    with pytest.raises(DataError, match=r"holds crops made with size_px 16 and not 32; choose another --out"):
        prepare(BP4D, tmp_path / "raw", tmp_path / "out", other, make_mesher=WholeFrame)
    (tmp_path / "out/prepare.json").write_text("[]")
    with pytest.raises(DataError, match=r"prepare.json' cannot be read"):
        prepare(BP4D, tmp_path / "raw", tmp_path / "out", PART, make_mesher=WholeFrame)


def test_an_incomplete_distribution_is_refused_or_taken_as_it_is(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    two_subjects(raw)
    with pytest.raises(DataError, match=r"no labels of F002, F003, .*\(39 subjects of the folds\); .*--partial"):
        prepare(BP4D, raw, out, SMALL, make_mesher=WholeFrame)
    assert not out.exists()
    done = prepare(BP4D, raw, out, PART, make_mesher=WholeFrame)
    assert done.folds[0] == (30, 30)
    assert "BP4D_test_img_path_fold2.txt: no subject" in str(done.folds[1])
    assert not list((out / "list").glob("*fold2*"))


def test_videos_without_pictures_are_named(tmp_path: Path) -> None:
    rebuild(DISFA, small_fold(DISFA), tmp_path / "raw", tmp_path / "out")
    for path in (tmp_path / "raw/Video_LeftCamera").glob("*SN00[12]*"):
        path.unlink()
    with pytest.raises(DataError, match=r"no pictures of SN002, SN001 \(2 of 27 videos\) at Video_LeftCamera/"):
        prepare(DISFA, tmp_path / "raw", tmp_path / "out", SMALL, make_mesher=WholeFrame)
    for path in (tmp_path / "raw/Video_LeftCamera").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"no pictures at Video_LeftCamera/.*; is this the folder\?"):
        prepare(DISFA, tmp_path / "raw", tmp_path / "out", PART, make_mesher=WholeFrame)


def test_an_au_that_nobody_shows_stops_a_complete_data_set(tmp_path: Path) -> None:
    fold = small_fold(DISFA)
    for half in (fold.train, fold.test):
        half.labels[:, 0] = 0
    with pytest.raises(DataError, match=r"DISFA_train_path_fold1.txt: no training frame shows AU01"):
        rebuild(DISFA, fold, tmp_path / "raw", tmp_path / "out")


def test_several_workers_make_what_one_makes(tmp_path: Path) -> None:
    two_subjects(tmp_path / "raw")
    alone = prepare(BP4D, tmp_path / "raw", tmp_path / "one", PART, make_mesher=WholeFrame)
    seen: list[tuple[int, int]] = []
    options = PrepareOptions(size_px=16, partial=True, workers=2)

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    together: Prepared = prepare(BP4D, tmp_path / "raw", tmp_path / "two", options, progress, WholeFrame)
    assert together == alone and crops(tmp_path / "one") == crops(tmp_path / "two")
    assert seen[0] == (0, 60) and seen == sorted(seen)


def test_ctrl_c_ends_the_workers_and_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIDS", str(tmp_path))  # slow: they are not done before the signal comes
    two_subjects(tmp_path / "raw", rows=400)
    options = PrepareOptions(size_px=16, partial=True, workers=2)

    def stop(done: int, total: int) -> None:
        if done:
            signal.raise_signal(signal.SIGINT)

    with interruptible(), pytest.raises(KeyboardInterrupt):
        prepare(BP4D, tmp_path / "raw", tmp_path / "out", options, stop, SlowWholeFrame)
    assert not list((tmp_path / "out").rglob(".mdhr-*")) and 0 < len(crops(tmp_path / "out")) < 800
