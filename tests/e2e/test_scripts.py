"""The PromQL test scripts (tests/promql) against a running region: written with remote write 2.0, asked over HTTP, and compared by
the code that compares them in memory (tests/promql/http)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from meridian_dev.build import REPOSITORY, build_targets
from meridian_dev.cluster import Cluster

SCRIPTS = sorted((REPOSITORY / "tests" / "promql").glob("*.test"))
TIMEOUT_SECONDS = 300

LANGUAGE = ["promql-experimental-functions", "promql-extended-range-selectors", "promql-binop-fill-modifiers"]
STARTS = ["use-start-timestamps"]
SWITCHES = {"query": STARTS, "delayed-query": [*STARTS, "promql-delayed-name-removal"], "typed-query": [*STARTS, "type-and-unit-labels"],
            "startless-query": []}
"""The querier with the number of its place runs with each: what a script may switch is a setting of a whole querier."""


@pytest.fixture(scope="session")
def runner(request: pytest.FixtureRequest, binaries: Path) -> Path:
    if not request.config.getoption("--binaries"):
        build_targets("release", ["meridian-promql-scripts"])
    return binaries / "meridian-promql-scripts"


@pytest.fixture(scope="module")
def cluster(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    from conftest import ended, started

    settings = {f"querier-{number}": {"promql_features": LANGUAGE + more} for number, more in enumerate(SWITCHES.values(), 1)}
    region = started(tmp_path_factory.mktemp("scripts"), binaries, {"services": {"querier": len(SWITCHES)}, "set": settings})
    yield region
    ended(region)


def run(runner: Path, cluster: Cluster, script: Path, tenant: str) -> subprocess.CompletedProcess[str]:
    queriers = [word for number, name in enumerate(SWITCHES, 1)
                for word in (f"--{name}-url", cluster.service(f"querier-{number}")["ops_url"])]
    command = [str(runner), "--push", cluster.region["push_url"], "--tenants", f"{tenant}-", *queriers, str(script)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_holds_over_http(runner, cluster, script):
    done = run(runner, cluster, script, f"script-{script.stem}")
    assert done.returncode == 0, done.stdout + done.stderr
    [evaluations] = re.findall(r"^\S+: (\d+) evaluations, 0 failed, 0 skipped$", done.stdout, re.MULTILINE)
    assert int(evaluations) == len(re.findall(r"^eval(?:_fail)? ", script.read_text(), re.MULTILINE)) > 0


WRONG = [
    "load 1m\n m 1 2\n\neval instant at 0 m\n m 2\n",
    "load 1m\n m 1 2\n\neval instant at 0 m\n n 1\n",
    "load 1m\n m 1 2\n\neval instant at 0 m\n",
    "load 1m\n m 1 2\n\neval instant at 0 m\n expect fail\n",
    "load 1m\n m 1 2\n\neval instant at 0 m +\n m 1\n",
    "load 1m\n m 1 2\n\neval instant at 0 m +\n expect fail msg:x\n",
    "load 1m\n m 1 2\n\neval range from 0 to 1m step 1m m\n m 1 _\n",
    "load 1m\n m 1 2\n\neval instant at 0 quantile(2, m)\n expect no_warn\n {} Inf\n",
    "load 1m\n m 1 2\n\neval instant at 0 quantile(2, m)\n expect warn msg:x\n {} Inf\n",
    'load 1m\n m{a="1"} 1\n m{a="2"} 2\n\neval instant at 0 sort(m)\n expect ordered\n m{a="2"} 2\n m{a="1"} 1\n',
    'eval instant at 0 "a"\n expect string "b"\n',
    "load 1m\n h {{count:1 buckets:[1]}}\n\neval instant at 0 h\n h {{count:1 buckets:[2]}}\n",
    "load 1m\n h {{count:1 buckets:[1]}}\n\neval instant at 0 h\n h {{count:1 schema:1 buckets:[1]}}\n",
    "load 1m\n h {{count:1 buckets:[1]}}\n\neval instant at 0 h\n h 1\n",
]


def test_a_wrong_expectation_is_found_over_http(runner, cluster, tmp_path):
    for number, text in enumerate(WRONG):
        script = tmp_path / f"{number}.test"
        script.write_text(text)
        done = run(runner, cluster, script, f"wrong-{number}")
        assert done.returncode == 1 and "1 evaluations, 1 failed, 0 skipped" in done.stdout, f"not found:\n{text}{done.stdout}{done.stderr}"
