"""No file needs, at its top, one that needs it: what only types need counts too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mdhr_sdk

ROOT = Path(mdhr_sdk.__file__).parent


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def at_the_top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements outside functions, those under `if TYPE_CHECKING:` included."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            yield from at_the_top([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)])
        yield node


def imports(name: str) -> Iterator[str]:
    """Files of the package that a file imports at its top."""
    path = FILES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in at_the_top(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) + 1 - node.level]) if node.level else ""
            full = ".".join(filter(None, (base, node.module)))
            for alias in node.names:
                found = f"{full}.{alias.name}" if f"{full}.{alias.name}" in FILES else full
                if found in FILES:
                    yield found
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The first circle, from a file back to it; empty without one."""
    done: set[str] = set()

    def follow(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            done.add(name)
            for other in sorted(graph[name]):
                if found := follow(other, [*way, name]):
                    return found
        return []

    return next(filter(None, (follow(name, []) for name in graph)), [])


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert "mdhr_sdk.runtime.session" in set(imports("mdhr_sdk.runtime.select"))


def test_no_file_needs_one_that_needs_it() -> None:
    found = circle({name: set(imports(name)) for name in FILES})
    assert not found, " -> ".join(found)
