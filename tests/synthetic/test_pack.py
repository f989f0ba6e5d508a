"""Packing a clone of meshes: every array comes back, and damaged clones are refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk.errors import DataError
from mdhr_sdk.synthetic.face.motion import NUISANCE, REST, SMILES_WITH
from mdhr_sdk.synthetic.face.muscles import SHAPES
from mdhr_sdk.synthetic.kit import LASHES, ONE_SHAPE, TWO_SIDED, FaceKit
from mdhr_sdk.synthetic.pack import pack
from toy_face import write_clone, write_kit


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


def _add(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text()}{line}\n")


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


@pytest.mark.parametrize(
    "line",
    ["f 1//3 2//3 3//3", "f 1 2 3", "f 1/1 2/2 3", "f 0/1 1/1 2/1", "f 1/1 2/0 3/1", "f -1/-1 -2/-2 -3/-3",
     "f 99999999999999999999/1 1/1 2/1", "f ", "f a b c", "vt half 1", "vt 0.5"],
)  # fmt: skip
def test_a_mesh_of_another_form_is_refused(tmp_path: Path, line: str) -> None:
    _, ranges = write_clone(tmp_path / "clone")
    _add(tmp_path / "clone" / "FaceXModel" / "generic_neutral_mesh.obj", line)
    with pytest.raises(DataError, match=r"generic_neutral_mesh\.obj' is no mesh .* clone ICT-FaceKit again"):
        pack(tmp_path / "clone", tmp_path / "kit.npz", ranges)


@pytest.mark.parametrize(("made", "message"), [(False, "does not exist"), (True, "has no folder")])
def test_what_is_no_clone_is_named(tmp_path: Path, made: bool, message: str) -> None:
    if made:
        (tmp_path / "clone").mkdir()
    with pytest.raises(DataError, match=rf"clone' {message}.*git clone"):
        pack(tmp_path / "clone", tmp_path / "kit.npz")


def test_another_model_is_refused(tmp_path: Path) -> None:
    write_clone(tmp_path / "clone")
    with pytest.raises(DataError, match="expected 26719 vertices"):
        pack(tmp_path / "clone", tmp_path / "kit.npz")


def _inverted(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 64]) + content[middle + 64 :]


def _stored(content: bytes) -> bytes:
    file = io.BytesIO()
    np.savez(file, **np.load(io.BytesIO(content)))
    return file.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"", lambda whole: b"no archive", lambda whole: whole[: len(whole) // 100],
        lambda whole: whole[: len(whole) // 2], lambda whole: whole[:-99], _inverted,
        lambda whole: _inverted(_stored(whole)),
    ],
)  # fmt: skip
def test_a_damaged_face_model_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_kit(tmp_path / "kit.npz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"is not a packed face model .* mdhr synthetic pack"):
        FaceKit.load(path)


def test_a_face_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no packed face model at .*kit\.npz'; .* mdhr synthetic pack"):
        FaceKit.load(tmp_path / "kit.npz")


def _renamed(names: np.ndarray) -> np.ndarray:
    return np.where(names == "browDown_L", "other", names)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("neutral", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 4, np.nan, a), "neutral has values"),
        ("neutral", lambda a: a.astype("U8"), "neutral is <U8"),
        ("neutral", lambda a: a[:, :2], "neutral is .* not f of"),
        ("tris", lambda a: a + 10**7, "tris points outside"),
        ("tri_uv", lambda a: a - 1, "tri_uv points outside"),
        ("landmarks68", lambda a: a + 10**6, "landmarks68 points outside"),
        ("landmarks68", lambda a: a[:67], "landmarks68 is"),
        ("expr", lambda a: a[:, :-1], "expr is"),
        ("expr_names", _renamed, "browDown_L"),
        ("region_names", lambda a: np.where(a == "teeth", "tusks", a), "teeth"),
        ("ao", None, "it lacks ao"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, name: str, change, message: str) -> None:
    with np.load(write_kit(tmp_path / "whole.npz")) as file:
        arrays = dict(file)
    array = arrays.pop(name)
    np.savez(tmp_path / "kit.npz", **arrays, **({name: change(array)} if change else {}))
    with pytest.raises(DataError, match=rf"is not a packed face model \(.*{message}.* mdhr synthetic pack"):
        FaceKit.load(tmp_path / "kit.npz")


def test_a_header_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    with np.load(write_kit(tmp_path / "whole.npz")) as file:
        arrays = dict(file)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**7, 10**6)})
    np.savez(tmp_path / "kit.npz", **{name: array for name, array in arrays.items() if name != "neutral"})
    with zipfile.ZipFile(tmp_path / "kit.npz", "a") as archive:
        archive.writestr("neutral.npy", header.getvalue())
    with pytest.raises(DataError, match="is not a packed face model"):
        FaceKit.load(tmp_path / "kit.npz")


def test_every_shape_that_is_used_is_asked_for() -> None:
    known = {*ONE_SHAPE, *TWO_SIDED}
    used = {name for shapes in SHAPES.values() for name in shapes}
    assert used | {*REST, *NUISANCE, *SMILES_WITH} <= known
