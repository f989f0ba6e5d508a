"""Workers on a real Ray cluster of this machine: killed actors, bad files, and the results of `mdhr detect`."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from batch_workers import Counting, job, refusing
from fakes import write_film
from mdhr_sdk.batch.crews.cluster import Ray, Share
from mdhr_sdk.batch.outcome import Outcome
from mdhr_sdk.batch.study import run_study
from mdhr_sdk.errors import BackendError, MissingDependencyError
from mdhr_sdk.modelfolder.bundled import bundled_models
from processes import environment, run_python


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"'ray', which is not installed; .*\[cluster\]"):
        Ray(partial(Counting, tmp_path / "log"))


@pytest.mark.slow
def test_killed_actors_and_bad_files_end_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    names = ["a", "kill once", "kill", "fail", "raise", *(f"c{index}" for index in range(10))]
    found: dict[str, Outcome] = {}

    def tell(job: object, outcome: Outcome) -> None:
        assert outcome.source.name not in found, "an outcome comes once"
        found[outcome.source.name] = outcome

    with closing(Ray(partial(Counting, tmp_path / "log"), share=Share(cores=0.5), size=2)) as crew:
        run_study([job(number, name) for number, name in enumerate(names)], crew, tell)
        assert crew.described is not None and crew.free >= 1  # one may begin once more
    bad = dict.fromkeys(("kill", "fail", "raise"), "failed")
    assert {name: found[name].state for name in names} == dict.fromkeys(names, "done") | bad
    assert "was tried 2 times and has no results: its worker ended" in str(found["kill"].error)
    assert "nobody thought of this" in str(found["raise"].error)
    with pytest.raises(BackendError, match="opened here"), closing(Ray(refusing, share=Share(0.5), size=1)) as crew:
        run_study([job(0, "a")], crew, tell)
    with pytest.raises(BackendError, match="expected room for a worker of 5000 cores"):
        Ray(refusing, share=Share(5000))
    with pytest.raises(BackendError, match=r"cannot join a Ray cluster at '127\.0\.0\.1:1'"):
        Ray(refusing, "127.0.0.1:1")


@pytest.mark.slow
@pytest.mark.skipif("edge" not in bundled_models(), reason="this copy has no bundled weights")
def test_a_cluster_gives_the_bytes_of_detect(tmp_path: Path, demo_frames) -> None:
    pytest.importorskip("ray")
    for person in ("P01", "P02"):
        (tmp_path / "study" / person).mkdir(parents=True)
        write_film(tmp_path / "study" / person / "a.mp4", list(demo_frames[: 12 if person == "P01" else 20]))
    (tmp_path / "study" / "P02" / "bad.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in sorted((tmp_path / "study").rglob("*.mp4"))))
    words = ("--no-overlay", "--no-timeline")
    call = ("-m", "mdhr_sdk", "batch", tmp_path / "list.txt", "--out", tmp_path / "ray", "--ray", "local", *words)
    done = run_python(*call)
    assert done.returncode == 2 and done.stderr.count("error: ") == 1 and "bad.mp4" in done.stderr, done.stderr
    plain = ("-m", "mdhr_sdk", "detect", f"{tmp_path}/study/**/a.mp4", "--out", tmp_path / "plain", *words)
    assert run_python(*plain).returncode == 0
    for name in ("P01/a_aus.csv", "P01/a_events.csv", "P02/a_aus.csv", "P02/a_events.csv"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name
