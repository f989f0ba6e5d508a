"""The library of csrc/mdhr.h without Python: as its header says it is built, and called from C."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk.errors import InputError
from mdhr_sdk.ops import extension
from ops_cases import clip_maps, parameters, slow_dynamics

ROOT = Path(__file__).parents[2]
HEADER = (ROOT / "csrc" / "mdhr.h").read_text(encoding="utf-8")


def test_python_calls_the_library_of_these_sources(compiled: None):
    assert f"#define MDHR_ABI {extension.ABI}\n" in HEADER
    assert f"#define MDHR_MAX_SCALES {extension.MAX_SCALES}\n" in HEADER
    assert f"#define MDHR_LAYERS {extension.LAYERS} " in HEADER and f"#define MDHR_LANES {extension.LANES} " in HEADER


@pytest.mark.parametrize("name", ["Shape", "Parameters", "Maps", "Place", "State", "Geometry"])
def test_structures_are_those_of_the_header(name: str):
    (body,) = re.findall(rf"typedef struct \{{([^}}]*)\}} mdhr_{name.lower()};", HEADER)
    code = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    names = [re.sub(r"\[.*?\]|\*", "", part).split()[-1] for line in code.split(";")[:-1] for part in line.split(",")]
    assert names == [field for field, _ in getattr(extension, name)._fields_]


def test_what_python_has_not_checked_the_library_does(compiled: None):
    library = extension.choose("compiled")
    assert library is not None
    with pytest.raises(InputError, match=r"mdhr_fuse_clip: shape: expected a pointer; got NULL"):
        extension.call(library, "mdhr_fuse_clip", None, None, None, None, None)


def build(folder: Path) -> Path:
    """The library by the command of its header, and the program, by a C compiler."""
    (command,) = re.findall(r"^ +(g\+\+ .*)$", HEADER, re.MULTILINE)
    flags = command.replace("-o libmdhr.so", f"-o {folder}/libmdhr.so")
    subprocess.run(["bash", "-c", flags], cwd=ROOT / "csrc", check=True, capture_output=True)
    program = folder / "use_abi"
    source = Path(__file__).with_name("use_abi.c")
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Wno-sign-conversion", "-Werror", "-pedantic"]
    command_c = ["cc", *warnings, f"-I{ROOT / 'csrc'}", str(source), f"-L{folder}", "-lmdhr", "-lm", "-o", str(program)]
    subprocess.run(command_c, check=True)
    return program


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") and shutil.which("cc")), reason="no compilers")
def test_a_program_in_c_gets_the_same_numbers_and_codes_for_bad_arguments(tmp_path: Path):
    program, rng = build(tmp_path), np.random.default_rng(0)
    for batch, frames, scales, channels, side, squeezed, k in ((2, 9, 4, 70, 3, 8, 2), (3, 2, 1, 1, 1, 1, 5)):
        maps = clip_maps(rng, scales, (batch, frames, channels, side, side))
        p = parameters(rng, scales, channels, squeezed)
        case = tmp_path / "case"
        sizes = np.array([batch, frames, scales, channels, side * side, squeezed, k], np.int32)
        arrays = [*p.arrays().values(), *maps, slow_dynamics(maps, p, k).astype(np.float32)]
        case.write_bytes(b"".join(np.ascontiguousarray(array).tobytes() for array in (sizes, *arrays)))
        done = subprocess.run(
            [program, case], capture_output=True, text=True, env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert float(done.stdout) < 2e-6
