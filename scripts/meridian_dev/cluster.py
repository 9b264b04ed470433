"""A running region as an object, for tests and benchmarks written in Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import yaml

from meridian_dev import control
from meridian_dev.build import REPOSITORY
from meridian_dev.layout import Layout
from meridian_dev.programs import answers
from meridian_dev.topology import SERVICES

READY_SECONDS = 60
UP_SECONDS = 180
POLL_SECONDS = 0.02

SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "MemorySanitizer")


class Cluster:
    """One region under a directory of its own. Use as a context manager: leaving it stops everything."""

    def __init__(self, directory: Path, binaries: Path, topology: dict[str, Any] | None = None, *,
                 settings: list[str] | None = None, demo: bool = False, restart: bool = True):
        self.layout = Layout(directory)
        self.binaries = binaries
        self.topology = {"ports": "free", **(topology or {})}
        self.settings = settings or []
        self.demo = demo
        self.restart = restart

    def __enter__(self) -> Cluster:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # ---- life ----

    def up(self) -> None:
        self.layout.create()
        file = self.layout.directory / "topology.yaml"
        file.write_text(yaml.safe_dump({"regions": [self.topology]}))
        words = ["up", "--detach", "--topology", str(file), "--build-dir", str(self.binaries)]
        words += [] if self.demo else ["--no-demo"]
        words += [] if self.restart else ["--no-restart"]
        for setting in self.settings:
            words += ["--set", setting]
        self.command(*words)

    def down(self) -> None:
        self.command("down")

    def command(self, *words: str) -> str:
        """Runs a quickstart command; a failure carries what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "meridian_dev", words[0], "--dir", str(self.layout.directory), *words[1:]],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=UP_SECONDS, check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"quickstart {words[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    # ---- what runs ----

    @property
    def region(self) -> dict[str, Any]:
        return self.layout.read_state()["regions"][0]

    def service(self, instance: str) -> dict[str, Any]:
        for service in self.region["services"]:
            if service["instance"] == instance:
                return service
        raise KeyError(instance)

    def instances(self, name: str) -> list[str]:
        return [service["instance"] for service in self.region["services"] if service["name"] == name]

    def urls(self, name: str) -> list[str]:
        """One look at the state: instances come and go while tests run."""
        return [service["ops_url"] for service in self.region["services"] if service["name"] == name]

    def push_urls(self) -> list[str]:
        return [f"{url}/api/v1/push" for url in self.urls("distributor")]

    def query_urls(self) -> list[str]:
        return self.urls("querier")

    def is_ready(self, instance: str) -> bool:
        service = self.service(instance)
        return service["pid"] is not None and answers(f"{service['ops_url']}/ready")

    # ---- faults ----

    def ask(self, command: str, *arguments: str) -> Any:
        return control.ask(self.layout, command, *arguments).get("result")

    def kill(self, instance: str) -> None:
        """SIGKILL; it starts again by itself after a second."""
        self.ask("kill", instance)

    def pause(self, instance: str) -> None:
        self.ask("pause", instance)

    def resume(self, instance: str) -> None:
        self.ask("resume", instance)

    def stop(self, instance: str, how: str = "term") -> None:
        """Ends it ("term" or "kill") and leaves it down."""
        self.ask("stop", instance, how)

    def start(self, instance: str) -> None:
        self.ask("start", instance)

    def add(self, service: str) -> str:
        instance = self.ask("add", service)
        self.wait_ready(instance)
        return instance

    def remove(self, instance: str) -> None:
        self.ask("remove", instance)

    def wait_ready(self, instance: str, seconds: float = READY_SECONDS) -> None:
        wait_until(lambda: self.is_ready(instance), seconds, f"{instance} to be ready")

    def kill_and_wait(self, instance: str) -> None:
        """Kills it and waits until its successor is ready."""
        before = self.service(instance)["pid"]
        self.kill(instance)
        wait_until(lambda: self.service(instance)["pid"] not in (None, before), READY_SECONDS, f"{instance} to start again")
        if instance.startswith(SERVICES):
            self.wait_ready(instance)

    # ---- what it said ----

    def log_text(self, instance: str) -> str:
        log = self.layout.log_of(instance)
        return log.read_text(errors="replace") if log.exists() else ""

    def sanitizer_reports(self) -> list[str]:
        """Lines by which a sanitizer or an assertion ended a process."""
        marks = SANITIZER_MARKS + ("assertion failed",)
        return [
            f"{log.name}: {line}"
            for log in sorted(self.layout.logs.glob("*.log"))
            for line in log.read_text(errors="replace").splitlines()
            if any(mark in line for mark in marks)
        ]

    def crashes(self) -> list[str]:
        """Processes that ended without being told to: neither stopped nor killed by a test."""
        ends = re.findall(r"^(\S+) ended \((.*)\)$", self.log_text("supervisor"), re.MULTILINE)
        return [f"{instance}: {how}" for instance, how in ends if how != "SIGKILL"]


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Polls until the condition gives something true, and returns it; fails with `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(POLL_SECONDS)
