#!/usr/bin/env python3
"""Compares Meridian's answers with Prometheus' on random data and queries; see README.md."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
sys.path[:0] = [str(HERE), str(REPOSITORY / "scripts"), str(REPOSITORY / "tests" / "e2e")]

from differ import engines, oracle, servers  # noqa: E402
from differ.questions import Question, QuestionGenerator  # noqa: E402
from meridian_dev.build import build_services, build_targets  # noqa: E402
from meridian_dev.cluster import Cluster  # noqa: E402
from meridian_dev.errors import UserError  # noqa: E402
from meridian_dev.topology import SERVICES  # noqa: E402

QUERIES_PER_LOAD = 150


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        why = oracle.absent()
        if why:
            raise UserError(why)
        return options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run_engines(options: argparse.Namespace) -> int:
    ours = build_targets("release", ["promql_print"]) / "promql_print"
    return engines.run(ours, oracle.engine(), options)


def run_servers(options: argparse.Namespace) -> int:
    binaries = options.binaries or build_services("release", list(SERVICES))
    with tempfile.TemporaryDirectory() as directory:
        return compare_servers(options, binaries, oracle.server(), Path(directory))


def compare_servers(options: argparse.Namespace, binaries: Path, program: Path, directory: Path) -> int:
    features = servers.FEATURES + [servers.DELAYED] * options.delayed
    settings = ["all.log.max_bytes=268435456", f"querier.querier.promql_features=[{','.join(features)}]"]
    counts: Counter[str] = Counter()
    with Cluster(directory / "region", binaries, settings=settings) as region:
        pair = servers.Pair(region, program, directory, options.delayed)
        try:
            for load in range(-(-options.count // QUERIES_PER_LOAD)):
                one_load(pair, options, options.seed + load, min(QUERIES_PER_LOAD, options.count - load * QUERIES_PER_LOAD), counts)
                if options.stop_after and counts["different"] >= options.stop_after:
                    break
        finally:
            pair.close()
    print(f"seed {options.seed}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())), flush=True)
    return 1 if counts["different"] else 0


def one_load(pair: servers.Pair, options: argparse.Namespace, seed: int, count: int, counts: Counter[str]) -> None:
    """One set of data and the questions about it. All that is random comes from the seed."""
    rng = random.Random(seed)
    samples = servers.random_samples(rng, options.histograms)
    pair.load(samples)
    generator = QuestionGenerator(rng, servers.BASE_MS, options.histograms)
    found: list[tuple[Question, str]] = []
    for _ in range(count):
        question = generator.question()
        difference, rule = pair.compare(question)
        if difference is None:
            counts["same"] += 1
        elif difference.kind == "ulps":
            counts["same but for the last bits"] += 1
        elif rule:
            counts[f"excused ({rule})"] += 1
        else:
            counts["different"] += 1
            counts[f"different in {difference.kind}"] += 1
            found.append((question, difference.kind))
            print(f"---- {difference.kind}, seed {seed}: {question}\n  ours   {difference.ours}\n  theirs {difference.theirs}", flush=True)
    for question, kind in found[:options.shrink]:
        pair.load(samples)
        tell_smallest(pair, *servers.shrunk(pair, question, samples, kind))


def tell_smallest(pair: servers.Pair, question: Question, samples: list[servers.data.Sample]) -> None:
    difference, _ = pair.compare(question)
    print(f"==== smallest: {question}")
    for sample in samples[:40]:
        print(f"  {sample}")
    if len(samples) > 40:
        print(f"  and {len(samples) - 40} samples more")
    if difference:
        print(f"  ours   {difference.ours}\n  theirs {difference.theirs}", flush=True)


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(description=__doc__)
    ways = root.add_subparsers(required=True)
    for name, run, text in (("engines", run_engines, "the two engines, in memory"), ("servers", run_servers, "a running region and a Prometheus server")):
        way = ways.add_parser(name, help=text)
        way.set_defaults(run=run)
        way.add_argument("--seed", type=int, default=1)
        way.add_argument("--count", type=int, default=600, help="questions")
        way.add_argument("--delayed", action="store_true", help="with delayed name removal")
        if name == "engines":
            way.add_argument("--starts", action="store_true", help="most series have start timestamps")
        way.add_argument("--histograms", action="store_true", help="half of the selectors are of native histograms")
    way.add_argument("--binaries", type=Path, help="folder of the meridian-* binaries (default: build/release, built when needed)")
    way.add_argument("--shrink", type=int, default=3, help="differences of one set of data to make smaller")
    way.add_argument("--stop-after", type=int, default=0, help="end after so many differences")
    return root


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
