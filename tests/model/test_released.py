"""Loading checkpoints in the released layout: all of it or nothing, and every difference named."""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from golden import SHAPES
from mdhr_sdk.cli.models.init import make_folder
from mdhr_sdk.errors import CheckpointError
from mdhr_sdk.model import MDHR, build_mdhr, load_released_checkpoint
from mdhr_sdk.model.released import DERIVED, read_checkpoint

NAME = "disfa_resnet50"


def constant(value: float, shape: list[int]) -> torch.Tensor:
    """Any shape out of one number, so that checkpoints of full size make small files."""
    return torch.full((1,), value).expand(shape) if shape else torch.tensor(value)


@pytest.fixture(scope="module")
def model() -> MDHR:
    return build_mdhr("disfa", "resnet50")


@pytest.fixture
def checkpoint() -> dict[str, torch.Tensor]:
    shapes = SHAPES[NAME].items()
    return {key: constant(float(index), shape) for index, (key, shape) in enumerate(shapes) if not DERIVED.search(key)}


def save(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "released.pth")
    return folder / "released.pth"


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("derived", [False, True])
def test_accepts_every_form(
    model: MDHR, checkpoint: dict[str, torch.Tensor], tmp_path: Path, nested: bool, prefix: str, derived: bool
) -> None:
    if derived:
        checkpoint["Backbone.bn1.num_batches_tracked"] = torch.tensor(7)
    content: Any = {prefix + key: value for key, value in checkpoint.items()}
    load_released_checkpoint(model, save({"state_dict": content, "epoch": 3} if nested else content, tmp_path))
    order = list(SHAPES[NAME])
    # Extractors and temporal convolutions are merged: group "mid" holds AUs 6 and 9, the fourth and fifth AU.
    second_of_mid = model.head.relations.extractors[1].linear.weight[512:]
    assert (second_of_mid == order.index("LRM.class_linears.4.fc.weight")).all()
    assert (model.head.temporal.conv.bias[7 * 512 :] == order.index("TCN.temporal_cnn.7.bias")).all()
    assert (model.encoder.backbone.net.conv1.weight == order.index("Backbone.conv1.weight")).all()
    # The released code's source of an edge is the AU that listens.
    assert (model.head.graph.target == order.index("CRM.gat.scoring_fn_source")).all()


DIFFERENCES: dict[str, tuple[dict[str, torch.Tensor | None], str]] = {
    "renamed": (
        {"MFD.conv2.weight": None, "MFD.conv_two.weight": torch.zeros(1)},
        r"1 missing: MFD\.conv2\.weight; 1 unexpected: MFD\.conv_two",
    ),
    "misshapen": ({"LRM.up_fc.weight": torch.zeros(16, 512)}, r"LRM\.up_fc\.weight \(16, 512\) instead of \(8, 512\)"),
    "only looks derived": (  # a ResNet has no such block
        {"Backbone.layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49)},
        r"1 unexpected: Backbone\.layers\.0\.blocks\.1\.attn_mask",
    ),
    "twice": ({"module.CRM.gat.bias": torch.ones(512)}, "both with and without"),
    "nan": ({"CRM.gat.bias": torch.full((512,), float("nan"))}, r"CRM\.gat\.bias"),
    "integer": ({"CRM.gat.bias": torch.zeros(512, dtype=torch.int64)}, r"CRM\.gat\.bias"),
    "complex": ({"CRM.gat.bias": torch.zeros(512, dtype=torch.complex64)}, r"CRM\.gat\.bias"),
    "sparse": ({"CRM.gat.bias": torch.zeros(512).to_sparse()}, r"CRM\.gat\.bias"),
    "meta": ({"CRM.gat.bias": torch.zeros(512, device="meta")}, r"CRM\.gat\.bias|plain tensors"),
    "quantised": ({"CRM.gat.bias": torch.quantize_per_tensor(torch.zeros(512), 1.0, 0, torch.qint8)},
                  r"CRM\.gat\.bias|plain tensors"),
}  # fmt: skip


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_what_differs_is_named_and_the_model_left_as_it_was(
    model: MDHR, checkpoint: dict[str, torch.Tensor], tmp_path: Path, difference: str
) -> None:
    changes, message = DIFFERENCES[difference]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    content = {key: value for key, value in {**checkpoint, **changes}.items() if value is not None}
    with pytest.raises(CheckpointError, match=message):
        load_released_checkpoint(model, save(content, tmp_path))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_refuses_the_other_label_set(model: MDHR, tmp_path: Path) -> None:
    shapes = SHAPES["bp4d_resnet50"].items()
    other = {key: constant(0.0, shape) for key, shape in shapes if not DERIVED.search(key)}
    with pytest.raises(CheckpointError, match="does not fit disfa resnet50") as caught:
        load_released_checkpoint(model, save(other, tmp_path))
    assert "LRM.down_fc.weight" in caught.value.missing
    assert "LRM.class_linears.11.fc.weight" in caught.value.unexpected
    assert ("LRM.up_fc.weight", (16, 512), (8, 512)) in caught.value.misshapen
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [[1, 2], {}, {"a": 1}, {"state_dict": {"a": "text"}}, torch.zeros(3)],
    ids=["list", "empty", "number", "text", "tensor"],
)
def test_refuses_other_content(model: MDHR, content: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must hold named tensors"):
        load_released_checkpoint(model, save(content, tmp_path))


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("harmed").touch, ())


