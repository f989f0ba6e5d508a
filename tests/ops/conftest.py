"""Both backends, and the compiled one with every instruction set that this processor has."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mdhr_sdk.ops.extension import LIBRARY, choose

library = choose("auto")

if wanted := os.environ.get("MDHR_SANITIZED"):  # else an installed build without sanitizers would pass for one with
    assert library is not None and str(LIBRARY).startswith(wanted), f"the kernels under test are {LIBRARY}"


def use(instructions: str) -> bool:
    return library is not None and library.mdhr_set_instruction_set(instructions.encode()) == 0


SETS = [name for name in ("neon", "portable", "sse2", "avx2", "avx512") if use(name)]  # the widest last, and so in use
COMPILED = [f"compiled, {name}" for name in SETS] or ["compiled"]


@pytest.fixture(params=["reference", *COMPILED])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    name, _, instructions = request.param.partition(", ")
    if name == "compiled" and library is None:
        pytest.skip("the kernels are not built")
    if instructions:
        assert use(instructions)
    yield name
    if instructions:
        use(SETS[-1])


@pytest.fixture
def compiled() -> None:
    if library is None:
        pytest.skip("the kernels are not built")


@pytest.fixture(params=SETS or ["none"])
def instructions(compiled: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Every instruction set that this processor has."""
    assert use(request.param)
    yield
    use(SETS[-1])
