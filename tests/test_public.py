"""What `mdhr_sdk` offers: every name is there, is loaded when it is used, and is shown by `dir`."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

import mdhr_sdk
from mdhr_sdk import errors
from mdhr_sdk.errors import CheckpointError, MDHRError, NotFiniteError, TruncatedSourceError

ERRORS = [
    MDHRError("plain"),
    TruncatedSourceError("cut off", decoded=3, declared=10),
    CheckpointError("weights", missing=("a",), misshapen=(("b", (1,), (2,)),)),
    NotFiniteError("not finite"),
]


def raise_it(number: int) -> None:
    raise ERRORS[number]


def test_every_name_is_there_and_shown():
    for name in mdhr_sdk.__all__:
        assert getattr(mdhr_sdk, name) is not None and name in dir(mdhr_sdk)
    assert mdhr_sdk.__version__.startswith("0.2")
    with pytest.raises(AttributeError, match="module 'mdhr_sdk' has no attribute 'AUDetektor'"):
        _ = mdhr_sdk.AUDetektor


def test_all_errors_are_public():
    kinds = {name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, MDHRError)}
    assert kinds <= set(mdhr_sdk.__all__)


def test_names_are_loaded_when_they_are_used():
    code = """
import sys, mdhr_sdk
assert "AUDetector" in dir(mdhr_sdk) and "mdhr_sdk.detector" not in sys.modules and "numpy" not in sys.modules
from mdhr_sdk import MDHRError
assert "numpy" not in sys.modules
from mdhr_sdk import *
import mdhr_sdk.outputs, mdhr_sdk.vision, mdhr_sdk.runtime, mdhr_sdk.pipeline, mdhr_sdk.modelfolder.folder
heavy = {"torch", "timm", "safetensors", "onnx", "cv2", "av", "PIL", "mediapipe", "matplotlib", "pandas", "onnxruntime"}
assert AUDetector.__name__ == "AUDetector" and not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_with_all_they_tell(error: MDHRError):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and again.args == error.args
    assert vars(again) == vars(error)


def test_an_error_with_results_that_hold_it_survives_too():
    error = MDHRError("of one source")
    error.results = {"errors": (("a.mp4", error),)}
    again = pickle.loads(pickle.dumps(error))
    assert again.results["errors"][0][1] is again


def test_an_error_of_a_worker_process_reaches_the_caller():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(TruncatedSourceError, match="cut off") as caught:
            pool.submit(raise_it, 1).result()
        assert (caught.value.decoded, caught.value.declared) == (3, 10)
        with pytest.raises(CheckpointError, match="weights: 1 missing: a; 1 misshapen") as other:
            pool.submit(raise_it, 2).result()
        assert other.value.missing == ("a",)
