"""Builds the compiled kernels where it can; everything else is declared in pyproject.toml.

`MDHR_CUDA` says what to do about the CUDA kernels: `auto` (the default) builds them where nvcc is found, `1` fails
without it, `0` leaves them out. Without a C++17 compiler the package installs all the same and runs the reference.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCES = ["abi.cpp", "clip.cpp", "mesh.cpp", "shrink.cpp", "step.cpp", "versions.cpp", "warp.cpp"]
CUDA_SOURCES = ["dynamics.cu", "step.cu"]
# No -ffast-math: NaN and infinity have to pass on.
FLAGS = ["-std=c++17", "-O3", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi"]
ARCHITECTURES = ["80", "86", "87", "89", "90"]  # A100 to H100, and 87: Jetson Orin; newer ones from the last one's PTX
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"]


def find_nvcc() -> Path | None:
    """nvcc of CUDA_HOME, of the path, or of the usual place."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    candidates = [Path(home) / "bin" / "nvcc" for home in homes]
    candidates += [Path(found)] if (found := shutil.which("nvcc")) else []
    return next((path for path in [*candidates, Path("/usr/local/cuda/bin/nvcc")] if path.is_file()), None)


def find_runtime(nvcc: Path) -> Path:
    """The CUDA runtime to link: static, so that the extension loads where there is no CUDA."""
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    for home in [*homes, nvcc.parents[1], nvcc.resolve().parents[1], Path("/usr/local/cuda")]:
        for folder in ("lib64", "lib", "targets/*/lib"):
            for library in home.glob(f"{folder}/libcudart_static.a"):
                return library
    raise FileNotFoundError(f"no libcudart_static.a beside {nvcc}; set CUDA_HOME")


class BuildKernels(build_ext):
    """Builds the library of csrc/mdhr.h, which is no module of Python's but plain C for any language."""

    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', '/')}.so"

    def build_extension(self, ext: Extension) -> None:
        wanted = os.environ.get("MDHR_CUDA", "auto")
        nvcc = find_nvcc() if wanted != "0" else None
        if nvcc is not None:
            try:
                self.add_cuda(ext, nvcc)
            except (OSError, subprocess.CalledProcessError) as error:
                if wanted == "1":
                    raise SystemExit(f"MDHR_CUDA=1: the CUDA kernels do not compile: {error}") from None
                print(f"warning: the CUDA kernels do not compile, and are left out: {error}", file=sys.stderr)
        super().build_extension(ext)

    def add_cuda(self, ext: Extension, nvcc: Path) -> None:
        folder = Path(self.build_temp)
        folder.mkdir(parents=True, exist_ok=True)
        known = subprocess.run(
            [str(nvcc), "--list-gpu-arch"], capture_output=True, text=True, check=True
        ).stdout.split()
        chosen = [a for a in ARCHITECTURES if f"compute_{a}" in known]  # JetPack 5's nvcc ends at 87
        codes = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in chosen]
        codes.append(f"-gencode=arch=compute_{chosen[-1]},code=compute_{chosen[-1]}")
        command = [str(nvcc), "-O3", "-std=c++17", "--threads=2", "-Xcompiler=-fPIC,-fvisibility=hidden", *codes]
        targets = {name: str(folder / f"{name}.o") for name in CUDA_SOURCES}
        for name, target in targets.items():
            subprocess.run([*command, "-DMDHR_WITH_CUDA", "-c", f"csrc/{name}", "-o", target], check=True)
        ext.extra_objects += [*targets.values(), str(find_runtime(nvcc))]
        ext.define_macros.append(("MDHR_WITH_CUDA", None))
        ext.libraries += ["dl", "rt", "pthread"]


class AnyPython(bdist_wheel):
    """A wheel for this machine's kind and any Python: the library is plain C, and everything else is Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


def kernels() -> Extension:
    sanitize = SANITIZE if os.environ.get("MDHR_SANITIZE") == "1" else []
    extension = Extension(
        "mdhr_sdk.libmdhr",
        [f"csrc/{name}" for name in SOURCES],
        depends=[str(path) for path in Path("csrc").glob("*") if path.suffix != ".cpp"],
        language="c++",
        extra_compile_args=FLAGS + sanitize,
        extra_link_args=["-fopenmp", *sanitize],
    )
    extension.optional = os.environ.get("MDHR_CUDA") != "1" and not sanitize
    return extension


if os.environ.get("MDHR_CUDA", "auto") not in ("0", "1", "auto"):
    raise SystemExit(f"MDHR_CUDA must be 0, 1 or auto; got {os.environ['MDHR_CUDA']!r}")
if os.environ.get("MDHR_CUDA") == "1" and find_nvcc() is None:
    raise SystemExit("MDHR_CUDA=1 asks for the CUDA kernels, and nvcc is not found; set CUDA_HOME, or MDHR_CUDA=0")
setup(ext_modules=[kernels()], cmdclass={"build_ext": BuildKernels, "bdist_wheel": AnyPython})
