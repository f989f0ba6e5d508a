"""A heavy import of another package is put off, and nobody notices."""

from __future__ import annotations

import sys

import pytest

from mdhr_sdk.vision.faces.mediapipe.later import imported_later
from tests.support.processes import run_python


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "heavy_one"
    folder.mkdir()
    (folder / "__init__.py").write_text("name = 'whole'\n")
    (folder / "part.py").write_text("name = 'part'\n")
    (tmp_path / "wants_it.py").write_text("import heavy_one.part as part\ndef ask(): return part.name\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [one for one in sys.modules if one.startswith(("heavy_one", "wants_it"))]:
        del sys.modules[name]


def test_the_module_comes_when_something_is_asked_of_it(package):
    with imported_later("heavy_one", "part"):
        import wants_it
    assert "heavy_one" not in sys.modules and "heavy_one.part" not in sys.modules
    assert wants_it.ask() == "part"
    assert sys.modules["heavy_one.part"].name == "part" and sys.modules["heavy_one"].name == "whole"


def test_an_import_afterwards_finds_the_real_one(package):
    with imported_later("heavy_one", "part"):
        import wants_it  # noqa: F401
    import heavy_one.part

    assert heavy_one.name == "whole" and heavy_one.part.name == "part"


def test_an_import_in_the_meantime_finds_the_real_one_too(package):
    with imported_later("heavy_one", "part"):
        from heavy_one import name
    assert name == "whole"


def test_what_is_there_already_stays(package):
    import heavy_one.part as there

    with imported_later("heavy_one", "part"):
        import wants_it
    assert wants_it.part is there


def test_the_face_models_come_without_pyplot():
    script = "import sys; from mdhr_sdk.vision.faces.mediapipe.package import import_mediapipe as load; load()\n"
    script += "assert 'matplotlib' not in sys.modules\nimport matplotlib.pyplot as plt; assert plt.figure"
    assert run_python("-c", script).returncode == 0
