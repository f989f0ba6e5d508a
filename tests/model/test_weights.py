"""A model folder gives back the model that was saved."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mdhr_sdk.errors import CheckpointError, ModelFolderError
from mdhr_sdk.model import build_mdhr, load_model, save_model
from mdhr_sdk.modelfolder.folder import ModelFolder, sha256
from mdhr_sdk.runtime.stream.parameters import read_parameters


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    model = build_mdhr("disfa", "resnet18", k=3, projection_width=8, au_width=8, edges="cross_full")
    save_model(model, tmp_path / "model", clip_length=8, thresholds=(0.4,) * 8, licence="MIT", provenance="a test")
    return tmp_path / "model"


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Replace the weights and let the manifest vouch for them."""
    save_file(tensors, folder / "model.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.safetensors"]["sha256"] = sha256(folder / "model.safetensors")
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_round_trip(saved: Path) -> None:
    torch.manual_seed(1)
    original = build_mdhr("disfa", "resnet18", k=3, projection_width=8, au_width=8, edges="cross_full").eval()
    loaded = load_model(saved)
    x = torch.randn(1, 3, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(original(x).scores, loaded(x).scores)
    assert loaded.config == original.config and not loaded.training
    config = ModelFolder.open(saved).config
    assert (config.clip_length, config.thresholds, config.licence) == (8, (0.4,) * 8, "MIT")
    assert config.trained is False


def test_halves_are_stored_and_floats_computed(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build_mdhr("disfa", "resnet18", projection_width=8, au_width=8).eval()
    sizes = {}
    for half in (False, True):
        folder = save_model(model, tmp_path / str(half), half=half)
        sizes[half] = (folder.path / "model.safetensors").stat().st_size
    assert sizes[True] < 0.51 * sizes[False]
    stored, loaded = load_file(tmp_path / "True" / "model.safetensors"), load_model(tmp_path / "True").state_dict()
    for key, exact in model.state_dict().items():
        kernel = exact.ndim > 1
        assert stored[key].dtype == (torch.float16 if kernel else exact.dtype)
        assert loaded[key].dtype == exact.dtype
        assert torch.equal(loaded[key], exact.half().float() if kernel else exact)
    folder = ModelFolder.open(tmp_path / "True")
    assert folder.manifest["model.safetensors"]["options"] == {"stored": "fp16"}
    for one in dataclasses.asdict(read_parameters(folder, scaled=False)).values():
        assert one.dtype == np.float32


def test_a_weight_beyond_halves_is_refused(tmp_path: Path) -> None:
    model = build_mdhr("disfa", "resnet18", projection_width=8, au_width=8)
    model.head.score.reference.data[0, 0] = 1e5
    with pytest.raises(ModelFolderError, match=r"head\.score\.reference does not fit into fp16"):
        save_model(model, tmp_path / "model", half=True)
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_used_folder(saved: Path) -> None:
    with pytest.raises(ModelFolderError, match="not an empty folder"):
        save_model(load_model(saved), saved)


def test_refuses_changed_weights(saved: Path) -> None:
    with (saved / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(ModelFolderError, match="SHA-256"):
        load_model(saved)


def test_refuses_a_folder_without_weights(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(ModelFolderError, match=r"has no model\.safetensors"):
        load_model(saved)


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    model = build_mdhr("disfa", "resnet18", projection_width=8, au_width=8)
    monkeypatch.setattr("mdhr_sdk.model.weights.save_file", full)
    with pytest.raises(ModelFolderError, match="No space left"):
        save_model(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_edited_config_is_refused(saved: Path) -> None:
    text = (saved / "config.json").read_text()
    (saved / "config.json").write_text(text.replace('"trained": false', '"trained": true'))
    with pytest.raises(ModelFolderError, match=r"config\.json' has other bytes"):
        load_model(saved)


def test_names_keys_that_do_not_fit(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    tensors["head.graph.biased"] = tensors.pop("head.graph.bias")
    rewrite(saved, tensors)
    with pytest.raises(CheckpointError, match=r"1 missing: head\.graph\.bias; 1 unexpected: head\.graph\.biased"):
        load_model(saved)


def test_refuses_a_file_that_is_no_safetensors(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(b"hello")
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"]["model.safetensors"]["sha256"] = sha256(saved / "model.safetensors")
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelFolderError, match="not a safetensors file"):
        load_model(saved)


def test_an_empty_folder_is_filled_and_emptied_again_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_mdhr("disfa", "resnet18", projection_width=8, au_width=8)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with monkeypatch.context() as patch:
        patch.setattr("mdhr_sdk.model.weights.save_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
        with pytest.raises(ModelFolderError, match="No space"):
            save_model(model, ".")
    assert list(here.iterdir()) == []
    save_model(model, ".")
    assert load_model(here).config == model.config
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    save_model(model, tmp_path / "link")
    assert load_model(tmp_path / "empty").config == model.config
