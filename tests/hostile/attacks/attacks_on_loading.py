"""Attacks by weights, checkpoints and settings, which training and export load."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attacks_on_content import loads_in_torch as in_torch
from attacks_on_content import raw_weights, reads_checkpoint, weights
from attacks_on_paths import Attack, folder_class, is_sparse, streams
from attacks_on_runtimes import pushes

MANIFEST, WEIGHTS = "manifest.json", "model.safetensors"


def changed_header(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Other bytes of the header, with the sound data."""

    def prepare(arena: Path) -> None:
        content = (arena / "model" / WEIGHTS).read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        raw_weights(change(content[8 : 8 + size]), content[8 + size :])(arena)

    return prepare


def of_kind(kind: str, share: int) -> Callable[[bytes], bytes]:
    """The first float tensor says that it holds another kind, of 1/share of its bytes a value."""

    def change(header: bytes) -> bytes:
        content = json.loads(header)
        one = next(one for one in content.values() if one.get("dtype") == "F32" and len(one["shape"]) == 1)
        one["dtype"], one["shape"] = kind, [one["shape"][0] * share]
        return json.dumps(content).encode()

    return change


def twice(header: bytes) -> bytes:
    """A tensor's name stands there twice, with other bytes."""
    content = json.loads(header)
    names = [name for name, one in content.items() if name != "__metadata__" and one["dtype"] == "F32"]
    one, other = next((a, b) for a in names for b in names if a < b and content[a]["shape"] == content[b]["shape"])
    return json.dumps(content).replace(json.dumps(other) + ":", json.dumps(one) + ":", 1).encode()


def with_value(key: str, value: float) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        tensors[key] = np.full_like(tensors[key], value)

    return change


def averages(arena: Path) -> str:
    from mdhr_sdk.training.fit.weights.averaging import average

    one = folder_class().open(arena / "model")
    return str(average(one, one, arena / "copied").path.name)


def checkpoint(content: Callable[[Path], object]) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        content(arena / "model" / "bomb.pth")

    return prepare


def of_bytes(path: Path) -> None:
    """A state dict in which a bytearray of 2.5 GB is made by 30 bytes."""
    made = b"\x80\x02}X\x01\x00\x00\x00acbuiltins\nbytearray\nJ" + struct.pack("<i", 2_147_000_000) + b"\x85Rs."
    import torch

    plain = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, made if name.endswith("data.pkl") else source.read(name))


def saved(made: Callable[[Any], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import torch

        torch.save({"Backbone.conv1.weight": made(torch)}, path)

    return write


def old_form(path: Path) -> None:
    """The form before PyTorch 1.6, whose storage claims 2.4 GB."""
    import torch

    plain = io.BytesIO()
    torch.save({"a": torch.zeros(4)}, plain, _use_new_zipfile_serialization=False)
    path.write_bytes(plain.getvalue().replace(b"K\x04N", b"J" + struct.pack("<i", 600_000_000) + b"N"))


def loads_checkpoint(arena: Path) -> str:
    from mdhr_sdk.model import build_mdhr, load_released_checkpoint

    model = build_mdhr("disfa", "resnet50")
    load_released_checkpoint(model, arena / "model" / "bomb.pth")
    return "loaded"


def settings(content: str, name: str = "recipe.yaml") -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "model" / name).write_text(content)

    return prepare


def reads_settings(arena: Path, name: str = "recipe.yaml") -> str:
    from mdhr_sdk.training.fit.settings import read_settings

    return str(read_settings(arena / "model" / name).data.dataset)


def reads_json_settings(arena: Path) -> str:
    return reads_settings(arena, "recipe.json")


def reads_dataset(arena: Path) -> str:
    from mdhr_sdk.training.data.datasets import dataset

    return str(dataset(str(arena / "model" / "recipe.yaml")))


def aliases(depth: int, width: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth)]
    return "\n".join(lines)


