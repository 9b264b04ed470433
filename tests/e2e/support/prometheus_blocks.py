"""Blocks of Prometheus, made and read by its own programs, and mrdctl."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

SECONDS = 120
LINE = re.compile(r"^(\{.*\}) (\S+) (\d+)$")
PAIR = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')


def promtool(*arguments: str | Path) -> str:
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS, check=True).stdout


def make(directory: Path, openmetrics: str) -> Path:
    """Blocks of two hours from a text in OpenMetrics."""
    directory.mkdir(parents=True)
    text = directory / "samples.txt"
    text.write_text(openmetrics)
    promtool("tsdb", "create-blocks-from", "openmetrics", text, directory / "data")
    return directory / "data"


def dump(data: Path) -> dict[frozenset, list[tuple[int, float]]]:
    """Floats of all blocks of a folder, as promtool reads them: labels -> samples in order of time."""
    (data / "wal").mkdir(exist_ok=True)  # without one promtool takes the folder for no database
    found: dict[frozenset, list[tuple[int, float]]] = {}
    for line in promtool("tsdb", "dump", data).splitlines():
        match = LINE.match(line)
        assert match, line
        labels = frozenset((name, json.loads(f'"{value}"')) for name, value in PAIR.findall(match.group(1)))
        found.setdefault(labels, []).append((int(match.group(3)), float(match.group(2))))
    return {labels: sorted(samples) for labels, samples in found.items()}


class Mrdctl:
    def __init__(self, binaries: Path):
        self.program = binaries / "mrdctl"

    def __call__(self, *arguments: object, code: int = 0, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        done = subprocess.run([str(self.program), *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS, check=False,
                              env=environment)
        assert done.returncode == code, done
        return done
