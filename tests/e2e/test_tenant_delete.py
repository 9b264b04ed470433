"""Deleting a tenant: after the answer nothing shows of it, its tables and files go, a receipt comes, and what is written later is a new life; mrdctl asks for it, says how far it is, and
holds receipts to object storage."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from typing import Any

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.api import Api
from support.blocks import flush, read_blocks
from support.traces import find
from test_block_import import mrdctl  # noqa: F401 (a fixture)
from test_delete_series import now_ms
from test_merge import tools  # noqa: F401 (a fixture)
from test_query_api import ask

TENANT = "clinic"
SECRET = "vt5-ward-90417e"
GAUGE = 2
ASKED_S = int(time.time())
"""When queries look, so that their answers can be compared."""
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SETTINGS = ["querier.querier.admin_api=true", "all.log.max_bytes=8388608"] + [f"compactor.compactor.{setting}" for setting in (
    "grace=60s", "snapshots_kept=0s", "build_age=300ms", "merge_age=0s", "merge_interval=300ms", "log_window=1s", "references_kept=1s", "lease=2s")]


def write(region: Cluster, tenant: str, secret: str = SECRET, value: float = 1.0) -> None:
    """Two days, a sample an hour, under a name and a label that say who it is; and metadata."""
    end_ms = now_ms() // HOUR_MS * HOUR_MS
    body = rw.series_of({"__name__": "weight_" + secret.replace("-", "_"), "user": secret},
                        [(at, value) for at in range(end_ms - 2 * DAY_MS, end_ms, HOUR_MS)])
    assert rw.push(region.region["push_url"], body, tenant).status < 300
    metadata = rw.metadata("weight_" + secret.replace("-", "_"), GAUGE, "of " + secret)
    assert rw.push(region.region["push_url"], metadata, tenant).status < 300


def seen(region: Cluster, tenant: str = TENANT) -> dict[str, Any]:
    """What the API says of the tenant."""
    api = Api(region.region["query_url"], tenant, strong=True)
    found = {}
    for path, parameters in (("query", {"query": 'count_over_time({user=~".+"}[4d])', "time": ASKED_S}), ("series", {"match[]": '{user=~".+"}'}), ("labels", {}), ("label/user/values", {}),
                             ("metadata", {})):
        def answered(path: str = path, parameters: dict[str, Any] = parameters) -> Any:
            """A head whose log was just trimmed is not asked for a moment."""
            reply = api.get(path, **parameters)
            assert reply.status in (200, 503), reply
            return reply if reply.status == 200 else None
        data = wait_until(answered, 60, f"{path} to be answered").data
        found[path] = data["result"] if path == "query" else data
    return found


def erasures(region: Cluster) -> dict[str, Any]:
    with urllib.request.urlopen(region.service("compactor-1")["ops_url"] + "/erasures", timeout=30) as answer:
        return json.loads(answer.read())


def delete(url: str, tenant: str, confirm: str | None) -> Any:
    parameters = [] if confirm is None else [("confirm", confirm)]
    return ask(url, "POST", "/api/v1/admin/tsdb/delete_tenant", parameters, {"X-Scope-OrgID": tenant})


def test_nothing_shows_and_a_new_life_begins(start, tools, mrdctl):  # noqa: F811
    region = start({"partitions": 2, "services": {"querier": 2}}, settings=SETTINGS)
    url = region.query_urls()[0]
    write(region, TENANT)
    write(region, "others", "alice")
    flush(region.urls("compactor")[0], merge=True)
    write(region, TENANT)  # and in heads
    before = seen(region)
    assert all(before.values()), before
    kept = seen(region, "others")

    for confirm in (None, "", "clini", "others"):
        refused = delete(url, TENANT, confirm)
        assert refused.status == 400 and "confirm" in refused.json["error"], refused
    assert delete(url, "anonymous", TENANT).status == 400
    assert seen(region) == before

    done = mrdctl("tenant", "delete", "--url", url, TENANT)
    [identity] = re.findall(r"request ([0-9a-f]{32})", done.stdout)
    for other in region.query_urls():
        reply = ask(other, "GET", "/api/v1/query", [("query", 'count_over_time({user=~".+"}[4d])')], {"X-Scope-OrgID": TENANT})
        assert reply.json["data"]["result"] == []
    assert not any(seen(region).values()), seen(region)
    assert seen(region, "others") == kept
    region.kill_and_wait("ingester-1")
    wait_until(lambda: Api(region.region["query_url"], TENANT).get("query", query="up").status == 200, 60, "queries to be answered")
    assert not any(seen(region).values()), "a replay brings nothing back"

    # What comes later lives, in heads and in blocks, under the same labels.
    write(region, TENANT, value=2.0)
    assert all(found for path, found in seen(region).items() if path != "metadata"), "metadata come again with a label epoch"
    flush(region.urls("compactor")[0], merge=True)

    def rewritten() -> bool:
        values = {value for times in read_blocks(region.layout.objects, tools).samples.get(TENANT, {}).values() for _, value in times.values()}
        return values == {2.0}
    wait_until(rewritten, 60, "the old life to leave the blocks")
    assert list(region.layout.objects.glob(f"*/{TENANT}/samples/metadata/*"))
    others = seen(region, "others")
    assert all(others[path] == kept[path] for path in kept if path != "metadata"), "metadata go when the log forgets them"

    listed = mrdctl("erasure", "list", "--url", region.urls("compactor")[0], "--tenant", TENANT)
    assert identity in listed.stdout and TENANT in listed.stdout
    assert identity not in mrdctl("erasure", "list", "--url", region.urls("compactor")[0], "--tenant", "others").stdout
    shown = mrdctl("erasure", "show", "--url", region.urls("compactor")[0], identity)
    assert f"tenant       {TENANT}" in shown.stdout and "the beginning" in shown.stdout, shown.stdout
    unproven = mrdctl("erasure", "verify", "--url", region.urls("compactor")[0], identity, code=1)
    assert "not done yet" in unproven.stderr


def test_mrdctl_says_what_is_wrong(start, mrdctl):  # noqa: F811
    region = start({"partitions": 1})  # without querier.admin_api
    compactor, querier = region.urls("compactor")[0], region.query_urls()[0]
    assert "disabled" in mrdctl("tenant", "delete", "--url", querier, TENANT, code=1).stderr
    mrdctl("tenant", "delete", "--url", querier, code=2)
    assert "no tenant name" in mrdctl("tenant", "delete", "--url", querier, "a b", code=1).stderr
    for words in (("show",), ("verify",)):
        mrdctl("erasure", *words, "--url", compactor, code=2)
        mrdctl("erasure", *words, "--url", compactor, "xyz", code=2)
    assert "no request to erase" in mrdctl("erasure", "show", "--url", compactor, "0" * 32, code=1).stderr
    assert "no receipt" in mrdctl("erasure", "verify", "--url", compactor, "0" * 32, code=1).stderr
    assert "404" in mrdctl("erasure", "list", "--url", querier, code=1).stderr
    assert mrdctl("erasure", "list", "--url", compactor).stdout.startswith("ID ")


@pytest.mark.slow
def test_after_the_receipt_nothing_has_it(start, mrdctl):  # noqa: F811
    from test_receipt import traffic
    region = start({"partitions": 2}, settings=SETTINGS)
    url, compactor = region.query_urls()[0], region.urls("compactor")[0]
    write(region, TENANT)
    write(region, "others", "alice")
    flush(compactor, merge=True)
    folders = [region.layout.objects, region.layout.directory / "data"]
    texts = [SECRET.encode(), SECRET.replace("-", "_").encode()]
    assert any(find(folders, text) for text in texts)
    assert list(region.layout.objects.glob(f"*/{TENANT}/series/metadata/*"))

    done = mrdctl("tenant", "delete", "--url", url, TENANT)
    [identity] = re.findall(r"request ([0-9a-f]{32})", done.stdout)
    deadline = time.monotonic() + 600
    states = set()
    with traffic(region):
        while not erasures(region)["receipts"]:
            states |= {erasure["state"] for erasure in erasures(region)["erasures"]}
            assert time.monotonic() < deadline, erasures(region)
            for _ in range(20):
                time.sleep(1)
                if erasures(region)["receipts"]:
                    break
            region.kill_and_wait("distributor-1")
    assert "waiting" in states
    [receipt] = erasures(region)["receipts"]
    assert receipt["id"] == identity and receipt["tenant"] == TENANT and receipt["samples"] >= 48, receipt
    assert [path for text in texts for path in find(folders, text)] == []
    assert [path for path in region.layout.objects.rglob("*") if TENANT in path.parts and path.is_file()] == []
    assert find(folders, b"alice"), "others keep what they have"
    assert "done: nothing" in mrdctl("erasure", "show", "--url", compactor, identity).stdout
    assert "objects were looked at" in mrdctl("erasure", "verify", "--url", compactor, identity).stdout

    # A file that should not be there is found.
    stray = region.layout.objects / "blocks" / "l0" / "stray.parquet"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"PAR1")
    os.utime(stray, (receipt["done_ms"] / 1000 - 100,) * 2)
    untrue = mrdctl("erasure", "verify", "--url", compactor, identity, code=1)
    assert "blocks/l0/stray.parquet" in untrue.stdout and "still there" in untrue.stderr
