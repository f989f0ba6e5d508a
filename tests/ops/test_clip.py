"""Fused dynamics of whole clips against their definition."""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import BackendError, InputError
from mdhr_sdk.ops import DynamicsParameters, extension, fuse_dynamics
from mdhr_sdk.ops.extension import MAX_SCALES
from mdhr_sdk.ops.views import numpy_dtype
from ops_cases import clip_maps, parameters, slow_dynamics

SHAPES = st.tuples(st.integers(1, 3), st.integers(2, 64), st.integers(1, 70), st.integers(1, 7), st.integers(1, 7))
RELAXED = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def agree(got: np.ndarray, wanted: np.ndarray, relative: float = 1e-5) -> None:
    """Each element to `relative`, but for what rounds to nothing beside the largest."""
    np.testing.assert_allclose(got, wanted, rtol=relative, atol=relative * 0.1 * np.abs(wanted).max())


@RELAXED
@given(SHAPES, st.integers(1, 8), st.integers(1, 4), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_any_shape_gives_what_the_definition_says(backend, shape, k, scales, squeezed, seed):
    rng = np.random.default_rng(seed)
    shape = (shape[0], min(shape[1], 2000 // (shape[2] * shape[3])) + 2, *shape[2:])
    maps, p = clip_maps(rng, scales, shape), parameters(rng, scales, shape[2], squeezed)
    got = fuse_dynamics(maps, p, k, backend=backend)
    assert got.dtype == np.float32 and got.shape == shape
    agree(got, slow_dynamics(maps, p, k))


@pytest.mark.parametrize("frames", [1, 2, 16, 64])
def test_the_shape_of_a_resnet_50(backend: str, frames: int):
    rng = np.random.default_rng(frames)
    maps, p = clip_maps(rng, 4, (1, frames, 2048, 7, 7)), parameters(rng, 4, 2048)
    if frames > 16:
        maps = [m[..., :1, :3] for m in maps]  # the slow answer takes seconds otherwise
    agree(fuse_dynamics(maps, p, 5, backend=backend), slow_dynamics(maps, p, 5))


@pytest.mark.parametrize("channels", [3, 300])
def test_as_many_scales_as_there_may_be(backend: str, channels: int):
    """The sanitizers (`make sanitize`) see whether anything is read beyond the last one."""
    rng = np.random.default_rng(channels)
    maps, p = clip_maps(rng, MAX_SCALES, (2, 5, channels, 2, 2)), parameters(rng, MAX_SCALES, channels)
    agree(fuse_dynamics(maps, p, 2, backend=backend), slow_dynamics(maps, p, 2))
    with pytest.raises(InputError, match="the maps of 1 to 8 scales; got 9"):
        fuse_dynamics([*maps, maps[0]], p, 2, backend=backend)


def test_a_window_longer_than_the_clip_is_the_whole_clip(backend: str):
    rng = np.random.default_rng(0)
    maps, p = clip_maps(rng, 2, (2, 3, 5, 2, 2)), parameters(rng, 2, 5)
    for k in (2, 3, 40):
        agree(fuse_dynamics(maps, p, k, backend=backend), slow_dynamics(maps, p, k))


def test_sums_do_not_drift(backend: str):
    rng = np.random.default_rng(0)
    maps, p = clip_maps(rng, 2, (1, 20_000, 2, 1, 1)), parameters(rng, 2, 2)
    maps[0][0, 10_000] = 1e6  # what has left the window must leave no trace
    wanted = slow_dynamics([m[:, -100:] for m in maps], p, 4)
    agree(fuse_dynamics(maps, p, 4, backend=backend)[:, -90:], wanted[:, -90:])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_pass_on_exactly_as_far_as_the_definition_says(backend: str, poison: float):
    rng = np.random.default_rng(1)
    maps, p, k = clip_maps(rng, 3, (2, 30, 9, 3, 3)), parameters(rng, 3, 9), 3
    maps[1][0, 12, 4, 1, 2] = poison
    with np.errstate(invalid="ignore"):
        wanted = slow_dynamics(maps, p, k)
        got = fuse_dynamics(maps, p, k, backend=backend)
    assert np.array_equal(np.isnan(got), np.isnan(wanted)) and np.isnan(wanted).any()
    assert np.array_equal(np.isinf(got), np.isinf(wanted))
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(got[finite], wanted[finite], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_stored_and_not_calculated(backend: str, dtype: str):
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    rng = np.random.default_rng(2)
    maps, p = [m.astype(kind) for m in clip_maps(rng, 4, (2, 12, 37, 5, 3))], parameters(rng, 4, 37)
    wanted = slow_dynamics(maps, p, 5)
    got = fuse_dynamics(maps, p, 5, backend=backend)
    assert got.dtype == kind
    half_a_step = np.abs(wanted) * (2**-8 if dtype == "bfloat16" else 2**-11) + 1e-6
    assert (np.abs(got.astype(np.float64) - wanted) <= half_a_step * 1.01).all()


def test_memory_layout_does_not_matter(backend: str):
    rng = np.random.default_rng(3)
    maps, p = clip_maps(rng, 2, (3, 8, 20, 7, 7)), parameters(rng, 2, 20)
    wanted = fuse_dynamics(maps, p, 3, backend=backend)
    frozen = [m.copy() for m in maps]
    for m in frozen:
        m.flags.writeable = False
    bytes_ = [np.frombuffer(b"\0" * 3 + m.tobytes(), np.uint8)[3:].view(np.uint8) for m in maps]
    views = {
        "batch and time swapped": [np.ascontiguousarray(m.swapaxes(0, 1)).swapaxes(0, 1) for m in maps],
        "reversed": [np.ascontiguousarray(m[:, ::-1])[:, ::-1] for m in maps],
        "every second": [np.repeat(m, 2, axis=1)[:, ::2] for m in maps],
        "channels reversed": [np.ascontiguousarray(m[:, :, ::-1])[:, :, ::-1] for m in maps],
        "Fortran": [np.asfortranarray(m) for m in maps],
        "read-only": frozen,
        "misaligned": [np.ndarray(m.shape, np.float32, b.data) for m, b in zip(maps, bytes_, strict=True)],
        "channels last": [np.moveaxis(np.ascontiguousarray(np.moveaxis(m, 2, -1)), -1, 2) for m in maps],
    }
    assert not views["misaligned"][0].flags.aligned
    for name, view in views.items():
        before = [v.copy() for v in view]
        np.testing.assert_allclose(
            fuse_dynamics(view, p, 3, backend=backend), wanted, rtol=1e-5, atol=1e-6, err_msg=name
        )
        assert all(map(np.array_equal, view, before)), "the input is the caller's"


def test_the_number_of_threads_changes_no_bit(backend: str):
    rng = np.random.default_rng(5)
    maps, p = clip_maps(rng, 4, (2, 10, 300, 7, 7)), parameters(rng, 4, 300)
    one = fuse_dynamics(maps, p, 5, backend=backend, threads=1)
    assert np.array_equal(fuse_dynamics(maps, p, 5, backend=backend, threads=3), one)


def test_no_clips_are_no_results(backend: str):
    rng = np.random.default_rng(6)
    maps, p = clip_maps(rng, 2, (0, 8, 20, 3, 3)), parameters(rng, 2, 20)
    assert fuse_dynamics(maps, p, 3, backend=backend).shape == (0, 8, 20, 3, 3)


def good(**changes) -> dict:
    rng = np.random.default_rng(0)
    return {"maps": clip_maps(rng, 2, (1, 4, 5, 3, 3)), "parameters": parameters(rng, 2, 5), "k": 2} | changes


def shaped(*shape: int) -> list[np.ndarray]:
    return [np.zeros(shape, np.float32)] * 2


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        pytest.param({"maps": []}, "1 to 8 scales; got 0", id="no maps"),
        pytest.param({"maps": shaped(1, 4, 5, 3, 3) * 5}, "1 to 8 scales; got 10", id="ten maps"),
        pytest.param({"maps": shaped(4, 5, 3, 3)}, r"map 0 to be \(B, T, C, h, w\).*got float32 \(4, 5", id="4 axes"),
        pytest.param({"maps": shaped(1, 0, 5, 3, 3)}, "none of them empty", id="no frames"),
        pytest.param({"maps": shaped(1, 4, 6, 3, 3)}, r"2 scales with 5 channels.*got 2 .*\(1, 4, 6", id="channels"),
        pytest.param({"maps": shaped(1, 4, 5, 3, 3)[:1]}, "2 scales .*got 1 scales", id="scales"),
        pytest.param({"maps": [m.astype(np.float64) for m in good()["maps"]]}, "got float64", id="float64"),
        pytest.param({"maps": [m.astype(np.int32) for m in good()["maps"]]}, "got int32", id="integers"),
        pytest.param({"maps": [m.astype(">f4") for m in good()["maps"]]}, "byte order", id="big-endian"),
        pytest.param({"maps": [m.tolist() for m in good()["maps"]]}, "got list", id="lists"),
        pytest.param({"maps": [*shaped(1, 4, 5, 3, 3)[:1], *shaped(1, 5, 5, 3, 3)[:1]]}, "of one shape", id="mixed"),
        pytest.param({"k": 0}, "k to be an integer from 1 to 268435455; got 0", id="k 0"),
        pytest.param({"k": 1.5}, "k to be an integer", id="k 1.5"),
        pytest.param({"k": True}, "k to be an integer", id="k True"),
        pytest.param({"threads": 0}, "threads to be an integer from 1 to 1024", id="no threads"),
        pytest.param({"threads": 1025}, "from 1 to 1024; got 1025", id="more threads than there can be"),
        pytest.param({"k": 2**28}, "from 1 to 268435455", id="k beyond int"),
        pytest.param({"out": np.zeros((1, 4, 5, 3, 4), np.float32)}, "out as float32", id="out shape"),
        pytest.param({"out": np.zeros((1, 4, 5, 3, 3))}, "out as float32", id="out dtype"),
        pytest.param({"out": np.zeros((1, 8, 5, 3, 3), np.float32)[:, ::2]}, "with strides", id="out strides"),
        pytest.param({"out": np.broadcast_to(np.float32(0), (1, 4, 5, 3, 3))}, "out", id="out broadcast"),
        pytest.param({"backend": "cuda"}, "unknown backend 'cuda'; expected 'auto'", id="backend"),
    ],
)
def test_other_inputs_are_refused(backend: str, changes: dict, hint: str):
    with pytest.raises(InputError, match=hint):
        fuse_dynamics(**good(**({"backend": backend} | changes)))


MISALIGNED = np.zeros(41, np.uint8)[1:].view(np.float32).reshape(2, 5)


@pytest.mark.parametrize(
    ("name", "array", "hint"),
    [
        ("squeeze", np.zeros((2, 5), np.float32), r"squeeze as float32 \(L, O, C\)"),
        ("shift", np.zeros((2, 5)), r"shift as float32 \(2, 5\) on the CPU.*got float64"),
        ("weigh", np.zeros((2, 64), np.float32)[:, ::2], "weigh aligned and without gaps"),
        ("weigh_bias", None, "weigh_bias.*got NoneType"),
        ("scale", MISALIGNED, "scale aligned"),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(name: str, array: object, hint: str):
    with pytest.raises(InputError, match=hint):
        dataclasses.replace(good()["parameters"], **{name: array})


def test_copies_are_of_their_own(backend: str):
    """Addresses are kept beside the arrays."""
    given = good(backend=backend)
    wanted = fuse_dynamics(**given)
    kept = copy.deepcopy(given["parameters"])
    for array in given["parameters"].arrays().values():
        array[...] = np.nan
    assert np.array_equal(fuse_dynamics(**given | {"parameters": kept}), wanted)


def test_a_read_only_result_is_refused(backend: str):
    out = np.zeros((1, 4, 5, 3, 3), np.float32)
    out.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        fuse_dynamics(**good(out=out, backend=backend))


def test_what_is_asked_for_and_missing_is_an_error(monkeypatch: pytest.MonkeyPatch):
    from mdhr_sdk.ops import extension_status

    monkeypatch.setattr(extension, "_load", lambda: "not built")
    with pytest.raises(BackendError, match=r"not built; .*pip install -e"):
        fuse_dynamics(**good(backend="compiled"))
    assert fuse_dynamics(**good()).shape == (1, 4, 5, 3, 3)
    assert "not built" in extension_status() and "pip install -e" in extension_status()


@pytest.mark.parametrize("abi", [None, 0, extension.ABI + 1])
def test_a_library_of_other_sources_is_not_called(
    abi: int | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Its functions may take other arguments, or mean something else by them."""
    stale = SimpleNamespace(**({} if abi is None else {"mdhr_abi": lambda: abi}))
    monkeypatch.setattr(extension, "LIBRARY", Path(__file__))
    monkeypatch.setattr(extension.ctypes, "CDLL", lambda path: stale)
    monkeypatch.setattr(extension, "_load", functools.cache(extension._load.__wrapped__))
    with pytest.raises(BackendError, match=r"kernels are built from other sources than these; .* pip install -e"):
        fuse_dynamics(**good(backend="compiled"))
    assert fuse_dynamics(**good()).shape == (1, 4, 5, 3, 3), "by the reference"
    assert extension.extension_status().startswith("built from other sources than these; the NumPy reference is used")
    (told,) = caplog.messages
    assert __file__ in told and "pip install -e" in told


def test_tensors_of_pytorch_come_without_a_copy(backend: str):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    maps, p = clip_maps(rng, 2, (2, 8, 20, 3, 3)), parameters(rng, 2, 20)
    wanted, out = fuse_dynamics(maps, p, 3, backend=backend), torch.full((2, 8, 20, 3, 3), torch.nan)
    assert fuse_dynamics([torch.from_numpy(m) for m in maps], p, 3, out=out, backend=backend) is out
    assert np.array_equal(out.numpy(), wanted)
    half = [torch.from_numpy(m).bfloat16() for m in maps]
    got = torch.empty(2, 8, 20, 3, 3, dtype=torch.bfloat16)
    fuse_dynamics(half, p, 3, out=got, backend=backend)
    np.testing.assert_allclose(got.float().numpy(), slow_dynamics([h.float().numpy() for h in half], p, 3), rtol=5e-3)
    with pytest.raises(InputError, match=r"without a gradient.*detach"):
        fuse_dynamics([torch.zeros(2, 8, 20, 3, 3, requires_grad=True)] * 2, p, 3, backend=backend)


def test_a_device_that_is_not_there_is_an_error_of_ours(compiled: None):
    from mdhr_sdk.ops import DeviceArray, extension_status

    def pretended(array: np.ndarray) -> DeviceArray:
        return DeviceArray(array.ctypes.data, array.shape, "float32", device=999)

    given = good()
    hint = "without CUDA; MDHR_CUDA=1" if "no CUDA" in extension_status() else "CUDA: .*check the driver"
    with pytest.raises(BackendError, match=hint):
        p = DynamicsParameters(*map(pretended, given["parameters"].arrays().values()))
        fuse_dynamics([pretended(m) for m in given["maps"]], p, 2, out=pretended(given["maps"][0]))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("frames", [1, 2, 19])
def test_changes_between_frames_stand_for_the_frames(backend: str, frames: int, dtype: str):
    rng = np.random.default_rng(8)
    p, k = parameters(rng, 3, 35), 3
    changes = [m.astype(numpy_dtype(dtype)) for m in clip_maps(rng, 3, (2, frames, 35, 3, 3))]
    maps = [np.cumsum(m.astype(np.float64), axis=1) for m in changes]
    for array in changes:
        array[:, 0] = np.nan  # the first frame's change says nothing
    got = fuse_dynamics(changes, p, k, changes=True, backend=backend)
    agree(
        got.astype(np.float32),
        slow_dynamics(maps, p, k),
        {"float32": 1e-5, "float16": 2**-10, "bfloat16": 2**-7}[dtype],
    )


def test_a_clip_of_very_many_frames_overflows_nothing(backend: str):
    rng = np.random.default_rng(8)
    maps, p = clip_maps(rng, 1, (1, 140_000, 2, 1, 2)), parameters(rng, 1, 2)
    wanted = fuse_dynamics(maps, p, 2, backend="reference")
    np.testing.assert_allclose(fuse_dynamics(maps, p, 2, backend=backend), wanted, rtol=1e-4, atol=1e-5)


FORKED = """
import multiprocessing, numpy as np
from mdhr_sdk.ops import DynamicsParameters, fuse_dynamics

def fused(_):
    shapes = (2, 32), (2, 32), (2, 16, 32), (2, 16), (2, 32), (2,)
    maps = [np.zeros((4, 16, 32, 7, 7), np.float32)] * 2
    parameters = DynamicsParameters(*(np.ones(shape, np.float32) for shape in shapes))
    return fuse_dynamics(maps, parameters, 5, backend="compiled", threads=2).shape

assert fused(0) == (4, 16, 32, 7, 7)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(fused, range(2)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_processes_that_are_forked_after_kernels_ran_do_not_wait_for_ever(compiled: None):
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == str([(4, 16, 32, 7, 7)] * 2), done.stderr
