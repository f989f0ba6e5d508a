"""A model folder gives back the model that was saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine_helpers import vouch
from mdhr_sdk.errors import CheckpointError, ModelFolderError
from mdhr_sdk.model import build_mdhr, load_model, save_model
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime.stream.parameters import read_parameters


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    model = build_mdhr("disfa", "resnet18", k=3, projection_width=8, au_width=8, edges="cross_full")
    save_model(model, tmp_path / "model", clip_length=8, thresholds=(0.4,) * 8, licence="MIT", provenance="a test")
    return tmp_path / "model"


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
    for one in read_parameters(folder, scaled=False).arrays().values():
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


def change_a_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")


def rename_a_key(path: Path) -> None:
    tensors = load_file(path)
    tensors["head.graph.biased"] = tensors.pop("head.graph.bias")
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("name", "change", "vouched", "message"),
    [
        ("model.safetensors", change_a_byte, False, "SHA-256"),
        ("model.safetensors", Path.unlink, False, r"has no model\.safetensors"),
        ("model.safetensors", lambda path: path.write_bytes(b"hello"), True, "not a safetensors file"),
        ("model.safetensors", rename_a_key, True, r"1 missing: head\.graph\.bias; 1 unexpected: head\.graph\.biased"),
        ("config.json", lambda path: path.write_text(path.read_text() + " "), False, r"config\.json' has other bytes"),
    ],
)
def test_refuses_what_was_not_saved(
    saved: Path, name: str, change: Callable[[Path], object], vouched: bool, message: str
) -> None:
    change(saved / name)
    if vouched:
        vouch(saved, name)
    with pytest.raises(CheckpointError if "missing" in message else ModelFolderError, match=message):
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
        for path in (".", tmp_path / "new"):
            with pytest.raises(ModelFolderError, match="No space"):
                save_model(model, path)
    assert list(here.iterdir()) == [] and list(tmp_path.iterdir()) == [here]
    save_model(model, ".")
    assert load_model(here).config == model.config
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    save_model(model, tmp_path / "link")
    assert load_model(tmp_path / "empty").config == model.config
