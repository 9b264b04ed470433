"""Builds, unit tests, fuzzing and end-to-end tests, each as one stage."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from meridian_dev.build import REPOSITORY, build_targets, python_with
from meridian_dev.errors import UserError
from meridian_dev.topology import SERVICES
from meridian_test import lint
from meridian_test.report import Report

FUZZ_SECONDS = 2
FUZZ_LONG_SECONDS = 300
FUZZ_SEED = 1
"""A change is judged by the same inputs each time; `--only fuzz-long` looks for new ones."""
UNIT_SECONDS = 900
UNIT_LONG_SECONDS = 3600
ROUNDS = "MERIDIAN_TEST_ROUNDS"
"""The environment variable that base/testing_rounds.h reads."""
E2E_SECONDS = 1500
SLOW_SECONDS = 5400
"""For the slow ones, which wait for work that takes minutes on a machine of its own and three times as long on a busy one."""
UNIT_TESTS_PER_CORE = 3
E2E_TESTS_PER_CORE = 4
"""At once, as most of a test's time is waiting: for servers to start, for processes to be noticed dead, for time to pass."""
CORES = os.cpu_count() or 2
RESULTS = REPOSITORY / "build" / "results"

E2E_PROGRAMS = ("meridian-promql-scripts", "block_dump", "mrdctl")
"""What end-to-end tests run beside the services."""

SOURCES = ("libs", "services", "tools")

CONFIGURATION = REPOSITORY / "docs" / "configuration.md"

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": f"halt_on_error=1:second_deadlock_stack=1:suppressions={REPOSITORY / 'tests' / 'tsan.suppressions'}",
}


def run_lint(report: Report) -> None:
    with report.stage("lint"):
        for name, check in lint.CHECKS.items():
            report.record(f"lint: {name}", check(REPOSITORY))
        run_pytest(report, "scripts", REPOSITORY / "tests" / "scripts", [])


def build(report: Report, preset: str, targets: list[str] | None = None) -> bool:
    """A build that fails counts as one failed test, so it is never overlooked."""
    with report.stage(f"build {preset}"):
        try:
            build_targets(preset, targets or [])
        except UserError as error:
            report.record(f"build {preset}", str(error))
            return False
        report.record(f"build {preset}", None)
        return True


def programs_of(suffix: str) -> list[str]:
    """Names of the programs that CMake makes of <folder>/*<suffix>.c."""
    found = [path for root in SOURCES for path in (REPOSITORY / root).glob(f"*/*{suffix}.c")]
    return sorted(f"{path.parent.name}_{path.stem}" for path in found)


def run_threaded(report: Report, seconds: int = UNIT_SECONDS) -> None:
    """The unit tests with threads, under ThreadSanitizer; nothing else is built for it."""
    run_unit(report, "tsan", ["-L", "^threads$"], ["threaded-tests"], seconds)


def run_unit(report: Report, preset: str, select: list[str] | None = None, targets: list[str] | None = None,
             seconds: int = UNIT_SECONDS) -> None:
    """All unit tests, or those that ctest selects by these arguments."""
    if not build(report, preset, targets):
        return
    with report.stage(f"unit {preset}"):
        results = RESULTS / f"ctest-{preset}.xml"
        results.parent.mkdir(parents=True, exist_ok=True)
        results.unlink(missing_ok=True)
        command = ["ctest", "--test-dir", str(REPOSITORY / "build" / preset), "--output-on-failure", "--no-tests=error",
                   "-j", str(UNIT_TESTS_PER_CORE * CORES), "--output-junit", str(results)]
        code = run(command + (select or []), seconds)
        count = report.record_junit(f"unit {preset}", results) if results.exists() else 0
        if count == 0 or (code != 0 and not report.failures):
            report.record(f"unit {preset}", f"ctest ended with {code} after {count} tests")


def run_fuzz(report: Report, seconds: int = FUZZ_SECONDS, seed: int = FUZZ_SEED) -> None:
    """Every target for a short while, starting from the inputs in <concept>_corpus if there are any. Seed 0 is any."""
    targets = programs_of("_fuzz")
    if not build(report, "fuzz", targets):
        return
    with report.stage("fuzz"), ThreadPoolExecutor(CORES) as pool:
        for target, failure in zip(targets, pool.map(lambda name: fuzz_failure(name, seconds, seed), targets)):
            report.record(f"fuzz: {target}", failure)


def fuzz_failure(target: str, seconds: int, seed: int) -> str | None:
    found = RESULTS / "fuzz" / target
    found.mkdir(parents=True, exist_ok=True)
    command = [str(REPOSITORY / "build" / "fuzz" / target), f"-max_total_time={seconds}", f"-seed={seed}", "-rss_limit_mb=2048", "-timeout=10",
               f"-artifact_prefix={found}/", "-print_final_stats=0", "-verbosity=0", str(found)]
    done = subprocess.run(command + corpora(target), cwd=REPOSITORY, stdin=subprocess.DEVNULL, env=environment(),
                          capture_output=True, text=True, errors="replace", timeout=seconds * 12, check=False)
    return None if done.returncode == 0 else done.stderr[-6000:]


