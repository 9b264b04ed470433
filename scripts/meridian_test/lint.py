"""Checks of the sources that need no build."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import Callable

import yaml

from meridian_test import layers, promql_coverage

TEXT_SUFFIXES = {".c", ".h", ".cc", ".py", ".sh", ".md", ".yaml", ".yml", ".json", ".txt", ".cmake", ".proto", ".tpl", ".toml", ".ini", ""}
SCRIPTS = ("scripts/quickstart", "scripts/test", "scripts/lib/packages.sh", ".ci/run")
C_LINES_MAX = 900

FORBIDDEN = {
    "conflict marker": re.compile(r"^(<{7} |>{7} |={7}$)", re.MULTILINE),
    "path of one machine": re.compile(r"(?<![\w.$}/-])/(?:home|root|work|Users)/\w"),
    "unfinished": re.compile(r"\b(?:FIX" + r"ME|XX" + r"X)\b"),
    "trailing space": re.compile(r"[ \t]+$", re.MULTILINE),
}
FREE_OF_RULES = {"LICENSE"}


def tracked(repository: Path, *patterns: str) -> list[Path]:
    """Files that git knows or would add, so that a new file is checked before it is committed."""
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
                         cwd=repository, capture_output=True, text=True, check=True).stdout
    return [path for name in sorted(set(out.split("\0"))) if name and (path := repository / name).is_file()]


def check_format(repository: Path) -> str | None:
    files = [str(path) for path in tracked(repository, "*.c", "*.h", "*.cc")]
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], cwd=repository, capture_output=True, text=True, check=False)
    return None if run.returncode == 0 else "\n".join(run.stderr.splitlines()[:30])


def check_layers(repository: Path) -> str | None:
    return joined(layers.check(repository))


def check_words(repository: Path) -> str | None:
    """Things that have no place in a committed text."""
    problems = []
    for path in tracked(repository):
        if path.suffix not in TEXT_SUFFIXES or path.name in FREE_OF_RULES:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for what, pattern in FORBIDDEN.items():
            match = pattern.search(text)
            if match:
                line = text.count("\n", 0, match.start()) + 1
                problems.append(f"{path.relative_to(repository)}:{line}: {what}: {match.group().strip()}")
    return joined(problems)


def check_sizes(repository: Path) -> str | None:
    problems = []
    for path in tracked(repository, "*.c", "*.h", "*.cc"):
        lines = path.read_text().count("\n")
        if lines > C_LINES_MAX:
            problems.append(f"{path.relative_to(repository)}: {lines} lines, at most {C_LINES_MAX}")
    return joined(problems)


def check_scripts(repository: Path) -> str | None:
    problems = []
    for name in SCRIPTS:
        run = subprocess.run(["bash", "-n", name], cwd=repository, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            problems.append(run.stderr.strip())
    for path in tracked(repository, "*.py"):
        try:
            ast.parse(path.read_text(), str(path))
        except SyntaxError as error:
            problems.append(f"{path.relative_to(repository)}:{error.lineno}: {error.msg}")
    return joined(problems)


def check_yaml(repository: Path) -> str | None:
    problems = []
    for path in tracked(repository, "*.yaml", "*.yml"):
        if "templates" in path.parts:  # Helm's, which are YAML only after rendering
            continue
        try:
            list(yaml.safe_load_all(path.read_text()))
        except yaml.YAMLError as error:
            problems.append(f"{path.relative_to(repository)}: {error}")
    return joined(problems)


def check_links(repository: Path) -> str | None:
    """Relative links of the documents lead somewhere."""
    problems = []
    for path in tracked(repository, "*.md"):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text()):
            if not (path.parent / target).exists():
                problems.append(f"{path.relative_to(repository)}: no {target}")
    return joined(problems)


def check_promql_coverage(repository: Path) -> str | None:
    return joined(promql_coverage.missing(repository))


def joined(problems: list[str]) -> str | None:
    return "\n".join(problems) or None


CHECKS: dict[str, Callable[[Path], str | None]] = {
    "format": check_format,
    "layers": check_layers,
    "words": check_words,
    "sizes": check_sizes,
    "scripts": check_scripts,
    "yaml": check_yaml,
    "links": check_links,
    "promql coverage": check_promql_coverage,
}
