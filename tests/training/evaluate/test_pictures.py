"""Labelled pictures: what the file may say, figures against slow loops, thresholds by their rule."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands import Command, command
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import DataError
from mdhr_sdk.training.evaluate.pictures.judging import Judged, best_f1, stated_rates, summarise, worst
from mdhr_sdk.training.evaluate.pictures.labels import Case, label_table, read_cases, unscored
from mdhr_sdk.training.evaluate.pictures.thresholds import Caps, choose, chosen, cross_validated

__all__ = ["command"]
DEMO = Path(__file__).parents[3] / "mdhr_sdk" / "assets" / "demo.mp4"
CODES = ("AU01", "AU04", "AU12")


def write(folder: Path, entries: Any) -> Path:
    path = folder / "labels.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_stills_and_frames_of_videos_are_read_in_their_order(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.mp4"):
        (tmp_path / name).touch()
    frames = {"7": {"present": [12], "absent": [4]}, "3": {}}
    still = {"file": "a.jpg", "present": [1], "absent": [12], "person": "anna", "stated": "calm", "whatever": 1}
    cases = read_cases(write(tmp_path, [still, {"file": "b.mp4", "kind": "video", "frames": frames}]))
    assert [case.name for case in cases] == ["a.jpg", "b.mp4 frame 7", "b.mp4 frame 3"]
    assert [case.person for case in cases] == ["anna", "b.mp4", "b.mp4"]
    assert [case.labelled for case in cases] == [True, True, False]
    assert label_table(cases, (1, 4, 12)).tolist() == [[1, -1, 0], [-1, 0, 1], [-1, -1, -1]]


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ("[{", "cannot be read as labels"),
        ({"file": "a.jpg"}, "list"),
        ([], "names no picture"),
        ([{"present": [1]}], "entry 1, file: Field required"),
        ([{"file": "a.jpg", "present": [0]}], "entry 1, present, entry 1"),
        ([{"file": "a.jpg", "present": ["AU12"]}], "valid integer"),
        ([{"file": "a.jpg", "present": [12], "absent": [12]}], "'a.jpg' has AU12 present and absent"),
        ([{"file": "a.jpg"}, {"file": "a.jpg"}], "names 'a.jpg' twice"),
        ([{"file": "gone.jpg"}, {"file": "a.jpg"}], "1 of its files are not there, as 'gone.jpg'"),
        ([{"file": "a.jpg", "kind": "video"}], "the video 'a.jpg' has no frames"),
        ([{"file": "a.jpg", "kind": "video", "frames": {"first": {}}}], "pattern"),
        ([{"file": "a.jpg", "presnet": [12]}], "entry 1: the key 'presnet' means nothing here; is it 'present'?"),
        ([{"file": "a.jpg", "kind": "video", "frame": 2}], "is it 'frames'?"),
        ([{"file": "a.jpg", "frames": {"1": {}}}], "a still has no frames"),
        ([{"file": "a.jpg", "kind": "video", "present": [1], "frames": {"1": {}}}], "belong into its frames"),
        (["a.jpg"], 'expected an object, as {"file": "a.jpg"'),
    ],
)
def test_bad_labels_are_refused_in_a_line(entries: Any, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError) as error:
        read_cases(write(tmp_path, entries))
    assert told in str(error.value) and "\n" not in str(error.value)


def test_labels_as_spreadsheets_and_editors_save_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "labels.json").write_bytes(b'\xef\xbb\xbf[{"file": "a.jpg", "person": 7,\r\n "present": [12, 43]}]')
    cases = read_cases(tmp_path / "labels.json")
    assert cases[0].person == "7"
    assert unscored(cases, (1, 4, 12)) == {43: 1}


def made_up(seed: int = 0, people: int = 30) -> Judged:
    """Three pictures a person; scores that tell AU12 well and AU01 badly; AU04 is never present."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, (3 * people, 3)).astype(np.int8)
    labels[labels[:, 1] == 1, 1] = 0
    noise = rng.normal(0, 1, labels.shape) * (2.0, 1.0, 0.5)
    scores = 1 / (1 + np.exp(-((labels == 1) * 2.0 - 1 + noise)))
    scores[5] = np.nan
    cases = [
        Case(
            f"{row}.jpg", Path(f"{row}.jpg"), None, f"P{row // 3}", "calm" if row % 2 else "", frozenset(), frozenset()
        )
        for row in range(len(labels))
    ]
    return Judged(cases, CODES, labels, scores, np.arange(len(labels)) % 3 == 0)


