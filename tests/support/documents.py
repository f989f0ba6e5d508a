"""The blocks of code in README.md and docs, and a folder to run them in as a reader would.

Blocks fenced as `bash` or `python` are run, in the order of the page, all of a page in one fresh folder. Blocks of
another kind (`text`, `yaml`) are not. A comment in the line before the fence says otherwise:

    <!-- not run: needs TensorRT -->     the block is not run, and the tests say why
    <!-- slow -->                        the whole page is run by the slow tests only
"""

from __future__ import annotations

import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fakes import write_film
from mdhr_sdk.vision import list_sources
from processes import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RUN = ("bash", "python")
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>not run: (?P<why>[^\n]+)|slow) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
FRAMES = 112  # of the demo clip: seven windows, and pages look at frame 85
INERT = ("make", "pip", "sudo", "git")  # what would install: checked by other tests, and does nothing here


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    slow: bool
    not_run: str | None

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text, found, slow = page.read_text(encoding="utf-8"), [], False
    for match in FENCE.finditer(text):
        slow |= match["mark"] == "slow"
        line = text.count("\n", 0, match.start("text"))
        found.append(Block(page, line, match["language"], match["text"], slow, match["why"]))
    return found


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command line of a page: in blocks, and between single backticks."""
    text = page.read_text(encoding="utf-8")
    prose = FENCE.sub("", text)
    lines = [line for block in blocks(page) if block.language in ("bash", "text") for line in _lines(block.text)]
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    for line in (*lines, *inline):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # no command: a formula, half a sentence
            continue
        if words:
            yield words


def checkout(folder: Path) -> Path:
    """A folder that stands for the reader's checkout: a short demo clip, the scripts, an environment to activate."""
    assets = folder / "mdhr_sdk" / "assets"
    assets.mkdir(parents=True)
    for name in ("benchmarks", "csrc", "docs", "examples", "export", "pyproject.toml", "tests"):
        (folder / name).symlink_to(ROOT / name)
    (source,) = list_sources(ROOT / "mdhr_sdk" / "assets" / "demo.mp4")
    with source:
        write_film(assets / "demo.mp4", [frame.image for frame in itertools.islice(source, FRAMES)])
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "activate").touch()
    python = shlex.quote(sys.executable)
    scripts = {"mdhr": f'exec {python} -m mdhr_sdk "$@"', "python": f'exec {python} "$@"', **dict.fromkeys(INERT, "")}
    for name, body in scripts.items():
        (binaries / name).write_text(f"#!/bin/sh\n{body}\n")
        (binaries / name).chmod(0o755)
    return folder


def _lines(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()
