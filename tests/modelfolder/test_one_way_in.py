"""Whatever reads, makes or removes a file of a model folder does so where that is safe; a new call cannot forget it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mdhr_sdk

ROOT = Path(mdhr_sdk.__file__).parent
READS = {"read_bytes", "read_text", "iterdir", "glob", "rglob", "load_file", "safe_open", "scandir", "walk", "listdir"}
WRITES = {"write_bytes", "write_text", "touch", "unlink", "rmdir", "rmtree", "rename", "replace", "symlink_to", "copy2"}
HANDLED = ("modelfolder", "runtime", "deploy", "model", "pipeline", "detector.py")
# What is left: files that the same function made in its own place, or that the user named.
KNOWN = {
    ("modelfolder/folder.py", "create"),  # what `writing` and `scratch` gave
    ("modelfolder/folder.py", "update"),
    ("modelfolder/folder.py", "_copy_into"),
    ("modelfolder/new_folder.py", "check_free"),
    ("modelfolder/new_folder.py", "new_folder"),
    ("modelfolder/new_folder.py", "_fill"),
    ("modelfolder/manifest.py", "new_manifest"),
    ("modelfolder/signing.py", "_new_key"),
    ("runtime/backends/onnxruntime.py", "__init__"),  # a part that is to become an artefact
    ("runtime/backends/openvino.py", "__init__"),
    ("runtime/backends/tensorrt.py", "__init__"),
    ("runtime/backends/torchscript.py", "__init__"),
    ("deploy/engines/build.py", "build_engine"),
    ("deploy/engines/build.py", "_keep_timing_cache"),
    ("deploy/export/exporter.py", "_write_int8"),
    ("deploy/export/exporter.py", "trace_torchscript"),
    ("deploy/export/golden.py", "write_golden"),  # a new folder that the user named
    ("deploy/export/golden.py", "_write"),
    ("deploy/export/quantise.py", "__init__"),
    ("deploy/export/triton.py", "write_repository"),
    ("runtime/backends/onnxruntime.py", "products_overflow"),  # of the system
    ("runtime/cuda/devices.py", "power_mode"),
}


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """The function around every call that reads, makes or removes a file, and the call."""

    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Call):
                called = child.func.attr if isinstance(child.func, ast.Attribute) else getattr(child.func, "id", "")
                text = called == "replace" and isinstance(child.func, ast.Attribute) and len(child.args) != 1
                of_class = isinstance(child.func, ast.Attribute) and "dataclasses" in ast.unparse(child.func)
                if called in READS | WRITES and not (text or of_class or isinstance(child.func, ast.Name)):
                    yield function, ast.unparse(child)
                if (called == "open" and "os.open" in ast.unparse(child.func)) or ast.unparse(child.func) == "open":
                    yield function, ast.unparse(child)
            yield from walk(child, inner)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "")


FILES = [path for part in HANDLED for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_known_functions_touch_files(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if name == "modelfolder/inside.py":
        return
    unknown = [f"{function}: {call}" for function, call in calls(path) if (name, function) not in KNOWN]
    assert not unknown, "open files of a model folder by mdhr_sdk.modelfolder.inside, and write them by ModelFolder"


def test_nothing_is_known_that_is_gone() -> None:
    found = {(path.relative_to(ROOT).as_posix(), function) for path in FILES for function, _ in calls(path)}
    assert found >= KNOWN, KNOWN - found


def test_commands_print_by_what_cleans() -> None:
    for path in (ROOT / "cli").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "options.py":
            assert "typer.echo" not in text and "rich.console" not in text, f"{path.name}: say() and Console of options"
