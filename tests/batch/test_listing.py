"""From a list of files to jobs, and where their results go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mdhr_sdk import Scope
from mdhr_sdk.batch.listing import jobs_of_list, read_list
from mdhr_sdk.errors import ConfigError, SourceError
from mdhr_sdk.outputs.naming import bases


def test_a_list_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff# films\na b.mp4\r\n\n  s3://bucket/b.mp4  \na b.mp4\n".encode())
    assert read_list(str(path)) == ["a b.mp4", "s3://bucket/b.mp4"]
    path.write_bytes("one\u2028name\x85.mp4\rtwo.mp4".encode())
    assert read_list(str(path)) == ["one\u2028name\x85.mp4", "two.mp4"]
    for content, told in ((b"# nothing\n", "it has none"), (b"\xff\xfe\x00", "no UTF-8")):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=told):
            read_list(str(path))
    with pytest.raises(SourceError, match="cannot read"):
        read_list(str(tmp_path / "none.txt"))


def test_results_keep_the_folders_of_the_sources(tmp_path: Path, demo_path: Path) -> None:
    for name in ("study/P01/a.mp4", "study/P02/a.mp4", "study/P02/x/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(demo_path, tmp_path / name)
    names = [str(tmp_path / name) for name in ("study/P01/a.mp4", "study/P02/a.mp4", "study/P02/x/b.mp4")]
    jobs = jobs_of_list([*names, str(tmp_path / "study" / "gone.mp4"), "memory://films/P03/a.mp4"], Scope(every=2))
    assert [job.base for job in jobs] == ["P01/a", "P02/a", "P02/x/b", "gone", "a"]
    assert [job.url for job in jobs] == ["", "", "", "", "memory://films/P03/a.mp4"]
    assert [job.size_bytes for job in jobs] == [demo_path.stat().st_size] * 3 + [0, 0]
    assert {job.source.scope for job in jobs} == {Scope(every=2)}
    (job,) = jobs_of_list([f"file://{names[0]}"], Scope())
    assert job.source.paths == (Path(names[0]),) and (job.base, job.url) == ("a", "")
    for root, told in ((str(tmp_path), ["study/P01/a"]), (f"file://{tmp_path}/study/P01", ["a"])):
        assert [job.base for job in jobs_of_list(names[:1], Scope(), root)] == told, "also of a part of a list"
    with pytest.raises(ConfigError, match=f"below --root 'memory://films'; '{names[0]}' is not"):
        jobs_of_list(["memory://films/P03/a.mp4", names[0]], Scope(), "memory://films")
    with pytest.raises(ConfigError, match="'rtsp://host/a' is live"):
        jobs_of_list(["rtsp://me:x@host/a"], Scope())


def test_relative_and_absolute_paths_keep_their_folders_too(
    tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("study/P01/a.mp4", "study/P02/a.mp4", "more/P01/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(demo_path)
    monkeypatch.chdir(tmp_path / "study")
    named = [
        "P01/a.mp4",
        str(tmp_path / "study/P02/a.mp4"),
        "../more/P01/a.mp4",
        "s3://x/P01/a.mp4",
        "gs://y/P01/a.mp4",
    ]
    bases = [job.base for job in jobs_of_list(named, Scope())]
    assert bases == ["study/P01/a", "study/P02/a", "more/P01/a", "a", "a-2"]


def test_a_root_and_its_files_may_be_named_by_way_of_a_link(
    tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real" / "P01").mkdir(parents=True)
    (tmp_path / "real" / "P01" / "a.mp4").symlink_to(demo_path)
    (tmp_path / "home").symlink_to("real")
    monkeypatch.chdir(tmp_path / "home")
    for named, root in (("P01/a.mp4", tmp_path / "home"), (f"{tmp_path}/home/P01/a.mp4", "."), ("P01/a.mp4", ".")):
        assert [job.base for job in jobs_of_list([named], Scope(), str(root))] == ["P01/a"]
    with pytest.raises(ConfigError, match="files below --root"):
        jobs_of_list([str(demo_path)], Scope(), str(tmp_path / "home"))


def test_a_file_named_by_several_spellings_is_read_once_and_said(
    tmp_path: Path, demo_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    shutil.copy(demo_path, tmp_path / "study" / "a.mp4")
    (tmp_path / "study" / "link.mp4").symlink_to("a.mp4")
    monkeypatch.chdir(tmp_path)
    named = ["study/a.mp4", "./study/a.mp4", "study/../study/a.mp4", str(tmp_path / "study/a.mp4"), "study/link.mp4"]
    with caplog.at_level("WARNING", "mdhr_sdk"):
        jobs = jobs_of_list(named, Scope())
    assert [job.source.name for job in jobs] == ["study/a.mp4", "study/link.mp4"], "a link may mean another person"
    assert caplog.messages == ["3 sources named more than once, and read once: a.mp4"]
    urls = ["https://host/a.mp4?take=1", "https://host/a.mp4?take=2"]
    assert [(job.base, job.url) for job in jobs_of_list(urls, Scope())] == [("a", urls[0]), ("a-2", urls[1])]


def test_names_below_a_root_are_unique_too() -> None:
    names = ["a/P01/v.mp4", "a/P01/v.mov", "b/P01/V.mp4", "c/v.mp4", "a/..x/v w.mp4"]
    sources = [(name, "video") for name in names]
    assert bases(sources, ["a", "b"]) == ["P01/v_mp4", "P01/v_mov", "P01/V_mp4-2", "v", "x/v_w"]
