"""A region whose objects are in the S3 that the unit tests use, which does as it is told."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import ended, started
from meridian_dev.build import REPOSITORY
from meridian_dev.cluster import Cluster

KEY, SECRET = "test-access", "test-secret/+="


def settings_of(endpoint: str) -> list[str]:
    return ["all.objstore.kind=s3", f"all.objstore.s3.endpoint={endpoint}", "all.objstore.s3.bucket=bucket-1", "all.objstore.s3.region=test-1",
            "all.objstore.s3.path_style=true", f"all.objstore.s3.access_key={KEY}", f"all.objstore.s3.secret_key={SECRET}"]


@contextmanager
def server() -> Iterator[str]:
    """Its endpoint."""
    program = [sys.executable, str(REPOSITORY / "tests" / "objstore" / "s3_server.py")]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
        process.stdin.close()


class Bucket:
    def __init__(self, region: Cluster, endpoint: str):
        self.region, self.endpoint = region, endpoint

    def order(self, *faults: str) -> None:
        request = urllib.request.Request(f"{self.endpoint}/_test/faults", data="\n".join(faults).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def look(self, what: str) -> str:
        with urllib.request.urlopen(f"{self.endpoint}/_test/{what}", timeout=10) as answer:
            return answer.read().decode()


@contextmanager
def bucket(directory: Path, binaries: Path, topology: dict[str, Any], settings: list[str]) -> Iterator[Bucket]:
    with server() as endpoint:
        world = Bucket(started(directory, binaries, topology, settings=[*settings_of(endpoint), *settings]), endpoint)
        try:
            yield world
        finally:
            world.order()
            ended(world.region)
