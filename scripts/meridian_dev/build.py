"""Builds the services. CMake and Ninja know what is out of date, so nothing is built twice."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from meridian_dev.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]

PACKAGES_SECONDS = 900
"""For Python packages to come, from a mirror that is slow."""


def build_services(preset: str, kinds: list[str]) -> Path:
    """Builds meridian-<kind> for each kind; returns the folder of the binaries."""
    if not kinds:
        return REPOSITORY / "build" / preset
    absent = [kind for kind in kinds if not (REPOSITORY / "services" / kind / "main.c").exists()]
    if absent:
        raise UserError(f"the sources of {', '.join(absent)} are not in {REPOSITORY / 'services'}")
    return build_targets(preset, [f"meridian-{kind}" for kind in kinds])


def build_targets(preset: str, targets: list[str]) -> Path:
    folder = REPOSITORY / "build" / preset
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two quickstarts at once: the second finds everything built
        if not (folder / "build.ninja").exists():
            run_quietly(["cmake", "--preset", preset], f"configuring {preset}")
        command = ["cmake", "--build", str(folder), "-j", str(os.cpu_count() or 2)]
        run_quietly(command + (["--target", *targets] if targets else []), f"building {preset}")
    return folder


def python_with(requirements: Path) -> str:
    """A Python of our own that has these packages besides Debian's; made once, and again when the list changes."""
    home = REPOSITORY / "build" / f"python-{requirements.parent.name}"
    python, done = home / "bin" / "python", home / "installed.txt"
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of two files at once: the second finds it made
        if done.exists() and done.read_text() == requirements.read_text():
            return str(python)
        run_quietly(["/usr/bin/python3", "-m", "venv", "--clear", "--system-site-packages", str(home)], f"making {home.name}")
        run_quietly([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)],
                    f"installing {requirements}", seconds=PACKAGES_SECONDS)
        done.write_text(requirements.read_text())
    return str(python)


def run_quietly(command: list[str], what: str, cwd: Path = REPOSITORY, seconds: float | None = None) -> None:
    """Runs a build step; its output is shown only when it fails. More than so many seconds is a failure."""
    print(f"{what}...", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{what} took more than {seconds} s: {' '.join(command)}") from error
    if done.returncode != 0:
        raise UserError(f"{what} failed: {' '.join(command)}\n{done.stdout[-8000:]}")
