"""Attacks by what the files of a model folder say: configuration, manifest, weights, checkpoints."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attacks_on_paths import Attack, opens, says, streams, updates, vouch

KEY = "head.dynamics.norms.0.weight"


def config(**changes: Any) -> Callable[[Path], None]:
    """Fields of config.json; those of the architecture by 'model__NAME'."""

    def prepare(arena: Path) -> None:
        path = arena / "model" / "config.json"
        content = json.loads(path.read_text())
        for name, value in changes.items():
            (content["model"] if name.startswith("model__") else content)[name.removeprefix("model__")] = value
        path.write_text(json.dumps(content))
        vouch(arena / "model", "config.json")
        _of_this_config(arena / "model")

    return prepare


def _of_this_config(folder: Path) -> None:
    """Let the graphs claim to be of whatever config.json says."""
    manifest = folder / "manifest.json"
    files = json.loads(manifest.read_text())["files"]
    for entry in files.values():
        entry.pop("config_sha256", None)
    manifest.write_text(json.dumps({"files": files}))


def text(name: str, made: Callable[[str], str], vouched: bool = True) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        path = arena / "model" / name
        path.write_text(made(path.read_text()))
        if vouched:
            vouch(arena / "model", name)

    return prepare


def entry(name: str, **facts: Any) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        vouch(arena / "model", name, **facts)

    return prepare


def weights(change: Callable[[dict[str, Any]], None], graphs: bool = True) -> Callable[[Path], None]:
    """Other tensors, for which the graphs vouch too."""

    def prepare(arena: Path) -> None:
        from safetensors.numpy import load_file, save_file

        folder = arena / "model"
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")
        _reseal_weights(folder)

    return prepare


def _reseal_weights(folder: Path) -> None:
    vouch(folder, "model.safetensors")
    manifest = folder / "manifest.json"
    files = json.loads(manifest.read_text())["files"]
    for one in files.values():
        if "source_sha256" in one:
            one["source_sha256"] = files["model.safetensors"]["sha256"]
    manifest.write_text(json.dumps({"files": files}))


def raw_weights(header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        head = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = len(head) if length is None else length
        (arena / "model" / "model.safetensors").write_bytes(struct.pack("<Q", size) + head + data)
        _reseal_weights(arena / "model")

    return prepare


def cut(name: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        path = arena / "model" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        if name.endswith(".safetensors"):
            _reseal_weights(arena / "model")
        elif name != "manifest.json":
            vouch(arena / "model", name)

    return prepare


def deflated(arena: Path) -> None:
    """A checkpoint of a few MB whose one tensor has gigabytes."""
    import torch

    plain = io.BytesIO()
    torch.save({"Backbone.conv1.weight": torch.zeros(4)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(arena / "model" / "bomb.pth", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"K\x04", b"J" + struct.pack("<i", 500_000_000))
            if name.endswith("data/0"):
                with target.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                    pass
                info = zipfile.ZipInfo(name + ".")
                info.compress_type = zipfile.ZIP_DEFLATED
                info.filename = name
                with target.open(info, "w", force_zip64=True) as file:
                    for _ in range(2000):
                        file.write(bytes(1_000_000))
            else:
                target.writestr(name, content)


def pickled(arena: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (arena / "home" / "pwned",))

    (arena / "model" / "bomb.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))


def reads_checkpoint(arena: Path) -> str:
    from mdhr_sdk.model.released import read_checkpoint

    return str(len(read_checkpoint(arena / "model" / "bomb.pth")))


def loads_in_torch(arena: Path) -> str:
    return opens(arena, backend="torch")


def deep(_: str) -> str:
    return '{"files": ' + "[" * 100_000 + "]" * 100_000 + "}"


def doubled(content: str) -> str:
    return content.replace('"sha256": "', '"sha256": "0", "sha256": "', 1)


def huge_region(arena: Path) -> None:
    aus = [1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28, 43, 45]
    groups = [{"name": "all", "region": "up", "aus": aus}]
    labels = {"name": "x", "aus": aus, "layout": {"groups": groups, "group_linear": True}, "paper_layout": None}
    config(model__label_set=labels, thresholds=[], reliability=[])(arena)


def copy_of(name: str, other: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        shutil.copy(arena / "model" / name, arena / "model" / other)
        vouch(arena / "model", other)

    return prepare


def misshapen(tensors: dict[str, Any]) -> None:
    tensors[KEY] = np.ones((3, 5), np.float32)


def scalar(tensors: dict[str, Any]) -> None:
    tensors["head.dynamics.fusion.squeeze.0.weight"] = np.ones((), np.float32)


def whole_numbers(tensors: dict[str, Any]) -> None:
    tensors[KEY] = np.ones(tensors[KEY].shape, np.int32)


def clear(name: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        for path in (arena / "model").glob("*.onnx"):
            path.unlink()
        config(**{name: 200_000})(arena)

    return prepare


def escaped_name(content: str) -> str:
    return content.replace('"name": "synthetic"', '"name": "\\u001b[31mowned\\nline"', 1)


def with_number(number: str) -> Callable[[str], str]:
    return lambda content: content.replace('"bytes": ', f'"build_s": {number}, "bytes": ', 1)


def many_entries(content: str) -> str:
    more = {f"a{index}.bin": {"sha256": "0" * 64} for index in range(100_000)}
    return json.dumps({"files": json.loads(content)["files"] | more})


def nothing(arena: Path) -> None:
    """What the victim types is attack enough."""


MANIFEST, DOCTOR = "manifest.json", says("doctor", "ARENA/model")
INIT = says("init", "ARENA/copied", "--checkpoint", "missing.pth")
CLIP = {"graph": "clip", "precision": "fp32"}
OVERLAP = {
    KEY: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "x": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
}
HUGE = {KEY: {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
OF_CONFIG = (
    Attack("au_width of 200,000, no graphs", clear("model__au_width"), opens, torch=True, given=True),
    Attack("a backbone of 4 GB", config(model__backbone="vit_giant_patch14_dinov2"), loads_in_torch, torch=True),
    Attack("1.4 GB by config, 4 MB by weights", config(model__backbone="convnext_xlarge"), loads_in_torch, torch=True),
    Attack("a backbone on a hub", config(model__backbone="hf-hub:timm/resnet50"), loads_in_torch, torch=True),
    Attack("a backbone in a folder", config(model__backbone="local-dir:/home"), loads_in_torch, torch=True),
    Attack("clip_length of 1e9", config(clip_length=10**9), streams, given=True),
    Attack("a clip of 12 GB", config(clip_length=1024, model__input_size_px=1024), opens),
    Attack("k of 1e9", config(model__k=10**9), streams, given=True),
    Attack("input_size_px of 3.2e7", config(model__input_size_px=32 * 10**6), opens),
    Attack("a region of 25 AUs: 2**25 classes", huge_region, loads_in_torch, torch=True),
    Attack("NaN as a threshold", config(thresholds=[float("nan")] * 15), opens),
    Attack("deep config", text("config.json", lambda _: "[" * 100_000), opens),
    Attack("escapes in the licence; doctor", config(licence="\x1b]0;owned\x07"), DOCTOR, refused=False, given=True),
    Attack("escapes in the label set's name", text("config.json", escaped_name), DOCTOR, refused=False, given=True),
    Attack("escapes in a folder's own name", nothing, says("doctor", "\x1b[2Jowned\nline"), refused=False, given=True),
    Attack("missing checkpoint", nothing, INIT, torch=True, refused=False, given=True),
)  # fmt: skip
OF_WEIGHTS = (
    Attack("misshapen weights; stream", weights(misshapen), streams, given=True),
    Attack("a weight without axes; stream", weights(scalar), streams),
    Attack("int32 weights; stream", weights(whole_numbers), streams, given=True),
    Attack("int32 weights; PyTorch", weights(whole_numbers), loads_in_torch, torch=True, given=True),
    Attack("overlapping tensors", raw_weights(OVERLAP, bytes(12)), streams),
    Attack("offsets of 4 TB", raw_weights(HUGE, bytes(8)), streams),
    Attack("a header that claims 2**63 bytes", raw_weights(b"{}", length=1 << 63), streams),
    Attack("weights cut off", cut("model.safetensors"), streams),
    Attack("a deflated checkpoint", deflated, reads_checkpoint, torch=True, given=True),
    Attack("a pickled checkpoint that makes a file", pickled, reads_checkpoint, torch=True),
)
OF_MANIFEST = (
    Attack("the manifest cut off", cut(MANIFEST), opens),
    Attack("deep JSON", text(MANIFEST, deep, vouched=False), opens),
    Attack("the same key twice in the manifest", text(MANIFEST, doubled, vouched=False), updates),
    Attack("NaN in the manifest", entry("clip.onnx", build_s=float("nan")), updates),
    Attack("Infinity as 1e999 in the manifest", text(MANIFEST, with_number("1e999"), vouched=False), updates),
    Attack("a number of 5,000 digits", text(MANIFEST, with_number("9" * 5000), vouched=False), opens),
    Attack("100,000 entries in the manifest", text(MANIFEST, many_entries, vouched=False), opens),
    Attack(
        "escapes in a failure that the manifest tells",
        entry("clip.onnx", parity={"failure": "\x1b[2Jowned\nline"}), DOCTOR, refused=False, given=True,
    ),
    Attack("an entry of wrong types", entry("clip.onnx", options=CLIP, bytes="x", key=[1]), DOCTOR, refused=False),
)  # fmt: skip
ATTACKS = (*OF_CONFIG, *OF_WEIGHTS, *OF_MANIFEST)
