"""A Prometheus beside a region, Debian's unless told otherwise: what ours is compared with, and a client of ours."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Sequence

from support import remote_write as rw

START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Prometheus:
    """One process with a directory of its own. It scrapes what `config` says and takes remote write."""

    def __init__(self, directory: Path, config: str = "global: {}\n", program: Path | str = "prometheus", flags: Sequence[str] = ()):
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "prometheus.yml"
        self.config.write_text(config)
        self.data = directory / "data"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = directory / "log"
        self.process = subprocess.Popen(
            [str(program), f"--config.file={self.config}", f"--storage.tsdb.path={self.data}",
             f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver", *flags],
            stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"no Prometheus within {START_SECONDS} s:\n{self.log.read_text()}")

    def push(self, series: bytes) -> None:
        answer = rw.push(f"{self.url}/api/v1/write", series)
        assert answer.status in (200, 204), answer

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
