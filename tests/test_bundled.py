"""The bundled model: found by its name alone, never written to, and run without PyTorch.

A stand-in takes the place of the weights, so that the rules hold before there are any.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

import pytest

from mdhr_sdk import bundled, cli
from mdhr_sdk.bundled import ModelNameWarning
from mdhr_sdk.commands.engine import run_build
from mdhr_sdk.deploy import EngineOptions, build_engine, export_graphs, verify
from mdhr_sdk.errors import ModelFolderError
from mdhr_sdk.folder import ModelFolder
from mdhr_sdk.runtime.base import export_command


@pytest.fixture
def stand_in(tiny_onnx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in the place of 'edge', and an empty working directory."""
    root = tmp_path / "site-packages" / "mdhr_sdk" / "models"
    shutil.copytree(tiny_onnx_folder, root / "edge")
    (root / "edge" / "MODEL_CARD.md").write_text("# edge\n")
    monkeypatch.setattr(bundled, "ROOT", root)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return root / "edge"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mdhr(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Exit code of `mdhr WORDS`."""
    monkeypatch.setattr(sys, "argv", ["mdhr", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "400")
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_bare_name_is_the_bundled_model_and_a_path_is_a_folder(stand_in: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ModelFolder.open("edge").path == stand_in
    for folder in ("./edge", Path("edge"), Path.cwd() / "edge", "models/edge"):
        with pytest.raises(ModelFolderError, match="does not exist"):
            ModelFolder.open(folder)
    shutil.copytree(stand_in, "edge")
    with pytest.warns(ModelNameWarning, match="the folder of that name here is './edge'"):
        assert ModelFolder.open("edge").path == stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for own in ("./edge", Path("edge"), "edge/"):
            assert ModelFolder.open(own).path.resolve() == Path.cwd() / "edge"


def test_a_copy_without_the_model_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundled, "ROOT", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFolderError, match=r"comes with mdhr_sdk.*this copy lacks.*mdhr init FOLDER"):
        ModelFolder.open("edge")
    (tmp_path / "edge").mkdir()
    with pytest.raises(ModelFolderError, match=r"the folder of that name here is './edge'"):
        ModelFolder.open("edge")


def test_nothing_is_written_to_it(stand_in: Path) -> None:
    before = contents(stand_in)
    folder = ModelFolder.open(stand_in)  # by its path it is the same
    for write in (
        lambda: export_graphs("edge", graphs=["head"]),
        lambda: list(verify("edge")),
        lambda: build_engine("edge"),
        lambda: folder.update(licence="mine"),
        lambda: folder.note("head.onnx", parity=None),
        lambda: folder.writing("new.bin", {}).__enter__(),
    ):
        with pytest.raises(ModelFolderError, match="mdhr copy edge FOLDER"):
            write()
    assert contents(stand_in) == before
    assert export_command(folder, "onnx", "clip", "fp16").startswith("mdhr copy edge FOLDER, then mdhr export FOLDER ")


def test_engines_are_built_from_a_copy(stand_in: Path, gpu_machine, capsys: pytest.CaptureFixture[str]) -> None:
    gpu_machine()
    before = contents(stand_in)
    with pytest.raises(ModelFolderError, match="mdhr copy edge FOLDER"):
        run_build("edge", [EngineOptions("head")], dry_run=False)
    run_build("edge", [EngineOptions("head", "fp32")], dry_run=True)
    assert "head.engine" in capsys.readouterr().out and contents(stand_in) == before


def test_a_copy_is_whole_and_can_be_changed(
    stand_in: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.chmod(0o555)
    assert mdhr(monkeypatch, "copy", "edge", "mine") == 0
    assert "mine: a copy of edge" in capsys.readouterr().out
    assert contents(Path("mine")) == contents(stand_in)
    assert ModelFolder.open("mine").update(licence="MIT").config.licence == "MIT"
    assert mdhr(monkeypatch, "copy", "edge", "mine") == 2
    assert "not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["bytes", "name"])
def test_a_damaged_folder_is_not_copied(damage: str, stand_in: Path, tmp_path: Path) -> None:
    manifest = stand_in / "manifest.json"
    if damage == "bytes":
        (stand_in / "head.onnx").write_bytes(b"other")
    else:
        (stand_in.parent / "outside").write_bytes(b"")
        manifest.write_text(manifest.read_text().replace('"head.onnx"', '"../outside"'))
    with pytest.raises(ModelFolderError, match=r"plain file name|other bytes"):
        ModelFolder.open("edge").copy(tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site-packages", "work"]


def test_detect_takes_it_when_no_model_is_named(
    stand_in: Path, demo_frames, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    cv2.imwrite("face.png", demo_frames[0])
    before = contents(stand_in)
    assert mdhr(monkeypatch, "detect", "face.png", "--out", "out", "--no-overlay") == 0
    out = capsys.readouterr().out
    assert "no --model given: taking 'edge', which comes with mdhr_sdk\n" in out and "model edge: " in out
    Path("edge").mkdir()
    assert mdhr(monkeypatch, "detect", "face.png", "--model", "edge", "--out", "out", "--no-overlay") == 0
    assert "no --model given" not in capsys.readouterr().out
    assert mdhr(monkeypatch, "doctor", "./edge") == 2
    assert contents(stand_in) == before
