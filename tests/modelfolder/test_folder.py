"""Model folders: opened only when sound, written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdhr_sdk.atomic import LOCK
from mdhr_sdk.aus import label_set
from mdhr_sdk.errors import ConfigError, ModelFolderError
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig
from mdhr_sdk.modelfolder.folder import ModelFolder, sha256

CONFIG = FolderConfig(ModelConfig(label_set("disfa")), clip_length=8)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    """With one artefact, `graph.safetensors`."""
    made = ModelFolder.create(tmp_path / "model", CONFIG)
    with made.writing("graph.safetensors", {"tool": "a test"}) as path:
        path.write_bytes(b"first")
    return made


def vouch(path: Path, name: str) -> None:
    """Let the manifest vouch for a file as it is, as a careless hand would."""
    manifest = path / "manifest.json"
    files = json.loads(manifest.read_text())["files"] if manifest.exists() else {}
    files[name] = {**files.get(name, {}), "sha256": sha256(path / name)}
    manifest.write_text(json.dumps({"files": files}))


def contents(folder: ModelFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir() if path.name != LOCK}


def test_create_then_open(tmp_path: Path):
    made = ModelFolder.create(tmp_path / "deep" / "model", CONFIG)
    assert sorted(contents(made)) == ["config.json", "manifest.json"]
    opened = ModelFolder.open(str(made.path))
    assert opened.config == CONFIG and opened.path == made.path
    assert list(opened.manifest) == ["config.json"]


def test_create_in_an_empty_folder(tmp_path: Path):
    assert ModelFolder.create(tmp_path, CONFIG).has("config.json")


def test_create_refuses_what_holds_something(tmp_path: Path, folder: ModelFolder):
    before = contents(folder)
    (tmp_path / "file").write_text("mine")
    for path in (folder.path, tmp_path / "file"):
        with pytest.raises(ModelFolderError, match="not an empty folder"):
            ModelFolder.create(path, CONFIG)
    assert contents(folder) == before
    with pytest.raises(ModelFolderError, match="cannot be made"):
        ModelFolder.create(tmp_path / "file" / "model", CONFIG)


def test_create_without_room_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        fill_the_disk(patch, at="config.json")
        with pytest.raises(ModelFolderError, match="No space left"):
            ModelFolder.create(tmp_path / "model", CONFIG)
    assert ModelFolder.create(tmp_path / "model", CONFIG).has("config.json")


def test_open_says_what_is_wrong(tmp_path: Path):
    with pytest.raises(ModelFolderError, match=r"'edge' comes with mdhr_sdk .*, and mdhr init FOLDER makes"):
        ModelFolder.open(tmp_path / "none")
    with pytest.raises(ModelFolderError, match=r"no config\.json"):
        ModelFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "cannot be read"),
        (b"{}", "model"),
        (CONFIG.to_json().replace('"k": 5', '"k": 0').encode(), "k must be"),
        (CONFIG.to_json().replace('"format": 1', '"format": 2').encode(), "update mdhr_sdk"),
    ],
)
def test_open_refuses_a_bad_config_and_says_where(tmp_path: Path, data: bytes, hint: str):
    (tmp_path / "config.json").write_bytes(data)
    vouch(tmp_path, "config.json")
    with pytest.raises(ModelFolderError, match=hint) as caught:
        ModelFolder.open(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)


def test_open_refuses_a_config_that_is_a_folder(tmp_path: Path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ModelFolderError, match=r"no config\.json"):
        ModelFolder.open(tmp_path)


def test_an_edited_config_is_refused(folder: ModelFolder):
    config = folder.path / "config.json"
    config.write_text(config.read_text().replace('"trained": false', '"trained": true'))
    with pytest.raises(ModelFolderError, match=r"config\.json' has other bytes"):
        ModelFolder.open(folder.path)
    (folder.path / "manifest.json").unlink()
    with pytest.raises(ModelFolderError, match=r"does not vouch for config\.json"):
        ModelFolder.open(folder.path)


def test_a_graph_of_other_weights_or_configuration_is_stale(folder: ModelFolder):
    for content in (b"weights", b"new weights"):
        with folder.writing("model.safetensors", {}) as path:
            path.write_bytes(content)
        if content == b"weights":
            digest = folder.manifest["model.safetensors"]["sha256"]
            with folder.writing("graph.safetensors", {"source_sha256": digest}) as path:
                path.write_bytes(b"graph")
            assert folder.stale("graph.safetensors") is None and folder.read("graph.safetensors") == b"graph"
    with pytest.raises(ModelFolderError, match="other weights"):
        folder.read("graph.safetensors")


def test_update_seals_again_and_keeps_the_graphs_that_do_not_depend_on_it(folder: ModelFolder):
    changed = folder.update(thresholds=(0.4,) * 8, licence="MIT")
    assert ModelFolder.open(folder.path).config == changed.config
    assert changed.config.thresholds == (0.4,) * 8 and changed.read("graph.safetensors") == b"first"
    other = changed.update(clip_length=4)
    assert "another architecture, input or clip length" in str(other.stale("graph.safetensors"))
    with pytest.raises(ConfigError, match="thresholds"):
        folder.update(thresholds=(2.0,) * 8)
    with pytest.raises(ConfigError, match=r"unknown setting .threshold.; did you mean .thresholds."):
        folder.update(threshold=0.5)
    one = folder.update(thresholds={"AU12": np.float64(0.7)}).config
    codes = one.model.label_set.codes
    assert dict(zip(codes, one.thresholds, strict=True)) == {code: 0.7 if code == "AU12" else 0.4 for code in codes}
    with pytest.raises(ConfigError, match="no threshold for 'AU99'"):
        folder.update(thresholds={"AU99": 0.7})


def test_update_keeps_what_another_changed_meanwhile(folder: ModelFolder):
    other = ModelFolder.open(folder.path)
    folder.update(licence="MIT", provenance="mine")
    told = other.update(thresholds=(0.4,) * 8, licence="BSD")
    assert told.config == ModelFolder.open(folder.path).config
    assert (told.config.licence, told.config.provenance, told.config.thresholds) == ("BSD", "mine", (0.4,) * 8)
    (folder.path / "config.json").write_text("{}")
    with pytest.raises(ModelFolderError, match=r"config\.json' has other bytes"):
        other.update(licence="MIT")


def test_a_graph_is_not_kept_whose_weights_were_replaced_while_it_was_made(folder: ModelFolder):
    with folder.writing("model.safetensors", {}) as path:
        path.write_bytes(b"weights")
    digest, before = folder.manifest["model.safetensors"]["sha256"], folder.read("graph.safetensors")
    with (
        pytest.raises(
            ModelFolderError, match=r"safetensors was replaced while graph\.safetensors was made .* make it again"
        ),
        folder.writing("graph.safetensors", {"source_sha256": digest}) as path,
    ):
        path.write_bytes(b"of the old weights")
        with folder.writing("model.safetensors", {}) as weights:
            weights.write_bytes(b"new weights")
    assert folder.read("graph.safetensors") == before and "source_sha256" not in folder.manifest["graph.safetensors"]


def test_an_artefact_comes_with_how_it_was_made(folder: ModelFolder):
    assert folder.read("graph.safetensors") == b"first"
    digest = hashlib.sha256(b"first").hexdigest()
    entry = dict(folder.manifest["graph.safetensors"])
    assert len(entry.pop("config_sha256")) == 64
    assert entry == {"tool": "a test", "bytes": 5, "sha256": digest}
    path = folder.path / "graph.safetensors"
    assert sha256(path) == digest
    assert path.stat().st_mode & 0o777 == 0o644
    assert ModelFolder.open(folder.path).read("graph.safetensors") == b"first"


@pytest.mark.parametrize("changed", [b"fisst", b"firs", b"first\n", b""])
def test_an_artefact_of_other_bytes_is_refused(folder: ModelFolder, changed: bytes):
    (folder.path / "graph.safetensors").write_bytes(changed)
    with pytest.raises(ModelFolderError, match="SHA-256"):
        folder.read("graph.safetensors")


def test_an_artefact_that_is_missing_or_unknown_is_refused(folder: ModelFolder):
    with pytest.raises(ModelFolderError, match=r"no other\.onnx"):
        folder.read("other.onnx")
    (folder.path / "other.onnx").write_bytes(b"from elsewhere")
    with pytest.raises(ModelFolderError, match=r"does not vouch for other\.onnx"):
        folder.read("other.onnx")
    (folder.path / "manifest.json").unlink()
    with pytest.raises(ModelFolderError, match=r"does not vouch for graph\.safetensors"):
        folder.read("graph.safetensors")
    (folder.path / "graph.safetensors").unlink()
    assert not folder.has("graph.safetensors")
    with pytest.raises(ModelFolderError, match=r"no graph\.safetensors"):
        folder.read("graph.safetensors")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"files": []}', '{"files": {"graph.safetensors": "sha"}}', '{"files": null}']
)
def test_a_damaged_manifest_is_refused(folder: ModelFolder, text: str):
    (folder.path / "manifest.json").write_text(text)
    with pytest.raises(ModelFolderError, match=r"manifest\.json"):
        folder.read("graph.safetensors")


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"sha256": 5}, "a 'sha256' that is no text"),
        ({"options": []}, "a 'options' that is no object"),
        ({"parity": "x"}, "a 'parity' that is no object"),
        ({"parity_in_openvino_fp32": 1}, "a 'parity_in_openvino_fp32' that is no object"),
        ({"target": "Orin"}, "a 'target' that is no object"),
        ({"streams_in_openvino_fp32": {"0": "x"}}, "'streams_in_openvino_fp32' that holds something else than objects"),
        ({"options": {"graph": "clip"}}, "'options' whose graph or precision is no text"),
    ],
)
def test_an_entry_that_is_damaged_is_named(folder: ModelFolder, said: dict[str, Any], wrong: str):
    entry = {**folder.manifest["graph.safetensors"], **said}
    (folder.path / "manifest.json").write_text(json.dumps({"files": {"graph.safetensors": entry}}))
    with pytest.raises(ModelFolderError, match=f"of graph.safetensors it says .*{wrong}; take that entry out of it"):
        folder.read("graph.safetensors")


def test_an_entry_may_leave_out_what_it_does_not_know(folder: ModelFolder):
    entry = {**folder.manifest["graph.safetensors"], "options": None, "parity": None, "streams_in_openvino_fp32": None}
    (folder.path / "manifest.json").write_text(json.dumps({"files": {"graph.safetensors": entry}}))
    assert folder.read("graph.safetensors") == b"first"


def test_a_manifest_entry_without_a_digest_vouches_for_nothing(folder: ModelFolder):
    (folder.path / "manifest.json").write_text(json.dumps({"files": {"graph.safetensors": {"bytes": 5}}}))
    with pytest.raises(ModelFolderError, match="vouch"):
        folder.read("graph.safetensors")


def test_writing_replaces_one_artefact_and_keeps_the_others(folder: ModelFolder):
    with folder.writing("second.bin", {}) as path:
        path.write_bytes(b"second")
    with folder.writing("graph.safetensors", {"tool": "another"}) as path:
        assert not path.exists() and folder.read("graph.safetensors") == b"first", "the old one until the end"
        path.write_bytes(b"third")
    assert folder.read("graph.safetensors") == b"third"
    assert folder.read("second.bin") == b"second"
    assert folder.manifest["graph.safetensors"]["tool"] == "another"
    assert set(contents(folder)) == {"config.json", "manifest.json", "graph.safetensors", "second.bin"}


def test_what_is_learnt_while_writing_goes_to_the_manifest(folder: ModelFolder):
    made: dict[str, Any] = {"tool": "a test"}
    with folder.writing("graph.safetensors", made) as path:
        path.write_bytes(b"third")
        made["parity"] = {"max_score_error": 0.0}
    assert folder.manifest["graph.safetensors"]["parity"] == {"max_score_error": 0.0}


@pytest.mark.parametrize("name", ["graph.safetensors", "new.onnx"])
@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, ModelFolderError])
def test_an_exception_while_writing_leaves_everything_as_it_was(folder: ModelFolder, name: str, kind: type):
    before = contents(folder)
    with pytest.raises(kind, match="halfway"), folder.writing(name, {}) as path:
        path.write_bytes(b"hal")
        raise kind("halfway")
    assert contents(folder) == before


def test_an_artefact_that_was_never_written_is_an_error(folder: ModelFolder):
    before = contents(folder)
    with pytest.raises(ModelFolderError, match="cannot be written"), folder.writing("graph.safetensors", {}):
        pass
    assert contents(folder) == before


def fill_the_disk(patch: pytest.MonkeyPatch, at: str) -> None:
    """Let writing to a file of that name fail half done, as a full disk does."""
    write_text = Path.write_text

    def full(path: Path, text: str, *args: Any, **kwargs: Any) -> int:
        if path.name != at:
            return write_text(path, text, *args, **kwargs)
        write_text(path, text[: len(text) // 2], *args, **kwargs)
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(Path, "write_text", full)


def no_room_for_the_artefact(patch: pytest.MonkeyPatch, path: Path) -> None:
    path.write_bytes(b"hal")
    raise OSError(errno.ENOSPC, "No space left on device")


def no_room_for_the_manifest(patch: pytest.MonkeyPatch, path: Path) -> None:
    path.write_bytes(b"whole")
    fill_the_disk(patch, at="manifest.json")


@pytest.mark.parametrize("name", ["graph.safetensors", "new.onnx"])
@pytest.mark.parametrize("fill", [no_room_for_the_artefact, no_room_for_the_manifest])
def test_a_full_disk_leaves_everything_as_it_was(
    folder: ModelFolder, name: str, fill: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    before = contents(folder)
    with (
        monkeypatch.context() as patch,
        pytest.raises(ModelFolderError, match=f"{name}' cannot be written: No space left on device"),
        folder.writing(name, {}) as path,
    ):
        fill(patch, path)
    assert contents(folder) == before
    assert folder.read("graph.safetensors") == b"first"


def test_a_manifest_that_cannot_be_read_is_not_overwritten(folder: ModelFolder):
    (folder.path / "manifest.json").write_text("{")
    with pytest.raises(ModelFolderError, match=r"manifest\.json"), folder.writing("graph.safetensors", {}) as path:
        path.write_bytes(b"third")
    assert contents(folder)["manifest.json"] == b"{" and contents(folder)["graph.safetensors"] == b"first"


@pytest.mark.parametrize(
    "name", ["../graph.safetensors", "/tmp/graph.safetensors", "a/b", "a\\b", "..", ".", ".hidden", ""]
)
def test_names_that_lead_elsewhere_are_refused(folder: ModelFolder, name: str):
    before = contents(folder)
    with pytest.raises(ModelFolderError, match="plain file name"), folder.writing(name, {}) as path:
        path.write_bytes(b"never")
    assert contents(folder) == before


def test_a_copied_folder_is_as_good(folder: ModelFolder, tmp_path: Path):
    shutil.copytree(folder.path, tmp_path / "copy")
    assert ModelFolder.open(tmp_path / "copy").read("graph.safetensors") == b"first"


def test_a_folder_is_copied_onto_one_that_holds_only_a_lock(folder: ModelFolder, tmp_path: Path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / LOCK).touch()
    assert folder.copy(tmp_path / "copy").read("graph.safetensors") == b"first"
