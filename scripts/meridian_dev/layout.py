"""Where things lie under a region's directory, and the state file through which other processes see it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from meridian_dev.errors import UserError


class Layout:
    """Paths of one directory. Everything that quickstart writes while it runs lies below it."""

    def __init__(self, directory: Path):
        self.directory = Path(os.path.abspath(directory))
        self.state_file = self.directory / "state.json"
        self.lock_file = self.directory / "lock"
        self.control_socket = self.directory / "control.sock"
        self.logs = self.directory / "logs"
        self.config = self.directory / "config"
        self.objects = self.directory / "objects"

    def create(self) -> None:
        for directory in (self.directory, self.logs, self.config, self.objects):
            directory.mkdir(parents=True, exist_ok=True)

    def log_of(self, instance: str) -> Path:
        return self.logs / f"{instance}.log"

    def data_of(self, instance: str) -> Path:
        directory = self.directory / "data" / instance
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def write_state(self, state: dict[str, Any]) -> None:
        write_atomically(self.state_file, json.dumps(state, indent=2) + "\n")

    def read_state(self) -> dict[str, Any] | None:
        try:
            return json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return None

    def lock(self) -> int:
        """Takes the directory for this process and returns the descriptor that holds it, or fails."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UserError(f"{self.directory} is in use by another quickstart") from None
        return descriptor

    def locked(self) -> bool:
        """True while a supervisor holds the directory, however it may have died."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old text or the new, never half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(text)
    os.replace(draft, path)