def slow(judged: Judged, au: int, threshold: float) -> dict[str, float]:
    """AUC, F1, recall and alarms by loops over pairs and pictures."""
    pairs = [
        (score, label == 1)
        for score, label in zip(judged.scores[:, au], judged.labels[:, au], strict=True)
        if label >= 0 and not math.isnan(score)
    ]
    present, absent = ([score for score, there in pairs if there == wanted] for wanted in (True, False))
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in present for b in absent]
    hits, alarms = sum(score >= threshold for score in present), sum(score >= threshold for score in absent)
    return {
        "auc": sum(wins) / len(wins),
        "f1": 2 * hits / (hits + alarms + len(present)),
        "recall": hits / len(present),
        "alarms": alarms / len(absent),
    }


def test_figures_are_those_of_slow_loops_and_people_are_drawn_whole() -> None:
    judged = made_up()
    summary = summarise(judged, (0.3, 0.5, 0.6))
    for au, threshold in ((0, 0.3), (2, 0.6)):
        one, wanted = summary.by_au[au], slow(judged, au, threshold)
        assert one.auc.value == pytest.approx(wanted["auc"])
        assert one.own.threshold == threshold and one.half.f1.value == pytest.approx(slow(judged, au, 0.5)["f1"])
        for name in ("f1", "recall", "alarms"):
            found = getattr(one.own, name)
            assert found.value == pytest.approx(wanted[name]) and found.low <= found.value <= found.high
    assert summary.by_au[1].present == 0 and math.isnan(summary.by_au[1].auc.value)
    means = [np.mean([summary.by_au[au].auc.value for au in (0, 2)])]
    assert summary.auc.value == pytest.approx(means[0]) and summary.people == 30
    assert judged.faceless == ["5.jpg"]
    one_each = Judged(
        [Case(case.file, case.path, None, case.file, "", frozenset(), frozenset()) for case in judged.cases],
        CODES, judged.labels, judged.scores, judged.grey,
    )  # fmt: skip
    assert summarise(one_each, (0.5,) * 3).people == 89, "a picture without a face shows nobody"


def test_the_best_f1_and_the_worst_decisions() -> None:
    truth, score = np.array([True, False, True, False]), np.array([0.9, 0.9, 0.4, 0.1])
    assert best_f1(truth, score) == pytest.approx(0.8)
    judged = made_up()
    mistakes = worst(judged, (0.5, 0.5, 0.5), most=200)
    wrong = ((judged.scores >= 0.5) != (judged.labels == 1)) & (judged.labels >= 0) & ~np.isnan(judged.scores)
    assert len(mistakes) == wrong.sum()
    assert [one.by for one in mistakes] == sorted((one.by for one in mistakes), reverse=True)


def test_pictures_without_labels_are_told_by_what_others_say() -> None:
    judged = made_up()
    rates = stated_rates(judged, (0.5,) * 3)
    assert set(rates) == {"", "calm"} and rates["calm"][0] == 44, "one of 45 has no face"
    calm = np.array([case.stated == "calm" for case in judged.cases]) & ~np.isnan(judged.scores[:, 0])
    assert rates["calm"][1]["AU12"] == pytest.approx((judged.scores[calm, 2] >= 0.5).mean())


def test_thresholds_follow_many_pictures_and_stay_where_few_speak() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([[1], [0]] * 100, np.int8)
    scores = np.where(labels == 1, 0.35, 0.15) + rng.normal(0, 0.02, labels.shape)
    (cut,) = choose(labels, scores, (0.5,))
    assert 0.19 < cut < 0.31, "between what is present and what is absent"
    few = choose(labels[:2], scores[:2], (0.5,))[0]
    assert cut < few <= 0.5, "one picture moves it less"
    assert choose(np.zeros_like(labels), scores, (0.42,)) == (0.42,)
    moved = scores.copy()
    moved[0] = 0.01
    assert abs(choose(labels, moved, (0.5,))[0] - cut) <= 0.02, "nor does one picture that is wrong"


