"""One floor above another: a file imports only from its own folder and from floors below, and never in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import mdhr_sdk

ROOT = Path(mdhr_sdk.__file__).parent
TOOLS = {"atomic", "bounded", "plain_json", "folders", "children", "ending", "arguments", "openvino_core"}
FLOORS = (
    {"aus", "measures", "results", "summary", "errors"} | TOOLS,
    {"ops"},
    {"modelfolder", "vision", "outputs"},
    {"model"},
    {"runtime"},
    {"pipeline"},
    {"detector", "deploy", "training"},
    {"synthetic", "batch"},
    {"cli", "__main__"},
)
UPWARD = {("results", "outputs")}  # frame.annotate(): what users look for is on the result itself
BASE = FLOORS[0] | {"cli", "__main__"}  # floors whose files are one unit
HEAVY = {
    "torch", "timm", "torchvision", "safetensors", "onnx", "onnxscript", "lightning", "pytorch_lightning",
    "torchmetrics", "tensorrt", "openvino",
}  # fmt: skip
FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
EVERY = pytest.mark.parametrize("name", [name for name in FILES if name != "mdhr_sdk"])


def unit_of(name: str) -> str:
    return name.split(".")[1]


def floor(unit: str) -> int:
    return next(index for index, units in enumerate(FLOORS) if unit in units)


def at_the_top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements outside functions, those under `if TYPE_CHECKING:` included."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            yield from at_the_top([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)])
        yield node


def imported(name: str, top: bool) -> Iterator[str]:
    """What a file imports, by full names: at its top only, what types need included, or inside functions too."""
    path = FILES[name]
    package = (name if path.name == "__init__.py" else name.rpartition(".")[0]).split(".")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in at_the_top(tree.body) if top else ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            full = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{full}.{alias.name}"
                yield inner if inner in FILES or full == "mdhr_sdk" else full
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@EVERY
def test_imports_only_downwards(name: str) -> None:
    own = unit_of(name)
    for other in {unit_of(one) for one in imported(name, top=False) if one.startswith("mdhr_sdk.")}:
        if other.startswith("__"):
            continue
        same_unit = other == own or ({own, other} <= BASE and floor(own) == floor(other))
        assert same_unit or (own, other) in UPWARD or floor(other) < floor(own), (
            f"{own} (floor {floor(own)}) imports {other} ({floor(other)})"
        )


def test_no_file_needs_one_that_needs_it() -> None:
    graph = {
        name: {one.removesuffix(".__version__") for one in imported(name, top=True)} & set(FILES) for name in FILES
    }
    assert "mdhr_sdk.runtime.session" in graph["mdhr_sdk.runtime.select"]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@EVERY
def test_only_model_training_and_deploy_import_torch_at_the_top(name: str) -> None:
    if unit_of(name) not in {"model", "training", "deploy", "synthetic"}:
        assert not {one.partition(".")[0] for one in imported(name, top=True)} & HEAVY


@EVERY
def test_json_that_may_be_anybody_s_is_read_by_one_reader(name: str) -> None:
    """Beside it only what our own processes and TensorRT have just made is read."""
    own = {"plain_json", "vision.sources.live.worker", "vision.sources.live.capture", "deploy.engines.builder"}
    text = FILES[name].read_text(encoding="utf-8")
    assert name.removeprefix("mdhr_sdk.") in own or not re.search(r"\bjson\.loads?\(|\byaml\.(full_|unsafe_)", text)


@EVERY
def test_a_file_holds_one_thing(name: str) -> None:
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 350