ATTACKS = (
    Attack(
        "weights of a kind that PyTorch lacks (F8_E8M0)",
        changed_header(of_kind("F8_E8M0", 4)), in_torch, torch=True,
    ),
    Attack("weights of a kind that PyTorch lacks (F4)", changed_header(of_kind("F4", 8)), in_torch, torch=True),
    Attack("weights of a kind that NumPy lacks (F6)", changed_header(of_kind("F6_E2M3", 1)), streams),
    Attack(
        "complex weights; PyTorch",
        changed_header(lambda h: h.replace(b'"F32"', b'"C64"', 1)), in_torch, torch=True,
    ),
    Attack("a tensor's name twice; PyTorch", changed_header(twice), in_torch, torch=True),
    Attack(
        "NaN among the weights; PyTorch",
        weights(with_value("head.dynamics.norms.0.bias", np.nan)), in_torch, torch=True,
    ),
    Attack("NaN among the weights; stream", weights(with_value("head.dynamics.norms.0.bias", np.nan)), pushes),
    Attack(
        "NaN in the fusion's weights; stream",
        weights(with_value("head.dynamics.fusion.weigh.bias", np.nan)), pushes,
    ),
    Attack("infinity among the weights; stream", weights(with_value("head.dynamics.norms.1.weight", np.inf)), pushes),
    Attack("a variance below 0; stream", weights(with_value("head.dynamics.norms.0.running_var", -4.0)), pushes),
    Attack(
        "NaN among the weights; average",
        weights(with_value("head.dynamics.norms.0.bias", np.nan)), averages, torch=True,
    ),
    Attack("a checkpoint that makes 2 GB of zeros", checkpoint(of_bytes), reads_checkpoint, torch=True),
    Attack(
        "a checkpoint of nested tensors",
        checkpoint(saved(lambda t: t.nested.nested_tensor([t.zeros(2)]))), loads_checkpoint, torch=True,
    ),
    Attack(
        "a checkpoint of sparse tensors",
        checkpoint(saved(lambda t: t.zeros(4).to_sparse())), loads_checkpoint, torch=True,
    ),
    Attack(
        "a checkpoint of tensors without memory",
        checkpoint(saved(lambda t: t.empty(1 << 40, device="meta"))), loads_checkpoint, torch=True,
    ),
    Attack(
        "a checkpoint of a tensor of 4 TB by strides",
        checkpoint(saved(lambda t: t.zeros(()).expand(1 << 40))), loads_checkpoint, torch=True,
    ),
    Attack("a checkpoint of the old form that claims 2 GB", checkpoint(old_form), reads_checkpoint, torch=True),
    Attack("a checkpoint of 1 TB of holes", lambda a: is_sparse("bomb.pth", 1 << 40)(a), reads_checkpoint, torch=True),
    Attack("a checkpoint that is a pipe", checkpoint(os.mkfifo), reads_checkpoint, torch=True),
    Attack("YAML that doubles 40 times", settings(aliases(40, 2)), reads_settings, torch=True),
    Attack(
        "YAML of 10**9 by references; a data set",
        settings("name: x\nroot: y\n" + aliases(9, 10)), reads_dataset, torch=True,
    ),
    Attack("YAML within itself", settings("a: &a [*a]"), reads_settings, torch=True),
    Attack("deep YAML", settings("data: " + "[" * 5000 + "]" * 5000), reads_settings, torch=True),
    Attack("deep JSON as settings", settings("[" * 100_000, "recipe.json"), reads_json_settings, torch=True),
    Attack("a YAML key twice", settings("fit:\n  epochs: 1\nfit:\n  epochs: 2\n"), reads_settings, torch=True),
    Attack(
        "YAML that makes objects",
        settings("a: !!python/object/apply:os.system ['touch ../home/pwned']"), reads_settings, torch=True,
    ),
    Attack("YAML of 1 TB", lambda a: is_sparse("recipe.yaml", 1 << 40)(a), reads_settings, torch=True),
    Attack("YAML that is a pipe", lambda a: os.mkfifo(a / "model" / "recipe.yaml"), reads_settings, torch=True),
)  # fmt: skip