def test_a_cap_raises_the_threshold_until_calm_pictures_are_below_it() -> None:
    judged = made_up(people=60)
    nothing = Caps.of(judged, "no such text", (0.05, 0.05, 0.05))
    assert chosen(judged, (0.5,) * 3, nothing) == chosen(judged, (0.5,) * 3)
    caps = Caps.of(judged, "calm", (0.05, 1.0, 1.0))
    cuts = chosen(judged, (0.5,) * 3, caps)
    assert cuts[1:] == chosen(judged, (0.5,) * 3)[1:], "the others have none"
    scores = judged.scores[caps.calm & ~np.isnan(judged.scores[:, 0]), 0]
    assert cuts[0] > chosen(judged, (0.5,) * 3)[0] and (scores >= cuts[0]).mean() <= 0.06


def test_unseen_people_are_judged_by_the_thresholds_of_others() -> None:
    judged = made_up(people=50)
    fair = cross_validated(judged, (0.5,) * 3)
    first = [row for row, case in enumerate(judged.cases) if int(case.person[1:]) % 5 == 0 and row != 5]
    others = [row for row in range(len(judged.cases)) if row not in first and row != 5]
    cuts = choose(judged.labels[others], judged.scores[others], (0.5,) * 3)
    assert (fair.scores[first] >= 0.5).tolist() == (judged.scores[first] >= np.array(cuts) - 1e-9).tolist()
    assert len(chosen(judged, (0.5,) * 3)) == 3


def test_the_command_refuses_what_it_cannot_use(command: Command, tmp_path: Path) -> None:
    labels = write(tmp_path, [{"file": "gone.jpg"}])
    code, _, told = command(app, "evaluate", "edge", labels)
    assert code == 2 and "gone.jpg" in told and len(told.splitlines()) == 1
    code, _, told = command(app, "evaluate", "edge", write(tmp_path, ""))
    assert code == 2 and "cannot be read as labels" in told
    (tmp_path / "still.png").touch()
    code, _, told = command(app, "evaluate", "edge", write(tmp_path, [{"file": "still.png", "present": [43]}]))
    assert code == 2 and "labels AU43 only, and the model scores AU01" in told
    labels = write(tmp_path, [{"file": "gone.jpg"}])
    code, _, told = command(app, "evaluate", "edge", labels, "--fold", 1)
    assert code == 2 and "give it alone" in told
    code, _, told = command(app, "thresholds", "edge", labels, "--most", "99=0.1")
    assert code == 2 and "as in 1=0.7,4=0.3; got '99=0.1'" in told
    code, _, told = command(app, "thresholds", "edge", labels, "--start", "1.5")
    assert code == 2 and "as in --start 0.5; got 1.5" in told
    code, _, told = command(app, "thresholds", "edge", labels, "--write")
    assert code == 2 and "mdhr copy edge FOLDER" in told


@pytest.mark.slow
def test_a_video_and_a_still_are_judged_as_a_person_would(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "clip.mp4").symlink_to(DEMO)
    video = cv2.VideoCapture(str(DEMO))
    still = video.read()[1]
    video.release()
    assert cv2.imwrite(str(tmp_path / "still.png"), still)
    assert cv2.imwrite(str(tmp_path / "empty.png"), np.full((200, 200, 3), 90, np.uint8))
    frames = {"0": {"present": [25], "absent": [4]}, "12": {"absent": [25]}}
    labels = write(
        tmp_path,
        [
            {"file": "clip.mp4", "kind": "video", "frames": frames},
            {"file": "still.png", "stated": "calm"},
            {"file": "empty.png", "absent": [25, 43]},
        ],
    )
    code, out, told = command(app, "evaluate", "edge", labels, "--out", tmp_path / "out")
    assert code == 0, told
    assert "no face in 1: empty.png" in out and "calm" in out
    assert "not judged, as the model does not score them: AU43 (1 label)" in out
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["pictures"] == 4 and found["people"] == 2 and found["without_a_face"] == ["empty.png"]
    assert (found["aus"]["AU25"]["present"], found["aus"]["AU25"]["absent"]) == (1, 1)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(scores) == {"clip.mp4", "still.png"} and set(scores["clip.mp4"]) == {"0", "12"}
    labels = write(tmp_path, [{"file": "clip.mp4", "kind": "video", "frames": {"99999": {}}}])
    code, _, told = command(app, "evaluate", "edge", labels)
    assert code == 2 and "frame 99999 of 'clip.mp4', which ends before it" in told
    labels = write(tmp_path, [{"file": "clip.mp4", "present": [25]}])
    code, _, told = command(app, "evaluate", "edge", labels)
    assert code == 2 and "calls 'clip.mp4' a still, and it has several pictures" in told
