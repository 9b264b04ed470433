"""The series of the demonstration that the PromQL compliance queries ask about, made from a seed: three instances, scraped every five
seconds, each at an offset of its own, the first in step with the queries."""

from __future__ import annotations

import math
import random
from typing import Iterator

from support import remote_write as rw

INSTANCES = {"demo.promlabs.com:10000": 0, "demo.promlabs.com:10001": 1234, "demo.promlabs.com:10002": 3750}
"""Instance and how many ms after the full five seconds it is scraped."""

SCRAPE_MS = 5000
REQUEST_SAMPLES = 5000
BOUNDS = [0.0001 * 1.5**i for i in range(25)]
PATHS = (("GET", "/api/foo", "200"), ("GET", "/api/bar", "500"), ("POST", "/api/nonexistent", "404"))

Series = tuple[dict[str, str], list[tuple[int, float]]]


def series(seed: int, start_ms: int, end_ms: int) -> Iterator[Series]:
    """Labels and samples, (time in ms, value)."""
    for instance, offset_ms in INSTANCES.items():
        rng = random.Random(f"{seed} {instance}")
        times = range(start_ms + offset_ms, end_ms, SCRAPE_MS)
        for name, labels, values in metrics(rng, times):
            yield {"__name__": name, "instance": instance, "job": "demo", **labels}, [pair for pair in zip(times, values) if pair[1] is not None]


def metrics(rng: random.Random, times: range) -> Iterator[tuple[str, dict[str, str], list[float | None]]]:
    """Name, labels besides the target's, and a value a scrape; None is no sample."""
    yield "up", {}, [1.0] * len(times)
    yield "demo_num_cpus", {}, [4.0] * len(times)
    for kind, mean in (("buffers", 1e8), ("cached", 9e8), ("free", 3e9), ("used", 4e9)):
        yield "demo_memory_usage_bytes", {"type": kind}, [float(int(mean * (1 + 0.3 * rng.random()))) for _ in times]
    for mode, most in (("idle", 18.0), ("system", 1.0), ("user", 4.0)):
        yield "demo_cpu_usage_seconds_total", {"mode": mode}, counter(rng, len(times), most)
    yield "demo_disk_total_bytes", {}, [2.6e11] * len(times)
    yield "demo_disk_usage_bytes", {}, [1e11 + 3e5 * at + 1e6 * rng.random() for at in range(len(times))]
    yield "demo_intermittent_metric", {}, intermittent(rng, len(times))
    yield from batches(rng, times)
    for method, path, status in PATHS:
        yield from durations(rng, {"method": method, "path": path, "status": status}, len(times))


def counter(rng: random.Random, count: int, most: float) -> list[float | None]:
    """Grows by up to `most` a scrape, and begins again about twice an hour."""
    value, values = 0.0, []
    for _ in range(count):
        value = 0.0 if rng.random() < 0.003 else value + most * rng.random()
        values.append(value)
    return values


def intermittent(rng: random.Random, count: int) -> list[float | None]:
    """There for a while, then a marker and nothing for a while."""
    values: list[float | None] = []
    while len(values) < count:
        values += [1.0] * rng.randint(3, 30) + [rw.STALE_NAN] + [None] * rng.randint(2, 40)
    return values[:count]


def batches(rng: random.Random, times: range) -> Iterator[tuple[str, dict[str, str], list[float | None]]]:
    """A job that runs every few minutes and at times fails."""
    success, run, runs = times[0] / 1000 - 100, [], []
    for time_ms in times:
        if rng.random() < 0.02:
            success = time_ms / 1000 - rng.random()
        run.append(success)
        runs.append(math.floor((time_ms - times[0]) / 240_000))
    yield "demo_batch_last_success_timestamp_seconds", {}, run
    yield "demo_batch_runs_total", {}, [float(value) for value in runs]


def durations(rng: random.Random, labels: dict[str, str], count: int) -> Iterator[tuple[str, dict[str, str], list[float | None]]]:
    """A classic histogram of requests, cumulative in its buckets and in time."""
    buckets = [0] * (len(BOUNDS) + 1)
    rows, sums, total = [], [], 0.0
    for _ in range(count):
        for _ in range(rng.randint(0, 12)):
            seconds = rng.lognormvariate(-5, 1.2)
            total += seconds
            buckets[next((i for i, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))] += 1
        rows.append([sum(buckets[: i + 1]) for i in range(len(buckets))])
        sums.append(total)
    name = "demo_api_request_duration_seconds"
    for i, bound in enumerate([*map(repr, BOUNDS), "+Inf"]):
        yield f"{name}_bucket", {**labels, "le": bound}, [float(row[i]) for row in rows]
    yield f"{name}_count", labels, [float(row[-1]) for row in rows]
    yield f"{name}_sum", labels, sums


def requests(seed: int, start_ms: int, end_ms: int) -> Iterator[bytes]:
    """Remote write 1.0 requests that carry the series."""
    parts, samples = [], 0
    for labels, values in series(seed, start_ms, end_ms):
        parts.append(rw.series_of(labels, values))
        samples += len(values)
        if samples >= REQUEST_SAMPLES:
            yield b"".join(parts)
            parts, samples = [], 0
    if parts:
        yield b"".join(parts)
