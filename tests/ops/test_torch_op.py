"""The operator of PyTorch, alone and in the model."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mdhr_sdk.errors import InputError
from mdhr_sdk.ops import DynamicsParameters, DynamicsState, extension, fuse_dynamics, fuse_dynamics_step, torch_op
from ops_cases import clip_maps, parameters, slow_dynamics

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def operator():
    from mdhr_sdk.ops.torch_op import register

    return register()


def arguments(dtype=torch.float32) -> tuple:
    rng = np.random.default_rng(0)
    maps, p = clip_maps(rng, 3, (2, 9, 20, 3, 4)), parameters(rng, 3, 20)
    tensors = [torch.from_numpy(m).to(dtype) for m in maps]
    return tensors, *(torch.from_numpy(array) for array in p.arrays().values()), 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_operator_is_what_torch_expects_of_one(operator, dtype):
    checks = torch.library.opcheck(operator, arguments(dtype), raise_exception=True)
    assert set(checks.values()) == {"SUCCESS"}


def test_the_operator_answers_like_the_definition(operator):
    maps, *others = arguments()
    rng = np.random.default_rng(0)
    arrays = clip_maps(rng, 3, (2, 9, 20, 3, 4))
    wanted = slow_dynamics(arrays, parameters(rng, 3, 20), 3)
    channels_last = [m.movedim(2, -1).contiguous().movedim(-1, 2) for m in maps]
    for given in (maps, channels_last):
        np.testing.assert_allclose(operator(given, *others).numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_without_the_extension_the_reference_serves_tensors(operator, monkeypatch, dtype):
    given = arguments(dtype)
    wanted = operator(*given)
    monkeypatch.setattr(extension, "_load", lambda: "not built")
    got = operator(*given)
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), wanted.float(), rtol=2**-7, atol=1e-5)
    with pytest.raises(InputError, match="without a gradient"):
        maps, *arrays, k = given
        fuse_dynamics([m.float().requires_grad_() for m in maps], DynamicsParameters(*arrays), k)


def test_without_the_extension_a_state_may_be_of_tensors(monkeypatch):
    rng = np.random.default_rng(2)
    maps, p, k = clip_maps(rng, 2, (1, 6, 8, 2, 2)), parameters(rng, 2, 8), 1
    wanted = slow_dynamics(maps, p, k)
    monkeypatch.setattr(extension, "_load", lambda: "not built")
    host = DynamicsState.empty(2, 8, (2, 2), k)
    state = DynamicsState(*map(torch.from_numpy, (host.previous, host.ring, host.products)))
    for t in range(6):
        got, frames = fuse_dynamics_step([torch.from_numpy(m[:, t].copy()) for m in maps], [state], p)
        if t >= k:
            np.testing.assert_allclose(got, wanted[:, frames[0]], rtol=1e-5, atol=1e-6)


def test_a_batch_of_none_gives_none(operator):
    maps, *others = arguments()
    got = operator([m[:0] for m in maps], *others)
    assert got.shape == (0, *maps[0].shape[1:])


@pytest.mark.slow
def test_importing_the_model_asks_no_gpu_and_each_is_asked_for_itself(monkeypatch):
    code = "import torch; torch.cuda.get_device_capability = None; import mdhr_sdk.model"
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: {0: (7, 5), 1: (9, 0)}[index])
    monkeypatch.setattr(torch_op, "choose", lambda backend: SimpleNamespace())
    monkeypatch.setattr(torch_op, "has_cuda_kernels", lambda: True)
    assert [torch_op.usable("cuda", index) for index in (0, 1)] == [False, True]


def test_the_compiled_graph_holds_the_operator_and_answers_the_same(operator):
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def double(*given):
        return operator(*given) * 2

    got = torch.compile(double, backend=keep, fullgraph=True)(*arguments())
    assert any("mdhr.fuse_dynamics" in str(node.target) for graph in graphs for node in graph.graph.nodes)
    assert torch.equal(got, operator(*arguments()) * 2)


@pytest.fixture(scope="module")
def model():
    from mdhr_sdk.model import build_mdhr, calibrate

    torch.manual_seed(0)
    model = build_mdhr("bp4d", "resnet18", projection_width=32, au_width=16, weight_width=4)
    calibrate(model, np.random.default_rng(0).standard_normal((2, 5, 3, 224, 224), dtype=np.float32))
    return model.eval()


@pytest.fixture
def features(model):
    clip = np.random.default_rng(1).standard_normal((2, 5, 3, 224, 224), dtype=np.float32)
    with torch.no_grad():
        return model.encode(torch.from_numpy(clip))


def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the k of every call that the model makes of the operator."""
    from mdhr_sdk.model import dynamics

    made: list[int] = []
    operator = dynamics._FUSED
    monkeypatch.setattr(dynamics, "_FUSED", lambda *given: (made.append(given[-1]), operator(*given))[1])
    return made


@pytest.mark.parametrize("k", [None, 2])
def test_inference_uses_the_operator_and_scores_the_same(compiled, model, features, monkeypatch, k):
    made = calls(monkeypatch)
    wanted = model.head(features, k)
    assert made == [] and wanted.scores.requires_grad
    with torch.inference_mode():
        got = model.head(features, k)
    assert made == [k or model.config.k]
    torch.testing.assert_close(got.scores, wanted.scores.detach(), rtol=1e-5, atol=1e-6)
    for a, b in zip(got.region_logits, wanted.region_logits, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-4, atol=1e-5)


def test_training_and_other_fusions_do_without(compiled, model, features, monkeypatch):
    from mdhr_sdk.model import build_mdhr

    made = calls(monkeypatch)
    with torch.no_grad():
        for changes in ({"fusion": "sum"}, {"fusion": "adaptive_paper"}, {"scales": (2,)}):
            sizes = {"projection_width": 32, "au_width": 16, "weight_width": 4}
            other = build_mdhr("bp4d", "resnet18", **sizes, **changes).eval()
            other.head(other.encode(torch.zeros(1, 3, 3, 224, 224)))
        model.train()
        try:
            model.head(features)
        finally:
            model.eval()
    assert made == []


def test_exported_graphs_hold_standard_operators_only(compiled, model, features):
    with torch.no_grad():
        exported = torch.export.export(model.head, (features,))
        traced = torch.jit.trace_module(model.head.dynamics, {"from_maps": (features.maps,)})
    assert "mdhr" not in {str(n.target).split(".")[0] for n in exported.graph.nodes if n.op == "call_function"}
    assert "mdhr::" not in str(traced.from_maps.graph)


def test_importing_the_ops_loads_no_torch():
    code = "import sys, mdhr_sdk.ops, mdhr_sdk.ops.torch_op; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_numpy_and_torch_give_the_same_bits(compiled, operator):
    maps, *arrays, k = arguments()
    wanted = fuse_dynamics([m.numpy() for m in maps], DynamicsParameters(*(a.numpy() for a in arrays)), k)
    assert np.array_equal(operator(maps, *arrays, k).numpy(), wanted)
