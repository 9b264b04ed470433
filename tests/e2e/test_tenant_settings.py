"""Settings of single tenants, from a file that all services share and that changes under them."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from meridian_dev.cluster import wait_until
from support import remote_write as rw

FEATURES_QUERY = "sort_by_label(small_total, 'device')"  # an experimental function


def write_overrides(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def get(base: str, path: str, tenant: str, **parameters: object) -> tuple[int, str]:
    request = urllib.request.Request(f"{base}{path}?{urllib.parse.urlencode(parameters)}",
                                     headers={"X-Scope-OrgID": tenant, "X-Read-Consistency": "strong"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def body_of(devices: int) -> bytes:
    now = int(time.time() * 1000)
    return b"".join(rw.series_of({"__name__": "small_total", "device": str(device)}, [(now, device)]) for device in range(devices))


def test_tenants_have_limits_of_their_own_which_change_live(start, tmp_path):
    path = tmp_path / "overrides.yaml"
    path.write_text("overrides:\n"
                    "  few: {limits.labels_per_series_max: 1, limits.request_body_bytes_max: 64KiB}\n"
                    "  narrow: {querier.series_max: 3, querier.steps_max: 10, querier.range_max: 1h}\n"
                    "  rich: {querier.promql_features: [all], querier.lookback_delta: 7m}\n")
    region = start({"partitions": 1}, settings=[f"all.overrides_file={path}"])
    push, query = region.region["push_url"], region.region["query_url"]

    # The distributor: the tenant's labels and the size of its body, told before it is read.
    for tenant in ("narrow", "rich", "plain"):
        assert rw.push(push, body_of(5), tenant).status == 204
    refused = rw.push(push, body_of(5), "few")
    assert refused.status == 400
    large = urllib.request.Request(push, data=b"x" * 100_000, method="POST", headers={"X-Scope-OrgID": "few"})
    try:
        urllib.request.urlopen(large, timeout=30)
        raise AssertionError("taken")
    except urllib.error.HTTPError as error:
        assert error.code == 413
        assert "65536 bytes" in error.read().decode()

    # The querier: 422 with the key and the tenant's value; steps are Prometheus' 400.
    status, text = get(query, "/api/v1/query", "narrow", query="small_total")
    assert status == 422 and "series_max" in text and "3" in text, text
    assert get(query, "/api/v1/query", "plain", query="small_total")[0] == 200
    now = int(time.time())
    status, text = get(query, "/api/v1/query_range", "narrow", query="1", start=now - 100, end=now, step=5)
    assert status == 400 and "10 points" in text and "querier.steps_max" in text, text
    status, text = get(query, "/api/v1/query_range", "narrow", query="1", start=now - 7200, end=now, step=3600)
    assert status == 422 and "querier.range_max" in text and "1h" in text, text
    assert get(query, "/api/v1/query", "rich", query=FEATURES_QUERY)[0] == 200
    assert get(query, "/api/v1/query", "plain", query=FEATURES_QUERY)[0] == 400

    # A tenant sees its own values, the operator all.
    flags = json.loads(get(query, "/api/v1/status/flags", "rich")[1])["data"]
    assert flags["query.lookback-delta"] == "7m"
    own = json.loads(get(query, "/api/v1/status/config", "rich")[1])["data"]["yaml"]
    assert "7m" in own and "narrow" not in own and "overrides:" not in own
    assert "narrow" not in json.loads(get(query, "/api/v1/status/config", "plain")[1])["data"]["yaml"]
    assert '"narrow":' in get(query, "/config", "x")[1]

    # A bad file changes nothing and is said; a good one counts without a restart.
    write_overrides(path, "overrides: {plain: {querier.series_max: 2}, rich: {querier.seris_max: 1}}\n")

    def reloads(result: str) -> float:
        for line in get(query, "/metrics", "x")[1].splitlines():
            if line.startswith(f'meridian_config_reloads_total{{result="{result}"}}'):
                return float(line.split()[-1])
        return 0

    wait_until(lambda: reloads("refused") == 1, 30, "the bad file is refused")
    assert get(query, "/api/v1/query", "plain", query="small_total")[0] == 200
    assert get(query, "/api/v1/query", "narrow", query="small_total")[0] == 422
    write_overrides(path, "overrides: {plain: {querier.series_max: 2}}\n")
    wait_until(lambda: reloads("ok") == 1, 30, "the good file is taken")
    status, text = get(query, "/api/v1/query", "plain", query="small_total")
    assert status == 422 and "2" in text, text
    assert get(query, "/api/v1/query", "narrow", query="small_total")[0] == 200
    time.sleep(6)  # three looks at the file: it is read once for each change
    assert (reloads("ok"), reloads("refused")) == (1, 1)
    assert rw.push(push, body_of(5), "few").status == 204


@pytest.mark.parametrize("key", ["querier.lookback_max", "retention.samples"])
def test_a_tenant_may_be_kept_from_looking_far_back(start, tmp_path, key):
    """What is older, or past its retention, is left out, not refused: of range and instant queries, pushed down or not, of series and of label values."""
    path = tmp_path / "overrides.yaml"
    path.write_text(f"overrides:\n  near: {{{key}: 30m}}\n")
    region = start({"partitions": 1}, settings=[f"all.overrides_file={path}"])
    now = int(time.time())
    times = [now - 7200 + 60 * n for n in range(120)]
    old = rw.series_of({"__name__": "past", "device": "old"}, [(1000 * (now - 5400), 1.0)])
    body = old + rw.series_of({"__name__": "past", "device": "both"}, [(1000 * at, 1.0) for at in times])
    seen = {}
    for tenant in ("near", "far"):
        assert rw.push(region.region["push_url"], body, tenant).status == 204

        def answer(path: str, tenant: str = tenant, **parameters: object):
            status, text = get(region.region["query_url"], path, tenant, **parameters)
            assert status == 200, text
            return json.loads(text)["data"]

        window = {"start": now - 7200, "end": now, "step": 60}
        plain = answer("/api/v1/query_range", query='past{device="both"}', **window)["result"][0]["values"]
        pushed = answer("/api/v1/query_range", query="sum(past)", **window)["result"][0]["values"]
        counted = answer("/api/v1/query", query='sum(count_over_time(past{device="both"}[2h]))', time=now)["result"][0]["value"][1]
        before = answer("/api/v1/query", query="sum(past)", time=now - 3600)["result"]
        devices = answer("/api/v1/label/device/values")
        series = len(answer("/api/v1/series", **{"match[]": "past"}))
        seen[tenant] = (plain[0][0], pushed[0][0], int(counted), len(before), devices, series)
    assert seen["far"] == (now - 7200, now - 7200, 119, 1, ["both", "old"], 2)
    oldest, pushed, counted, before, devices, series = seen["near"]
    assert now - 1800 <= oldest <= now - 1680 and now - 1800 <= pushed <= now - 1680, seen
    assert 28 <= counted <= 30 and before == 0 and devices == ["both"] and series == 1, seen
