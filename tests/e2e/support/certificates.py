"""Certificates and NKeys for tests, made by openssl."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*arguments: object, **options: object) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60, **options).stdout


@dataclass
class Certificate:
    cert: Path
    key: Path


class Authority(Certificate):
    """Signs certificates, all in one folder."""

    def __init__(self, folder: Path, name: str):
        super().__init__(folder / f"{name}.pem", folder / f"{name}.key")
        self.folder = folder
        openssl("req", "-x509", *KEY, "-keyout", self.key, "-out", self.cert, "-days", 2, "-subj", f"/CN={name}")

    def issue(self, name: str, alternatives: str) -> Certificate:
        """For both ends of a connection; alternatives such as "DNS:a,IP:127.0.0.1"."""
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", "-new", *KEY, "-keyout", made.key, "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-out", made.cert, "-days", 2,
                "-extfile", extensions)
        return made


# ---- NKeys: what they are stands in the documentation of NATS: a prefix, 32 bytes, and CRC-16/XMODEM of both, in base 32 ----

PREFIX_USER, PREFIX_SEED = 20 << 3, 18 << 3


def crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def nkey_text(data: bytes) -> str:
    return base64.b32encode(data + crc16(data).to_bytes(2, "little")).decode().rstrip("=")


def user_nkey(folder: Path, name: str) -> tuple[str, Path]:
    """A user's public key, and the file with its seed."""
    key = openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER")
    public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", input=key)
    seed_file = folder / f"{name}.nk"
    seed_file.write_text(nkey_text(bytes([PREFIX_SEED | PREFIX_USER >> 5, (PREFIX_USER & 31) << 3]) + key[-32:]) + "\n")
    return nkey_text(bytes([PREFIX_USER]) + public[-32:]), seed_file
