"""pyiceberg and DuckDB for tests, in a Python of their own (support/tables.py starts it): a request a line, an answer a line, in JSON.

A request is [function, arguments]; an answer {"value": ...} or {"error": name of the exception, "text": ...}. Times are in ms, maps are objects.
"""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any

import duckdb
from duckdb_extensions import import_extension
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.table import StaticTable


def plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def rows_of(table: Any, snapshot: int | None, where: str | None, columns: list[str] | None) -> list[dict[str, Any]]:
    scan = table.scan(snapshot_id=snapshot, **({"row_filter": where} if where else {}), **({"selected_fields": tuple(columns)} if columns else {}))
    return [{name: plain(dict(value)) if name == "labels" else plain(value) for name, value in row.items()} for row in scan.to_arrow().to_pylist()]


class Reader:
    """The functions that may be asked for. `catalog` is the arguments of pyiceberg's REST catalog."""

    def namespaces(self, catalog: dict[str, str]) -> list:
        return RestCatalog("region", **catalog).list_namespaces()

    def tables(self, catalog: dict[str, str], namespace: str) -> list:
        return sorted(name for _, name in RestCatalog("region", **catalog).list_tables(namespace))

    def load(self, catalog: dict[str, str], table: str) -> dict[str, Any]:
        found = RestCatalog("region", **catalog).load_table(table)
        return {"metadata": found.metadata_location, "columns": [field.name for field in found.schema().fields],
                "snapshots": [snapshot.snapshot_id for snapshot in found.snapshots()], "snapshot": found.metadata.current_snapshot_id,
                "files": [file["file_path"] for file in found.inspect.files().to_pylist()]}

    def views(self, catalog: dict[str, str], namespace: str) -> list:
        return sorted(name for _, name in RestCatalog("region", **catalog).list_views(namespace))

    def view(self, catalog: dict[str, str], view: str) -> dict[str, Any]:
        found = RestCatalog("region", **catalog)
        assert found.view_exists(view)
        metadata = found.load_view(view).metadata
        [version] = [version for version in metadata.versions if version.version_id == metadata.current_version_id]
        [schema] = [schema for schema in metadata.schemas if schema.schema_id == version.schema_id]
        return {"namespace": list(version.default_namespace), "columns": [field.name for field in schema.fields],
                "sql": {form.root.dialect: form.root.sql for form in version.representations}}

    def scan(self, catalog: dict[str, str], table: str, snapshot: int | None = None, where: str | None = None, columns: list[str] | None = None) -> list:
        return rows_of(RestCatalog("region", **catalog).load_table(table), snapshot, where, columns)

    def scan_file(self, metadata: str, properties: dict[str, str] | None = None) -> list:
        return rows_of(StaticTable.from_metadata(metadata, properties or {}), None, None, None)

    def sql(self, statements: list[str]) -> list:
        """DuckDB, nothing else in it; the rows of the last statement."""
        connection = duckdb.connect()
        connection.execute("SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'; LOAD avro; LOAD httpfs; LOAD iceberg")
        for statement in statements:
            connection.execute(statement)
        return [plain(row) for row in connection.fetchall()]


def main() -> None:
    reader = Reader()
    for name in ("avro", "httpfs", "iceberg"):
        import_extension(name)  # from the package: nothing is downloaded
    for line in sys.stdin:
        function, arguments = json.loads(line)
        try:
            answer = {"value": getattr(reader, function)(**arguments)}
        except Exception as error:  # whatever it is, it is the answer
            answer = {"error": type(error).__name__, "text": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
