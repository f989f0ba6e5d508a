"""A worker with the bundled model: results whole or not at all, and the same as those of `mdhr detect`."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fakes import write_film
from mdhr_sdk import Scope
from mdhr_sdk.batch.listing import jobs_of_list
from mdhr_sdk.batch.options import DetectOptions
from mdhr_sdk.batch.outcome import Outcome
from mdhr_sdk.batch.totals import Totals
from mdhr_sdk.batch.worker import Worker
from mdhr_sdk.batch.writer import SourceWriter
from mdhr_sdk.errors import ConfigError, OutputError
from mdhr_sdk.modelfolder.bundled import bundled_models
from mdhr_sdk.outputs.files import Files
from mdhr_sdk.results import FrameResult
from mdhr_sdk.vision import list_sources

pytestmark = pytest.mark.skipif("edge" not in bundled_models(), reason="this copy has no bundled weights")
OPTIONS = DetectOptions(threads=1, max_faces=1, files=Files(overlay=False, timeline=False))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, demo_frames) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "clip.mp4", list(demo_frames[:10]))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def worker(out: Path) -> Iterator[Worker]:
    with closing(Worker(OPTIONS, str(out), resume=True)) as worker:
        yield worker


def test_a_file_is_read_once_and_again_when_it_changed(worker: Worker, film: Path, out: Path, tmp_path: Path) -> None:
    (job,) = jobs_of_list([str(film)], Scope())
    outcome = pickle.loads(pickle.dumps(worker.run(job)))
    assert (outcome.state, outcome.frames, outcome.with_face) == ("done", 10, 10)
    table = out / "clip_aus.csv"
    assert len(pd.read_csv(table)) == 10 and sorted(map(str, outcome.files)) == [
        str(table),
        str(out / "clip_events.csv"),
    ]
    record = json.loads((out / "clip_run.json").read_text())
    assert record["files"]["clip_aus.csv"] == table.stat().st_size and record["seconds"] > 0
    assert worker.run(job).state == "skipped"
    table.write_text("spoilt")
    (out / "clip_aus.jsonl").write_text("{}")  # of a run with more formats
    record["files"] |= {"clip_aus.jsonl": 2, "clip_overlay.mp4": 9}
    (out / "clip_run.json").write_text(json.dumps(record))
    again = worker.run(job)
    assert again.state == "done" and again.replaced == {table, out / "clip_events.csv"}
    assert again.stale == ["clip_aus.jsonl"] and (out / "clip_aus.jsonl").exists()
    totals = Totals(1)
    totals.add(job, again)
    assert totals.stale == 1 and totals.rows[0]["left_from_before"] == again.stale
    thinned = worker.run(replace(job, source=job.source.scoped(Scope(every=2))))
    assert thinned.state == "skipped", "the options are the worker's"
    hidden = [path for path in out.iterdir() if path.name.startswith(".")]
    assert len(hidden) == 1 and [path.name for path in hidden[0].iterdir()] == [".lock"]


def test_what_breaks_off_is_told_and_kept_as_incomplete(worker: Worker, film: Path, out: Path, tmp_path: Path) -> None:
    broken, none = tmp_path / "broken.mp4", tmp_path / "none.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    for job in jobs_of_list([str(broken), str(none)], Scope()):
        outcome = worker.run(job)
        assert outcome.state == "failed" and outcome.files == [] and outcome.timings_s == {}
    assert not list(out.glob("broken*")) and not list(out.glob("none*"))

    before = film.read_bytes()
    (job,) = jobs_of_list([str(film)], Scope())
    made = worker.run(job)
    film.write_bytes(before[: len(before) // 2])
    outcome = worker.run(job)
    film.write_bytes(before)
    assert made.complete and outcome.state == "failed" and set(outcome.stale) == {"clip_aus.csv", "clip_events.csv"}


def test_results_of_another_file_and_of_one_that_changes_are_not_taken(
    film: Path, out: Path, worker: Worker, tmp_path: Path, demo_frames: Any
) -> None:
    worker.run(*jobs_of_list([str(film)], Scope()))
    before = {path: path.read_bytes() for path in out.glob("clip_*")}
    other = write_film(tmp_path / "clip.mp4", list(demo_frames[5:11]))
    outcome = worker.run(*jobs_of_list([str(other)], Scope()))
    assert f"'clip' among the results is of another file, '{film}'" in str(outcome.error)
    assert {path: path.read_bytes() for path in out.glob("clip_*")} == before

    for path in (other, film):
        (source,) = list_sources(path)
        writer = SourceWriter((), Outcome(source, "clip"), out / "clip", OPTIONS.files)
        if path == other:
            with pytest.raises(OutputError, match="of another file"):
                writer.make_room()
        else:
            writer.make_room()
    assert before.keys() - set(out.glob("clip_*")) == {out / "clip_run.json"}, "one after the other, too"

    growing = tmp_path / "growing.mp4"
    shutil.copy(film, growing)
    (job,) = jobs_of_list([str(growing)], Scope())
    count = Outcome.count

    def grown(outcome: Outcome, result: FrameResult) -> None:
        count(outcome, result)
        with growing.open("ab") as file:
            file.write(b"more")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outcome, "count", grown)
        outcome = worker.run(job)
    assert outcome.state == "failed" and "growing.mp4 was changed while it was read" in str(outcome.error)
    made = ["growing_aus.incomplete.csv", "growing_events.incomplete.csv"]
    assert sorted(path.name for path in out.glob("growing*")) == made


def test_a_file_that_was_moved_may_change_at_its_new_place(
    film: Path, out: Path, worker: Worker, tmp_path: Path, demo_frames: Any
) -> None:
    first, moved = tmp_path / "before" / "talk.mp4", tmp_path / "after" / "talk.mp4"
    for path in (first, moved):
        path.parent.mkdir()
    shutil.copy(film, first)
    worker.run(*jobs_of_list([str(first)], Scope()))
    shutil.move(first, moved)
    assert worker.run(*jobs_of_list([str(moved)], Scope())).state == "skipped"
    write_film(moved, list(demo_frames[:6]))
    outcome = worker.run(*jobs_of_list([str(moved)], Scope()))
    assert (outcome.state, outcome.frames) == ("done", 6)


def test_a_change_of_option_or_model_is_another_key(worker: Worker, tmp_path: Path) -> None:
    key = worker.described.key
    assert OPTIONS.key("model") == replace(OPTIONS, threads=2).key("model")
    for other in (
        replace(OPTIONS, smoothing=1.0),
        replace(OPTIONS, scope=Scope(every=2)),
        replace(OPTIONS, fps=50.0),
        replace(OPTIONS, files=Files()),
    ):
        assert other.key("model") != OPTIONS.key("model")
    assert OPTIONS.key("another") != OPTIONS.key("model") != key
    own, keys = replace(OPTIONS, face_model=tmp_path / "own.task"), []
    for content in (b"one", b"two", b"two"):
        (tmp_path / "own.task").write_bytes(content)
        keys.append(own.describe(worker._detector).key)
    assert keys[0] != keys[1] == keys[2], "the content of a face model counts"


@pytest.mark.parametrize("wrong", [{"lookahead": 3}, {"mode": "stream", "lookahead": 99}, {"min_quality": 2.0}])
def test_options_that_no_file_can_be_read_with_end_it_at_once(wrong: dict[str, Any], out: Path) -> None:
    with pytest.raises(ConfigError):
        Worker(replace(OPTIONS, **wrong), str(out))


def test_sources_and_results_in_another_file_system(film: Path, out: Path, worker: Worker) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/films/P01/clip.mp4", film.read_bytes())
    (job,) = jobs_of_list(["memory://films/P01/clip.mp4"], Scope())
    worker.run(*jobs_of_list([str(film)], Scope()))
    with closing(Worker(OPTIONS, "memory://results")) as remote:
        outcome = remote.run(job)
    assert (outcome.state, outcome.frames) == ("done", 10)
    assert sorted(memory.ls("/results", detail=False)) == [
        "/results/clip_aus.csv", "/results/clip_events.csv", "/results/clip_run.json",
    ]  # fmt: skip
    ours = memory.cat_file("/results/clip_aus.csv").replace(b"memory://films/P01/clip.mp4", str(film).encode())
    assert ours == (out / "clip_aus.csv").read_bytes()


def test_a_full_disk_is_told_by_the_names_that_files_were_to_get(film: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    (job,) = jobs_of_list([str(film)], Scope())
    with closing(Worker(OPTIONS, str(tmp_path / "full"))) as worker:
        _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
        try:
            outcome = worker.run(job)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    told = [str(error) for error in (outcome.error, *outcome.failures) if error is not None]
    assert outcome.state == "failed" and f"'{tmp_path / 'full' / 'clip_aus.csv'}' cannot be written" in told[0]
    assert not any(".mdhr-" in text for text in told) and not (tmp_path / "full" / "clip_run.json").exists()
