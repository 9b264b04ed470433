"""A tenant's tables as pyiceberg and DuckDB see them, in a Python of their own that has these packages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from meridian_dev.build import REPOSITORY, python_with

REQUIREMENTS = REPOSITORY / "tests" / "iceberg" / "requirements.txt"
REGION = "local"


class ReaderError(Exception):
    """What the reader's library raised; `name` is that of its exception."""

    def __init__(self, name: str, text: str):
        super().__init__(f"{name}: {text}")
        self.name = name


class Reader:
    """A program of this folder in a Python of its own, which answers line by line. A context manager; not for several threads."""

    def __init__(self, program: str, requirements: Path, arguments: Sequence[str] = ()):
        self.command = [str(Path(__file__).parent / program), *arguments]
        self.requirements = requirements

    def __enter__(self) -> Self:
        self.process = subprocess.Popen([python_with(self.requirements), *self.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(60)

    def ask(self, function: str, **arguments: Any) -> Any:
        self.process.stdin.write(json.dumps([function, arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ReaderError("Ended", f"{self.command[0]} has ended: {self.process.wait(60)}")
        answer = json.loads(line)
        if "error" in answer:
            raise ReaderError(answer["error"], answer["text"])
        return answer["value"]


class TableReader(Reader):
    """pyiceberg and DuckDB."""

    def __init__(self) -> None:
        super().__init__("table_reader.py", REQUIREMENTS)


class Tables:
    """One tenant's, through the REST catalog of a querier."""

    def __init__(self, reader: TableReader, query_url: str, tenant: str, files: dict[str, str] | None = None):
        """`files`: what pyiceberg needs to read them, where that is not a folder."""
        self.reader, self.tenant = reader, tenant
        self.uri = f"{query_url}/iceberg"
        self.catalog = {"uri": self.uri, "warehouse": REGION, "header.X-Scope-OrgID": tenant, **(files or {})}

    def ask(self, function: str, **arguments: Any) -> Any:
        return self.reader.ask(function, catalog=self.catalog, **arguments)

    def load(self, table: str) -> dict[str, Any]:
        return self.ask("load", table=f"{self.tenant}.{table}")

    def scan(self, table: str, **what: Any) -> list[dict[str, Any]]:
        return self.ask("scan", table=f"{self.tenant}.{table}", **what)

    def sql(self, statement: str, *before: str) -> list:
        """DuckDB, with this catalog attached as `region`."""
        return self.reader.ask("sql", statements=[
            f"CREATE SECRET tenant (TYPE iceberg, TOKEN 'none', EXTRA_HTTP_HEADERS MAP {{'X-Scope-OrgID': '{self.tenant}'}})",
            f"ATTACH '{REGION}' AS region (TYPE iceberg, ENDPOINT '{self.uri}', SECRET tenant, ACCESS_DELEGATION_MODE 'none')", *before, statement])
