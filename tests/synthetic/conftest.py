from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("numba")

from mdhr_sdk.synthetic.kit import FaceKit
from toy_face import write_kit


@pytest.fixture(scope="session")
def kit_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kit(tmp_path_factory.mktemp("kit") / "toy.npz")


@pytest.fixture(scope="session")
def kit(kit_file: Path) -> Iterator[FaceKit]:
    yield FaceKit.load(kit_file)
