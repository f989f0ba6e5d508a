"""Packing a clone of meshes: every array comes back, and damaged clones are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk.errors import DataError
from mdhr_sdk.synthetic.kit import LASHES, FaceKit
from mdhr_sdk.synthetic.pack import pack
from toy_face import write_clone


def test_a_clone_comes_back_as_it_was(tmp_path: Path) -> None:
    arrays, ranges = write_clone(tmp_path / "clone")
    counts = pack(tmp_path / "clone", tmp_path / "kit.npz", ranges)
    assert counts == {"vertices": len(arrays["neutral"]), "expressions": len(arrays["expr"]) + 2, "identities": 5}
    with np.load(tmp_path / "kit.npz") as packed:
        for name in set(arrays) - {"ao"}:
            if arrays[name].dtype.kind == "f":
                np.testing.assert_allclose(packed[name], arrays[name], atol=1e-3, err_msg=name)
            else:
                np.testing.assert_array_equal(packed[name], arrays[name], err_msg=name)
        assert 0.25 <= packed["ao"].min() < packed["ao"].max() <= 1
        inside = slice(*ranges["teeth"])
        outside = slice(*ranges["face"])
        assert packed["ao"][inside].mean() < packed["ao"][outside].mean()  # teeth lie in the head
    kit = FaceKit.load(tmp_path / "kit.npz")
    assert (kit.corner_material[kit.triangles[kit.lashes_from :]] == LASHES).all()
    assert (kit.corner_material[kit.triangles[: kit.lashes_from]] != LASHES).all()


def _cut(path: Path) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[:50]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: (m / "generic_neutral_mesh.obj").unlink(), "cannot be read"),
        (lambda m: _cut(m / "generic_neutral_mesh.obj"), "no mesh with texture coordinates"),
        (lambda m: _cut(m / "jawOpen.obj"), "jawOpen.obj' has 50 vertices"),
        (lambda m: (m / "jawOpen.obj").write_text("v 1 2 three\n"), "not three numbers"),
        (lambda m: (m / "vertex_indices.json").write_text("{}"), "does not list expressions"),
        (lambda m: [path.unlink() for path in m.glob("identity*.obj")], "no identity"),
    ],
)
def test_a_damaged_clone_is_refused(tmp_path: Path, damage, message: str) -> None:
    _, ranges = write_clone(tmp_path / "clone")
    damage(tmp_path / "clone" / "FaceXModel")
    with pytest.raises(DataError, match=message):
        pack(tmp_path / "clone", tmp_path / "kit.npz", ranges)
    assert not list(tmp_path.glob("*.npz")) and not list(tmp_path.glob(".*"))


def test_another_model_is_refused(tmp_path: Path) -> None:
    write_clone(tmp_path / "clone")
    with pytest.raises(DataError, match="expected 26719 vertices"):
        pack(tmp_path / "clone", tmp_path / "kit.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_what_is_no_face_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "kit.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="mdhr synthetic pack"):
        FaceKit.load(path)
