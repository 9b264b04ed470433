"""Strong reads see what was acknowledged before they were asked; eventual reads soon do. Many tenants stay apart."""

from __future__ import annotations

import time

from meridian_dev.cluster import wait_until
from support import remote_write as rw
from support.api import Api


def test_a_strong_read_sees_each_write_at_once(region, tenant, api):
    connection = rw.Connection(region.region["push_url"])
    at = int(time.time() * 1000)
    for number in range(200):
        body = rw.snappy(rw.series_of({"__name__": "stepped"}, [(at + number, number)]))
        assert connection.post(body, {"X-Scope-OrgID": tenant}).status < 300
        assert list(api.vector("stepped", (at + number) / 1000).values()) == [number]


def test_an_eventual_read_sees_a_write_soon(region, tenant):
    at = int(time.time() * 1000)
    rw.push(region.region["push_url"], rw.series_of({"__name__": "eventual"}, [(at, 1)]), tenant)
    eventual = Api(region.region["query_url"], tenant)
    wait_until(lambda: eventual.vector("eventual", at / 1000), 10, "the write to be applied")


def test_a_thousand_tenants_see_their_own_samples_only(region):
    connection = rw.Connection(region.region["push_url"])
    at = int(time.time() * 1000)
    for number in range(1000):
        body = rw.snappy(rw.series_of({"__name__": "owned", "of": str(number)}, [(at, number)]))
        assert connection.post(body, {"X-Scope-OrgID": f"many-{number}"}).status < 300
    for number in range(0, 1000, 97):
        found = Api(region.region["query_url"], f"many-{number}", strong=True).vector("owned", at / 1000)
        assert found == {frozenset({("__name__", "owned"), ("of", str(number))}): number}
