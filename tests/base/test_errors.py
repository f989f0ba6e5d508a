"""Errors are plain lines; `require` names an extra that is missing, and anything else that fails shows as it is."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from rich.table import Table

from mdhr_sdk.cli.parts.options import Console, say
from mdhr_sdk.errors import (
    MDHRError,
    MissingDependencyError,
    TruncatedSourceError,
    import_cv2,
    number_of,
    plain,
    require,
)
from processes import run_python

NO_GL = "libGL.so.1: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë 日本 \u00a0x", "Zoë 日本 \u00a0x"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\udcff\x9b\x7f", r"\udcff\x9b\x7f"),
    ],
)
def test_what_is_shown_is_one_plain_line(text: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    assert plain(text) == shown and shown.isprintable() | ("\u00a0" in shown)
    assert str(MDHRError(text)) == shown
    for name in ("mdhr_sdk", "mdhr_sdk.tensorrt"):
        logging.getLogger(name).warning("of %s", text)
    assert [record.getMessage() for record in caplog.records] == [f"of {shown}"] * 2


def test_commands_show_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("one \x1b[2J\ntwo")
    table = Table("\x1b]0;owned\x07")
    table.add_row("[red]\x1b[31mred")
    Console(markup=False, width=60).print(table)
    shown = capsys.readouterr().out
    assert r"one \x1b[2J" in shown and r"\x1b]0;owned" in shown and r"[red]\x1b" in shown
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    coloured = Console(force_terminal=True, width=60)
    coloured.print("x", style="bold red")
    assert "\x1b[" in capsys.readouterr().out, "its own colours stay"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes an importable package whose `__init__` and `broken` hold the given lines."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, init: str = "", broken: str = "") -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(init)
        (folder / "broken.py").write_text(broken)
        return name

    yield make
    for name in [name for name in sys.modules if name.startswith("mdhr_test_")]:
        del sys.modules[name]


def test_gives_the_module():
    assert require("json", "any") is sys.modules["json"]
    assert require("os.path", "any") is sys.modules["os.path"]


@pytest.mark.parametrize("module", ["mdhr_test_absent", "mdhr_test_absent.deep.inside"])
def test_a_missing_package_names_the_extra(module: str):
    with pytest.raises(MissingDependencyError, match=r"'mdhr_test_absent'.*pip install -e '\.\[torch\]'") as caught:
        require(module, "torch")
    assert isinstance(caught.value, MDHRError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("init", "broken", "kind"),
    [
        ("import mdhr_test_other", "", ModuleNotFoundError),
        ("", "import mdhr_test_other", ModuleNotFoundError),
        ("raise ImportError('libcudart.so.12: cannot open shared object file')", "", ImportError),
        ("from json import nothing_of_that_name", "", ImportError),
        ("raise ModuleNotFoundError('no name given')", "", ModuleNotFoundError),
        ("raise RuntimeError('broken')", "", RuntimeError),
    ],
)
def test_an_installed_package_that_fails_to_import_shows_why(package, init: str, broken: str, kind: type[Exception]):
    name = package("mdhr_test_a", init, broken)
    with pytest.raises(kind) as caught:
        require(f"{name}.broken" if broken else name, "torch")
    assert type(caught.value) is kind and getattr(caught.value, "name", None) != name


def test_a_truncated_source_says_how_far_it_came():
    error = TruncatedSourceError("cut", decoded=3, declared=10)
    assert (str(error), error.decoded, error.declared, error.results) == ("cut", 3, 10, None)


def test_a_system_library_that_opencv_lacks_is_named_with_the_command(monkeypatch, tmp_path):
    (tmp_path / "cv2.py").write_text(f"raise ImportError({NO_GL!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    with pytest.raises(
        MissingDependencyError, match=r"libGL\.so\.1.*apt-get install libgl1 libglib2\.0-0.*headless"
    ) as e:
        import_cv2()
    assert "\n" not in str(e.value)


def test_an_opencv_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependencyError, match="pip install 'opencv-contrib-python"):
        import_cv2()


@pytest.mark.parametrize(("module", "name"), [("cv2", "OpenCV"), ("av", "PyAV"), ("PIL.Image", "Pillow")])
def test_the_command_names_what_it_cannot_load_in_one_line(module, name, tmp_path, demo_path):
    (tmp_path / f"{module.partition('.')[0]}.py").write_text(f"raise ImportError({NO_GL!r})")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[0] = 'mdhr'\n"
        "from mdhr_sdk.cli.app import main; main()"
    )
    done = run_python("-c", code, "detect", demo_path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name} is installed but cannot be loaded: libGL.so.1")
    assert done.stderr.count("\n") == 1


def test_one_is_told_as_one() -> None:
    told = [number_of(count, "frame") for count in (0, 1, 2, 1200)]
    assert told == ["0 frames", "1 frame", "2 frames", "1,200 frames"]
    assert [number_of(count, "person", "people") for count in (1, 3)] == ["1 person", "3 people"]
