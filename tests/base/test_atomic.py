"""Several processes at one model folder: nothing is lost, nobody's half-written file is another's, nothing piles up."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mdhr_sdk import atomic
from mdhr_sdk.atomic import LOCK, PREFIX, locked
from mdhr_sdk.aus import label_set
from mdhr_sdk.errors import ModelFolderError
from mdhr_sdk.modelfolder import inside
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.modelfolder.manifest import AGAIN_S

WRITES = """
import sys
from mdhr_sdk.modelfolder.folder import ModelFolder
folder, who = ModelFolder.open(sys.argv[1]), sys.argv[2]
sys.stdin.read(1)
for turn in range(int(sys.argv[3])):
    for name in (f"{who}-{turn}.bin", "shared.bin"):
        with folder.writing(name, {"by": who}) as path:
            path.write_bytes(who.encode() * 1000)
    folder.note(f"{who}-{turn}.bin", folder.manifest[f"{who}-{turn}.bin"]["sha256"], noted=who)
"""

KILLED = """
import os, sys
from pathlib import Path
from mdhr_sdk.modelfolder.folder import ModelFolder
replace = Path.replace
def dies(path, target):
    if path.name == sys.argv[2]:
        os._exit(9)
    return replace(path, target)
Path.replace = dies
folder = ModelFolder.open(sys.argv[1])
"""
WRITES_ONE = (
    KILLED
    + """
with folder.writing("graph.safetensors", {"by": "the killed"}) as path:
    path.write_bytes(b"new")
"""
)
COPIES = KILLED + "folder.copy(sys.argv[3])"


def put(folder: ModelFolder, content: bytes, name: str = "graph.safetensors", by: str = "me") -> None:
    with folder.writing(name, {"by": by}) as path:
        path.write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder.create(tmp_path / "model", FolderConfig(ModelConfig(label_set("disfa"))))


def left_behind(folder: ModelFolder) -> list[Path]:
    return [path for path in folder.path.glob(".*") if path.name != LOCK]


def test_two_processes_lose_nothing_of_each_other(folder: ModelFolder) -> None:
    turns, names = 20, ("a", "b")
    words = [[sys.executable, "-c", WRITES, str(folder.path), who, str(turns)] for who in names]
    processes = [subprocess.Popen(one, stdin=subprocess.PIPE, text=True) for one in words]
    for process in processes:  # both have loaded, or soon will
        process.stdin.write("x")
        process.stdin.close()
    assert [process.wait() for process in processes] == [0, 0]
    manifest = folder.manifest
    for who in names:
        for turn in range(turns):
            assert manifest[f"{who}-{turn}.bin"]["noted"] == who
            assert folder.read(f"{who}-{turn}.bin") == who.encode() * 1000
    assert folder.read("shared.bin") == manifest["shared.bin"]["by"].encode() * 1000
    assert len(manifest) == 1 + 2 * turns + 1 and left_behind(folder) == []


def killed(code: str, folder: ModelFolder, *words: str | Path) -> None:
    """Run `code` with the folder and `words`, of which the first names what it dies instead of moving."""
    assert subprocess.run([sys.executable, "-c", code, folder.path, *words], check=False).returncode == 9


@pytest.mark.parametrize("name", ["graph.safetensors", ".manifest.json.part"])
@pytest.mark.parametrize("first", [True, False])
def test_a_writer_that_was_killed_between_file_and_manifest_is_made_good(
    folder: ModelFolder, name: str, first: bool
) -> None:
    if not first:
        put(folder, b"old", by="another")
    killed(WRITES_ONE, folder, name)
    if name == "graph.safetensors" and first:
        with pytest.raises(ModelFolderError, match=r"no graph\.safetensors"):
            folder.read("graph.safetensors")
    else:
        moved = name != "graph.safetensors"
        assert folder.read("graph.safetensors") == (b"new" if moved else b"old")
        assert folder.manifest["graph.safetensors"]["by"] == ("the killed" if moved else "another")
    put(folder, b"other", "other.bin")
    assert left_behind(folder) == [] and folder.read("other.bin") == b"other"


@pytest.mark.parametrize(
    "change",
    [lambda f: f.update(licence="MIT"), lambda f: f.note("config.json", f.manifest["config.json"]["sha256"], by="me")],
)
def test_whoever_writes_next_makes_it_good_first(folder: ModelFolder, change: Callable[[ModelFolder], None]) -> None:
    killed(WRITES_ONE, folder, ".manifest.json.part")
    assert "graph.safetensors" not in folder.manifest
    change(folder)
    assert folder.manifest["graph.safetensors"]["by"] == "the killed" and folder.read("graph.safetensors") == b"new"


def test_half_a_manifest_is_left_alone(folder: ModelFolder) -> None:
    before = folder.manifest
    (folder.path / ".manifest.json.part").write_text('{"files": {"config.json": ')
    (folder.path / "config.json").write_text("{}")
    with pytest.raises(ModelFolderError, match=r"config\.json' has other bytes"):
        ModelFolder.open(folder.path)
    assert folder.manifest == before


def test_a_copy_that_was_killed_leaves_nothing_for_long(folder: ModelFolder, tmp_path: Path) -> None:
    own, another = tmp_path / "copies" / "mine[1]", tmp_path / "copies" / "other"
    killed(COPIES, folder, own.name, own)
    killed(COPIES, folder, another.name, another)
    assert not own.exists() and all(path.name.startswith(PREFIX) for path in own.parent.iterdir())
    folder.copy(own)
    assert [path.name for path in own.parent.iterdir()] == ["mine[1]"]


def test_a_copy_vouches_for_the_files_that_it_holds(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the files are copied, another process notes something and adds a file, or would like to."""
    read, threads = inside.read, list[threading.Thread]()

    def read_late(place: Path, name: str, size: int | None = None) -> bytes:
        if not threads:
            threads.append(threading.Thread(target=put, args=(folder, b"graph")))
            threads[0].start()
            threads[0].join(0.3)
        return read(place, name, size)

    with monkeypatch.context() as during:
        during.setattr(inside, "read", read_late)
        made = folder.copy(folder.path.with_name("copy"))
    threads[0].join(30)
    assert list(made.manifest) == ["config.json"] and not made.has("graph.safetensors")
    assert folder.read("graph.safetensors") == b"graph"


