"""Prometheus, built from its Go module: its server, and a program that evaluates scripts with its engine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from meridian_dev.build import REPOSITORY, run_quietly
from meridian_dev.errors import UserError

SOURCES = Path(__file__).resolve().parents[1] / "oracle"
BUILT = REPOSITORY / "build" / "oracle"
MODULE = "github.com/prometheus/prometheus"
SERVER_PACKAGE = f"{MODULE}/cmd/prometheus"


def absent() -> str | None:
    """Why nothing can be built here, or None."""
    return None if shutil.which("go") else "Go is not installed, and Prometheus' server is built from its module"


def server() -> Path:
    """Service discovery beyond files is left out: it is most of the code, and nothing here uses it."""
    return built("prometheus", ["-tags", "remove_all_sd", SERVER_PACKAGE])


def engine() -> Path:
    return built("evaluate", ["."])


def module_folder() -> Path:
    """Where Go keeps the sources of the Prometheus that is built."""
    done = subprocess.run(["go", "mod", "download", "-json", MODULE], cwd=prepared(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"{MODULE}: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def built(name: str, arguments: list[str]) -> Path:
    """Go knows what is out of date."""
    run_in(prepared(), ["go", "build", "-o", str(BUILT / name), *arguments])
    return BUILT / name


def prepared() -> Path:
    """A copy of the sources to build in, since `go mod tidy` writes beside them."""
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
    return folder


def stamp(folder: Path) -> Path:
    """The go.mod that the one in use was made from."""
    return folder / "go.mod.given"


def run_in(folder: Path, command: list[str]) -> None:
    run_quietly(command, f"building the reference ({' '.join(command[:3])})", folder)
