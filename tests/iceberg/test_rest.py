"""The querier's REST catalog over real tables, asked by pyiceberg, DuckDB and by hand."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from tables import START, Table, assert_same, by_duckdb, by_pyiceberg, duck, make_rows, number

ACME = {name: make_rows(seed, seed - 1) for seed, name in enumerate("abc", 1)}
OTHER = make_rows(9, 0, tenant="other")


class Server:
    def __init__(self, port: int, store: Path | str):
        self.port, self.store = port, store

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/iceberg"

    def catalog(self, tenant: str, **more: str) -> RestCatalog:
        return RestCatalog("eu", uri=self.uri, warehouse="eu", **{"header.X-Scope-OrgID": tenant}, **more)

    def ask(self, path: str, method: str = "GET", tenant: str | None = "acme", body: str | None = None,
            **headers: str) -> tuple[int, http.client.HTTPMessage, dict | None]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {"X-Scope-OrgID": tenant} if tenant else {}
        connection.request(method, f"/iceberg{path}", body=body, headers={**named, **headers})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, answer.headers, json.loads(text) if text else None

    def point(self, table: Table, key: str) -> None:
        """What the catalog's commit does."""
        table.run(f"load {key}", "point")


@contextlib.contextmanager
def running(*command: str) -> Iterator[int]:
    """A program that prints its port and ends with its input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline().split()[1])
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.fixture
def server(tools: Path, tmp_path: Path) -> Iterator[Server]:
    store = tmp_path / "store"
    store.mkdir()
    with running(str(tools / "rest_tool"), str(store), "eu") as port:
        yield Server(port, store)


@pytest.fixture
def bucket(tools: Path) -> Iterator[Server]:
    """The same over S3."""
    s3 = Path(__file__).parent.parent / "objstore" / "s3_server.py"
    with running("/usr/bin/python3", str(s3)) as s3_port, \
            running(str(tools / "rest_tool"), f"http://127.0.0.1:{s3_port}", "eu") as port:
        yield Server(port, f"http://127.0.0.1:{s3_port}")


@pytest.fixture
def acme(tools: Path, server: Server) -> Table:
    table = Table(tools / "table_tool", server.store, "eu/acme/samples")
    table.promote("job", "instance")
    for name, rows in ACME.items():
        table.file(name, rows)
    table.file("m", sorted(ACME["a"] + ACME["b"], key=lambda row: (row[0], row[1], row[3])), month=True)
    return table


@pytest.fixture
def other(tools: Path, server: Server) -> Table:
    table = Table(tools / "table_tool", server.store, "eu/other/samples")
    table.file("o", OTHER)
    server.point(table, table.commit("append", add=["o"]).key)
    return table


def test_pyiceberg_browses_and_reads(server, acme, other):
    server.point(acme, acme.commit("append", add=["a", "b", "c"]).key)
    catalog = server.catalog("acme")
    assert catalog.list_namespaces() == [("acme",)]
    assert catalog.list_namespaces(("acme",)) == []
    assert catalog.load_namespace_properties("acme") == {}
    assert catalog.namespace_exists("acme") and not catalog.namespace_exists("other")
    assert catalog.list_tables("acme") == [("acme", "samples")]
    assert catalog.table_exists("acme.samples") and not catalog.table_exists("acme.none")
    table = catalog.load_table("acme.samples")
    assert_same(by_pyiceberg(table), *ACME.values())
    assert table.io.properties["meridian.test"] == "yes"  # the server's configuration reaches the reader's files
    assert_same(by_pyiceberg(server.catalog("other").load_table("other.samples")), OTHER)


def test_what_a_commit_changes_is_seen_after_it_and_not_before(server, acme):
    first = acme.commit("append", add=["a", "b"])
    server.point(acme, first.key)
    old = server.catalog("acme").load_table("acme.samples")
    second = acme.commit("overwrite", add=["m", "c"], remove=["a", "b"])
    assert_same(by_pyiceberg(server.catalog("acme").load_table("acme.samples")), ACME["a"], ACME["b"])
    server.point(acme, second.key)
    new = server.catalog("acme").load_table("acme.samples")
    assert_same(by_pyiceberg(new), *ACME.values())
    names = {file["file_path"].rsplit("/", 1)[1] for file in new.inspect.files().to_pylist()}
    assert names == {"c.parquet", "m.parquet"}
    assert_same(by_pyiceberg(new, first.snapshot), ACME["a"], ACME["b"])  # time travel
    assert_same(by_pyiceberg(old), ACME["a"], ACME["b"])  # who began before goes on
    third = acme.commit("nothing", expire_before=START + 10 * 60_000)
    server.point(acme, third.key)
    for key in third.unreferenced:
        (server.store / key).unlink()
    last = server.catalog("acme").load_table("acme.samples")
    assert last.snapshot_by_id(first.snapshot) is None
    assert_same(by_pyiceberg(last), *ACME.values())


def test_duckdb_attaches_the_catalog(server, acme, other):
    first = acme.commit("append", add=["a"])
    server.point(acme, acme.commit("append", add=["b", "c"]).key)
    connection = duck()
    connection.execute("CREATE SECRET tenant (TYPE iceberg, TOKEN 'none', EXTRA_HTTP_HEADERS MAP {'X-Scope-OrgID': 'acme'})")
    connection.execute(f"ATTACH 'eu' AS region (TYPE iceberg, ENDPOINT '{server.uri}', SECRET tenant, ACCESS_DELEGATION_MODE 'none')")
    shown = connection.execute("SELECT schema, name FROM (SHOW ALL TABLES) WHERE database = 'region'").fetchall()
    assert shown == [("acme", "samples")]
    assert_same(by_duckdb(connection, "region.acme.samples"), *ACME.values())
    assert_same(by_duckdb(connection, f"region.acme.samples AT (VERSION => {first.snapshot})"), ACME["a"])
    jobs = connection.execute("SELECT job, count(*), count(value), sum(value) FILTER (NOT isnan(value)) FROM region.acme.samples GROUP BY job ORDER BY job").fetchall()
    want = {}
    for row in [row for rows in ACME.values() for row in rows]:
        count, valued, total = want.get(dict(row[1]).get("job"), (0, 0, 0.0))
        want[dict(row[1]).get("job")] = (count + 1, valued + (row[4] is not None), total + number(row))
    assert [(job, count, valued) for job, count, valued, _ in jobs] == \
        [(job, *want[job][:2]) for job in sorted(want, key=lambda job: (job is None, job))]
    assert [total for *_, total in jobs] == pytest.approx([want[job][2] for job, *_ in jobs])


def test_tables_in_a_bucket_are_read_with_the_readers_own_credentials(bucket, tools):
    table = Table(tools / "table_tool", bucket.store, "eu/acme/samples")
    for name, rows in ACME.items():
        table.file(name, rows)
    table.commit("append", add=["a", "b"])
    bucket.point(table, table.commit("overwrite", add=["c"], remove=["a"]).key)
    keys = {"access-key-id": "test-access", "secret-access-key": "test-secret/+="}
    found = bucket.catalog("acme", **{f"s3.{name}": value for name, value in keys.items()}).load_table("acme.samples")
    assert found.location() == "s3://bucket-1/eu/acme/samples"
    assert_same(by_pyiceberg(found), ACME["b"], ACME["c"])
    connection = duck()
    connection.execute(f"""
        CREATE SECRET files (TYPE s3, KEY_ID 'test-access', SECRET 'test-secret/+=', REGION 'test-1', URL_STYLE 'path', USE_SSL false,
                             ENDPOINT '{bucket.store.removeprefix("http://")}');
        CREATE SECRET tenant (TYPE iceberg, TOKEN 'none', EXTRA_HTTP_HEADERS MAP {{'X-Scope-OrgID': 'acme'}});
        ATTACH 'eu' AS region (TYPE iceberg, ENDPOINT '{bucket.uri}', SECRET tenant, ACCESS_DELEGATION_MODE 'none')""")
    assert_same(by_duckdb(connection, "region.acme.samples"), ACME["b"], ACME["c"])


def test_a_tenant_sees_only_its_own(server, acme, other):
    server.point(acme, acme.commit("append", add=["a"]).key)
    catalog = server.catalog("acme")
    with pytest.raises(NoSuchNamespaceError):
        catalog.list_tables("other")
    with pytest.raises((NoSuchTableError, NoSuchNamespaceError)):
        catalog.load_table("other.samples")
    assert server.catalog("nobody").list_tables("nobody") == []
    assert server.ask("/v1/eu/namespaces", tenant=None)[2] == {"namespaces": [["anonymous"]]}
    for path in ("", "/tables", "/tables/samples", "/tables/none", "/views", "/tables/..%2f..%2fother%2fsamples"):
        theirs = server.ask(f"/v1/eu/namespaces/other{path}")
        nobodys = server.ask(f"/v1/eu/namespaces/absent{path}")
        assert theirs[0] == nobodys[0] == 404  # no telling whether it exists
        assert theirs[2]["error"]["type"] == nobodys[2]["error"]["type"]
        assert theirs[2]["error"]["message"].replace("other", "absent") == nobodys[2]["error"]["message"].replace("other", "absent")
    assert server.ask("/v1/eu/namespaces/acme/tables/..%2fother%2fsamples")[0] == 404
    assert server.ask("/v1/eu/namespaces", tenant="a/b")[0] == 400


def test_errors_have_the_specifications_form(server, acme):
    server.point(acme, acme.commit("append", add=["a"]).key)
    for method, path, status, kind in (
            ("GET", "/v1/config?warehouse=us", 404, "NoSuchWarehouseException"),
            ("GET", "/v1/us/namespaces", 404, "NoSuchWarehouseException"),
            ("GET", "/v1/eu/namespaces?parent=x", 404, "NoSuchNamespaceException"),
            ("GET", "/v1/eu/namespaces/acme/tables/x", 404, "NoSuchTableException"),
            ("GET", "/v1/eu/namespaces/acme%1Fx", 404, "NoSuchNamespaceException"),
            ("GET", "/v1/eu/namespaces/acme%1Fx/tables", 404, "NoSuchNamespaceException"),
            ("GET", "/v1/eu/namespaces/acme%1Fsamples/tables/files", 404, "NoSuchTableException"),  # a table that Iceberg makes of another
            ("GET", "/v1/eu/namespaces/acme%1Fx/views/x", 404, "NoSuchViewException"),
            ("GET", "/v1/eu/namespaces/acme/views/x", 404, "NoSuchViewException"),
            ("GET", "/v1/eu/namespaces/acme/tables/samples?snapshots=some", 400, "BadRequestException"),
            ("GET", "/v1/eu/namespaces/acme/tables/samples/plan", 404, "NotFoundException"),
            ("GET", "/v1/eu/namespaces/acme/tables/%ff", 404, "NoSuchTableException"),
            ("GET", "/v1/eu/namespaces/acme/tables/%zz", 404, "NotFoundException"),
            ("GET", "/v1/eu//namespaces", 404, "NotFoundException"),
            ("GET", "/v2/config", 404, "NotFoundException"),
            ("GET", "/" + "v1/" * 2000, 404, "NotFoundException"),
            ("POST", "/v1/eu/namespaces", 406, "UnsupportedOperationException"),
            ("DELETE", "/v1/eu/namespaces/acme", 406, "UnsupportedOperationException"),
            ("POST", "/v1/eu/namespaces/acme/tables", 406, "UnsupportedOperationException"),
            ("POST", "/v1/eu/namespaces/acme/tables/samples", 406, "UnsupportedOperationException"),
            ("DELETE", "/v1/eu/namespaces/acme/tables/samples?purgeRequested=true", 406, "UnsupportedOperationException"),
            ("POST", "/v1/eu/tables/rename", 406, "UnsupportedOperationException"),
            ("POST", "/v1/eu/transactions/commit", 406, "UnsupportedOperationException")):
        got, headers, body = server.ask(path, method, body="{}" if method == "POST" else None)
        assert (got, body["error"]["type"], body["error"]["code"]) == (status, kind, status), path
        assert body["error"]["message"] and headers["Content-Type"] == "application/json"
    assert server.ask("/v1/oauth/tokens", "POST", body="grant_type=client_credentials")[2]["error"] == "unsupported_grant_type"


def test_head_answers_without_a_body(server, acme):
    server.point(acme, acme.commit("append", add=["a"]).key)
    for path, status in (("", 204), ("/tables/samples", 204), ("/tables/x", 404)):
        assert server.ask(f"/v1/eu/namespaces/acme{path}", "HEAD")[::2] == (status, None)
    assert server.ask("/v1/eu/namespaces/absent", "HEAD")[0] == 404
    assert server.ask("/v1/eu/namespaces/acme/tables/samples/metrics", "POST", body="{}")[::2] == (204, None)
    assert server.ask("/v1/eu/namespaces/acme/tables/x/metrics", "POST", body="{}")[0] == 404


def test_an_unchanged_table_is_not_sent_again(server, acme):
    path = "/v1/eu/namespaces/acme/tables/samples"
    acme.commit("append", add=["a"])
    server.point(acme, acme.commit("append", add=["b"]).key)
    _, headers, body = server.ask(path)
    tag = headers["ETag"]
    assert len(body["metadata"]["snapshots"]) == 2
    status, headers, _ = server.ask(path, **{"If-None-Match": tag})
    assert (status, headers["ETag"]) == (304, tag)
    assert server.ask(path, **{"If-None-Match": f'"x", W/{tag}'})[0] == 304
    status, headers, body = server.ask(path + "?snapshots=refs", **{"If-None-Match": tag})
    assert status == 200 and headers["ETag"] != tag
    assert len(body["metadata"]["snapshots"]) == len(body["metadata"]["snapshot-log"]) == 1
    server.point(acme, acme.commit("append", add=["c"]).key)
    assert server.ask(path, **{"If-None-Match": tag})[0] == 200


def test_damaged_metadata_is_an_error_not_an_answer(server, acme):
    version = acme.commit("append", add=["a"])
    server.point(acme, version.key)
    text = acme.metadata(version).read_text()
    acme.metadata(version).write_text(text.replace('"format-version":2', '"format-version":3'))
    status, headers, body = server.ask("/v1/eu/namespaces/acme/tables/samples")
    assert (status, body["error"]["type"], headers["ETag"]) == (500, "InternalServerError", None)
    acme.metadata(version).unlink()
    assert server.ask("/v1/eu/namespaces/acme/tables/samples")[0] == 500


def test_config_names_what_there_is(server):
    _, _, body = server.ask("/v1/config?warehouse=eu")
    assert body["overrides"] == {"prefix": "eu"}
    assert "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}" in body["endpoints"]
    assert not [endpoint for endpoint in body["endpoints"] if endpoint.startswith("DELETE")]
