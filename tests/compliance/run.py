#!/usr/bin/env python3
"""Runs suites of the Prometheus project against a region; see README.md."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(HERE), str(REPOSITORY / "tests" / "promql" / "differential"), str(REPOSITORY / "scripts"), str(REPOSITORY / "tests" / "e2e")]

import demo  # noqa: E402
import yaml  # noqa: E402
from differ import oracle  # noqa: E402
from meridian_dev.build import build_services, build_targets  # noqa: E402
from meridian_dev.cluster import Cluster  # noqa: E402
from meridian_dev.errors import UserError  # noqa: E402
from meridian_dev.topology import SERVICES  # noqa: E402
from support import remote_write as rw  # noqa: E402
from support.api import Api  # noqa: E402
from support.prometheus import Prometheus  # noqa: E402

SCRIPT_SECONDS = 600
RECEIVER_SECONDS = 1200
TESTER_SECONDS = 900

RECEIVER = "github.com/prometheus/compliance/remotewrite/receiver@v0.0.0-20260806071727-67b8327a2e93"

QUERIES_BEHIND_S = 900
"""The queries' end is that long ago, since some look ten minutes ahead."""
HISTORY_S = 2 * 3600
"""An hour of range, ten minutes of queries, ten of offset, and some more."""

STRICTER: dict[str, str] = {}
"""Tests of the receiver suite whose request the reference takes and a region does not, and why."""


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        why = oracle.absent()
        if why:
            raise UserError(why)
        binaries = options.binaries or build_services("release", list(SERVICES))
        with tempfile.TemporaryDirectory(prefix="compliance-") as directory:
            with Cluster(Path(directory) / "region", binaries, settings=["querier.promql_features=all"]) as region:
                return options.run(options, region, binaries, Path(directory))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


# ---- scripts ----


def run_scripts(options: argparse.Namespace, region: Cluster, binaries: Path, directory: Path) -> int:
    runner = binaries / "meridian-promql-scripts"
    if not options.binaries:
        build_targets("release", ["meridian-promql-scripts"])
    folder = options.scripts or oracle.module_folder() / "promql" / "promqltest" / "testdata"
    counts: Counter[str] = Counter()
    for script in sorted(folder.glob("*.test")):
        command = [str(runner), "--push-url", region.region["push_url"], "--delayed-query-url", region.region["query_url"],
                   "--tenants", f"{script.stem}-", "--begin-delayed", str(script)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=SCRIPT_SECONDS, check=False)
        print(done.stdout + done.stderr, end="", flush=True)
        counted = re.search(r"^\S+: (\d+) evaluations, (\d+) failed, (\d+) skipped$", done.stdout, re.MULTILINE)
        written = len(re.findall(r"^\s*eval", script.read_text(), re.MULTILINE))
        evaluated, failed, skipped = map(int, counted.groups()) if counted else (0, 0, 0)
        counts += Counter(passed=evaluated - failed, failed=failed, skipped=skipped, missed=max(0, written - evaluated - skipped))
        counts["stopped"] += done.returncode not in (0, 1)
    return told("scripts", counts)


# ---- remote write ----


def run_receiver(options: argparse.Namespace, region: Cluster, binaries: Path, directory: Path) -> int:
    suite = directory / "suite"
    shutil.copytree(downloaded(RECEIVER), suite)
    os.chmod(suite, 0o755)
    reference = Prometheus(directory / "reference", "global: {}\n", options.reference or oracle.server())
    try:
        config = directory / "receivers.yml"
        config.write_text(yaml.safe_dump({"remote_write": [{"name": "meridian", "url": region.region["push_url"]},
                                                           {"name": "reference", "url": f"{reference.url}/api/v1/write"}]}))
        ours, theirs = (receiver_results(suite, config, name) for name in ("meridian", "reference"))
    finally:
        reference.stop()
    return judge_receiver(ours, theirs)


@dataclass
class Received:
    """What the suite made of one receiver. Tests are named without it."""

    results: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)


def receiver_results(suite: Path, config: Path, name: str) -> Received:
    names = {"PROMETHEUS_RW2_COMPLIANCE_CONFIG_FILE": str(config), "PROMETHEUS_RW2_COMPLIANCE_RECEIVERS": name}
    done = subprocess.run(["go", "test", "-count=1", "-json", "."], cwd=suite, env={**os.environ, **names}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=RECEIVER_SECONDS, check=False)
    found = Received()
    for line in done.stdout.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        test = "/".join(part for part in event.get("Test", "").split("/") if part != name)
        if not test:
            continue
        if event["Action"] in ("pass", "fail", "skip"):
            found.results[event["Test"]] = event["Action"]
        found.texts.setdefault(event["Test"], []).append(event.get("Output", ""))
        if status := re.search(r'Response code from "\w+": (\d+)', event.get("Output", "")):
            found.statuses[test] = status.group(1)
    if not found.results:
        raise UserError(f"the suite ended with {done.returncode}: {done.stdout[-4000:]}{done.stderr[-4000:]}")
    return found