def test_runs_no_code_from_a_file(model: MDHR, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="must be a checkpoint of plain tensors"):
        load_released_checkpoint(model, save({"state_dict": Harmful()}, tmp_path))
    assert not (tmp_path / "harmed").exists()


def test_refuses_files_that_are_none(model: MDHR, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_released_checkpoint(model, tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(CheckpointError, match="must be a checkpoint"):
        load_released_checkpoint(model, tmp_path / "text.pth")


DUPLICATES = pytest.mark.filterwarnings("ignore:Duplicate name")


@DUPLICATES
@pytest.mark.parametrize("how", ["deflated", "twice", "overlapping"])
def test_refuses_what_would_unpack_to_more_than_it_is(tmp_path: Path, how: str) -> None:
    plain, path = save({"a": torch.zeros(1000)}, tmp_path), tmp_path / "bomb.pth"
    kind = zipfile.ZIP_DEFLATED if how == "deflated" else zipfile.ZIP_STORED
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", kind) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
            if how == "twice" and part.filename.endswith("data/0"):
                target.writestr(part.filename, source.read(part))
        if how == "overlapping":
            largest = max(target.filelist, key=lambda part: part.file_size)
            for index in range(5):
                copied = copy.copy(largest)
                copied.filename = f"archive/data/{index + 1}"
                target.filelist.append(copied)
    with pytest.raises(CheckpointError, match="would unpack to more than it is"):
        read_checkpoint(path)


def test_a_checkpoint_is_read_before_the_model_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdhr_sdk.model.build_mdhr", None)
    for name in ("missing.pth", "text.pth"):
        if name == "text.pth":
            (tmp_path / name).write_text("text")
        with pytest.raises(CheckpointError, match=name):
            make_folder(tmp_path / "model", "bp4d", "resnet50", 5, 0, False, tmp_path / name)
    assert not (tmp_path / "model").exists()


def test_loads_swin_with_its_derived_buffers(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = build_mdhr("bp4d", "swin_base")
    shapes = list(SHAPES["bp4d_swin_base"].items())
    content = {key: constant(float(index), shape) for index, (key, shape) in enumerate(shapes)}
    assert any(key.endswith("attn_mask") for key in content)
    model = model.to_empty(device="cpu")
    load_released_checkpoint(model, save(content, tmp_path))
    order = [key for key, _ in shapes]
    # timm counts a patch merging to the stage that it opens, the released code to the stage that it closes.
    merging = model.encoder.backbone.net.layers[1].downsample.reduction.weight
    assert (merging == order.index("Backbone.layers.0.downsample.reduction.weight")).all()


def test_refuses_models_of_another_form(tmp_path: Path) -> None:
    ablated = build_mdhr("disfa", "resnet18", temporal=False, projection_width=8, au_width=8)
    with pytest.raises(CheckpointError, match=r"changed here: temporal, projection_width, au_width"):
        load_released_checkpoint(ablated, save({"a": torch.zeros(1)}, tmp_path))
