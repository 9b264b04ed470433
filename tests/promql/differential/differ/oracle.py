"""Prometheus, built from its Go module: its server, and a program that evaluates scripts with its engine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from meridian_dev.build import REPOSITORY, run_quietly

SOURCES = Path(__file__).resolve().parents[1] / "oracle"
BUILT = REPOSITORY / "build" / "oracle"
SERVER_PACKAGE = "github.com/prometheus/prometheus/cmd/prometheus"


def absent() -> str | None:
    """Why nothing can be built here, or None."""
    return None if shutil.which("go") else "Go is not installed, and Prometheus' server is built from its module"


def server() -> Path:
    """Service discovery beyond files is left out: it is most of the code, and nothing here uses it."""
    return built("prometheus", ["-tags", "remove_all_sd", SERVER_PACKAGE])


def engine() -> Path:
    return built("evaluate", ["."])


def built(name: str, arguments: list[str]) -> Path:
    """Go knows what is out of date. Built in a copy, since `go mod tidy` writes beside the sources."""
    folder = BUILT / "module"
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.iterdir():
        target = folder / source.name
        if source.name != "go.mod":
            shutil.copyfile(source, target)
        elif not stamp(folder).exists() or stamp(folder).read_text() != source.read_text():
            shutil.copyfile(source, target)
            run_in(folder, ["go", "mod", "tidy"])
            stamp(folder).write_text(source.read_text())
    run_in(folder, ["go", "build", "-o", str(BUILT / name), *arguments])
    return BUILT / name


def stamp(folder: Path) -> Path:
    """The go.mod that the one in use was made from."""
    return folder / "go.mod.given"


def run_in(folder: Path, command: list[str]) -> None:
    run_quietly(command, f"building the reference ({' '.join(command[:3])})", folder)
