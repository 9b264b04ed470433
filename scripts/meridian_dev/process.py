"""One child process with its log file."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path

LOG_BYTES_MAX = 32 << 20
"""A log file over this is moved to <name>.1 and begun anew, so a region's logs stay under twice that each."""

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Runs in the child before exec: even if the supervisor is killed, nothing is left running."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A started process. Its standard output and error go to the log file."""

    def __init__(self, command: list[str], log: Path, cwd: Path, env: dict[str, str] | None = None):
        rotate(log)
        with open(log, "ab") as sink:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                # Ctrl-C goes to the supervisor alone, which stops in order. But one session, within which priorities count.
                process_group=0,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self.popen.poll()

    def send(self, number: int) -> None:
        self.popen.send_signal(number)


def rotate(log: Path) -> None:
    """Keeps a log bounded while its writer holds it open for appending: copy, then cut."""
    try:
        if log.stat().st_size <= LOG_BYTES_MAX:
            return
    except FileNotFoundError:
        return
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)


def tail(log: Path, lines: int = 15) -> str:
    try:
        with open(log, "rb") as source:
            source.seek(0, os.SEEK_END)
            source.seek(max(0, source.tell() - 16384))
            return "\n".join(source.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"
