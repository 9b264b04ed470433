"""The view of a tenant's samples whose values are plain doubles: found and read by pyiceberg, its SQL run by DuckDB over the tables it is of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import NoSuchViewError
from pyiceberg.types import DoubleType
from tables import DAY_MS, NOON, assert_same, by_duckdb, duck
from test_merge import Region
from test_rest import Server, running

VIEW = "acme.samples_plain"


@pytest.fixture
def region(tools: Path, tmp_path: Path) -> Region:
    (tmp_path / "store").mkdir()
    return Region(tools / "merge_tool", tmp_path / "store")


@pytest.fixture
def server(tools: Path, region: Region) -> Iterator[Server]:
    with running(str(tools / "rest_tool"), str(region.store), "eu") as port:
        yield Server(port, region.store)


def point(region: Region) -> None:
    """What the catalog's commit does."""
    for _, tenant, table, key in (line.split(" ") for line in region.run("tables")):
        if tenant == "acme":
            (region.store / "eu" / tenant / table / "current").write_text(key)


def make(region: Region) -> None:
    """Files of all layouts. Odd values are no integers of any scale."""
    for number, layout in enumerate(("plain", "compact", "compact", "plain"), 1):
        region.block(number, NOON + number * DAY_MS, NOON + (number - 1) * DAY_MS, 1, odd=number != 2)
        region.run(f"merge {NOON + number * DAY_MS} {layout}")
    point(region)


def attached(server: Server) -> duckdb.DuckDBPyConnection:
    connection = duck()
    connection.execute(f"""
        CREATE SECRET tenant (TYPE iceberg, TOKEN 'none', EXTRA_HTTP_HEADERS MAP {{'X-Scope-OrgID': 'acme'}});
        ATTACH 'eu' AS region (TYPE iceberg, ENDPOINT '{server.uri}', SECRET tenant, ACCESS_DELEGATION_MODE 'none')""")
    return connection


def version_of(catalog: RestCatalog):
    """The view's current version, and its columns."""
    metadata = catalog.load_view(VIEW).metadata
    [version] = [version for version in metadata.versions if version.version_id == metadata.current_version_id]
    [schema] = [schema for schema in metadata.schemas if schema.schema_id == version.schema_id]
    return version, schema


def sql_of(version, dialect: str) -> str:
    [sql] = [form.root.sql for form in version.representations if form.root.dialect == dialect]
    return sql


def judge(connection: duckdb.DuckDBPyConnection, region: Region, version) -> None:
    """Names are to be looked up in the default namespace of the catalog that the view is in."""
    for dialect in ("duckdb", "trino"):  # which are the same here
        connection.execute(f'USE region."{".".join(version.default_namespace)}"')
        assert_same(by_duckdb(connection, f"({sql_of(version, dialect)})"), region.rows("acme"))


def test_the_view_is_the_samples_to_the_last_bit(region, server):
    make(region)
    catalog, connection = server.catalog("acme"), attached(server)
    [[scaled, plain]] = connection.execute("SELECT count(value_i), count(value) FROM region.acme.samples").fetchall()
    assert scaled > 0 and plain > 0
    version, schema = version_of(catalog)
    judge(connection, region, version)
    table = catalog.load_table("acme.samples").schema()
    assert [field.name for field in schema.fields] == [field.name for field in table.fields if field.name not in ("value_i", "value_e")]
    assert schema.find_type("value") == DoubleType()
    described = connection.execute(f"DESCRIBE ({sql_of(version, 'duckdb')})").fetchall()
    assert [row[0] for row in described] == [field.name for field in schema.fields]
    assert dict(row[:2] for row in described)["value"] == "DOUBLE"


def test_sums_and_conditions_see_decoded_values(region, server):
    make(region)
    connection = attached(server)
    sql = sql_of(version_of(server.catalog("acme"))[0], "duckdb")
    values = [value for value in region.written["acme"].values() if value is not None]
    connection.execute("USE region.acme")
    found = connection.execute(f"SELECT count(*), count(value), max(value), count(*) FILTER (value >= 1 AND value < 20) FROM ({sql})").fetchall()
    assert found == [(len(region.written["acme"]), len(values), max(values), sum(1 <= value < 20 for value in values))]