def corpora(target: str) -> list[str]:
    """libs/wire/remote_write_fuzz.c is the target wire_remote_write_fuzz; its inputs lie in libs/wire/remote_write_corpus."""
    concept = target.removesuffix("_fuzz")
    return [str(folder) for root in SOURCES for folder in (REPOSITORY / root).glob("*/*_corpus")
            if f"{folder.parent.name}_{folder.name.removesuffix('_corpus')}" == concept]


def run_parquet(report: Report) -> None:
    """Our Parquet files read by pyarrow and DuckDB, and theirs by us."""
    tool = REPOSITORY / "build" / "asan" / "parquet_tool"
    run_judged(report, "parquet", ["parquet_tool"], REPOSITORY / "tests" / "requirements.txt", f"--tool={tool}")


def run_block(report: Report) -> None:
    """Data files of our blocks read by pyarrow and DuckDB."""
    tool = REPOSITORY / "build" / "asan" / "block_tool"
    run_judged(report, "block", ["block_tool"], REPOSITORY / "tests" / "requirements.txt", f"--tool={tool}")


def run_iceberg(report: Report) -> None:
    """Our tables read by pyiceberg and DuckDB, our Avro files by fastavro, and its files by us."""
    run_judged(report, "iceberg", ["avro_tool", "table_tool", "merge_tool", "rest_tool"], REPOSITORY / "tests" / "iceberg" / "requirements.txt",
               f"--tools={REPOSITORY / 'build' / 'asan'}")


def run_judged(report: Report, name: str, tools: list[str], requirements: Path, option: str) -> None:
    """tests/<name>, whose judges are Python packages, with our code under sanitizers."""
    if not build(report, "asan", tools):
        return
    with report.stage(name):
        try:
            python = python_with(requirements)
        except UserError as error:
            report.record(f"{name}: python packages", str(error))
            return
        run_pytest(report, name, REPOSITORY / "tests" / name, [option], python)


def run_configuration(report: Report) -> None:
    with report.stage("configuration"):
        if not build(report, "release", [f"meridian-{name}" for name in SERVICES]):
            return
        text = configuration_text(REPOSITORY / "build" / "release")
        same = CONFIGURATION.exists() and CONFIGURATION.read_text() == text
        report.record("docs/configuration.md", None if same else "out of date: run scripts/test --write-configuration")


def configuration_text(binaries: Path) -> str:
    """docs/configuration.md as the services describe themselves."""
    parts = ["# Configuration\n\nMade from the services' own tables by `scripts/test --write-configuration`.\n\n"
             "Each service reads one YAML file (`--config FILE`; a dot in a key is one level of nesting), then the environment\n"
             "(`MERIDIAN_` and the key in capitals, dots as underscores), then `--set KEY=VALUE`; the later wins.\n"]
    for name in SERVICES:
        run_docs = subprocess.run([str(binaries / f"meridian-{name}"), "--print-config-docs"], capture_output=True, text=True,
                                  env={key: value for key, value in os.environ.items() if not key.startswith("MERIDIAN_")}, check=True)
        parts.append("\n" + run_docs.stdout.strip() + "\n")
    return "".join(re.sub(r"[ \t]+$", "", part, flags=re.MULTILINE) for part in parts)


def run_e2e(report: Report, preset: str, name: str, arguments: list[str], at_once: bool = True, seconds: int = E2E_SECONDS) -> None:
    """tests/e2e with the binaries of a preset; `arguments` select tests. Several at once, or one after the other."""
    if not build(report, preset, [*(f"meridian-{service}" for service in SERVICES), *E2E_PROGRAMS]):
        return
    with report.stage(f"{name} {preset}"):
        binaries = REPOSITORY / "build" / preset
        spread = ["-n", str(E2E_TESTS_PER_CORE * CORES), "--dist", "loadgroup"] if at_once else []
        run_pytest(report, f"{name} {preset}", REPOSITORY / "tests" / "e2e", [f"--binaries={binaries}", *spread, *arguments], seconds=seconds)


def run_pytest(report: Report, name: str, folder: Path, arguments: list[str], python: str = sys.executable, seconds: int = E2E_SECONDS) -> None:
    results = RESULTS / f"{name.replace(' ', '-')}.xml"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    command = [python, "-m", "pytest", "-q", f"--junit-xml={results}", "-p", "no:cacheprovider", *arguments]
    code = run(command, seconds, folder)
    count = report.record_junit(name, results) if results.exists() else 0
    if count == 0:
        report.record(name, f"pytest ended with {code} and no test")


def run(command: list[str], seconds: int, cwd: Path = REPOSITORY) -> int:
    """Runs with output shown; a command over its time is killed and counts as failed."""
    try:
        return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, env=environment(), timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"over {seconds} s: killed: {' '.join(command)}", flush=True)
        return -1


def environment() -> dict[str, str]:
    return {**os.environ, **SANITIZER_OPTIONS}
