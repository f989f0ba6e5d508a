"""The bundled model: found by its name alone, never written to, and run without PyTorch.

A stand-in takes the place of the weights, so that the rules hold before there are any.
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk import AUDetector
from mdhr_sdk.atomic import LOCK
from mdhr_sdk.aus import label_set
from mdhr_sdk.cli import app as cli
from mdhr_sdk.cli.parts.engine_building import run_build
from mdhr_sdk.deploy import EngineOptions, build_engine, export_graphs, verify
from mdhr_sdk.errors import ModelFolderError
from mdhr_sdk.modelfolder import bundled
from mdhr_sdk.modelfolder.artefacts import export_command
from mdhr_sdk.modelfolder.bundled import ModelNameWarning
from mdhr_sdk.modelfolder.folder import ModelFolder

REAL = bundled.ROOT / "edge"
TIERS = tuple("AABCBBABCBAB")
LICENCE = "MIT; rendered from ICT Face Model Light, MIT, (c) 2020 USC ICT"


@pytest.fixture
def stand_in(tiny_onnx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in the place of 'edge', and an empty working directory. Its files are shared: replace, never edit."""
    root = tmp_path / "site-packages" / "mdhr_sdk" / "models"
    shutil.copytree(tiny_onnx_folder, root / "edge", copy_function=os.link)
    facts = {"trained": True, "trained_on": "synthetic faces only", "reliability": TIERS, "licence": LICENCE}
    codes = ModelFolder.open(root / "edge").update(**facts).config.model.label_set.codes
    rows = [f"| {code} | its name | {tier} |" for code, tier in zip(codes, TIERS, strict=True)]
    card = "\n".join(["# edge", "Trained on synthetic faces only.", LICENCE, *rows, ""])
    (root / "edge" / "MODEL_CARD.md").write_text(card)
    monkeypatch.setattr(bundled, "ROOT", root)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return root / "edge"


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What changes when anything in a folder is written."""
    found = {path.name: path.stat() for path in folder.iterdir() if path.name != LOCK}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


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
    shutil.copytree(stand_in, "edge", copy_function=os.link)
    with pytest.warns(ModelNameWarning, match="the folder of that name here is './edge'"):
        assert ModelFolder.open("edge").path == stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for own in ("./edge", Path("edge"), "edge/"):
            assert ModelFolder.open(own).path.resolve() == Path.cwd() / "edge"


@pytest.mark.parametrize(
    ("given", "told"), [("x" * 300, "no model folder can be called 'xxx"), (None, "expected the path")]
)
def test_what_can_be_no_folder_is_one_error(given: object, told: str) -> None:
    with pytest.raises(ModelFolderError, match=told):
        ModelFolder.open(given)  # type: ignore[arg-type]


def test_a_copy_without_the_model_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundled, "ROOT", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFolderError, match=r"comes with mdhr_sdk.*this copy lacks.*mdhr init FOLDER"):
        ModelFolder.open("edge")
    (tmp_path / "edge").mkdir()
    with pytest.raises(ModelFolderError, match=r"the folder of that name here is './edge'"):
        ModelFolder.open("edge")


def test_nothing_is_written_to_it(stand_in: Path) -> None:
    before = state(stand_in)
    folder = ModelFolder.open(stand_in)  # by its path it is the same
    for write in (
        lambda: export_graphs("edge", graphs=["head"]),
        lambda: list(verify("edge")),
        lambda: build_engine("edge"),
        lambda: folder.update(licence="mine"),
        lambda: folder.note("head.onnx", "0" * 64, parity=None),
        lambda: folder.writing("new.bin", {}).__enter__(),
    ):
        with pytest.raises(ModelFolderError, match="mdhr copy edge FOLDER"):
            write()
    assert state(stand_in) == before
    assert export_command(folder, "onnx", "clip", "fp16").startswith("mdhr copy edge FOLDER, then mdhr export FOLDER ")


def test_engines_are_built_from_a_copy(stand_in: Path, gpu_machine, capsys: pytest.CaptureFixture[str]) -> None:
    gpu_machine()
    before = state(stand_in)
    with pytest.raises(ModelFolderError, match="mdhr copy edge FOLDER"):
        run_build("edge", [EngineOptions("head")], dry_run=False)
    run_build("edge", [EngineOptions("head", "fp32")], dry_run=True)
    assert "head.engine" in capsys.readouterr().out and state(stand_in) == before


def test_a_copy_is_whole_and_can_be_changed(
    stand_in: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.chmod(0o555)
    assert mdhr(monkeypatch, "copy", "edge", "mine") == 0
    assert "mine: a copy of edge" in capsys.readouterr().out
    names = state(Path("mine")).keys()
    assert names == state(stand_in).keys()
    assert filecmp.cmpfiles(stand_in, "mine", names, shallow=False)[1:] == ([], [])
    assert ModelFolder.open("mine").update(licence="MIT").config.licence == "MIT"
    assert mdhr(monkeypatch, "copy", "edge", "mine") == 2
    assert "not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["bytes", "name"])
def test_a_damaged_folder_is_not_copied(damage: str, stand_in: Path, tmp_path: Path) -> None:
    manifest = stand_in / "manifest.json"
    if damage == "bytes":
        (stand_in / "head.onnx").unlink()
        (stand_in / "head.onnx").write_bytes(b"other")
    else:
        (stand_in.parent / "outside").write_bytes(b"")
        manifest.write_text(manifest.read_text().replace('"head.onnx"', '"../outside"'))
    with pytest.raises(ModelFolderError, match=r"have plain names|other bytes"):
        ModelFolder.open("edge").copy(tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site-packages", "work"]


@pytest.fixture(params=["stand-in", "real"])
def edge(request: pytest.FixtureRequest) -> Path:
    """The stand-in, and the model itself where this copy has it."""
    if request.param == "real" and not REAL.is_dir():
        pytest.skip("this copy has no bundled weights")
    return REAL if request.param == "real" else request.getfixturevalue("stand_in")


def test_its_manifest_vouches_for_every_file(edge: Path) -> None:
    folder = ModelFolder.open(edge)
    assert all(folder.read(name) for name in folder.manifest)
    graphs = {f"{graph}.onnx" for graph in ("encoder", "relations", "temporal")}
    assert graphs | {"config.json", "model.safetensors"} <= set(folder.manifest)
    assert set(state(edge)) - set(folder.manifest) == {"manifest.json", "MODEL_CARD.md"}
    assert all(not folder.manifest[name]["parity"]["failure"] for name in graphs)


def test_it_says_what_it_is(edge: Path) -> None:
    """In its configuration, and in its card, which has no place left to fill in."""
    config, card = ModelFolder.open(edge).config, (edge / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert config.trained and config.trained_on == "synthetic faces only"
    assert len(config.tiers) == len(config.model.label_set.aus) and set(config.reliability) & {"A", "B"}
    for text in (config.licence, " ".join(card.split())):
        assert "MIT" in text and "ICT Face Model Light" in text and "2020 USC ICT" in text
    assert "synthetic faces only" in card.lower()
    for code, tier in config.tiers.items():
        assert re.search(rf"^\| {code} \|[^|]*\| {tier} \|", card, re.MULTILINE), f"{code} is of tier {tier}"
    assert not re.search(r"<[^>\n]+>", card)


@pytest.mark.skipif(not REAL.is_dir(), reason="this copy has no bundled weights")
def test_it_is_small_and_scores_the_aus_of_synthetic_faces() -> None:
    assert (REAL / "model.safetensors").stat().st_size <= 12_000_000
    assert ModelFolder.open(REAL).config.model.label_set == label_set("synthetic")


def test_it_runs_without_pytorch(edge: Path, demo_path: Path) -> None:
    """In both modes, from a folder that is as it was afterwards."""
    code = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm", "onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from pathlib import Path
import cv2
from mdhr_sdk import AUDetector
from mdhr_sdk.modelfolder import bundled
bundled.ROOT = Path(sys.argv[1])
image = cv2.VideoCapture(sys.argv[2]).read()[1]
with AUDetector.from_pretrained("edge") as detector:
    for mode in ("clip", "stream"):
        (frame,) = detector.predict(image, mode=mode)
        scores = {code: score.probability for code, score in frame.faces[0].aus.items()}
        info = frame.model
        print(json.dumps({"scores": scores, "name": info.name, "tag": info.tag, "where": info.where}))
"""
    before = state(edge)
    call = [sys.executable, "-c", code, str(edge.parent), str(demo_path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    on = [code for code, tier in ModelFolder.open(edge).config.tiers.items() if tier != "C"]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2
    for told in lines:
        assert list(told["scores"]) == on and all(0 <= score <= 1 for score in told["scores"].values())
        assert told["name"] == "edge" and told["tag"].endswith(" (trained on synthetic faces only)")
        assert told["where"].startswith("onnxruntime fp32 on ")
    assert state(edge) == before


def test_the_card_to_fill_in_has_a_place_for_all_that_is_asked() -> None:
    template = (Path(__file__).parents[2] / "docs" / "model_card_template.md").read_text(encoding="utf-8")
    assert "Weights: MIT" in template and "ICT Face Model Light" in template and "2020 USC ICT" in template
    assert "| AU | name | tier |" in template and re.search(r"<[^>\n]+>", template)


def test_detect_takes_it_when_no_model_is_named(
    stand_in: Path, demo_frames, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    cv2.imwrite("face.png", demo_frames[0])
    before = state(stand_in)
    assert mdhr(monkeypatch, "detect", "face.png", "--out", "out", "--no-overlay") == 0
    out = capsys.readouterr().out
    assert "(trained on synthetic faces only)" in out
    assert "reliability A: AU01 AU02 " in out and "; off: AU06 AU15 (--all-aus turns them on)" in out
    assert "no --model given: taking 'edge', which comes with mdhr_sdk\n" in out and "model edge: " in out
    Path("edge").mkdir()
    assert mdhr(monkeypatch, "detect", "face.png", "--model", "edge", "--out", "out", "--no-overlay") == 0
    assert "no --model given" not in capsys.readouterr().out
    assert mdhr(monkeypatch, "doctor", "./edge") == 2
    assert state(stand_in) == before


@pytest.mark.skipif(not REAL.is_dir(), reason="this copy has no bundled weights")
def test_it_reads_what_the_bundled_clip_is_known_to_show(demo_path: Path) -> None:
    """Which AUs were rendered when is known; the clip is by another renderer than the one it learnt from."""
    shown = {(30, 44): (1, 2), (75, 95): (4,), (130, 152): (6, 12, 25), (180, 192): (25, 26), (224, 232): (9, 25),
             (272, 282): (17,)}  # fmt: skip
    with AUDetector.from_pretrained("edge", "onnxruntime", max_faces=1) as detector:
        table = detector.predict(demo_path).to_dataframe()
        numbers = [int(code[2:]) for code in detector.codes]
    scores = table[[f"{code}_probability" for code in detector.codes]].to_numpy(float)
    for (first, last), present in shown.items():
        means = dict(zip(numbers, scores[first:last].mean(axis=0), strict=True))
        assert all(means[au] > 0.5 for au in present), (first, means)
    at_rest = np.concatenate([scores[first:last] for first, last in ((0, 20), (100, 112), (160, 172), (292, 310))])
    assert at_rest.max() < 0.45
