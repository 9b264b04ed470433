"""The command line of scripts/test."""

from __future__ import annotations

import argparse
import os
import sys

from meridian_dev.build import build_services
from meridian_dev.errors import UserError
from meridian_dev.topology import SERVICES
from meridian_test import lint, stages
from meridian_test.report import Report

UNDER_RELEASE = ["test_quickstart.py", "test_replicated_log.py"]
"""End-to-end tests of what quickstart and NATS do; all others run against services built with sanitizers."""

ENGINES = "test_engines.py"
"""Needs programs of more than a gigabyte, so it is run by itself."""


def unit(report: Report) -> None:
    stages.run_unit(report, "asan")
    stages.run_threaded(report)


def unit_long(report: Report) -> None:
    os.environ[stages.ROUNDS] = "all"
    stages.run_unit(report, "asan", seconds=stages.UNIT_LONG_SECONDS)
    stages.run_threaded(report, stages.UNIT_LONG_SECONDS)


def e2e(report: Report) -> None:
    others = [f"--ignore={name}" for name in UNDER_RELEASE]
    stages.run_e2e(report, "release", "e2e", ["-m", "not slow", *UNDER_RELEASE])
    stages.run_e2e(report, "asan", "e2e", ["-m", "not slow", *others])


def slow(report: Report) -> None:
    stages.run_e2e(report, "release", "slow", ["-m", "slow", f"--ignore={ENGINES}"], at_once=False, seconds=stages.SLOW_SECONDS)


def engines(report: Report) -> None:
    stages.run_e2e(report, "release", "engines", ["-m", "slow", ENGINES], at_once=False, seconds=stages.SLOW_SECONDS)


def fuzz_long(report: Report) -> None:
    stages.run_fuzz(report, stages.FUZZ_LONG_SECONDS, seed=0)


GROUPS = {
    "lint": stages.run_lint,
    "unit": unit,
    "fuzz": stages.run_fuzz,
    "parquet": stages.run_parquet,
    "block": stages.run_block,
    "iceberg": stages.run_iceberg,
    "configuration": stages.run_configuration,
    "e2e": e2e,
}
MORE_GROUPS = {"unit-long": unit_long, "slow": slow, "engines": engines, "fuzz-long": fuzz_long}


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        if options.write_configuration:
            stages.CONFIGURATION.write_text(stages.configuration_text(build_services("release", list(SERVICES))))
            return 0
        report = Report()
        for name in options.only or GROUPS:
            run_one(name, report)
        return report.close()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run_one(name: str, report: Report) -> None:
    """A group, one check of the sources, or the tests whose names contain the word."""
    groups = {**GROUPS, **MORE_GROUPS}
    if name in groups:
        groups[name](report)
    elif name in lint.CHECKS:
        report.record(f"lint: {name}", lint.CHECKS[name](stages.REPOSITORY))
    elif "/" in name:
        stages.run_unit(report, "asan", ["-R", name])
    else:
        stages.run_e2e(report, "release", "e2e", ["-k", name], at_once=False)


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="scripts/test", description="Builds and runs every test; ends with 'N passed, M failed'.")
    root.add_argument("--only", action="append", metavar="NAME",
                      help=f"a group ({', '.join({**GROUPS, **MORE_GROUPS})}), a check ({', '.join(lint.CHECKS)}), unit tests by "
                      "library/concept (base/arena), or end-to-end tests by a word of their names; may be repeated")
    root.add_argument("--write-configuration", action="store_true", help="write docs/configuration.md from the services' own tables")
    return root
