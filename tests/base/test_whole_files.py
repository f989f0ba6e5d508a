"""A file is written whole or not at all, and what a killed writer left is removed, never what a living one has."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdhr_sdk.atomic import LOCK, NAME_BYTES, PREFIX, RESULTS, incomplete, locked, scratch, sweep, whole, write_whole
from mdhr_sdk.errors import DataError, OutputError
from processes import started

WRITES = """
import sys
from pathlib import Path
from mdhr_sdk.atomic import RESULTS, scratch
with scratch(Path(sys.argv[1]), sys.argv[2]) as own:
    (own / "a.csv").write_text("half")
    print(own, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=[PREFIX, RESULTS])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process with a file half written, and its place."""
    words = [sys.executable, "-c", WRITES, tmp_path, request.param]
    with started(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process, Path(process.stdout.readline().strip())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "er" / "a.txt"
    with whole(path, settled=True) as part:
        part.write_text("new")
        assert not path.exists() and stat.S_IMODE(part.parent.stat().st_mode) == 0o700
        assert part.parent.parent == path.parent and part.name == path.name
    assert path.read_text() == "new" and names(path.parent) == ["a.txt"]
    write_whole(path, b"bytes")
    assert path.read_bytes() == b"bytes"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_broken_off_leaves_the_earlier_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with pytest.raises(error), whole(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "earlier" and names(tmp_path) == ["a.txt"]


def test_refusals_are_one_line_of_the_kind_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/a\.txt' cannot be written: .*; choose a folder") as caught:
        write_whole(tmp_path / "file" / "a.txt", "text", DataError)
    assert "\n" not in str(caught.value)
    for make in (Path.mkdir, os.mkfifo):
        place = tmp_path / make.__name__
        make(place)
        with pytest.raises(OutputError, match="something that is no file has this name"):
            write_whole(place, "text")
        assert not place.is_file() and place.exists()
    with pytest.raises(OutputError, match=r"'/dev/null' cannot be written: "):
        write_whole(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()


def test_two_writers_of_one_name_have_a_file_each(tmp_path: Path) -> None:
    with whole(tmp_path / "a.txt") as first, whole(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert (tmp_path / "a.txt").read_text() == "first"  # it ended last


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for name in ("a.txt", ".a.txt.part", f".a.txt.{os.getpid()}.part"):
        (tmp_path / name).symlink_to("mine")
    write_whole(tmp_path / "a.txt", "new")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "a.txt").is_symlink()


def test_the_place_of_a_living_writer_is_left_alone(tmp_path: Path, writer: tuple[subprocess.Popen[str], Path]) -> None:
    process, place = writer
    assert sweep(tmp_path) == [] and (place / "a.csv").read_text() == "half"
    process.communicate("end\n", timeout=60)
    assert process.returncode == 0
    assert place.exists() == place.name.startswith(RESULTS)  # a result that nobody moved stays for the next one


def test_the_place_of_a_killed_writer_goes_and_results_are_kept(
    tmp_path: Path, writer: tuple[subprocess.Popen[str], Path]
) -> None:
    process, place = writer
    (tmp_path / "a.incomplete.csv").write_text("earlier")
    process.kill()
    process.wait()
    kept = sweep(tmp_path)
    assert not place.exists() and (tmp_path / "a.incomplete.csv").read_text() == "earlier"
    results = place.name.startswith(RESULTS)
    assert kept == ([tmp_path / "a.incomplete-2.csv"] if results else [])
    assert names(tmp_path) == ["a.incomplete-2.csv", "a.incomplete.csv"][not results :]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / LOCK).touch()
    (other / "file").touch()
    (tmp_path / f"{PREFIX}linked00").symlink_to(other)
    (tmp_path / f"{PREFIX}a_file00").touch()
    for name in (f"{PREFIX}too-long-a-name", ".writing-12345678", f"{PREFIX}nolock00"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / f"{PREFIX}locklink").mkdir()
    (tmp_path / f"{PREFIX}locklink" / LOCK).symlink_to(other / "file")
    before = sorted(tmp_path.rglob("*"))
    assert sweep(tmp_path, below=True) == [] and sorted(tmp_path.rglob("*")) == before


def test_a_copy_of_a_killed_writers_place_is_not_ours(
    tmp_path: Path, writer: tuple[subprocess.Popen[str], Path]
) -> None:
    """As in a folder that was downloaded: only the file system itself can say what was made here."""
    process, place = writer
    process.kill()
    process.wait()
    copied = tmp_path / "other" / place.name
    shutil.copytree(place, copied)
    assert sweep(copied.parent) == [] and (copied / "a.csv").read_text() == "half"
    sweep(tmp_path)
    assert not place.exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_lock_that_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    lock, other = tmp_path / LOCK, tmp_path / "mine"
    other.write_text("mine")
    if kind == "link":
        lock.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(OSError, match=r"'\.lock' in it is no plain file; remove that"), locked(tmp_path):
        pass
    assert other.read_text() == "mine"


def test_a_lock_with_another_name_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    os.link(tmp_path / "mine", tmp_path / LOCK)
    with locked(tmp_path):
        assert (tmp_path / "mine").read_text() == "mine"


def test_an_empty_place_is_of_one_that_was_killed_before_it_began(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for folder in (tmp_path, tmp_path / "deep"):
        (folder / f"{PREFIX}12345678").mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == ["deep"] and names(tmp_path / "deep") == [f"{PREFIX}12345678"]
    sweep(tmp_path, below=True)
    assert names(tmp_path / "deep") == []


def test_a_place_that_was_swept_while_it_was_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    mkdtemp, made = tempfile.mkdtemp, []

    def slow(**options: object) -> str:
        made.append(mkdtemp(**options))  # type: ignore[call-overload]
        if len(made) == 1:
            sweep(tmp_path)
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", slow)
    with scratch(tmp_path) as own:
        assert own.is_dir() and len(made) == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.csv", "x" * 251 + ".csv", "\u4e2d" * 83 + ".csv", "no_suffix", "\udcff.csv"])
@pytest.mark.parametrize("count", [1, 12])
def test_incomplete_names_fit(tmp_path: Path, name: str, count: int) -> None:
    found = incomplete(tmp_path / name, count)
    assert len(os.fsencode(found.name)) <= NAME_BYTES and found.name.endswith(Path(name).suffix)
    assert f".incomplete{'' if count == 1 else '-12'}" in found.name
    found.touch()


def test_an_interrupt_while_the_place_is_removed_stays_an_interrupt(tmp_path, monkeypatch):
    def removes(*_, **__):
        try:
            raise KeyboardInterrupt
        finally:
            os.close(-1)

    monkeypatch.setattr("mdhr_sdk.atomic.shutil.rmtree", removes)
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / "a.txt") as part:
        part.write_text("a")
    assert (tmp_path / "a.txt").read_text() == "a"
