#!/usr/bin/python3
"""An S3 service for tests: strict where others are lenient, and faulty on demand.

Started by libs/objstore/s3_fixture.h. Prints "port N" when it listens and ends when its standard input does. Objects live in
memory. Every request is verified by the published rules of Signature Version 4 (signature, signed headers, payload hash, age), and
checksums, Content-MD5 and the encoding of paths are held to; a client that is wrong gets S3's error.

    POST /_test/faults   faults, one a line, which replace the earlier ones: "drop_after method=PUT contains=catalog/ times=2"
    GET  /_test/log      a line "METHOD path?query status" per request since the last look
    POST /_test/age      a number: uploads under way look that many seconds older
    GET  /_test/chain    how many requests there were since the last look of which each began when the one before it had its answer
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree
from xml.sax.saxutils import escape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
SKEW_SECONDS_MAX = 15 * 60
PART_SIZE_MIN = 5 << 20


class S3Error(Exception):
    def __init__(self, status: int, code: str, message: str = "", extra: str = ""):
        super().__init__(code)
        self.status, self.code, self.message, self.extra = status, code, message, extra


@dataclass
class Fault:
    """What goes wrong with requests that match, `times` times after the first `skip` of them."""
    do: str
    method: str = ""
    contains: str = ""
    """Of path and query."""
    header: str = ""
    """Of which the request must have one."""
    skip: int = 0
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    seconds: float = 0.0
    text: str = ""

    @staticmethod
    def parse(line: str) -> Fault:
        """What to do, then fields; `text=` takes the rest of the line."""
        line, _, text = line.partition(" text=")
        do, *words = line.split()
        fault = Fault(do, text=text)
        for name, _, value in (word.partition("=") for word in words):
            setattr(fault, name, type(getattr(fault, name))(value))
        return fault


@dataclass
class Stored:
    body: bytes
    etag: str
    crc: str
    time: float
    headers: dict[str, str]


@dataclass
class Upload:
    key: str
    time: float
    headers: dict[str, str]
    parts: dict[int, Stored] = field(default_factory=dict)


@dataclass
class World:
    access_key: str
    secret_key: str
    token: str
    region: str
    bucket: str
    tls: bool
    page: int
    lock: threading.RLock = field(default_factory=threading.RLock)
    objects: dict[str, Stored] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    counter: int = 0
    chain: int = 0


# ---- CRC-32C ----

def crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(body: bytes) -> str:
    crc, table = 0xFFFFFFFF, CRC_TABLE
    for byte in body:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return base64.b64encode(struct.pack(">I", crc ^ 0xFFFFFFFF)).decode()


# ---- the signature ----

def uri_encode(text: bytes, keep: str) -> str:
    return quote(text, safe="-._~" + keep)


def split_query(query: str) -> list[tuple[bytes, bytes]]:
    pairs = [piece.partition("=") for piece in query.split("&")] if query else []
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in pairs]


def mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]+)/s3/aws4_request, "
                           r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})")


def verify(world: World, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> None:
    """Raises S3Error unless the request is signed as the rules say."""
    match = AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if match is None:
        raise S3Error(403, "AccessDenied", "no Authorization header of the right form")
    access_key, date, region, signed, signature = match.groups()
    stamp = headers.get("x-amz-date", "")
    if not re.fullmatch(r"\d{8}T\d{6}Z", stamp) or stamp[:8] != date:
        raise S3Error(403, "AccessDenied", "x-amz-date is missing or not of the credential's day")
    when = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    if abs(time.time() - when) > SKEW_SECONDS_MAX:
        raise S3Error(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
    if access_key != world.access_key:
        raise S3Error(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    if region != world.region:
        raise S3Error(400, "AuthorizationHeaderMalformed", f"the region '{region}' is wrong; expecting '{world.region}'",
                      f"<Region>{world.region}</Region>")
    if headers.get("x-amz-security-token", "") != world.token:
        raise S3Error(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    check_signed(signed, headers)
    check_payload(world, headers, body)
    canonical = "\n".join([
        method, uri_encode(unquote_to_bytes(path), "/"),
        "&".join(f"{uri_encode(name, '')}={uri_encode(value, '')}" for name, value in sorted(split_query(query))),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed.split(";")), "", signed, headers["x-amz-content-sha256"]])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, f"{date}/{region}/s3/aws4_request", hashlib.sha256(canonical.encode()).hexdigest()])
    key = mac(mac(mac(mac(b"AWS4" + world.secret_key.encode(), date), region), "s3"), "aws4_request")
    if not hmac.compare_digest(mac(key, text).hex(), signature):
        raise S3Error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")


def check_signed(signed: str, headers: dict[str, str]) -> None:
    names = signed.split(";")
    must = {"host", *(name for name in headers if name.startswith("x-amz-") or name in ("content-type", "content-md5"))}
    if names != sorted(set(names)) or not must <= set(names) or not set(names) <= set(headers):
        raise S3Error(403, "AccessDenied", f"There were headers present in the request which were not signed: {sorted(must - set(names))}")


def check_payload(world: World, headers: dict[str, str], body: bytes) -> None:
    want = headers.get("x-amz-content-sha256", "")
    if want == "UNSIGNED-PAYLOAD":
        if not world.tls and body:  # reads have none: AWS' SDK for Java says so of them
            raise S3Error(400, "InvalidRequest", "an unsigned payload over plain HTTP")
    elif want != hashlib.sha256(body).hexdigest():
        raise S3Error(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    if "content-md5" in headers and base64.b64encode(hashlib.md5(body).digest()).decode() != headers["content-md5"]:
        raise S3Error(400, "BadDigest", "Content-MD5")
    if "x-amz-checksum-crc32c" in headers and crc32c(body) != headers["x-amz-checksum-crc32c"]:
        raise S3Error(400, "BadDigest", "The CRC32C you specified did not match what we received.")


# ---- answers ----

@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def document(root: str, inner: str, status: int = 200) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{inner}</{root}>'
    return Answer(status, text.encode(), {"Content-Type": "application/xml"})


def error_answer(error: S3Error) -> Answer:
    text = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message>{error.extra}</Error>"
    return Answer(error.status, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode(), {"Content-Type": "application/xml"})


def iso(when: float) -> str:
    return datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def meta_of(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items()
            if name.startswith("x-amz-meta-") or name.startswith("x-amz-server-side-encryption") or name == "x-amz-storage-class"}


def store(world: World, key: str, body: bytes, headers: dict[str, str], etag: str | None = None, crc: str | None = None) -> Stored:
    stored = Stored(body, etag or f'"{hashlib.md5(body).hexdigest()}"',
                    headers.get("x-amz-checksum-crc32c", "") if crc is None else crc, time.time(), meta_of(headers))
    world.objects[key] = stored
    return stored


# ---- operations ----

def copy(world: World, key: str, headers: dict[str, str]) -> Answer:
    """An object onto itself, as whoever changes its class does."""
    source = unquote_to_bytes(headers["x-amz-copy-source"]).decode()
    if source != f"/{world.bucket}/{key}":
        raise S3Error(400, "InvalidRequest", "only copies of an object onto itself are here")
    with world.lock:
        stored = world.objects.get(key)
        if stored is None:
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        if headers.get("x-amz-storage-class", "STANDARD") == stored.headers.get("x-amz-storage-class", "STANDARD"):
            raise S3Error(400, "InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing "
                                                 "the object's metadata, storage class, website redirect location or encryption attributes.")
        if headers["x-amz-storage-class"] not in ("STANDARD", "STANDARD_IA", "GLACIER_IR"):
            raise S3Error(400, "InvalidStorageClass", "The storage class you specified is not valid")
        stored = store(world, key, stored.body, {**stored.headers, **headers}, crc=stored.crc)
    return document("CopyObjectResult", f"<ETag>{escape(stored.etag)}</ETag><LastModified>{iso(stored.time)}</LastModified>")


def put(world: World, key: str, headers: dict[str, str], body: bytes, ignore_condition: bool) -> Answer:
    with world.lock:
        if headers.get("if-none-match") == "*" and key in world.objects and not ignore_condition:
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        stored = store(world, key, body, headers)
    return Answer(200, b"", {"ETag": stored.etag, **({"x-amz-checksum-crc32c": stored.crc} if stored.crc else {})})


def get(world: World, key: str, headers: dict[str, str], head: bool) -> Answer:
    with world.lock:
        stored = world.objects.get(key)
    if stored is None:
        raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
    answer = Answer(200, stored.body, {"ETag": stored.etag, "Last-Modified": formatdate(stored.time, usegmt=True), **stored.headers})
    if headers.get("x-amz-checksum-mode") == "ENABLED" and stored.crc and "range" not in headers:
        answer.headers["x-amz-checksum-crc32c"] = stored.crc
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
    if match and any(match.groups()) and not head:
        size = len(stored.body)
        first, last = (int(match[1]), min(int(match[2] or size), size - 1)) if match[1] else (max(0, size - int(match[2])), size - 1)
        if first >= size or first > last:
            raise S3Error(416, "InvalidRange", "The requested range is not satisfiable")
        answer.status, answer.body = 206, stored.body[first:last + 1]
        answer.headers["Content-Range"] = f"bytes {first}-{last}/{len(stored.body)}"
    return answer


def create_upload(world: World, key: str, headers: dict[str, str]) -> Answer:
    with world.lock:
        world.counter += 1
        upload_id = f"upload.{world.counter}~{hashlib.md5(key.encode()).hexdigest()}"
        world.uploads[upload_id] = Upload(key, time.time(), headers)
    return document("InitiateMultipartUploadResult", f"<Key>{escape(key)}</Key><UploadId>{upload_id}</UploadId>")


def upload_of(world: World, key: str, upload_id: str) -> Upload:
    upload = world.uploads.get(upload_id)
    if upload is None or upload.key != key:
        raise S3Error(404, "NoSuchUpload", "The specified multipart upload does not exist.")
    return upload


def put_part(world: World, key: str, params: dict[str, str], headers: dict[str, str], body: bytes) -> Answer:
    number = int(params["partNumber"])
    with world.lock:
        upload = upload_of(world, key, params["uploadId"])
        if bool(upload.headers.get("x-amz-checksum-algorithm")) != ("x-amz-checksum-crc32c" in headers):
            raise S3Error(400, "InvalidRequest", "Checksum Type mismatch occurred")
        part = Stored(body, f'"{hashlib.md5(body).hexdigest()}"', headers.get("x-amz-checksum-crc32c", ""), time.time(), {})
        upload.parts[number] = part
    return Answer(200, b"", {"ETag": part.etag})


def complete_upload(world: World, key: str, params: dict[str, str], body: bytes) -> Answer:
    with world.lock:
        upload = upload_of(world, key, params["uploadId"])
        listed = ElementTree.fromstring(body).findall(f"{{{NAMESPACE}}}Part")
        numbers = [int(part.findtext(f"{{{NAMESPACE}}}PartNumber", "")) for part in listed]
        if not numbers or numbers != sorted(set(numbers)):
            raise S3Error(400, "InvalidPartOrder")
        for number, part in zip(numbers, listed):
            have = upload.parts.get(number)
            if have is None or part.findtext(f"{{{NAMESPACE}}}ETag") != have.etag or part.findtext(f"{{{NAMESPACE}}}ChecksumCRC32C", "") != have.crc:
                raise S3Error(400, "InvalidPart", "One or more of the specified parts could not be found.")
            if number != numbers[-1] and len(have.body) < PART_SIZE_MIN:
                raise S3Error(400, "EntityTooSmall")
        whole = b"".join(upload.parts[number].body for number in numbers)
        etag = hashlib.md5(b"".join(bytes.fromhex(upload.parts[number].etag.strip('"')) for number in numbers)).hexdigest()
        store(world, key, whole, upload.headers, f'"{etag}-{len(numbers)}"', f"AAAAAA==-{len(numbers)}")
        del world.uploads[params["uploadId"]]
    return document("CompleteMultipartUploadResult", f"<Key>{escape(key)}</Key><ETag>\"{etag}-{len(numbers)}\"</ETag>")


def list_objects(world: World, params: dict[str, str]) -> Answer:
    if params.get("list-type") != "2":
        raise S3Error(400, "InvalidArgument", "only list-type=2 is here")
    prefix, after = params.get("prefix", ""), params.get("start-after", "")
    if "continuation-token" in params:
        after = base64.b64decode(params["continuation-token"]).decode()
    count = min(int(params.get("max-keys", "1000")), world.page)
    encode = (lambda text: quote(text, safe="/")) if params.get("encoding-type") == "url" else escape
    with world.lock:
        keys = sorted(key for key in world.objects if key.startswith(prefix) and key > after)
        page = [(key, world.objects[key]) for key in keys[:count]]
    inner = f"<Name>{world.bucket}</Name><Prefix>{encode(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
    inner += f"<IsTruncated>{'true' if len(keys) > count else 'false'}</IsTruncated>"
    if len(keys) > count:
        inner += f"<NextContinuationToken>{base64.b64encode(page[-1][0].encode()).decode()}</NextContinuationToken>"
    for key, stored in page:
        inner += (f"<Contents><Key>{encode(key)}</Key><LastModified>{iso(stored.time)}</LastModified><ETag>{escape(stored.etag)}</ETag>"
                  f"<Size>{len(stored.body)}</Size>"
                  f"<StorageClass>{stored.headers.get('x-amz-storage-class', 'STANDARD')}</StorageClass></Contents>\n")
    return document("ListBucketResult", inner)


def list_uploads(world: World, params: dict[str, str]) -> Answer:
    after = (params.get("key-marker", ""), params.get("upload-id-marker", ""))
    with world.lock:
        found = sorted((upload.key, upload_id, upload) for upload_id, upload in world.uploads.items()
                       if upload.key.startswith(params.get("prefix", "")) and (upload.key, upload_id) > after)
    page = found[:2]  # small, so that clients meet a second page
    inner = f"<IsTruncated>{'true' if len(found) > len(page) else 'false'}</IsTruncated>"
    if len(found) > len(page):
        inner += f"<NextKeyMarker>{quote(page[-1][0])}</NextKeyMarker><NextUploadIdMarker>{page[-1][1]}</NextUploadIdMarker>"
    for key, upload_id, upload in page:
        inner += f"<Upload><Key>{quote(key)}</Key><UploadId>{upload_id}</UploadId><Initiated>{iso(upload.time)}</Initiated></Upload>"
    return document("ListMultipartUploadsResult", inner)


def delete_objects(world: World, headers: dict[str, str], body: bytes) -> Answer:
    if "content-md5" not in headers:
        raise S3Error(400, "InvalidRequest", "Missing required header for this request: Content-MD5")
    root = ElementTree.fromstring(body)
    keys = [element.findtext(f"{{{NAMESPACE}}}Key", "") for element in root.findall(f"{{{NAMESPACE}}}Object")]
    if not 0 < len(keys) <= 1000:
        raise S3Error(400, "MalformedXML")
    inner = ""
    with world.lock:
        for key in keys:
            if key.endswith("/locked"):
                inner += f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code><Message>locked</Message></Error>"
            else:
                world.objects.pop(key, None)
    return document("DeleteResult", inner)


def serve(world: World, method: str, key: str, params: dict[str, str], headers: dict[str, str], body: bytes, fault: Fault | None) -> Answer:
    if key == "":
        if method == "GET":
            return list_uploads(world, params) if "uploads" in params else list_objects(world, params)
        if method == "POST" and "delete" in params:
            return delete_objects(world, headers, body)
    elif method == "PUT" and "x-amz-copy-source" in headers:
        return copy(world, key, headers)
    elif method == "PUT":
        return put_part(world, key, params, headers, body) if "uploadId" in params else put(
            world, key, headers, body, fault is not None and fault.do == "ignore_condition")
    elif method in ("GET", "HEAD"):
        return get(world, key, headers, method == "HEAD")
    elif method == "POST" and "uploads" in params:
        return create_upload(world, key, headers)
    elif method == "POST" and "uploadId" in params:
        return complete_upload(world, key, params, body)
    elif method == "DELETE":
        with world.lock:
            if "uploadId" in params:
                upload_of(world, key, params["uploadId"])
                del world.uploads[params["uploadId"]]
            else:
                world.objects.pop(key, None)
        return Answer(204)
    raise S3Error(405, "MethodNotAllowed")


# ---- HTTP ----

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    world: World
    chain: int
    """Of the world when the request began."""

    def log_message(self, *arguments: object) -> None:
        pass

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        if path.startswith("/_test/"):
            self.control(path, body)
            return
        self.chain = self.world.chain
        try:
            self.handle_s3(path, query, body)
        finally:
            self.count_in_chain()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def count_in_chain(self) -> None:
        """Before an answer leaves: whoever has it may ask the next thing at once."""
        with self.world.lock:
            self.world.chain = max(self.world.chain, self.chain + 1)

    def handle_s3(self, path: str, query: str, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.take_fault(headers)
        if fault is not None and self.instead(fault):
            return
        try:
            key = self.key_of(path, headers)
            verify(self.world, self.command, path, query, headers, body)
            params = {name.decode(): value.decode() for name, value in split_query(query)}
            answer = serve(self.world, self.command, key, params, headers, body, fault)
        except S3Error as error:
            answer = error_answer(error)
        self.answer(answer, fault)

    def key_of(self, path: str, headers: dict[str, str]) -> str:
        """Of a path-style request, or one to bucket.host."""
        text = unquote_to_bytes(path).decode()
        if headers["host"].startswith(f"{self.world.bucket}."):
            return text[1:]
        bucket, _, key = text[1:].partition("/")
        if bucket != self.world.bucket:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist")
        return key

    def take_fault(self, headers: dict[str, str]) -> Fault | None:
        with self.world.lock:
            for fault in self.world.faults:
                if (fault.times > 0 and fault.method in ("", self.command) and fault.contains in self.path
                        and (not fault.header or fault.header in headers)):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def instead(self, fault: Fault) -> bool:
        """Faults that come before any work; True if they are the whole answer."""
        if fault.do == "drop_before":
            self.drop("dropped")
        elif fault.do == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.drop("reset")
        elif fault.do == "status":
            self.answer(error_answer(S3Error(fault.status, fault.code, "as ordered")), None)
        elif fault.do == "redirect":
            answer = error_answer(S3Error(307, "TemporaryRedirect", "elsewhere"))
            answer.headers.update({"Location": "http://127.0.0.1:1/", "x-amz-bucket-region": "eu-west-9"})
            self.answer(answer, None)
        elif fault.do == "body":
            self.answer(Answer(fault.status, fault.text.encode()), None)
        elif fault.do == "raw":
            self.wfile.write(fault.text.encode().decode("unicode_escape").encode())
            self.drop("raw")
        elif fault.do == "endless":
            self.endless()
        else:
            return False
        return True

    def answer(self, answer: Answer, fault: Fault | None) -> None:
        do = "" if fault is None else fault.do
        body = answer.body
        if do == "drop_after":
            self.drop(f"{answer.status} lost")
            return
        self.note(answer.status)
        if do == "stall":
            time.sleep(fault.seconds)
        self.count_in_chain()
        if do == "corrupt" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if do == "wrong_etag":
            answer.headers["ETag"] = '"00000000000000000000000000000000"'
        if do == "no_etag":
            answer.headers.pop("ETag", None)
        if do == "other_range":
            answer.headers["Content-Range"] = "bytes 1-2/100"
        if do == "status_200" and answer.status == 206:
            answer.status = 200
        self.send_response_only(answer.status)
        for name, value in {"Date": formatdate(usegmt=True), **answer.headers}.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if do == "truncate":
            self.wfile.write(body[:len(body) // 2])
            self.close_now()
        elif do == "stall_body":
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            time.sleep(fault.seconds)
            self.close_now()
        elif do == "slow_body":
            for at in range(0, len(body), max(1, len(body) // 8)):
                self.wfile.write(body[at:at + max(1, len(body) // 8)])
                self.wfile.flush()
                time.sleep(fault.seconds)
        else:
            self.wfile.write(body)

    def endless(self) -> None:
        """Half a gigabyte of XML that never says anything."""
        self.note(200)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult>")
        try:
            for _ in range(512):
                self.wfile.write(b"<a></a>" * 150000)
        except OSError:
            pass
        self.close_connection = True

    def note(self, status: object) -> None:
        with self.world.lock:
            self.world.log.append(f"{self.command} {self.path} {status}")

    def drop(self, status: str) -> None:
        self.note(status)
        self.close_now()

    def close_now(self) -> None:
        self.close_connection = True
        self.wfile.flush()

    def control(self, path: str, body: bytes) -> None:
        with self.world.lock:
            if path == "/_test/faults":
                self.world.faults = [Fault.parse(line) for line in body.decode().splitlines()]
            if path == "/_test/age":
                for upload in self.world.uploads.values():
                    upload.time -= float(body)
            text = "\n".join(self.world.log) + "\n"
            if path == "/_test/log":
                self.world.log.clear()
            if path == "/_test/chain":
                text, self.world.chain = str(self.world.chain), 0
            if path == "/_test/uploads":
                text = str(len(self.world.uploads))
            if path.startswith("/_test/headers/"):
                stored = self.world.objects.get(path.removeprefix("/_test/headers/"))
                text = json.dumps(stored.headers if stored else None, sort_keys=True)
        reply = text.encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # clients that hang up are what tests are made of
            super().handle_error(request, client_address)


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--access-key", default="test-access")
    parser.add_argument("--secret-key", default="test-secret/+=")
    parser.add_argument("--token", default="")
    parser.add_argument("--region", default="test-1")
    parser.add_argument("--bucket", default="bucket-1")
    parser.add_argument("--page", type=int, default=100, help="keys of a page of a listing, at most")
    parser.add_argument("--certificate", default="", help="a file with key and certificate: TLS")
    options = parser.parse_args()
    Handler.world = World(options.access_key, options.secret_key, options.token, options.region, options.bucket,
                          bool(options.certificate), options.page)
    server = Server(("127.0.0.1", 0), Handler)
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=end_with_input, daemon=True).start()
    print(f"port {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