def judge_receiver(ours: Received, theirs: Received) -> int:
    counts = Counter({"passed": 0, "failed": 0, "skipped": 0, "refused": 0})
    for test, result in ours.results.items():
        counts[{"pass": "passed", "fail": "failed", "skip": "skipped"}[result]] += 1
        if result == "fail":
            print(f"failed: {test}\n{''.join(ours.texts[test])}")
    for test, status in sorted(theirs.statuses.items()):
        if status[0] == "2" and ours.statuses.get(test, "")[:1] != "2":
            print(f"only the reference takes it: {test}: {ours.statuses.get(test)}: {STRICTER.get(test, 'not expected')}")
            counts["refused"] += test not in STRICTER
    for name, received in (("the region", ours), ("the reference", theirs)):
        print(f"{name}: {said(Counter(received.results.values()))}; statuses: {said(Counter(received.statuses.values()))}")
    return told("receiver", counts)


def downloaded(module: str) -> Path:
    done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"{module}: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


# ---- PromQL ----


def run_promql(options: argparse.Namespace, region: Cluster, binaries: Path, directory: Path) -> int:
    end_s = int(time.time()) // 10 * 10 - QUERIES_BEHIND_S
    reference = Prometheus(directory / "reference", "storage: {tsdb: {out_of_order_time_window: 1d}}\n", options.reference or oracle.server())
    try:
        for message in demo.requests(options.seed, (end_s - HISTORY_S) * 1000, (end_s + QUERIES_BEHIND_S) * 1000):
            for url in (region.region["push_url"], f"{reference.url}/api/v1/write"):
                answer = rw.push(url, message)
                if answer.status not in (200, 204):
                    raise UserError(f"{url}: {answer.status} {answer.body[:1000]}")
        check_data(reference.url, end_s)
        config = directory / "tester.yml"
        config.write_text(yaml.safe_dump({
            "reference_target_config": {"query_url": reference.url},
            "test_target_config": {"query_url": region.region["query_url"], "headers": {"X-Read-Consistency": "strong"}},
            "query_time_parameters": {"end_time": str(end_s), "range_in_seconds": 600, "resolution_in_seconds": 10},
            "test_cases": queries(options.queries),
        }))
        command = [str(options.tester.resolve()), "-config-file", str(config), "-output-format", "json", "-output-passing", "-query-parallelism", "2"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TESTER_SECONDS, check=False)
    finally:
        reference.stop()
    return judge_promql(done)


def check_data(url: str, end_s: int) -> None:
    """Queries of nothing have equal answers as well."""
    reply = Api(url).get("query", query="count(demo_memory_usage_bytes offset 1h)", time=end_s)
    if not reply.data or [series["value"][1] for series in reply.data["result"]] != ["12"]:
        raise UserError(f"the reference does not have the data: {reply}")


def queries(file: Path) -> list[dict]:
    """Their test cases. Both that are to fail for the name ~invalid do not in version 3, see README.md."""
    cases = yaml.safe_load(file.read_text())["test_cases"]
    return [{key: value for key, value in case.items() if key != "should_fail" or "~invalid" not in case["query"]} for case in cases]


def judge_promql(done: subprocess.CompletedProcess[str]) -> int:
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise UserError(f"the tester ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}") from None
    counts: Counter[str] = Counter(passed=0, failed=0)
    for result in report["results"]:
        right = not result["diff"] and not result["unexpectedFailure"] and not result["unexpectedSuccess"]
        counts["passed" if right else "failed"] += 1
        if not right:
            print(f"failed: {result['testCase']['query']}\n{result['diff']}{result['unexpectedFailure']}")
    return told("promql", counts)


# ---- what came of it ----


def said(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


def told(suite: str, counts: Counter[str]) -> int:
    """The last line, and what to exit with: only what passed may be there."""
    print(f"{suite}: {said(Counter({what: count for what, count in counts.items() if count or what in ('passed', 'failed')}))}", flush=True)
    return 0 if counts["passed"] and sum(counts.values()) == counts["passed"] else 1


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(description=__doc__)
    ways = root.add_subparsers(required=True)
    for name, run, text in (("scripts", run_scripts, "Prometheus' test scripts, over HTTP"), ("receiver", run_receiver, "remote write 2.0"),
                            ("promql", run_promql, "the PromQL compliance tester")):
        way = ways.add_parser(name, help=text)
        way.set_defaults(run=run)
        way.add_argument("--binaries", type=Path, help="folder of the meridian-* binaries (default: build/release, built when needed)")
        if name == "scripts":
            way.add_argument("--from", dest="scripts", type=Path, help="folder of *.test files (default: those of the reference's module)")
            continue
        way.add_argument("--reference", type=Path, help="a prometheus to compare with (default: built from its Go module)")
        if name == "promql":
            way.add_argument("--tester", type=Path, required=True, help="the promql-compliance-tester")
            way.add_argument("--queries", type=Path, required=True, help="its promql-test-queries.yml")
            way.add_argument("--seed", type=int, default=1, help="of the data")
    return root


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
