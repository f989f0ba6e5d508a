"""Where results go, how content is told apart, and what counts as done."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mdhr_sdk.batch.fingerprint import PIECE_BYTES, PIECES, fingerprint
from mdhr_sdk.batch.places import Folder, Place, destination, fetched, is_remote, opened, public_url
from mdhr_sdk.batch.record import RECORD, Record, check_free, is_done
from mdhr_sdk.errors import OutputError, SourceError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return destination(tmp_path / "out" if request.param == "folder" else f"memory://{tmp_path.name}/out")


def test_a_place_takes_files_whole_and_gives_them_back(place: Place, tmp_path: Path) -> None:
    with place.staging() as staging:
        (staging / "clip_aus.csv").write_text("a,b\n")
        shown = place.put(staging / "clip_aus.csv", "P01/x y/clip_aus.csv")
        assert shown.endswith("out/P01/x y/clip_aus.csv")
    assert (place.size("P01/x y/clip_aus.csv"), place.read("P01/x y/clip_aus.csv")) == (4, b"a,b\n")
    assert (place.size("other"), place.read("other"), place.size("P01")) == (None, None, None)
    place.write("summary.json", "{}")
    assert place.read("summary.json") == b"{}"
    place.write("a.parts/0_aus.csv", "a")
    place.remove("a.parts")
    place.remove("a.parts")
    assert place.size("a.parts/0_aus.csv") is None
    place.tidy(["P01"])
    if isinstance(place, Folder):
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["P01", "summary.json"]


def test_what_is_done_is_so_only_with_all_its_files(place: Place) -> None:
    record = Record("clip.mp4", "/films/clip.mp4", "print", "key", {"clip_aus.csv": 3}, 10, 9, 1.5)
    assert is_done(place, "P01/clip", "print", "key") is None
    place.write("P01/clip_aus.csv", "abc")
    place.write(f"P01/clip{RECORD}", record.text())
    assert is_done(place, "P01/clip", "print", "key") == record
    assert is_done(place, "P01/clip", "other", "key") is None and is_done(place, "P01/clip", "print", "k") is None
    for path, content in (("/films/clip.mp4", "other"), ("/moved/clip.mp4", "print")):
        check_free(place, "P01/clip", path, content)
    with pytest.raises(OutputError, match=r"is of another file, '/films/clip\.mp4', and stays as it is"):
        check_free(place, "P01/clip", "/other/clip.mp4", "other")
    place.write("P01/clip_aus.csv", "ab")
    assert is_done(place, "P01/clip", "print", "key") is None
    place.drop("P01/clip_aus.csv")
    place.drop("P01/clip_aus.csv")
    assert place.size("P01/clip_aus.csv") is None
    for text in ("", "[]", "{", '{"format": 1}', record.text().replace("clip_aus.csv", "../clip_aus.csv")):
        place.write(f"P01/clip{RECORD}", text)
        assert is_done(place, "P01/clip", "print", "key") is None


def test_a_file_that_changed_is_the_same_file_by_way_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    place, paths = destination(tmp_path / "out"), [str(tmp_path / folder / "clip.mp4") for folder in ("real", "link")]
    for path, other in (paths, paths[::-1]):
        place.write(f"clip{RECORD}", Record("clip.mp4", path, "print", "key", {}, 10, 9, 1.5).text())
        check_free(place, "clip", other, "changed")
        with pytest.raises(OutputError, match="is of another file"):
            check_free(place, "clip", str(tmp_path / "other" / "clip.mp4"), "changed")


def test_places_that_cannot_be_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        destination(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot open 'nothing://host/a'"):
        destination("nothing://user:secret@host/a")
    assert destination(f"file://{tmp_path}/x").root == tmp_path / "x"  # type: ignore[attr-defined]
    assert [is_remote(text) for text in ("s3://b/k", "memory://a", "file:///a", "a/b.mp4", "a:b")] == [True] * 2 + [
        False
    ] * 3
    assert public_url("https://me:key@host/a.mp4?token=1#x") == "https://host/a.mp4"
    with pytest.raises(SourceError, match="cannot read memory://nothing/here"), opened("memory://nothing/here"):
        pass


def test_what_a_killed_worker_left_beside_its_results_is_removed(tmp_path: Path) -> None:
    dies = f"""
import os
from pathlib import Path
from mdhr_sdk.atomic import whole
with whole(Path({str(tmp_path / "P01" / "a_run.json")!r})):
    os.kill(os.getpid(), 9)
"""
    (tmp_path / "P01").mkdir()
    subprocess.run([sys.executable, "-c", dies], check=False)
    assert [path.name for path in (tmp_path / "P01").iterdir()] != []
    Folder(tmp_path).tidy(["P02", "P01"])
    assert list((tmp_path / "P01").iterdir()) == []


def test_a_remote_file_is_fetched_under_its_own_suffix(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/films/a.mp4", b"film")
    with fetched("memory://films/a.mp4", tmp_path) as copy:
        assert copy.read_bytes() == b"film" and copy.suffix == ".mp4"
    assert not any(tmp_path.iterdir())
    with (
        pytest.raises(SourceError, match=r"cannot read memory://films/b\.mp4"),
        fetched("memory://films/b.mp4", tmp_path),
    ):
        pass


def test_a_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    one, huge = tmp_path / "one", tmp_path / "huge"
    one.write_bytes(bytes(range(200)) * 1000)
    shutil.copy(one, tmp_path / "copy")
    assert fingerprint([one]) == fingerprint([tmp_path / "copy"]) != fingerprint([one, one])
    fsspec.filesystem("memory").pipe("/copy", one.read_bytes())
    assert fingerprint(["memory://copy"]) == fingerprint([one])
    with huge.open("wb") as file:
        file.truncate(50 << 30)  # takes no space
    before = fingerprint([huge])
    for at in (0, (50 << 30) - 1):
        with huge.open("r+b") as file:
            file.seek(at)
            file.write(b"x")
        before, earlier = fingerprint([huge]), before
        assert before != earlier
    small = PIECES * PIECE_BYTES
    one.write_bytes(bytes(small))
    before = fingerprint([one])
    with one.open("r+b") as file:
        file.seek(small - 3 * PIECE_BYTES // 2)
        file.write(b"x")
    assert fingerprint([one]) != before, "of a small file every byte counts"
    with pytest.raises(SourceError, match="cannot read"):
        fingerprint([tmp_path / "none"])


def test_nothing_is_removed_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine" / "a.parts").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "P01").symlink_to(tmp_path / "mine")
    destination(tmp_path / "out").remove("P01/a.parts")
    assert (tmp_path / "mine" / "a.parts").is_dir()
