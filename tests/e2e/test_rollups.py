"""Rollups of a running region: they answer what they may, with the samples' answers; late samples and heads included."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conftest import ended, started
from meridian_dev.cluster import Cluster, wait_until
from support import remote_write as rw
from support.api import Api
from support.blocks import flush, read_blocks
from test_merge import tools  # noqa: F401 (a fixture)

DAY_S, HOUR_S, STEP_S = 86400, 3600, 120
DAYS = 4
LATEST_S = int(time.time()) // DAY_S * DAY_S - DAY_S
FIRST_S = LATEST_S - DAYS * DAY_S
PARTITIONS = 2
SETTINGS = [f"compactor.compactor.{setting}" for setting in (
    "build_age=1h", "merge_age=0s", "merge_interval=200ms", "trim=true", "log_window=0s", "references_kept=1s", "rollups=[1h, 6h, 1d]")] \
    + ["querier.querier.block_refresh=200ms"]
SECONDS = 120
SERIES = 6
RESTARTS = 37  # samples of a counter between two resets

EXACT = ["count_over_time(level[%s])", "min_over_time(level[%s])", "max_over_time(level[%s])", "first_over_time(level[%s])", "last_over_time(level[%s])",
         "present_over_time(level[%s])", "changes(level[%s])", "resets(visits_total[%s])", "increase(visits_total[%s])", "rate(visits_total[%s])",
         "delta(level[%s])", "sum_over_time(visits_total[%s])", "sum by (job) (rate(visits_total[%s]))", "max(increase(visits_total[%s] offset 1d))"]
"""Of whole numbers and numbers of the sender: bit for bit those of the samples."""
ROUNDED = ["sum_over_time(level[%s])", "avg_over_time(level[%s])"]
"""Sums of fractions, in another order."""


@dataclass
class World:
    region: Cluster
    tools: Path
    written: dict[tuple[str, int], dict[int, float]] = field(default_factory=dict)
    """By metric and number of the series: time in ms and value."""

    @property
    def api(self) -> Api:
        return Api(self.region.region["query_url"], strong=True)

    def write(self, first_s: int, last_s: int, shift_ms: int = 0) -> None:
        """Samples of all series in [first_s, last_s), shift_ms past every two minutes."""
        parts = []
        for metric in ("level", "visits_total"):
            for number in range(SERIES):
                samples = {}
                for at in range(first_s, last_s, STEP_S):
                    step = at // STEP_S
                    value = step % RESTARTS * (number + 1) if metric == "visits_total" else math.sin(step + number) / 3
                    samples[at * 1000 + shift_ms] = float(value)
                labels = {"__name__": metric, "number": str(number), "job": f"job{number % 2}"}
                parts.append(rw.series_of(labels, samples.items()))
                self.written.setdefault((metric, number), {}).update(samples)
        answer = rw.push(self.region.region["push_url"], b"".join(parts))
        assert answer.status < 300, answer

    def flush(self) -> None:
        """All that was written is merged, and neither in the log nor in heads any more. The last entry of a log stays, so it is one that nobody asks for."""
        others = [rw.series_of({"__name__": "other", "number": str(number)}, [(int(time.time() * 1000), 1)]) for number in range(20)]
        assert rw.push(self.region.region["push_url"], b"".join(others)).status < 300
        url = self.region.urls("compactor")[0]
        built = {entry["partition"]: entry["sequence"] for entry in flush(url)["partitions"]}
        wait_until(lambda: all(block.level > 0 for block in read_blocks(self.region.layout.objects, self.tools).blocks), SECONDS, "all to be merged")
        wait_until(lambda: all(self.trimmed_to(number) >= sequence for number, sequence in built.items()), SECONDS, "the log to be trimmed")
        self.region.kill_and_wait("ingester-1")
        wait_until(lambda: self.api.query("up").status == 200, SECONDS, "queries to be answered")

    def trimmed_to(self, partition: int) -> int:
        lines = re.findall(rf'msg="trimmed the log" partition={partition} first=(\d+)', self.region.log_text("compactor-1"))
        return max(map(int, lines), default=0)

    def ask(self, expression: str, step_s: int | None = None, at_s: float = LATEST_S, **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The result, and what is told of rollups and of samples read beside. A range query over all days, or one evaluation."""
        parameters = {"query": expression, "stats": "all", **more}
        if step_s is None:
            reply = self.api.get("query", time=at_s, **parameters)
        else:
            reply = self.api.get("query_range", start=FIRST_S + DAY_S, end=LATEST_S, step=step_s, **parameters)
        assert reply.complete, (expression, reply)
        return sorted(reply.data["result"], key=lambda series: sorted(series["metric"].items())), \
            {**reply.data["stats"]["rollups"], "samples": reply.data["stats"]["samples"]["samplesRead"] - reply.data["stats"]["rollups"]["rows"]}

    def compare(self, expression: str, exact: bool = True, **when: Any) -> dict[str, Any]:
        """The answer must be that of the samples alone; returns what is told of rollups."""
        want, told = self.ask(expression, max_source_resolution="0", **when)
        assert (told["selectors"], told["rows"]) == (0, 0) and want, (expression, told)
        got, told = self.ask(expression, **when)
        assert [series["metric"] for series in got] == [series["metric"] for series in want]
        for ours, samples in zip(got, want):
            for (at, value), (at_too, value_too) in zip(pairs(ours), pairs(samples), strict=True):
                assert at == at_too
                assert value == value_too if exact else math.isclose(float(value), float(value_too), rel_tol=1e-12, abs_tol=1e-12), (expression, at)
        return told

    def count(self, number: int, first_s: float, last_s: float) -> int:
        return sum(first_s * 1000 < at <= last_s * 1000 for at in self.written["level", number])


