"""Dynamics step by step are those of the whole clip."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import InputError
from mdhr_sdk.ops import DynamicsState, fuse_dynamics_step
from ops_cases import channels_last, clip_maps, parameters, slow_dynamics

RELAXED = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def filled_with_nan(*sizes, **layout) -> DynamicsState:
    """A state of which nothing but the counts says anything."""
    state = DynamicsState.empty(*sizes, **layout)
    for array in (state.previous, state.ring, state.products):
        array[...] = np.nan
    return state


def stream(maps: list[np.ndarray], p, k: int, state: DynamicsState, backend: str) -> np.ndarray:
    """All frames of maps (M, T, ...) by steps, the k last ones by steps without change."""
    frames = maps[0].shape[1]
    fused = np.full(maps[0].shape, np.nan, np.float32)
    for t in range(frames + k):
        new = [m[:, t] for m in maps] if t < frames else None
        got, numbers = fuse_dynamics_step(new, state, p, backend=backend)
        assert got.dtype == np.float32 and (numbers == (t - k if t >= k else -1)).all()
        if t >= k:
            fused[:, t - k] = got
        else:
            assert np.isnan(got).all(), "there is no frame yet whose window is complete"
    return fused


@RELAXED
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 70), st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(1, 20),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_stream_gives_what_the_definition_says_of_the_clip(backend, shape, k, scales, squeezed, last, seed):
    rng = np.random.default_rng(seed)
    maps, p = clip_maps(rng, scales, shape), parameters(rng, scales, shape[2], squeezed)
    state = filled_with_nan(shape[0], scales, shape[2], shape[3:], k, squeezed, channels_last=last)
    got = stream(channels_last(maps) if last else maps, p, k, state, backend)
    wanted = slow_dynamics(maps, p, k)[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def test_states_are_at_positions_of_their_own_and_start_anew(backend: str):
    rng = np.random.default_rng(0)
    k, scales, channels = 2, 3, 18
    p = parameters(rng, scales, channels)
    state = filled_with_nan(4, scales, channels, (3, 3), k)
    clips = [clip_maps(rng, scales, (1, frames, channels, 3, 3)) for frames in (9, 7, 8, 6)]
    begins, homes = (0, 3, 4, 10), (2, 0, 3, 2)  # the last one takes over row 2 at step 10
    got = [np.full(clip[0].shape[1:], np.nan) for clip in clips]
    for step in range(20):
        active = [i for i, clip in enumerate(clips) if 0 <= step - begins[i] < clip[0].shape[1]]
        for i in active:
            if step == begins[i]:
                state.counts[homes[i]] = 0
        if active:
            active.reverse()
            new = [np.stack([clips[i][level][0, step - begins[i]] for i in active]) for level in range(scales)]
            fused, numbers = fuse_dynamics_step(new, state, p, rows=[homes[i] for i in active], backend=backend)
            for i, array, number in zip(active, fused, numbers, strict=True):
                assert number == max(step - begins[i] - k, -1)
                if number >= 0:
                    got[i][number] = array
    for clip, frames in zip(clips, got, strict=True):
        wanted = slow_dynamics(clip, p, k)[0][0]
        np.testing.assert_allclose(frames[:-k], wanted[:-k], rtol=1e-5, atol=1e-6)
        assert np.isnan(frames[-k:]).all()


def test_rows_that_take_no_part_are_left_alone(backend: str):
    rng = np.random.default_rng(1)
    p, state = parameters(rng, 2, 5), filled_with_nan(3, 2, 5, (2, 2), 1)
    state.counts[:] = (7, 8, 9)
    fuse_dynamics_step(clip_maps(rng, 2, (1, 5, 2, 2)), state, p, rows=[1], backend=backend)
    assert state.counts.tolist() == [7, 9, 9]
    for array in (state.previous, state.ring, state.products):
        assert np.isnan(array[[0, 2]]).all()
    fused, numbers = fuse_dynamics_step(clip_maps(rng, 2, (0, 5, 2, 2)), state, p, rows=[], backend=backend)
    assert fused.shape == (0, 5, 2, 2) and numbers.shape == (0,)


@pytest.mark.slow
def test_a_hundred_thousand_steps_do_not_drift(compiled: None):
    rng = np.random.default_rng(2)
    k, steps = 5, 100_000
    p, state = parameters(rng, 2, 3, 4), filled_with_nan(1, 2, 3, (1, 2), k, 4)
    maps = rng.standard_normal((1000, 2, 1, 3, 1, 2), dtype=np.float32)
    maps[500] *= 1e6  # a thousand times over: what has left the window must leave no trace
    history: list[np.ndarray] = []
    for step in range(steps):
        new = maps[step % 1000]
        fused, numbers = fuse_dynamics_step(list(new), state, p, threads=1, backend="compiled")
        history = [*history[-40:], new]
    assert numbers.tolist() == [steps - 1 - k]
    tail = [np.stack([new[level] for new in history], axis=1) for level in range(2)]
    wanted = slow_dynamics(tail, p, k)[0]
    np.testing.assert_allclose(fused, wanted[:, -1 - k], rtol=1e-5)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_and_infinity_are_forgotten_with_their_window(backend: str, poison: float):
    rng = np.random.default_rng(3)
    maps, p, k = clip_maps(rng, 2, (1, 30, 4, 2, 2)), parameters(rng, 2, 4), 3
    maps[0][0, 12, 1, 1, 0] = poison
    with np.errstate(invalid="ignore"):
        got = stream(maps, p, k, filled_with_nan(1, 2, 4, (2, 2), k), backend)
        wanted = slow_dynamics(maps, p, k)[0]
    assert np.array_equal(np.isnan(got), np.isnan(wanted)) and np.isnan(wanted).any()
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(got[finite], wanted[finite], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_maps_in_half_precision_give_float32(backend: str, dtype: str):
    kind = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    rng = np.random.default_rng(4)
    maps, p = [m.astype(kind) for m in clip_maps(rng, 2, (2, 9, 21, 3, 3))], parameters(rng, 2, 21)
    got = stream(maps, p, 2, filled_with_nan(2, 2, 21, (3, 3), 2), backend)
    np.testing.assert_allclose(got, slow_dynamics(maps, p, 2)[0], rtol=1e-5, atol=1e-6)


def test_maps_in_another_layout_than_the_state_are_copied(backend: str):
    rng = np.random.default_rng(5)
    maps, p = clip_maps(rng, 2, (2, 9, 21, 3, 4)), parameters(rng, 2, 21)
    wanted = slow_dynamics(maps, p, 2)[0]
    for last, given_maps in ((False, channels_last(maps)), (True, maps)):
        got = stream(given_maps, p, 2, filled_with_nan(2, 2, 21, (3, 4), 2, channels_last=last), backend)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_the_result_goes_where_one_wants_it(backend: str):
    rng = np.random.default_rng(6)
    p, state, out = parameters(rng, 2, 5), filled_with_nan(2, 2, 5, (3, 3), 1), np.zeros((2, 5, 3, 3), np.float32)
    for _ in range(2):
        fused, _ = fuse_dynamics_step(clip_maps(rng, 2, (2, 5, 3, 3)), state, p, out=out, backend=backend)
    assert fused is out and np.isfinite(out).all() and out.any()


STATE = DynamicsState.empty(2, 2, 5, (3, 3), 1)
OTHER = DynamicsState.empty(1, 2, 5, (3, 3), 1, dtype="float16")
THREE = STATE.products[:, :, :, :3].copy()


def good(**changes) -> dict:
    rng = np.random.default_rng(0)
    return {"maps": clip_maps(rng, 2, (2, 5, 3, 3)), "state": STATE, "parameters": parameters(rng, 2, 5)} | changes


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        pytest.param({"maps": clip_maps(np.random.default_rng(0), 2, (1, 5, 3, 3))}, r"2 maps of shape \(2, 5", id="M"),
        pytest.param({"maps": clip_maps(np.random.default_rng(0), 3, (2, 5, 3, 3))}, "got 3", id="scales"),
        pytest.param({"maps": clip_maps(np.random.default_rng(0), 2, (2, 5, 3))}, r"\(M, C, h, w\)", id="axes"),
        pytest.param({"rows": [0, 0]}, "different integers from 0 to 1; got", id="twice"),
        pytest.param({"rows": [0, 2]}, "from 0 to 1", id="beyond"),
        pytest.param({"rows": [-1, 0]}, "from 0 to 1", id="negative"),
        pytest.param({"rows": [0.0, 1.0]}, "different integers", id="floats"),
        pytest.param({"rows": [[0, 1]]}, "different integers", id="two axes"),
        pytest.param({"state": dataclasses.replace(STATE, counts=np.zeros(2))}, "counts as an int64", id="counts"),
        pytest.param({"state": dataclasses.replace(STATE, counts=np.zeros(3, int))}, r"counts \(N,\)", id="N"),
        pytest.param({"state": dataclasses.replace(STATE, ring=STATE.ring[:, :1])}, "2k", id="odd ring"),
        pytest.param({"state": dataclasses.replace(STATE, ring=STATE.ring[..., ::-1])}, "without gaps", id="gaps"),
        pytest.param(
            {"state": dataclasses.replace(STATE, products=THREE)},
            "squeezed channels; got 3",
            id="products",
        ),
        pytest.param({"state": dataclasses.replace(STATE, ring=STATE.ring.astype(np.float64))}, "float32", id="dtype"),
        pytest.param({"parameters": parameters(np.random.default_rng(0), 2, 5, 3)}, "for 3 squeezed channels", id="O"),
        pytest.param({"parameters": parameters(np.random.default_rng(0), 2, 6)}, "scale as", id="C"),
        pytest.param({"state": []}, "a DynamicsState or several", id="no state"),
        pytest.param({"state": [STATE, STATE]}, "different states", id="one state twice"),
        pytest.param({"state": [STATE, OTHER]}, "of one shape", id="states of two kinds"),
        pytest.param({"threads": 0}, "threads", id="threads"),
        pytest.param({"out": np.zeros((2, 5, 3, 3))}, "out as float32", id="out"),
    ],
)
def test_other_inputs_are_refused(backend: str, changes: dict, hint: str):
    with pytest.raises(InputError, match=hint):
        fuse_dynamics_step(**good(**({"backend": backend} | changes)))
    assert STATE.counts.tolist() == [0, 0]


@pytest.mark.parametrize(
    "sizes", [(0, 2, 5, (3, 3), 1), (2, 0, 5, (3, 3), 1), (2, 2, 5, (3, 3), 0), (2, 2, 5, (0, 3), 1)]
)
def test_a_state_of_nothing_is_refused(sizes: tuple):
    with pytest.raises(InputError, match="from 1 to 268435455; got 0"):
        DynamicsState.empty(*sizes)


def test_positions_are_two():
    with pytest.raises(InputError, match=r"positions as \(h, w\); got \(3,\)"):
        DynamicsState.empty(1, 2, 5, (3,), 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["counts", "previous", "ring", "products"])
def test_a_state_that_is_not_aligned_is_refused(backend: str, name: str):
    array = getattr(STATE, name)
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    with pytest.raises(InputError, match="aligned to their elements"):
        fuse_dynamics_step(**good(state=dataclasses.replace(STATE, **{name: memory}), backend=backend))


def test_a_ring_of_another_dtype_is_refused():
    with pytest.raises(InputError, match="float32, float16, bfloat16; got 'int8'"):
        DynamicsState.empty(1, 2, 5, (3, 3), 1, dtype="int8")


def test_a_state_that_would_write_elsewhere_is_refused(backend: str):
    rng = np.random.default_rng(6)
    p, maps = parameters(rng, 2, 5), clip_maps(rng, 2, (1, 5, 2, 2))
    state = filled_with_nan(1, 2, 5, (2, 2), 1)
    state.counts[:] = -2
    with pytest.raises(InputError, match="at least 0"):
        fuse_dynamics_step(maps, state, p, backend=backend)
    state.counts[:] = 0
    state.ring.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        fuse_dynamics_step(maps, state, p, backend=backend)


@RELAXED
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.tuples(st.integers(1, 40), st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from(["float32", "float16", "bfloat16"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_states_of_one_call_are_those_of_calls_of_their_own(backend, sizes, shape, dtype, last, seed):
    rng = np.random.default_rng(seed)
    p, k, total = parameters(rng, 2, shape[0], 5), 2, sum(sizes)
    make = functools.partial(filled_with_nan, scales=2, channels=shape[0], positions=shape[1:], k=k, squeezed=5)
    pairs = [[make(size, channels_last=last, dtype=dtype) for size in sizes] for _ in range(2)]
    starts = np.cumsum([0, *sizes])
    for step in range(8):
        maps = clip_maps(rng, 2, (total, *shape)) if step < 6 else None
        together, numbers = fuse_dynamics_step(maps, pairs[0], p, backend=backend)
        for one, start, stop in zip(pairs[1], starts, starts[1:], strict=False):
            own = maps and [m[start:stop] for m in maps]
            alone, frames = fuse_dynamics_step(own, one, p, backend=backend)
            np.testing.assert_array_equal(together[start:stop], alone)
            np.testing.assert_array_equal(numbers[start:stop], frames)
    row = int(rng.integers(total))
    maps = clip_maps(rng, 2, (1, *shape))
    fuse_dynamics_step(maps, pairs[0], p, rows=[row], backend=backend)
    counts = np.concatenate([state.counts for state in pairs[0]])
    assert counts.tolist() == [9 if index == row else 8 for index in range(total)]


@pytest.mark.parametrize(("dtype", "step"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
def test_a_ring_of_halves_rounds_each_difference_once(backend: str, dtype: str, step: float, last: bool):
    rng = np.random.default_rng(7)
    maps, k = clip_maps(rng, 3, (2, 30, 37, 3, 5)), 4
    p = parameters(rng, 3, 37)
    state = filled_with_nan(2, 3, 37, (3, 5), k, channels_last=last, dtype=dtype)
    assert state.ring.itemsize == 2 and state.previous.itemsize == state.products.itemsize == 4
    got, wanted = stream(channels_last(maps) if last else maps, p, k, state, backend), slow_dynamics(maps, p, k)[0]
    # All terms of the sums are positive, so the sum's relative error is at most that of a term.
    np.testing.assert_allclose(got, wanted, rtol=step + 1e-5, atol=1e-6)
    assert np.abs(got / wanted - 1).max() > step / 100
