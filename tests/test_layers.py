"""One floor above another: a file imports only from its own folder and from floors below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mdhr_sdk

ROOT = Path(mdhr_sdk.__file__).parent
FLOORS = (
    {"aus", "results", "errors", "atomic"},
    {"modelfolder", "ops", "vision", "outputs"},
    {"model"},
    {"runtime"},
    {"pipeline"},
    {"detector", "deploy", "training"},
    {"synthetic"},
    {"cli", "__main__"},
)
UPWARD = {("results", "outputs")}  # frame.annotate(): what users look for is on the result itself
BASE = FLOORS[0] | {"cli", "__main__"}  # floors whose files are one unit
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
HEAVY = {
    "torch", "timm", "torchvision", "safetensors", "onnx", "onnxscript", "lightning", "pytorch_lightning",
    "torchmetrics", "tensorrt", "openvino",
}  # fmt: skip


def floor(unit: str) -> int:
    return next(index for index, units in enumerate(FLOORS) if unit in units)


def unit_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_units(path: Path) -> Iterator[str]:
    """Units of the package that a file imports anywhere, inside functions too."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            base = package[: len(package) - (node.level - 1)]
            full = (*base, *(node.module.split(".") if node.module else ()))
            yield from [full[0]] if full else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mdhr_sdk":
            inner = node.module.split(".")[1:]
            yield from inner[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (name.split(".")[1] for alias in node.names if (name := alias.name).startswith("mdhr_sdk."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_downwards(path: Path) -> None:
    own = unit_of(path)
    for other in imported_units(path):
        if other.startswith("__"):
            continue
        same_unit = other == own or ({own, other} <= BASE and floor(own) == floor(other))
        assert same_unit or (own, other) in UPWARD or floor(other) < floor(own), (
            f"{own} (floor {floor(own)}) imports {other} ({floor(other)})"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_model_training_and_deploy_import_torch_at_the_top(path: Path) -> None:
    if unit_of(path) in {"model", "training", "deploy", "synthetic"}:
        return
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        assert not {name.split(".")[0] for name in names} & HEAVY


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_thing(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350