def pairs(series: dict[str, Any]) -> list:
    return series["values"] if "values" in series else [series["value"]]


@pytest.fixture(scope="module")
def world(binaries: Path, tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:  # noqa: F811
    """Some days that are merged and nowhere else."""
    region = started(tmp_path_factory.mktemp("region"), binaries, {"partitions": PARTITIONS}, settings=SETTINGS)
    world = World(region, tools)
    world.write(FIRST_S, LATEST_S)
    world.flush()
    yield world
    ended(region)


@pytest.mark.parametrize("step_s, window, resolution", [(DAY_S, "1d", "1d"), (DAY_S, "2d", "1d"), (6 * HOUR_S, "6h", "6h"), (6 * HOUR_S, "18h", "6h"),
                                                        (HOUR_S, "6h", "1h"), (HOUR_S, "3h", "1h")])
def test_rollups_answer_with_the_samples_answers(world, step_s, window, resolution):
    for expressions, exact in ((EXACT, True), (ROUNDED, False)):
        for expression in expressions:
            told = world.compare(expression % window, exact, step_s=step_s)
            assert told["selectors"] == 1 and told["rows"] > 0 and told["resolution"] == resolution and "refused" not in told, (expression, told)


def test_what_they_say_is_what_was_written(world):
    result, told = world.ask("count_over_time(level[1d])", step_s=DAY_S)
    assert told["rows"] > 0
    assert {series["metric"]["number"]: [int(value) for _, value in series["values"]] for series in result} == {
        str(number): [world.count(number, end - DAY_S, end) for end in range(FIRST_S + DAY_S, LATEST_S + 1, DAY_S)] for number in range(SERIES)}
    result, told = world.ask("max_over_time(level[1d])")
    assert told["rows"] > 0
    assert {series["metric"]["number"]: float(series["value"][1]) for series in result} == {
        str(number): max(value for at, value in world.written["level", number].items() if at > (LATEST_S - DAY_S) * 1000) for number in range(SERIES)}


def test_instants_and_ranges_between_windows(world):
    told = world.compare("level", step_s=HOUR_S)
    assert told["rows"] > 0
    assert world.compare("timestamp(level)", step_s=DAY_S)["rows"] > 0
    for at_s in (LATEST_S - 12345, LATEST_S - 0.5):  # edges of the ranges are read as samples
        for expression in ("sum(increase(visits_total[2d]))", "count_over_time(level[50h])", "avg_over_time(visits_total[1d12h])"):
            assert world.compare(expression, at_s=at_s)["rows"] > 0


def test_ranges_between_midnights_read_finer_rows_at_their_edges_alone(world):
    for expressions, exact in ((EXACT, True), (ROUNDED, False)):
        for expression in expressions:
            told = world.compare(expression % "3d", exact, at_s=LATEST_S - 5 * HOUR_S)
            assert (told["resolution"], told["samples"]) == ("1d", 0) and "refused" not in told, (expression, told)
            assert 0 < told["rows"] < SERIES * 24, (expression, told)  # two days; at each end of them three times six hours and some hours; at midnights two rows of one window


def test_the_resolution_can_be_bounded(world):
    for bound, resolution in (("1h", "1h"), ("5h", "1h"), ("6h", "6h"), ("23h", "6h"), ("1d", "1d"), ("auto", "1d")):
        _, told = world.ask("sum(rate(visits_total[1d]))", step_s=DAY_S, max_source_resolution=bound)
        assert told["resolution"] == resolution and told["rows"] > 0
    assert world.ask("sum(rate(visits_total[1d]))", step_s=DAY_S, max_source_resolution="30m")[1]["rows"] == 0


@pytest.mark.parametrize("expression, step_s", [("quantile_over_time(0.9, level[1d])", DAY_S), ("stddev_over_time(level[1d])", DAY_S), ("irate(visits_total[1d])", DAY_S),
                                                ("sum_over_time(level[7m])", 420), ("rate(visits_total[90m])", HOUR_S)])
def test_what_they_cannot_say_is_answered_from_samples(world, expression, step_s):
    assert world.compare(expression, step_s=step_s)["rows"] == 0


def test_late_samples_open_windows_again(world):
    """While they are in heads alone, their windows are read as samples and all others are rows; the next merge makes the rows anew."""
    before = world.ask("count_over_time(level[1d])", step_s=DAY_S)
    world.write(FIRST_S + DAY_S + 3 * HOUR_S, FIRST_S + DAY_S + 5 * HOUR_S, shift_ms=500)
    world.write(FIRST_S + DAY_S + 20 * HOUR_S, FIRST_S + DAY_S + 20 * HOUR_S + STEP_S)  # again, the same values
    want = {str(number): [world.count(number, end - DAY_S, end) for end in range(FIRST_S + DAY_S, LATEST_S + 1, DAY_S)] for number in range(SERIES)}

    def counts(result: list[dict[str, Any]]) -> dict[str, list[int]]:
        return {series["metric"]["number"]: [int(value) for _, value in series["values"]] for series in result}
    result, told = world.ask("count_over_time(level[1d])", step_s=DAY_S)
    assert counts(result) == want != counts(before[0])
    assert before[1]["samples"] == 0 and before[1]["resolution"] == "1d"
    # Of the late day only some hours are open: its others are rows of hours, the days beside it rows of days.
    assert told["rows"] > before[1]["rows"] and told["resolution"] == "1d"
    assert 0 < told["samples"] < SERIES * DAY_S // STEP_S // 2
    for expressions, exact in ((EXACT, True), (ROUNDED, False)):
        for expression in expressions:
            assert world.compare(expression % "1d", exact, step_s=DAY_S)["rows"] > 0
            assert world.compare(expression % "6h", exact, step_s=6 * HOUR_S)["rows"] > 0

    world.flush()
    result, told = world.ask("count_over_time(level[1d])", step_s=DAY_S)
    assert counts(result) == want
    assert told == before[1]
    for expressions, exact in ((EXACT, True), (ROUNDED, False)):
        for expression in expressions:
            world.compare(expression % "1d", exact, step_s=DAY_S)


def test_heads_blocks_and_rollups_in_one_answer(world):
    """A day that is in heads alone, behind days that are merged, in one range."""
    world.write(LATEST_S, LATEST_S + DAY_S // 2)
    end_s = LATEST_S + DAY_S // 2
    for expression in ("sum(increase(visits_total[3d]))", "count_over_time(level[3d])", "max_over_time(visits_total[3d])", "sum by (job) (rate(visits_total[3d]))"):
        assert world.compare(expression, at_s=end_s)["rows"] > 0
    result, told = world.ask("count_over_time(level[3d])", at_s=end_s)
    assert told["rows"] > 0 and told["samples"] >= SERIES * DAY_S // 2 // STEP_S
    assert {series["metric"]["number"]: int(series["value"][1]) for series in result} == {
        str(number): world.count(number, end_s - 3 * DAY_S, end_s) for number in range(SERIES)}
