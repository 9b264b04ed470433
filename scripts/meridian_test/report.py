"""Counts what passed and failed, and says so at the end."""

from __future__ import annotations

import time
import xml.etree.ElementTree as xml
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator


@dataclass
class Report:
    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def record(self, name: str, problem: str | None) -> None:
        """One check or test; `problem` None if it passed."""
        if problem is None:
            self.passed += 1
            return
        self.failures.append(name)
        print(f"FAILED {name}\n{problem}\n", flush=True)

    def record_junit(self, stage: str, file: Path) -> int:
        """Every test case of a JUnit file; returns how many there were."""
        count = 0
        for case in xml.parse(file).getroot().iter("testcase"):
            count += 1
            outcome = {child.tag for child in case}
            if outcome & {"failure", "error"} or case.get("status") == "fail":
                self.failures.append(f"{stage}: {case.get('classname')} {case.get('name')}")
            elif "skipped" in outcome or case.get("status") in ("notrun", "disabled"):
                self.skipped += 1
                print(f"skipped {stage}: {case.get('name')}", flush=True)
            else:
                self.passed += 1
        return count

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Prints when a stage begins; its time and counts go to the summary."""
        print(f"==== {name}", flush=True)
        begin, passed, failed = time.monotonic(), self.passed, len(self.failures)
        try:
            yield
        finally:
            self.lines.append(f"{name:<24} {self.passed - passed:>5} passed {len(self.failures) - failed:>4} failed "
                              f"{time.monotonic() - begin:>7.1f} s")

    def close(self) -> int:
        """Prints the summary and returns the exit code. A run in which nothing ran has failed."""
        print("\n==== summary")
        print("\n".join(self.lines))
        for failure in self.failures:
            print(f"FAILED {failure}")
        print(f"{self.passed} passed, {len(self.failures)} failed, {self.skipped} skipped" if self.skipped
              else f"{self.passed} passed, {len(self.failures)} failed", flush=True)
        return 1 if self.failures or not self.passed else 0
