"""Both backends, and the compiled one with every instruction set that this processor has."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator

import pytest

try:
    kernels = importlib.import_module("mdhr_sdk._kernels")
except ImportError:
    kernels = None

if wanted := os.environ.get("MDHR_SANITIZED"):  # else an installed build without sanitizers would pass for one with
    assert kernels is not None and kernels.__file__.startswith(wanted), f"the kernels under test are {kernels}"

COMPILED = [f"compiled, {name}" for name in kernels.instruction_sets()] if kernels else ["compiled"]


@pytest.fixture(params=["reference", *COMPILED])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    name, _, instructions = request.param.partition(", ")
    if name == "compiled" and kernels is None:
        pytest.skip("the extension is not built")
    if not instructions:
        yield name
        return
    before = kernels.instruction_set()
    assert kernels.set_instruction_set(instructions)
    yield name
    kernels.set_instruction_set(before)


@pytest.fixture
def compiled() -> None:
    if kernels is None:
        pytest.skip("the extension is not built")
