"""Both engines in memory: the same script to each, and what they print compared bit by bit."""

from __future__ import annotations

import argparse
import random
import re
import struct
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from differ.answers import FAR, ULPS_MAX, ulps
from differ.data import DataGenerator
from differ.queries import QueryGenerator

QUERIES_PER_LOAD = 150
SHOWN = 6

LABELS = re.compile(r'\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}')
POINT = re.compile(r" (-?\d+):(\{\{.*?\}\}|\S+)")
NUMBER = re.compile(r"[-+]?(?:Inf|NaN|\d[\d.]*(?:e[-+]\d+)?)")

INSTANTS = ("0", "1m", "100", "5m", "7m", "20m", "123")
STARTS, ENDS, STEPS = ("0", "30s", "1m"), ("5m", "10m", "2m"), ("15s", "30s", "1m", "17s")


def script(rng: random.Random, count: int, histograms: bool, starts: bool) -> str:
    """Loads and evaluations as test scripts have them."""
    queries, lines = QueryGenerator(rng, histograms, starts=starts), []
    for number in range(count):
        if number % QUERIES_PER_LOAD == 0:
            lines += ["clear", ""]
            for load in DataGenerator(rng, histograms, starts).loads():
                lines += load.lines()
        query = queries.expression()
        if rng.random() < 0.5:
            lines.append(f"eval instant at {rng.choice(INSTANTS)} {query}")
        else:
            lines.append(f"eval range from {rng.choice(STARTS)} to {rng.choice(ENDS)} step {rng.choice(STEPS)} {query}")
        lines.append("")
    return "\n".join(lines)


@dataclass
class Evaluation:
    query: str
    error: str | None
    notes: list[str]
    series: dict[str, list[tuple[str, str]]]

    @staticmethod
    def parse(text: str) -> Evaluation:
        query, *lines = text.split("\n")
        found = Evaluation(query, None, [], {})
        for line in filter(None, lines):
            if line.startswith("error "):
                found.error = line
            elif " has NaN observations" in line:
                found.notes.append(re.sub(r" \(\d+:\d+\)$", "", line))  # its place: see rules.py
            elif line.startswith(("warning ", "info ")):
                found.notes.append(line)
            else:
                key = 6 if line.startswith("scalar") else len(LABELS.match(line).group())
                found.series[line[:key]] = POINT.findall(line[key:])
        found.notes.sort()
        return found


def kind_of_difference(ours: Evaluation, theirs: Evaluation) -> str:
    if (ours.error is None) != (theirs.error is None):
        return "status"
    if ours.error is not None:
        duplicates = all("found duplicate" in one for one in (ours.error, theirs.error))
        return "" if ours.error == theirs.error or duplicates else "error"
    if ours.series.keys() != theirs.series.keys():
        return "result"
    most = max((points_apart(points, theirs.series[key]) for key, points in ours.series.items()), default=0)
    if most > 0:
        return "ulps" if most <= ULPS_MAX else "result"
    if ours.notes != theirs.notes and not any("monotonicity" in note for note in theirs.notes):
        return "notes"
    return ""


def points_apart(ours: list[tuple[str, str]], theirs: list[tuple[str, str]]) -> int:
    if [time for time, _ in ours] != [time for time, _ in theirs]:
        return FAR
    return max((values_apart(mine, reference) for (_, mine), (_, reference) in zip(ours, theirs)), default=0)


def values_apart(ours: str, theirs: str) -> int:
    if ours == theirs:
        return 0
    if ours.startswith("{{") and theirs.startswith("{{"):
        if NUMBER.sub("", ours) != NUMBER.sub("", theirs):
            return FAR
        return max(ulps(float(a), float(b)) for a, b in zip(NUMBER.findall(ours), NUMBER.findall(theirs)))
    if ours.startswith("{{") or theirs.startswith("{{"):
        return FAR
    return ulps(double_of(ours), double_of(theirs))


def double_of(bits: str) -> float:
    return float("nan") if bits == "NaN" else struct.unpack(">d", bytes.fromhex(bits))[0]


def evaluated(program: Path, text: str, delayed: bool) -> list[Evaluation]:
    done = subprocess.run([str(program)] + ["delayed"] * delayed, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")
    return [Evaluation.parse(one) for one in done.stdout.split("## ")[1:]]


def run(ours: Path, theirs: Path, options: argparse.Namespace) -> int:
    text = script(random.Random(options.seed), options.count, options.histograms, options.starts)
    counts: Counter[str] = Counter()
    for mine, reference in zip(evaluated(ours, text, options.delayed), evaluated(theirs, text, options.delayed), strict=True):
        assert mine.query == reference.query, (mine.query, reference.query)
        kind = kind_of_difference(mine, reference)
        counts[kind or "same"] += 1
        if kind not in ("", "ulps") and sum(counts[other] for other in ("status", "error", "result", "notes")) <= SHOWN:
            print(f"---- {kind}: {mine.query}\n  ours   {mine}\n  theirs {reference}")
    print(f"seed {options.seed}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    return 1 if counts["status"] + counts["result"] else 0
