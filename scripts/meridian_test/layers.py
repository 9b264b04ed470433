"""Which library may include which: the table is the mrd_library, mrd_service and mrd_tool calls of CMakeLists.txt, low to high."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CALL = re.compile(r"^(mrd_library|mrd_service|mrd_tool)\(([^)]*)\)", re.MULTILINE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"/]+)/[^"]+"', re.MULTILINE)


@dataclass
class Layers:
    libraries: dict[str, set[str]]
    """Each with all that it may include."""
    services: dict[str, set[str]]
    tools: dict[str, set[str]]
    problems: list[str]


def read(cmake_lists: Path) -> Layers:
    layers = Layers({}, {}, {}, [])
    tables = {"mrd_library": layers.libraries, "mrd_service": layers.services, "mrd_tool": layers.tools}
    for kind, words in CALL.findall(cmake_lists.read_text()):
        name, lower = parse_call(words.split())
        for other in lower:
            if other not in layers.libraries:
                layers.problems.append(f"CMakeLists.txt: {name} depends on {other}, which is no library declared before it")
        allowed = set(lower).union(*(layers.libraries.get(other, set()) for other in lower))
        tables[kind][name] = allowed
    return layers


def parse_call(words: list[str]) -> tuple[str, list[str]]:
    """("bus", ["base", "wire"]) of `bus DEPENDS base wire LINK nats`."""
    name, *rest = words
    lower: list[str] = []
    section = ""
    for word in rest:
        if word in ("DEPENDS", "LINK"):
            section = word
        elif section == "DEPENDS":
            lower.append(word)
    return name, lower


def check(repository: Path) -> list[str]:
    """What breaks the layering, one line each."""
    layers = read(repository / "CMakeLists.txt")
    problems = list(layers.problems)
    for root, table in (("libs", layers.libraries), ("services", layers.services), ("tools", layers.tools)):
        for folder in sorted(path for path in (repository / root).iterdir() if path.is_dir()):
            if folder.name not in table:
                problems.append(f"{root}/{folder.name} is not declared in CMakeLists.txt")
                continue
            problems += check_folder(repository, folder, layers, table[folder.name])
    return problems


def check_folder(repository: Path, folder: Path, layers: Layers, allowed: set[str]) -> list[str]:
    problems = []
    known = set(layers.libraries) | set(layers.services) | set(layers.tools)
    for file in sorted(folder.rglob("*")):
        if file.suffix not in (".c", ".h", ".cc"):
            continue
        text = file.read_text()
        for match in INCLUDE.finditer(text):
            target = match.group(1)
            if target in known and target != folder.name and target not in allowed:
                line = text.count("\n", 0, match.start()) + 1
                problems.append(f"{file.relative_to(repository)}:{line}: {folder.name} must not include {target}")
    return problems
