"""A service that is told to stop while it waits for NATS ends in order, not by the end of its patience."""

from __future__ import annotations

import signal
import socket
import subprocess
from typing import Iterator

import pytest


@pytest.fixture(params=["nobody listens", "nobody answers"])
def nats_url(request) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        if request.param == "nobody listens":
            server.close()
            yield "nats://127.0.0.1:9"  # discard: nobody has it
        else:
            yield f"nats://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["distributor", "ingester", "compactor", "querier"])
def test_who_waits_for_nats_ends_when_told(binaries, tmp_path, nats_url, kind):
    settings = [f"nats.url={nats_url}", "http.listen=127.0.0.1:0", "region.id=here"]
    if kind in ("compactor", "querier"):
        settings.append(f"objstore.file.folder={tmp_path}")
    process = subprocess.Popen([binaries / f"meridian-{kind}", *(word for setting in settings for word in ("--set", setting))],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        if "no connection to NATS yet" in line:
            process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=60)
    assert code == 0, "".join(said)
    assert "stopping before it had started" in said[-1], "".join(said)
