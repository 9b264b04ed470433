"""The scripts of tests/promql, which judge the engine in memory, against running regions: written by remote write 2.0, asked
over HTTP. A region for each setting that scripts ask for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SCRIPTS = sorted((Path(__file__).parents[1] / "promql").glob("*.test"))
ALWAYS_ON = "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers"
SETTINGS = {
    "as by default": ("", []),
    "delayed name removal": (",promql-delayed-name-removal", ["--delayed-name-removal"]),
    "type and unit labels": (",type-and-unit-labels", ["--type-and-unit-labels"]),
}
SUMMARY = re.compile(r"(\d+) evaluations, (\d+) failed, (\d+) skipped")


def run_scripts(binaries: Path, region: dict, options: list[str]) -> tuple[int, int]:
    """Evaluations in all, and those that were skipped."""
    run = subprocess.run(
        [binaries / "meridian-promql-scripts", "--push-url", region["push_url"], "--query-url", region["query_url"],
         "--tenants", "script-", *options, *SCRIPTS],
        capture_output=True, text=True, check=False,
    )
    report = run.stdout + run.stderr
    assert run.returncode == 0, report
    evaluations, failed, skipped = map(int, SUMMARY.search(report).groups())
    assert failed == 0, report
    return evaluations, skipped


def test_scripts_agree_over_http(binaries, start):
    ran = 0
    for features, options in SETTINGS.values():
        cluster = start(settings=[f"querier.promql_features={ALWAYS_ON}{features}"])
        evaluations, skipped = run_scripts(binaries, cluster.region, options)
        ran += evaluations - skipped
        cluster.down()
    assert evaluations > 700
    assert ran == evaluations, "each evaluation was to run with one of the settings"
