"""Requests that no HTTP client would send, byte by byte."""

from __future__ import annotations

import socket
import urllib.parse

TIMEOUT_SECONDS = 30


def connect(url: str) -> socket.socket:
    parts = urllib.parse.urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_SECONDS)


def status_of(url: str, request: bytes) -> int | None:
    """Sends the bytes and returns the status of the answer, or None if the connection was closed without one."""
    with connect(url) as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before it closed
        return read_status(connection)


def read_status(connection: socket.socket) -> int | None:
    received = b""
    while b"\r\n" not in received:
        try:
            part = connection.recv(4096)
        except ConnectionResetError:
            return None
        if not part:
            return None
        received += part
    return int(received.split(b" ", 2)[1])


def push_request(url: str, body: bytes, *extra: str, length: int | None = None, host: bool = True) -> bytes:
    """A remote-write request; `extra` are further header lines, `length` a Content-Length that may be a lie."""
    parts = urllib.parse.urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1"]
    lines += [f"Host: {parts.netloc}"] if host else []
    lines += ["Content-Type: application/x-protobuf", "Content-Encoding: snappy"]
    lines += [f"Content-Length: {len(body) if length is None else length}"] if length != -1 else []
    return "\r\n".join([*lines, *extra, "", ""]).encode() + body
