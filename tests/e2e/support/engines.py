"""Query engines of the Java world on a tenant's tables: Spark in a Python of its own, and a Trino of one process. Their parts come from the package
indexes of Python and Maven when they are first needed, half a gigabyte and one and a half, into build/."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from meridian_dev.build import REPOSITORY, run_quietly
from support.prometheus import free_port
from support.tables import REGION, Reader, ReaderError

SPARK_REQUIREMENTS = REPOSITORY / "tests" / "engines" / "requirements.txt"
SPARK_JARS = ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0", "org.apache.iceberg:iceberg-aws-bundle:1.12.0")
"""Each has all that it needs in itself."""
SPARK_MEMORY = "1g"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
DOWNLOAD_SECONDS = 900


def absent() -> str | None:
    """Why no engine can be tried here, or None."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    return f"{' and '.join(missing)} not installed: no engine was tried" if missing else None


@contextmanager
def folder() -> Iterator[Path]:
    """Where the parts are, which one process at a time may add to."""
    path = REPOSITORY / "build" / "engines"
    path.mkdir(parents=True, exist_ok=True)
    with open(path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


def fetched(path: Path, name: str) -> Path:
    """A file of Maven's index."""
    _, artifact, version, *kind = name.split(":")
    file = path / f"{artifact}-{version}.{kind[0] if kind else 'jar'}"
    if not file.exists():
        run_quietly(["mvn", "-B", "-q", COPY, f"-Dartifact={name}", f"-DoutputDirectory={path}"], f"fetching {artifact}", seconds=DOWNLOAD_SECONDS)
    return file


def spark_jars() -> list[Path]:
    with folder() as path:
        return [fetched(path, name) for name in SPARK_JARS]


class Spark(Reader):
    def __init__(self) -> None:
        super().__init__("spark_reader.py", SPARK_REQUIREMENTS, [",".join(map(str, spark_jars())), SPARK_MEMORY])

    def attach(self, name: str, query_url: str, tenant: str, **more: str) -> SparkTables:
        """The tenant's tables as a catalog of Spark's, which must have a name of its own."""
        self.ask("attach", name=name, properties={"type": "rest", "uri": f"{query_url}/iceberg", "warehouse": REGION, "header.X-Scope-OrgID": tenant, **more})
        return SparkTables(self, name, tenant)


class SparkTables:
    def __init__(self, spark: Spark, catalog: str, tenant: str):
        self.spark, self.catalog, self.namespace = spark, catalog, f"{catalog}.`{tenant}`"

    def sql(self, statement: str) -> list:
        """{} is the namespace."""
        return self.spark.ask("sql", statement=statement.replace("{}", self.namespace))

    def columns(self, table: str) -> dict[str, str]:
        return dict(self.spark.ask("columns", statement=f"SELECT * FROM {self.namespace}.{table}"))

    def rows(self, table: str, tail: str = "") -> list[dict[str, Any]]:
        names = list(self.columns(table))
        return [dict(zip(names, row)) for row in self.sql(f"SELECT * FROM {{}}.{table} {tail}")]


# ---- Trino ----

TRINO = "io.trino:trino-server:476:tar.gz"
"""The last that Maven's index has."""
TRINO_JAVA = 24
TRINO_MEMORY = ("-Xmx1536M", "-XX:ReservedCodeCacheSize=256M")
TRINO_SECONDS = 600
TRINO_CONFIG = """coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port={port}
discovery.uri=http://127.0.0.1:{port}
catalog.management=dynamic
query.max-memory=512MB
query.max-memory-per-node=512MB
memory.heap-headroom-per-node=256MB
"""


def java_of(release: int) -> Path | None:
    """A Java of that release or later."""
    for home in [os.environ.get("JAVA_HOME", ""), *sorted(map(str, Path("/usr/lib/jvm").glob("*")), reverse=True)]:
        told = Path(home) / "release"
        version = re.search(r'JAVA_VERSION="(\d+)', told.read_text()) if home and told.exists() else None
        if version and int(version[1]) >= release:
            return Path(home) / "bin" / "java"
    return None


def trino_absent() -> str | None:
    return absent() or (None if java_of(TRINO_JAVA) else f"no Java {TRINO_JAVA} is installed: Trino was not tried")


def trino_home() -> Path:
    """The server and its one plugin, out of an archive of many. Files that several plugins have stand in it once, and as links elsewhere."""
    with folder() as path:
        home = path / "trino"
        if not home.exists():
            archive = fetched(path, TRINO)
            unpacked, made = path / "unpacked", path / "trino.new"
            for left in (unpacked, made):
                shutil.rmtree(left, ignore_errors=True)
            unpacked.mkdir()
            run_quietly(["tar", "xzf", str(archive), "--strip-components=1"], "unpacking Trino", unpacked)
            for part in ("lib", "plugin/iceberg"):
                shutil.copytree(unpacked / part, made / part)
            made.rename(home)
            shutil.rmtree(unpacked)
            archive.unlink()
        return home


class Gateway:
    """What stands before a querier where clients send no headers of their own: passes requests on, with some more."""

    def __init__(self, target: str, headers: dict[str, str]):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = urllib.request.Request(target + self.path, data=body or None, method=self.command,
                                                 headers={"Content-Type": self.headers.get("Content-Type", "application/json"), **headers})
                try:
                    answer = urllib.request.urlopen(request, timeout=60)
                except urllib.error.HTTPError as error:
                    answer = error
                with answer:
                    text = answer.read()
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                    if answer.status not in (204, 304):
                        self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            do_GET = do_HEAD = do_POST = do_DELETE = pass_on

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Trino:
    """A context manager."""

    def __init__(self, directory: Path):
        self.directory, self.port, self.gateways = directory, free_port(), []

    def __enter__(self) -> Trino:
        home, data = trino_home(), self.directory / "data"
        (self.directory / "catalog").mkdir(parents=True)
        data.mkdir()
        config = self.directory / "config.properties"
        config.write_text(TRINO_CONFIG.format(port=self.port))
        settings = {"node.environment": "test", "node.id": "one", "node.internal-address": "127.0.0.1", "node.bind-ip": "127.0.0.1", "node.data-dir": data,
                    "config": config, "catalog.config-dir": self.directory / "catalog", "plugin.dir": home / "plugin"}
        self.log = self.directory / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([str(java_of(TRINO_JAVA)), *TRINO_MEMORY, *(f"-D{key}={value}" for key, value in settings.items()), "-cp", f"{home}/lib/*",
                                             "io.trino.server.TrinoServer"], cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + TRINO_SECONDS
        while "SERVER STARTED" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.5)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)
        for gateway in self.gateways:
            gateway.close()

    def sql(self, statement: str) -> list:
        headers = {"X-Trino-User": "test", "X-Trino-Time-Zone": "UTC"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/statement", data=statement.encode(), headers=headers, method="POST")
        rows = []
        while True:
            with urllib.request.urlopen(request, timeout=120) as reply:
                answer = json.loads(reply.read())
            rows += answer.get("data") or []
            if "error" in answer:
                raise ReaderError(answer["error"]["errorName"], answer["error"]["message"])
            if "nextUri" not in answer:
                return rows
            request = urllib.request.Request(answer["nextUri"], headers=headers)

    def attach(self, name: str, query_url: str, tenant: str, files: dict[str, str]) -> TrinoTables:
        """The tenant's tables as a catalog of Trino's, which must have a name of its own. This release sends no headers: a gateway names the tenant."""
        gateway = Gateway(query_url, {"X-Scope-OrgID": tenant, "X-Iceberg-Catalog": name})
        self.gateways.append(gateway)
        properties = {"iceberg.catalog.type": "rest", "iceberg.rest-catalog.uri": f"{gateway.url}/iceberg", "iceberg.rest-catalog.warehouse": REGION, **files}
        listed = ", ".join(f"\"{key}\" = '{value}'" for key, value in properties.items())
        self.sql(f"CREATE CATALOG {name} USING iceberg WITH ({listed})")
        return TrinoTables(self, name, tenant)


class TrinoTables:
    def __init__(self, trino: Trino, catalog: str, tenant: str):
        self.trino, self.catalog, self.namespace = trino, catalog, f'{catalog}."{tenant}"'

    def sql(self, statement: str) -> list:
        """{} is the namespace."""
        return self.trino.sql(statement.replace("{}", self.namespace))
