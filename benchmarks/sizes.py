"""What an installed mdhr_sdk weighs: every package that its requirements bring, and which of them asks for it."""

from __future__ import annotations

import platform
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Optional

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.table import Table

from benchmarks.report import Json, console, write_json
from mdhr_sdk.cli.app import run_app

MB = 1e6
ROOT = "mdhr-sdk"
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Row:
    """One package.

    Attributes:
        size_mb: of its files as they lie on the disk, compiled Python included.
        needed_by: the packages that ask for it.
    """

    package: str
    version: str
    size_mb: float
    needed_by: tuple[str, ...]


def rows(root: str, extras: tuple[str, ...]) -> list[Row]:
    """What is installed of `root` and of all that it needs with these extras, the largest first."""
    needed: dict[str, set[str]] = defaultdict(set)
    waiting, seen = [(root, extra) for extra in ("", *extras)], set[tuple[str, str]]()
    while waiting:
        name, extra = one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                other = canonicalize_name(requirement.name)
                needed[other].add(name)
                waiting += [(other, inner) for inner in ("", *requirement.extras)]
    found = []
    for name in {root, *needed}:
        try:
            version, size = metadata.version(name), size_of(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(Row(name, version, size / MB, tuple(sorted(needed[name] - {name}))))
    return sorted(found, key=lambda row: -row.size_mb)


def size_of(package: str) -> int:
    """Bytes of a package's files; of this one, whose checkout lists other files too, those of its folder."""
    if package == ROOT:
        places = [Path(str(one.locate_file("mdhr_sdk"))) for one in metadata.distributions(name=ROOT)]
        installed = [place for place in places if place.is_dir()][-1:]  # the checkout comes first, if it is not this
        paths = [path for place in installed for path in place.rglob("*")]
    else:
        paths = [Path(str(path.locate())) for path in metadata.files(package) or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


@app.command()
def sizes(
    extra: Annotated[Optional[list[str]], typer.Option(help="With what this extra brings; may be given again.")] = None,
    json: Json = None,
) -> None:
    """Print the installed size of mdhr_sdk's requirements, package by package."""
    found = rows(ROOT, tuple(extra or ()))
    table = Table("package", "version", "MB", "needed by", title=f"Python {platform.python_version()}")
    for row in found:
        table.add_row(row.package, row.version, f"{row.size_mb:.1f}", ", ".join(row.needed_by))
    table.add_row("all", "", f"{sum(row.size_mb for row in found):.0f}", "")
    console.print(table)
    if json is not None:
        write_json(json, {"python": platform.python_version(), "packages": [asdict(row) for row in found]})


if __name__ == "__main__":
    run_app(app)
