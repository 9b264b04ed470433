"""Whether a text is anywhere in files, compressed or not: what is compressed with zstd or deflate is looked into, wherever it begins."""

from __future__ import annotations

import ctypes
import ctypes.util
import zlib
from collections.abc import Iterator
from pathlib import Path

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
FRAME_BYTES_MAX = 64 << 20
INFLATED_SIZE_MAX = 256 << 10
"""Of files that are looked at for deflated parts, which have no magic: manifests are small."""


def zstd() -> ctypes.CDLL:
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    for name in ("ZSTD_findFrameCompressedSize", "ZSTD_decompress"):
        getattr(library, name).restype = ctypes.c_size_t
    library.ZSTD_decompressBound.restype = ctypes.c_ulonglong
    library.ZSTD_isError.restype = ctypes.c_uint
    return library


ZSTD = zstd()


def frames(data: bytes) -> Iterator[bytes]:
    """What zstd frames in the data hold; those that are broken off are passed over."""
    at = data.find(ZSTD_MAGIC)
    while at >= 0:
        rest = data[at:]
        size = ZSTD.ZSTD_findFrameCompressedSize(rest, ctypes.c_size_t(len(rest)))
        if not ZSTD.ZSTD_isError(ctypes.c_size_t(size)):
            bound = min(ZSTD.ZSTD_decompressBound(rest, ctypes.c_size_t(size)), FRAME_BYTES_MAX)
            room = ctypes.create_string_buffer(max(bound, 1))
            got = ZSTD.ZSTD_decompress(room, ctypes.c_size_t(bound), rest, ctypes.c_size_t(size))
            if not ZSTD.ZSTD_isError(ctypes.c_size_t(got)):
                yield room.raw[:got]
        at = data.find(ZSTD_MAGIC, at + 1)


def inflated(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        try:
            got = zlib.decompressobj(-15).decompress(data[at:], FRAME_BYTES_MAX)
        except zlib.error:
            continue
        if len(got) > 64:
            yield got


def has(path: Path, text: bytes) -> bool:
    data = path.read_bytes()
    if text in data or any(text in frame for frame in frames(data)):
        return True
    return path.suffix == ".avro" and len(data) <= INFLATED_SIZE_MAX and any(text in part for part in inflated(data))


def find(folders: list[Path], text: bytes) -> list[str]:
    """Files that have it, by their paths below the folders."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            try:
                if path.is_file() and has(path, text):
                    found.append(str(path.relative_to(folder)))
            except FileNotFoundError:
                continue  # it went meanwhile
    return found