def test_the_same_file_can_be_written_by_two_at_once_and_the_last_one_counts(folder: ModelFolder) -> None:
    with folder.writing("graph.safetensors", {}) as first:
        first.write_bytes(b"first")
        put(ModelFolder.open(folder.path), b"second")
        assert folder.read("graph.safetensors") == b"second" and first.read_bytes() == b"first"
    assert folder.read("graph.safetensors") == b"first"


def test_a_lock_that_is_held_is_waited_for_and_then_an_error(folder: ModelFolder) -> None:
    with locked(folder.path), ThreadPoolExecutor(1) as other:
        late = other.submit(locked(folder.path, wait_s=0.1).__enter__)
        with pytest.raises(OSError, match=r"another process has been changing the folder for 0\.1 s"):
            late.result()
    with locked(folder.path, wait_s=0):
        pass


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_read_without_a_lock(folder: ModelFolder) -> None:
    put(folder, b"graph")
    folder.path.chmod(0o500)
    try:
        assert ModelFolder.open(folder.path).read("graph.safetensors") == b"graph"
        with pytest.raises(ModelFolderError, match="cannot be written: "), folder.writing("graph.safetensors", {}):
            pass
    finally:
        folder.path.chmod(0o700)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    read = inside.read

    def read_late(place: Path, name: str, size: int | None = None) -> bytes:
        if name == "graph.safetensors":  # the manifest was read
            monkeypatch.setattr(inside, "read", read)
            if damaged:
                (place / name).write_bytes(b"damaged")
            else:
                put(folder, b"new")
        return read(place, name, size)

    put(folder, b"old")
    monkeypatch.setattr(inside, "read", read_late)
    if damaged:
        with pytest.raises(ModelFolderError, match="SHA-256"):
            folder.read("graph.safetensors")
    else:
        assert folder.read("graph.safetensors") == b"new"


def test_reading_takes_no_lock(folder: ModelFolder) -> None:
    put(folder, b"graph")
    (folder.path / LOCK).unlink()
    assert ModelFolder.open(folder.path).read("graph.safetensors") == b"graph" and folder.manifest
    assert not (folder.path / LOCK).exists()


@pytest.mark.parametrize(
    "read", [lambda f: ModelFolder.open(f.path).config.licence == "MIT", lambda f: b"MIT" in f.read("config.json")]
)
def test_a_reader_between_file_and_manifest_waits_for_the_writer(
    folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, read: Callable[[ModelFolder], bool]
) -> None:
    replace, found = Path.replace, []
    reader = threading.Thread(target=lambda: found.append(read(folder)))

    def slow(path: Path, target: Path) -> Path:
        if path.name.startswith(".manifest"):
            reader.start()
            reader.join(0.5)
            found.append("the manifest")
        return replace(path, target)

    with monkeypatch.context() as during:
        during.setattr(Path, "replace", slow)
        folder.update(licence="MIT")
    reader.join(30)
    assert found == ["the manifest", True]


def test_a_reader_leaves_nothing_in_a_folder_that_nobody_writes_to(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "of another library"}')
    with pytest.raises(ModelFolderError, match=r"does not vouch for config\.json"):
        ModelFolder.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_reader_of_a_folder_that_cannot_be_locked_looks_again(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch):
    def locked(_: Path) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    put(folder, b"first")
    graph, waits = folder.path / "graph.safetensors", []
    monkeypatch.setattr("mdhr_sdk.modelfolder.manifest.locked", locked)
    graph.write_bytes(b"other")
    monkeypatch.setattr(
        "mdhr_sdk.modelfolder.manifest.time.sleep", lambda s: (waits.append(s), graph.write_bytes(b"first"))
    )
    assert folder.read("graph.safetensors") == b"first" and waits == [AGAIN_S]
    monkeypatch.setattr("mdhr_sdk.modelfolder.manifest.time.sleep", waits.append)
    graph.write_bytes(b"other")
    with pytest.raises(ModelFolderError, match=r"graph\.safetensors' has other bytes"):
        folder.read("graph.safetensors")


def test_a_sweep_clears_only_so_many_folders_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(atomic, "MOST_LEFT", 3)
    for at in range(5):
        (tmp_path / f"{atomic.PREFIX}0000000{at}").mkdir()
    atomic.sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 and "has 5 folders of killed writers; 3 are cleared now" in caplog.text
    atomic.sweep(tmp_path)
    assert not list(tmp_path.iterdir())
