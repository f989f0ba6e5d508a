"""README.md and docs as a newcomer reads them: what they show runs, and what they name exists."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import typer

from documents import PAGES, ROOT, RUN, Block, blocks, checkout, commands
from mdhr_sdk.cli.app import app
from mdhr_sdk.vision.faces.engine import installed_mediapipe
from processes import environment, run

LONG = (ROOT / "README.md", ROOT / "docs" / "training.md")  # more than some seconds, though no block alone
SCRIPTS = ("mdhr_sdk", "benchmarks", "examples", "export", "tests", "csrc")  # folders that pages name files of
NOT_RUN = [block for page in PAGES for block in blocks(page) if block.not_run]


def names(items: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in items]


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in RUN and not block.not_run]


def pages_to_run() -> list[object]:
    found = []
    for page in PAGES:
        if chosen := runnable(page):
            long = page in LONG or any(block.slow for block in chosen)
            name = str(page.relative_to(ROOT))
            found.append(pytest.param(page, id=name, marks=[pytest.mark.slow] if long else []))
    return found


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize("page", pages_to_run())
def test_what_a_page_shows_runs_in_order(page: Path, tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    path = os.pathsep.join([str(folder / ".venv" / "bin"), os.environ["PATH"]])
    # What a page converts is not for the user's cache; where MediaPipe has no models, its task file is there.
    more = {"MDHR_CACHE": folder / "cache"} if installed_mediapipe()[1] else {}
    for block in runnable(page):
        call = ["bash", "-eu", "-c"] if block.language == "bash" else [sys.executable, "-c"]
        done = run([*call, block.text], 300, cwd=folder, env=environment(PATH=path, **more))
        assert done.returncode == 0, f"{block.name}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", NOT_RUN, ids=[block.name for block in NOT_RUN])
def test_a_block_that_is_not_run_says_why(block: Block) -> None:
    assert block.language in RUN, f"{block.name}: blocks of {block.language} are never run, so they need no mark"
    pytest.skip(f"{block.name}: {block.not_run}")


def test_python_that_is_shown_is_python() -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.language == "python"]
    assert shown
    for block in shown:
        ast.parse(block.text, block.name)


def test_commands_and_options_exist() -> None:
    """Every `mdhr` line, also of blocks that are not run and between backticks."""
    checked = 0
    for page in PAGES:
        for words in commands(page):
            if words[0] != "mdhr" or len(words) < 2 or words[1].startswith("-"):
                continue
            known, rest = typer.main.get_command(app), words[1:]
            while rest and hasattr(known, "get_command"):
                known, rest = known.get_command(None, rest[0]), rest[1:]
                assert known, f"{page.name}: no command in {' '.join(words)!r}"
            options = {"--help", *(name for p in known.params for name in (*p.opts, *p.secondary_opts))}
            given = {word.split("=")[0] for word in rest if re.match(r"--[a-z]", word)}
            assert given <= options, f"{page.name}: {given - options} in {' '.join(words)!r}"
            checked += 1
    assert checked > 10


def test_targets_extras_and_scripts_exist() -> None:
    project, extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8"), set[str]()
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made = set()
    for page in PAGES:
        for words in commands(page):
            if words[0] == "make" and len(words) == 2:
                made.add(words[1])
            elif words[:2] == ["pip", "install"]:
                extras |= {one for some in re.findall(r"\[([\w,-]+)\]", " ".join(words)) for one in some.split(",")}
            elif words[0] == "python" and len(words) > 1 and words[1].endswith(".py"):
                assert (ROOT / words[1]).is_file(), f"{page.name}: {' '.join(words)}"
    assert {"demo", "test"} <= made <= targets
    assert extras and extras <= set(re.findall(r"^(\w+) = \[", project, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=names(list(PAGES)))
def test_links_pictures_and_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"no {target}"
        assert not anchor or anchor in anchors(path), f"no heading #{anchor} in {path.name}"
    for named in re.findall(r"`((?:mdhr_sdk|benchmarks|examples|export|tests|docs|csrc)/[\w./-]+)`", text):
        assert (ROOT / named).exists(), f"no {named}"
    for named in re.findall(r"`(\w+\.py)`", text):
        assert any(next((ROOT / folder).rglob(named), None) for folder in SCRIPTS), f"no {named} in the repository"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
