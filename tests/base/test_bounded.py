"""Files that may be anybody's are read with a bound, and what is no file not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk.bounded import read_arrays, read_bounded


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_bounded(path, 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(OSError, match="no regular file"):
            read_bounded(tmp_path / name, 100)
        with pytest.raises(ValueError, match="no regular file"):
            read_arrays(tmp_path / name, ["a"])


def test_arrays_are_counted_as_they_are_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, small=np.arange(3), large=np.zeros(10**6))
    assert path.stat().st_size < 50_000
    found = read_arrays(path, ["small", "none"])
    assert list(found) == ["small"] and found["small"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"its arrays have 8,000,\d+ bytes, and at most 1,000,000 are read"):
        read_arrays(path, ["small"], most=10**6)


def test_damage_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.random.default_rng(0).random(100))
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_arrays(path, ["a"])
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"not an \.npz file"):
        read_arrays(path, ["a"])
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_arrays(path, ["a"])
