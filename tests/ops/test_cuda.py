"""The CUDA kernels answer like those of the CPU: run `pytest -m gpu tests/ops`, also under compute-sanitizer."""

from __future__ import annotations

import numpy as np
import pytest

from mdhr_sdk.errors import InputError
from mdhr_sdk.ops import (
    DeviceArray,
    DynamicsParameters,
    DynamicsState,
    extension_status,
    fuse_dynamics,
    fuse_dynamics_step,
)
from ops_cases import clip_maps, parameters, slow_dynamics

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.skipif("no CUDA" in extension_status(), reason="the extension was built without CUDA"),
]
CASES = [((2, 9, 20, 3, 4), 3, 3, 16), ((8, 16, 256, 7, 7), 5, 4, 16), ((1, 1, 5, 2, 2), 2, 2, 3)]
CASES += [((2, 2, 33, 1, 1), 8, 1, 17), ((1, 64, 40, 7, 7), 1, 4, 20), ((1, 7, 12, 16, 16), 2, 2, 5)]


def cuda(array: np.ndarray) -> torch.Tensor:
    """The same values and strides on the device."""
    return torch.from_numpy(array).to("cuda")


def on_cuda(p: DynamicsParameters) -> DynamicsParameters:
    return DynamicsParameters(*map(cuda, p.arrays().values()))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("shape", "k", "scales", "squeezed"), CASES)
def test_clips(shape, k, scales, squeezed, dtype):
    rng = np.random.default_rng(0)
    maps, p = clip_maps(rng, scales, shape), parameters(rng, scales, shape[2], squeezed)
    tensors = [cuda(m).to(getattr(torch, dtype)) for m in maps]
    wanted = slow_dynamics([t.float().cpu().numpy() for t in tensors], p, k)
    out = torch.empty_like(tensors[0])
    fuse_dynamics(tensors, on_cuda(p), k, out=out, stream=torch.cuda.current_stream().cuda_stream)
    relative = {"float32": 1e-5, "float16": 2**-10, "bfloat16": 2**-7}[dtype]
    np.testing.assert_allclose(out.float().cpu().numpy(), wanted, rtol=relative, atol=1e-6)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_and_infinity_pass_on(poison: float):
    rng = np.random.default_rng(1)
    maps, p = clip_maps(rng, 3, (2, 30, 9, 3, 3)), parameters(rng, 3, 9)
    maps[1][0, 12, 4, 1, 2] = poison
    with np.errstate(invalid="ignore"):
        wanted = slow_dynamics(maps, p, 3)
    out = torch.empty(2, 30, 9, 3, 3, device="cuda")
    fuse_dynamics([cuda(m) for m in maps], on_cuda(p), 3, out=out)
    torch.cuda.synchronize()
    assert np.array_equal(np.isnan(out.cpu().numpy()), np.isnan(wanted))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_clips_of_changes(dtype: str):
    rng = np.random.default_rng(6)
    maps, p = clip_maps(rng, 3, (2, 9, 20, 3, 4)), parameters(rng, 3, 20)
    tensors = [cuda(np.diff(m, axis=1, prepend=m[:, :1])).to(getattr(torch, dtype)) for m in maps]
    wanted = slow_dynamics([t.double().cpu().numpy().cumsum(axis=1) for t in tensors], p, 3)
    out = torch.empty_like(tensors[0])
    fuse_dynamics(tensors, on_cuda(p), 3, changes=True, out=out)
    relative = {"float32": 1e-5, "float16": 2**-10, "bfloat16": 2**-7}[dtype]
    np.testing.assert_allclose(out.float().cpu().numpy(), wanted, rtol=relative, atol=1e-5)


@pytest.mark.parametrize("ring", ["float32", "float16", "bfloat16"])
def test_steps(ring: str):
    rng = np.random.default_rng(2)
    k, p, kind = 2, parameters(rng, 3, 40), getattr(torch, ring)
    maps = clip_maps(rng, 3, (40, 9, 40, 3, 5))  # more states than a launch takes
    wanted = slow_dynamics(maps, p, k)
    states = []
    for _ in range(40):
        host = DynamicsState.empty(3, 40, (3, 5), k)
        previous, slots, products = (cuda(a).fill_(torch.nan) for a in (host.previous, host.ring, host.products))
        states.append(DynamicsState(previous, slots.to(kind), products))
    out = torch.empty(40, 40, 3, 5, device="cuda")
    for t in range(9 + k):
        new = [cuda(m[:, t].copy()) for m in maps] if t < 9 else None
        _, frames = fuse_dynamics_step(new, states, on_cuda(p), out=out)
        if t >= k:  # a ring of halves rounds every difference once
            near = {"float32": 1e-6, "float16": 4e-3, "bfloat16": 3e-2}[ring]
            np.testing.assert_allclose(out.cpu().numpy(), wanted[:, frames[0]], rtol=1e-5, atol=near)
        else:
            assert out.isnan().all()


def test_raw_pointers_and_other_streams():
    rng = np.random.default_rng(3)
    maps, p = clip_maps(rng, 2, (2, 8, 20, 3, 3)), parameters(rng, 2, 20)
    tensors, arrays, stream = [cuda(m) for m in maps], on_cuda(p), torch.cuda.Stream()
    out = torch.empty(2, 8, 20, 3, 3, device="cuda")
    raw = [DeviceArray(t.data_ptr(), tuple(t.shape), "float32") for t in (*tensors, out)]
    torch.cuda.synchronize()
    fuse_dynamics(raw[:2], arrays, 3, out=raw[2], stream=stream.cuda_stream)
    stream.synchronize()
    np.testing.assert_allclose(out.cpu().numpy(), slow_dynamics(maps, p, 3), rtol=1e-5, atol=1e-6)


def test_devices_do_not_mix_and_results_must_be_given():
    rng = np.random.default_rng(4)
    maps, p = clip_maps(rng, 2, (2, 8, 20, 3, 3)), parameters(rng, 2, 20)
    with pytest.raises(InputError, match="where the parameters lie"):
        fuse_dynamics([cuda(m) for m in maps], p, 3, out=cuda(maps[0]))
    with pytest.raises(InputError, match="out= for maps on cuda:0"):
        fuse_dynamics([cuda(m) for m in maps], on_cuda(p), 3)
    with pytest.raises(InputError, match="of one shape, dtype and device"):
        fuse_dynamics([cuda(maps[0]), maps[1]], p, 3)
    with pytest.raises(InputError, match="reference runs on the CPU"):
        fuse_dynamics([cuda(m) for m in maps], on_cuda(p), 3, out=cuda(maps[0]), backend="reference")


def test_the_operator_of_pytorch_runs_on_cuda():
    from mdhr_sdk.ops.torch_op import register

    rng = np.random.default_rng(5)
    maps, p = clip_maps(rng, 2, (2, 8, 20, 3, 3)), parameters(rng, 2, 20)
    got = register()([cuda(m) for m in maps], *on_cuda(p).arrays().values(), 3)
    np.testing.assert_allclose(got.cpu().numpy(), slow_dynamics(maps, p, 3), rtol=1e-5, atol=1e-6)
