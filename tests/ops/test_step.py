"""Dynamics step by step are those of the whole clip."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdhr_sdk.errors import InputError
from mdhr_sdk.ops import DynamicsState, fuse_dynamics_step
from ops_cases import clip_maps, parameters, slow_dynamics

RELAXED = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def filled_with_nan(states: int, *sizes, **more) -> list[DynamicsState]:
    """States of which nothing but the count says anything."""
    made = [DynamicsState.empty(*sizes, **more) for _ in range(states)]
    for state in made:
        for array in (state.previous, state.ring, state.products):
            array[...] = np.nan
    return made


def stream(maps: list[np.ndarray], p, k: int, states: list[DynamicsState], backend: str) -> np.ndarray:
    """All frames of maps (M, T, ...) by steps, the k last ones by steps without change."""
    frames = maps[0].shape[1]
    fused = np.full(maps[0].shape, np.nan, np.float32)
    for t in range(frames + k):
        new = [m[:, t] for m in maps] if t < frames else None
        got, numbers = fuse_dynamics_step(new, states, p, backend=backend)
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
    st.integers(0, 2**32 - 1),
)
def test_any_stream_gives_what_the_definition_says_of_the_clip(backend, shape, k, scales, squeezed, seed):
    rng = np.random.default_rng(seed)
    maps, p = clip_maps(rng, scales, shape), parameters(rng, scales, shape[2], squeezed)
    states = filled_with_nan(shape[0], scales, shape[2], shape[3:], k, squeezed)
    got, wanted = stream(maps, p, k, states, backend), slow_dynamics(maps, p, k)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def test_states_are_at_positions_of_their_own_and_start_anew(backend: str):
    rng = np.random.default_rng(0)
    k, scales, channels = 2, 3, 18
    p, states = parameters(rng, scales, channels), filled_with_nan(4, scales, channels, (3, 3), k)
    clips = [clip_maps(rng, scales, (1, frames, channels, 3, 3)) for frames in (9, 7, 8, 6)]
    begins, homes = (0, 3, 4, 10), (2, 0, 3, 2)  # the last one takes over state 2 at step 10
    got = [np.full(clip[0].shape[1:], np.nan) for clip in clips]
    for step in range(20):
        active = [i for i, clip in enumerate(clips) if 0 <= step - begins[i] < clip[0].shape[1]]
        for i in active:
            if step == begins[i]:
                states[homes[i]].count = 0
        if active:
            active.reverse()
            new = [np.stack([clips[i][level][0, step - begins[i]] for i in active]) for level in range(scales)]
            fused, numbers = fuse_dynamics_step(new, [states[homes[i]] for i in active], p, backend=backend)
            for i, array, number in zip(active, fused, numbers, strict=True):
                assert number == max(step - begins[i] - k, -1)
                if number >= 0:
                    got[i][number] = array
    for clip, frames in zip(clips, got, strict=True):
        wanted = slow_dynamics(clip, p, k)[0]
        np.testing.assert_allclose(frames[:-k], wanted[:-k], rtol=1e-5, atol=1e-6)
        assert np.isnan(frames[-k:]).all()
    assert all(np.isnan(array).all() for array in (states[1].previous, states[1].ring)), "it took no part"


@pytest.mark.slow
def test_a_hundred_thousand_steps_do_not_drift(compiled: None):
    rng = np.random.default_rng(2)
    k, steps = 5, 100_000
    p, states = parameters(rng, 2, 3, 4), filled_with_nan(1, 2, 3, (1, 2), k, 4)
    maps = rng.standard_normal((1000, 2, 1, 3, 1, 2), dtype=np.float32)
    maps[500] *= 1e6  # a thousand times over: what has left the window must leave no trace
    history: list[np.ndarray] = []
    for step in range(steps):
        new = maps[step % 1000]
        fused, numbers = fuse_dynamics_step(list(new), states, p, threads=1, backend="compiled")
        history = [*history[-40:], new]
    assert numbers.tolist() == [steps - 1 - k]
    tail = [np.stack([new[level] for new in history], axis=1) for level in range(2)]
    np.testing.assert_allclose(fused, slow_dynamics(tail, p, k)[:, -1 - k], rtol=1e-5)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_and_infinity_are_forgotten_with_their_window(backend: str, poison: float):
    rng = np.random.default_rng(3)
    maps, p, k = clip_maps(rng, 2, (1, 30, 4, 2, 2)), parameters(rng, 2, 4), 3
    maps[0][0, 12, 1, 1, 0] = poison
    with np.errstate(invalid="ignore"):
        got = stream(maps, p, k, filled_with_nan(1, 2, 4, (2, 2), k), backend)
        wanted = slow_dynamics(maps, p, k)
    assert np.array_equal(np.isnan(got), np.isnan(wanted)) and np.isnan(wanted).any()
    finite = np.isfinite(wanted)
    np.testing.assert_allclose(got[finite], wanted[finite], rtol=1e-5, atol=1e-6)


def test_maps_with_gaps_are_copied_and_the_result_goes_where_one_wants_it(backend: str):
    rng = np.random.default_rng(5)
    maps, p = clip_maps(rng, 2, (2, 3, 21, 3, 4)), parameters(rng, 2, 21)
    gaps = [np.moveaxis(np.ascontiguousarray(np.moveaxis(m, 2, -1)), -1, 2) for m in maps]
    states, out = filled_with_nan(2, 2, 21, (3, 4), 2), np.zeros((2, 21, 3, 4), np.float32)
    for t in range(3):
        fused, _ = fuse_dynamics_step([m[:, t] for m in gaps], states, p, out=out, backend=backend)
    assert fused is out
    np.testing.assert_allclose(out, slow_dynamics(maps, p, 2)[:, 0], rtol=1e-5, atol=1e-6)


STATES = [DynamicsState.empty(2, 5, (3, 3), 1) for _ in range(2)]
OTHER = DynamicsState.empty(2, 5, (3, 3), 1, dtype="float16")


def good(**changes) -> dict:
    rng = np.random.default_rng(0)
    return {"maps": clip_maps(rng, 2, (2, 5, 3, 3)), "states": STATES, "parameters": parameters(rng, 2, 5)} | changes


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        pytest.param({"maps": clip_maps(np.random.default_rng(0), 2, (1, 5, 3, 3))}, r"2 maps of shape \(2, 5", id="M"),
        pytest.param({"maps": clip_maps(np.random.default_rng(0), 3, (2, 5, 3, 3))}, "got 3", id="scales"),
        pytest.param({"maps": clip_maps(np.random.default_rng(0), 2, (2, 5, 3))}, r"\(M, C, h, w\)", id="axes"),
        pytest.param({"maps": clip_maps(np.random.default_rng(0), 2, (2, 5, 3, 3), "float16")}, "float16", id="half"),
        pytest.param({"parameters": parameters(np.random.default_rng(0), 2, 5, 3)}, "for 3 squeezed channels", id="O"),
        pytest.param({"parameters": parameters(np.random.default_rng(0), 2, 6)}, "with 6 channels", id="C"),
        pytest.param({"states": []}, "a sequence of one DynamicsState or more", id="no state"),
        pytest.param({"states": STATES[0]}, "a sequence of one DynamicsState or more", id="a state alone"),
        pytest.param({"states": [STATES[0]] * 2}, "different states", id="one state twice"),
        pytest.param({"states": [STATES[0], OTHER]}, "of one shape", id="states of two kinds"),
        pytest.param({"threads": 0}, "threads", id="threads"),
        pytest.param({"out": np.zeros((2, 5, 3, 3))}, "out as float32", id="out"),
    ],
)
def test_other_inputs_are_refused(backend: str, changes: dict, hint: str):
    with pytest.raises(InputError, match=hint):
        fuse_dynamics_step(**good(**({"backend": backend} | changes)))
    assert [state.count for state in STATES] == [0, 0]


def test_a_state_that_would_write_elsewhere_is_refused(backend: str):
    states = filled_with_nan(2, 2, 5, (3, 3), 1)
    states[1].count = -2
    with pytest.raises(InputError, match="at least 0; got -2"):
        fuse_dynamics_step(**good(states=states, backend=backend))


@pytest.mark.parametrize(
    ("name", "change", "hint"),
    [
        ("ring", lambda a: a[:1], r"ring \(2k, L, C, h, w\)"),
        ("previous", lambda a: a[:1], r"previous \(L, C, h, w\)"),
        ("ring", lambda a: a[..., ::-1], "ring without gaps"),
        ("ring", lambda a: a.astype(np.float64), "its ring in float32, float16, bfloat16"),
        ("products", lambda a: a[:, :1], r"products \(2k, L, O, h, w\)"),
        ("products", lambda a: a[:, :, :3], "products without gaps"),
    ],
)
def test_arrays_that_make_no_state_are_refused(name: str, change, hint: str):
    arrays = {each: getattr(STATES[0], each) for each in ("previous", "ring", "products")}
    with pytest.raises(InputError, match=hint):
        DynamicsState(**arrays | {name: change(arrays[name])})


@pytest.mark.parametrize("name", ["previous", "ring", "products"])
def test_arrays_that_cannot_be_written_to_are_refused(name: str):
    arrays = {each: getattr(STATES[0], each).copy() for each in ("previous", "ring", "products")}
    array = arrays[name]
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    with pytest.raises(InputError, match=f"{name} without gaps, aligned"):
        DynamicsState(**arrays | {name: memory})
    array.flags.writeable = False
    with pytest.raises(InputError, match=f"{name} to be writeable; it is read-only"):
        DynamicsState(**arrays)


@pytest.mark.parametrize("sizes", [(0, 5, (3, 3), 1), (2, 0, (3, 3), 1), (2, 5, (3, 3), 0), (2, 5, (0, 3), 1)])
def test_a_state_of_nothing_is_refused(sizes: tuple):
    with pytest.raises(InputError, match="from 1 to 268435455; got 0"):
        DynamicsState.empty(*sizes)


def test_a_state_of_another_kind_is_refused():
    with pytest.raises(InputError, match=r"positions as \(h, w\); got \(3,\)"):
        DynamicsState.empty(2, 5, (3,), 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="float32, float16, bfloat16; got 'int8'"):
        DynamicsState.empty(2, 5, (3, 3), 1, dtype="int8")


def test_a_copy_of_a_state_goes_on_alone(backend: str):
    rng = np.random.default_rng(8)
    maps, p, k = clip_maps(rng, 2, (1, 6, 5, 3, 3)), parameters(rng, 2, 5), 1
    states = filled_with_nan(1, 2, 5, (3, 3), k)
    for t in range(3):
        fuse_dynamics_step([m[:, t] for m in maps], states, p, backend=backend)
    kept = copy.deepcopy(states)
    for some in (states, kept):  # the second time as if the first had not been
        for t in range(3, 6):
            got, _ = fuse_dynamics_step([m[:, t] for m in maps], some, p, backend=backend)
            np.testing.assert_allclose(got, slow_dynamics(maps, p, k)[:, t - k], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "step"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_a_ring_of_halves_rounds_each_difference_once(backend: str, dtype: str, step: float):
    rng = np.random.default_rng(7)
    maps, k = clip_maps(rng, 3, (2, 30, 37, 3, 5)), 4
    p = parameters(rng, 3, 37)
    states = filled_with_nan(2, 3, 37, (3, 5), k, dtype=dtype)
    assert states[0].ring.itemsize == 2
    got, wanted = stream(maps, p, k, states, backend), slow_dynamics(maps, p, k)
    # All terms of the sums are positive, so the sum's relative error is at most that of a term.
    np.testing.assert_allclose(got, wanted, rtol=step + 1e-5, atol=1e-6)
    assert np.abs(got / wanted - 1).max() > step / 100
