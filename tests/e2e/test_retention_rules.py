"""Rules of retention: what a rule no longer keeps is in no answer from then on, in heads, blocks and rollups, and leaves object storage with the next look; everything
else stays. A changed rule counts at once."""

from __future__ import annotations

import os
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.api import Api
from support.blocks import flush, read_blocks
from support.traces import find
from test_merge import tools  # noqa: F401 (a fixture)

DAY = 86400
SECRET = "pq4-bench-77120c"
SETTINGS = [f"compactor.compactor.{setting}" for setting in (
    "merge_interval=300ms", "build_age=300ms", "lease=2s", "rollups=[1h, 1d]", "trim=true", "log_window=0s", "references_kept=1s")]


def write_rules(path: Path, rules: list[str], tenant: str = "farm") -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(f"overrides:\n  {tenant}: {{retention.rules: [{', '.join(repr(rule) for rule in rules)}]}}\n")
    os.replace(fresh, path)


class Farm:
    """A tenant that has written 144 samples on each of some days, as job debug, which says a secret, and as job live."""

    def __init__(self, region: Cluster, tools: Path, ages: list[int], tenant: str = "farm"):  # noqa: F811
        self.region, self.tools, self.tenant = region, tools, tenant
        self.today = int(time.time()) // DAY
        self.days = [self.today - age for age in ages]
        times = [DAY * day + 600 * n + 1 for day in self.days for n in range(144)]
        for job, host in (("debug", SECRET), ("live", "barn")):
            body = rw.series_of({"__name__": "kept", "job": job, "host": host}, [(1000 * at, 1.0) for at in times])
            assert rw.push(region.region["push_url"], body, tenant).status < 300

    def get(self, path: str, **parameters: Any) -> Any:
        reply = Api(self.region.region["query_url"], self.tenant, strong=True).get(path, **parameters)
        assert reply.status == 200, reply
        return reply.data

    def counts(self, resolution: str = "0s") -> dict[str, list[int]]:
        """By job, the samples of each day."""
        found = {job: [0] * len(self.days) for job in ("debug", "live")}
        for series in self.get("query_range", query="sum by (job) (count_over_time(kept[1d]))", start=DAY * (self.days[0] - 1), end=DAY * self.today,
                               step=DAY, max_source_resolution=resolution)["result"]:
            for at, value in series["values"]:
                day = int(float(at)) // DAY - 1
                if day in self.days:
                    found[series["metric"]["job"]][self.days.index(day)] = int(value)
        return found

    def stored(self) -> dict[str, set[int]]:
        """By job, the days that are in blocks."""
        content = read_blocks(self.region.layout.objects, self.tools)
        found: dict[str, set[int]] = {"debug": set(), "live": set()}
        for labels, times in content.samples.get(self.tenant, {}).items():
            found[dict(labels)["job"]] |= {at // 1000 // DAY for at in times}
        return found

    def to_blocks(self) -> None:
        """What was written is in merged blocks, and heads have nothing of it: a log's last entry stays, so it is one that nobody asks for."""
        now_ms = int(time.time() * 1000)
        others = [rw.series_of({"__name__": "other", "number": str(number)}, [(now_ms, 1)]) for number in range(20)]
        assert rw.push(self.region.region["push_url"], b"".join(others)).status < 300
        flush(self.region.urls("compactor")[0], merge=True)
        for instance in ("ingester-1", "distributor-1"):
            self.region.kill_and_wait(instance)
        wait_until(lambda: Api(self.region.region["query_url"], self.tenant).get("query", query="up").status == 200, 60, "queries to be answered")


def metric(region: Cluster, name: str) -> float:
    text = urllib.request.urlopen(region.service("compactor-1")["ops_url"] + "/metrics", timeout=30).read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.long
def test_what_a_rule_lets_go_is_hidden_at_once_and_leaves_storage(start, tools, tmp_path):  # noqa: F811
    overrides = tmp_path / "overrides.yaml"
    write_rules(overrides, ['{job="debug"}: 10d', '{host=~"other.*"}: 1d'])
    region = start({"partitions": 1}, settings=[f"all.overrides_file={overrides}", *SETTINGS])
    farm = Farm(region, tools, [40, 12, 5, 2])
    other = Farm(region, tools, [40, 12, 5, 2], "other")
    everything = {"debug": [144] * 4, "live": [144] * 4}
    shown = {"debug": [0, 0, 144, 144], "live": [144] * 4}

    # Heads have all, and do not show it: as samples, as aggregates, in remote read's and the API's eyes.
    assert farm.counts() == shown
    assert other.counts() == everything
    assert farm.get("query", query=f'count_over_time(kept{{job="debug"}}[{60 * DAY}s])', time=DAY * farm.today)["result"][0]["value"][1] == "288"

    # Lists of what heads have go by it too, with and without a time: only of its younger days does job debug show.
    old = {"start": DAY * farm.days[0], "end": DAY * (farm.days[1] + 1)}
    assert farm.get("label/host/values", **old) == ["barn"]
    assert [series["job"] for series in farm.get("series", **{"match[]": "kept", **old})] == ["live"]
    assert set(farm.get("label/host/values", start=DAY * farm.days[0])) == set(farm.get("label/host/values")) == {"barn", SECRET}
    assert set(other.get("label/host/values", **old)) == {"barn", SECRET}

    # So do blocks; and with the days to which they are of, it goes.
    farm.to_blocks()
    wait_until(lambda: farm.counts() == shown, 60, "blocks to answer")
    days = set(farm.days)
    wait_until(lambda: farm.stored() == {"debug": set(farm.days[2:]), "live": days}, 60, "the old days of job debug to leave the blocks")
    assert other.stored() == {"debug": days, "live": days}
    assert farm.counts() == shown and farm.counts("1d") == shown
    assert other.counts() == everything and other.counts("1d") == everything
    assert metric(region, "meridian_merge_retained_total") == 0, "the merge from level 0 left it out"

    # Lists go by it too: of the old days there is one host left.
    assert farm.get("label/host/values", **old) == ["barn"]
    assert [series["job"] for series in farm.get("series", **{"match[]": "kept", **old})] == ["live"]
    assert set(other.get("label/host/values", **old)) == {"barn", SECRET}

    # What comes late for a day that has passed is not shown either, and goes with its merge.
    late = rw.series_of({"__name__": "kept", "job": "debug", "host": SECRET}, [(1000 * (DAY * farm.days[1] + 7), 2.0)])
    assert rw.push(region.region["push_url"], late, "farm").status < 300
    assert farm.counts() == shown
    farm.to_blocks()
    assert farm.stored()["debug"] == set(farm.days[2:])

    # A rule that changes counts at once, in both directions where the samples are still there.
    write_rules(overrides, ['{job="debug"}: 3d'])
    wait_until(lambda: farm.counts() == {"debug": [0, 0, 0, 144], "live": [144] * 4}, 60, "the new rule to be in force")
    wait_until(lambda: farm.stored()["debug"] == {farm.days[3]}, 60, "another day to leave the blocks")
    assert farm.stored()["live"] == days
    wait_until(lambda: metric(region, "meridian_merge_retained_total") > 0, 60, "it to be counted")
    write_rules(overrides, [])
    wait_until(lambda: farm.counts() == {"debug": [0, 0, 0, 144], "live": [144] * 4}, 60, "what is left to show")


def test_rollups_are_kept_for_times_of_their_own(start, tools, tmp_path):  # noqa: F811
    overrides = tmp_path / "overrides.yaml"
    write_rules(overrides, ['{job="debug"}: samples=3d rollups_1h=10d rollups_6h=10d rollups_1d=30d'])
    region = start({"partitions": 1}, settings=[f"all.overrides_file={overrides}", *SETTINGS])
    farm = Farm(region, tools, [40, 12, 5, 2])
    farm.to_blocks()
    wait_until(lambda: farm.counts() == {"debug": [0, 0, 0, 144], "live": [144] * 4}, 60, "samples to be hidden")
    for resolution in ("1h", "6h"):
        assert farm.counts(resolution) == {"debug": [0, 0, 144, 144], "live": [144] * 4}
    assert farm.counts("1d") == {"debug": [0, 144, 144, 144], "live": [144] * 4}
    # Samples go with the last of their rows.
    wait_until(lambda: farm.stored() == {"debug": set(farm.days[1:]), "live": set(farm.days)}, 60, "the first day of job debug to leave the blocks")
    assert farm.counts("1d") == {"debug": [0, 144, 144, 144], "live": [144] * 4}


def test_a_bad_rule_refuses_the_reload(start, tmp_path):
    overrides = tmp_path / "overrides.yaml"
    write_rules(overrides, ["up: 1d"])
    region = start({"partitions": 1}, settings=[f"all.overrides_file={overrides}"])
    write_rules(overrides, ["{}: 1d"])
    wait_until(lambda: metric(region, 'meridian_config_reloads_total{result="refused"}') > 0, 60, "the reload to be refused")


@pytest.mark.slow
def test_after_its_grace_no_byte_in_storage_has_it(start, tools, tmp_path):  # noqa: F811
    overrides = tmp_path / "overrides.yaml"
    write_rules(overrides, ['{job="debug"}: 1d'])
    region = start({"partitions": 1}, settings=[f"all.overrides_file={overrides}", *SETTINGS, "compactor.compactor.grace=60s",
                                                "compactor.compactor.snapshots_kept=0s", "compactor.compactor.sweep_interval=5s"])
    farm = Farm(region, tools, [12, 5, 2])
    assert find([region.layout.objects], b"barn") == []
    farm.to_blocks()
    wait_until(lambda: farm.stored()["debug"] == set(), 60, "all of job debug to leave the blocks")

    def left() -> list[str]:
        # Others go on writing, so that the chain of commits goes on.
        assert rw.push(region.region["push_url"], rw.series_of({"__name__": "other"}, [(int(time.time() * 1000), 1.0)]), "others").status < 300
        time.sleep(1)
        return find([region.layout.objects], SECRET.encode())
    wait_until(lambda: left() == [], 300, "the files of before to be deleted")
    assert find([region.layout.objects], b"barn")
    assert farm.counts()["live"] == [144] * 3
