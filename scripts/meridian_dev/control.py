"""The control socket of a supervisor: one JSON line asks, one JSON line answers."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from meridian_dev.errors import UserError
from meridian_dev.layout import Layout

LINE_BYTES_MAX = 1 << 20
ANSWER_SECONDS = 60


def short_path(layout: Layout, descriptor: int) -> str:
    """The socket's path by way of an open directory: Unix socket paths end at 107 bytes, directories do not."""
    return f"/proc/self/fd/{descriptor}/{layout.control_socket.name}"


def bind_control(layout: Layout) -> socket.socket:
    layout.control_socket.unlink(missing_ok=True)
    descriptor = os.open(layout.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(short_path(layout, descriptor))
        os.chmod(layout.control_socket, 0o600)
        listener.listen(16)
        return listener
    finally:
        os.close(descriptor)


def receive_line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(65536)
        if not part or len(received) > LINE_BYTES_MAX:
            raise ValueError("the line ends too early or never")
        received += part
    return received


def ask(layout: Layout, command: str, *arguments: str) -> dict[str, Any]:
    """Sends a command to the supervisor of a directory; returns {"result", "state"}."""
    try:
        descriptor = os.open(layout.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UserError(f"nothing runs in {layout.directory}") from None
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(short_path(layout, descriptor))
            connection.sendall(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
            answer = json.loads(receive_line(connection))
    except (OSError, ValueError) as error:
        raise UserError(f"nothing answers in {layout.directory}: {error}") from error
    finally:
        os.close(descriptor)
    if "error" in answer:
        raise UserError(answer["error"])
    return answer