def test_the_view_follows_the_columns_of_the_table(region, server):
    """A tenant who never had the compact layout has the same view, of other text; it stays the same view afterwards."""
    region.block(1, NOON + DAY_MS, NOON, 1)
    region.run(f"merge {NOON + DAY_MS} plain")
    point(region)
    catalog = server.catalog("acme")
    first = catalog.load_view(VIEW).metadata
    version, _ = version_of(catalog)
    assert "power" not in sql_of(version, "duckdb")
    judge(attached(server), region, version)
    region.block(2, NOON + 2 * DAY_MS, NOON + DAY_MS, 1, odd=False)
    region.run(f"merge {NOON + 2 * DAY_MS} compact")
    point(region)
    second = catalog.load_view(VIEW).metadata
    version, _ = version_of(catalog)
    assert "power" in sql_of(version, "duckdb")
    judge(attached(server), region, version)
    assert second.view_uuid == first.view_uuid and second.location == first.location
    assert second.current_version_id > first.current_version_id


def test_dialects_differ_by_their_quotes_alone(region, server):
    make(region)
    version, _ = version_of(server.catalog("acme"))
    assert {form.root.dialect for form in version.representations} == {"spark", "trino", "duckdb"}
    assert sql_of(version, "spark").replace("`", '"') == sql_of(version, "trino") == sql_of(version, "duckdb")


def test_views_are_browsed_by_their_tenant_alone(region, server):
    make(region)
    catalog = server.catalog("acme")
    assert catalog.list_views("acme") == [("acme", "samples_plain")]
    assert catalog.view_exists(VIEW)
    for name in ("acme.samples", "acme.none", "acme.samples_plain2"):
        assert not catalog.view_exists(name)
        with pytest.raises(NoSuchViewError):
            catalog.load_view(name)
    assert catalog.list_tables("acme") == sorted(catalog.list_tables("acme")) and ("acme", "samples_plain") not in catalog.list_tables("acme")
    other = server.catalog("other")
    assert other.list_views("other") == [] and not other.view_exists("other.samples_plain")
    assert not other.view_exists(VIEW)
    _, _, config = server.ask("/v1/config?warehouse=eu")
    for endpoint in ("GET /v1/{prefix}/namespaces/{namespace}/views", "GET /v1/{prefix}/namespaces/{namespace}/views/{view}",
                     "HEAD /v1/{prefix}/namespaces/{namespace}/views/{view}"):
        assert endpoint in config["endpoints"]


def test_what_clients_may_do_with_views(region, server):
    make(region)
    path = "/v1/eu/namespaces/acme/views"
    status, _, body = server.ask(f"{path}/samples_plain")
    assert status == 200 and body["metadata-location"].startswith(body["metadata"]["location"] + "/metadata/") and body["config"] == {}
    assert "default-catalog" not in body["metadata"]["versions"][0]
    named = server.ask(f"{path}/samples_plain", **{"X-Iceberg-Catalog": "lake"})[2]["metadata"]["versions"][0]
    assert named["default-catalog"] == "lake"
    assert server.ask(f"{path}/samples_plain", **{"X-Iceberg-Catalog": "x" * 257})[0] == 400
    assert server.ask(f"{path}/samples_plain", "HEAD")[::2] == (204, None)
    assert server.ask(f"{path}/samples", "HEAD")[::2] == (404, None)
    for method, below in (("POST", ""), ("POST", "/samples_plain"), ("DELETE", "/samples_plain")):
        status, _, body = server.ask(path + below, method, body="{}" if method == "POST" else None)
        assert (status, body["error"]["type"]) == (406, "UnsupportedOperationException")
    assert server.ask("/v1/eu/views/rename", "POST", body="{}")[0] == 406
    for wrong in ("samples_plain/x", "", "%ff", "%zz", "..%2fsamples_plain"):
        assert server.ask(f"{path}/{wrong}")[0] == 404
