"""Random series: as lines of a test script, and as remote write."""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass, field, replace
from typing import Iterator, Union

from support import remote_write as rw
from support import remote_write_2 as rw2

STALE = "stale"
HISTOGRAM_METRICS = ("nh", "ng", "nc", "mx")
STEPS = {"7s": 7, "10s": 10, "15s": 15, "30s": 30, "1m": 60}
CUSTOM_SCHEMA = -53
SIZE_MAX = 8
"""More buckets than any histogram has."""
HINTS = ("unknown", "reset", "not_reset", "gauge")


@dataclass(frozen=True)
class Histogram:
    """A native histogram. Buckets are consecutive from the offset on; bounds are those of schema -53."""

    schema: int
    count: float
    sum: float
    buckets: tuple[float, ...]
    offset: int = 0
    negative: tuple[float, ...] = ()
    negative_offset: int = 0
    zero_count: float = 0
    zero_threshold: float = 0
    bounds: tuple[float, ...] = ()
    hint: str = ""

    def __str__(self) -> str:
        """As a test script has it."""
        fields = [f"schema:{self.schema}", f"count:{self.count!r}", f"sum:{number(self.sum)}"]
        if self.bounds:
            fields.append(f"custom_values:[{' '.join(map(str, self.bounds))}]")
        if self.zero_threshold or self.zero_count:
            fields.append(f"z_bucket_w:{self.zero_threshold:g} z_bucket:{self.zero_count}")
        if self.negative:
            fields.append(f"n_offset:{self.negative_offset} n_buckets:[{' '.join(map(repr, self.negative))}]")
        if self.offset:
            fields.append(f"offset:{self.offset}")
        if self.hint:
            fields.append(f"counter_reset_hint:{self.hint}")
        fields.append(f"buckets:[{' '.join(map(repr, self.buckets))}]")
        return "{{" + " ".join(fields) + "}}"

    def whole(self) -> Histogram:
        """The nearest histogram that can be sent as one of integers: its count is that of its buckets."""
        buckets = tuple(int(count) for count in self.buckets)
        total = int(self.zero_count) + sum(buckets) + sum(self.negative)
        return replace(self, buckets=buckets, count=total + (3 if self.sum != self.sum else 0))

    def message(self, time_ms: int, integer: bool) -> bytes:
        """As remote write has it, both versions."""
        parts = [rw2.double(3, self.sum), rw2.scalar(4, rw2.zigzag(self.schema)), rw2.double(5, self.zero_threshold)]
        if integer:
            parts += [rw2.scalar(1, int(self.count)), rw2.scalar(6, int(self.zero_count))]
        else:
            parts += [rw2.double(2, self.count), rw2.double(7, self.zero_count)]
        for first_field, offset, counts in ((8, self.negative_offset, self.negative), (11, self.offset, self.buckets)):
            if counts:
                parts.append(rw2.spans(first_field, [(offset, len(counts))]))
                parts.append(rw.delimited(first_field + 1, rw2.deltas([int(one) for one in counts])) if integer
                             else rw.delimited(first_field + 2, doubles(counts)))
        if self.hint:
            parts.append(rw2.scalar(14, HINTS.index(self.hint)))
        parts.append(rw2.scalar(15, time_ms))
        if self.bounds:
            parts.append(rw.delimited(16, doubles(self.bounds)))
        return b"".join(parts)


Value = Union[float, Histogram, str]
"""A number, a histogram, or STALE."""


def doubles(values: tuple[float, ...]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def number(value: float) -> str:
    if value != value:
        return "NaN"
    return {float("inf"): "Inf", float("-inf"): "-Inf"}.get(value, repr(value))


def text_of(value: Value | None) -> str:
    """One value of a script's series line; None is a gap."""
    if value is None:
        return "_"
    return number(value) if isinstance(value, (int, float)) else str(value)


@dataclass
class Series:
    """A series of a script: a value a step from time 0 on."""

    labels: dict[str, str]
    values: list[Value | None]
    starts: list[int | None] = field(default_factory=list)
    """Since when each counts, in ms before its time; None is unknown, an empty list: all are."""

    def lines(self) -> list[str]:
        since = [f"  {selector(self.labels)}@st {' '.join('_' if one is None else f'{-one}ms' for one in self.starts)}"] if self.starts else []
        return [*since, f"  {selector(self.labels)} {' '.join(map(text_of, self.values))}"]


@dataclass
class Load:
    step: str
    series: list[Series] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [f"load {self.step}", *(line for series in self.series for line in series.lines()), ""]


def selector(labels: dict[str, str]) -> str:
    pairs = ",".join(f'{name}="{value}"' for name, value in labels.items() if name != "__name__")
    return f"{labels['__name__']}{{{pairs}}}"


# ---- random series ----


class DataGenerator:
    def __init__(self, rng: random.Random, histograms: bool, starts: bool = False):
        self.rng = rng
        self.histograms = histograms
        self.starts = starts
        self.two_sided = False

    def loads(self) -> list[Load]:
        loads = [load for metric in ("m", "n", "c_total", "h_bucket", "p", "q") for load in self.floats(metric)]
        loads += self.targets()
        if self.histograms:
            loads += [self.native(metric) for metric in HISTOGRAM_METRICS]
        for load in loads if self.starts else []:
            for series in load.series:
                if self.rng.random() < 0.75:
                    series.starts = self.start_times(STEPS[load.step] * 1000, len(series.values))
        return loads

    def start_times(self, step_ms: int, count: int) -> list[int | None]:
        """Of a counter between resets, of deltas of several senders, and such as make no sense."""
        rng, kind, since = self.rng, self.rng.randrange(6), rng_start(self.rng, step_ms)
        starts: list[int | None] = []
        for index in range(count):
            if rng.random() < 0.08:
                since = index * step_ms - rng_start(rng, step_ms)
            choices = (index * step_ms - since, index * step_ms - since, rng.choice([step_ms, step_ms, step_ms - 1, 1, 0]),
                       rng.randint(-1000, 3 * step_ms), 1, step_ms if rng.random() < 0.9 else 2 * step_ms)
            starts.append(None if rng.random() < 0.1 else choices[kind])
        return starts

    def floats(self, metric: str) -> Iterator[Load]:
        """A metric at two different steps."""
        for step in self.rng.sample(list(STEPS), 2):
            load, count = Load(step), self.rng.randint(5, 60)
            for a in "12":
                for b in "xyz":
                    if self.rng.random() < 0.7:
                        load.series += self.float_series({"__name__": metric, "a": a, "b": b}, count)
            yield load

    def float_series(self, labels: dict[str, str], count: int) -> Iterator[Series]:
        metric = labels["__name__"]
        if metric == "h_bucket":
            for le in self.rng.sample(["0", "1", "2.5", "5", "10", "+Inf", "-1"], self.rng.randint(2, 6)):
                yield Series({**labels, "le": le}, self.counter(count))
        elif metric == "c_total":
            yield Series(labels, self.counter(count))
        elif metric == "p":
            yield Series(labels, [self.rng.randint(0, 3) if self.rng.random() < 0.9 else None for _ in range(count)])
        else:
            yield Series(labels, [self.gauge() for _ in range(count)])

    def gauge(self) -> Value | None:
        """Mostly a number, at times a gap, a marker, NaN, an infinity."""
        rng, r = self.rng, self.rng.random()
        if r < 0.05:
            return float("nan")
        if r < 0.07:
            return rng.choice([float("inf"), float("-inf"), 0.0, -0.0])
        if r < 0.12:
            return STALE
        if r < 0.22:
            return None
        if r < 0.5:
            return rng.randint(-20, 20)
        if r < 0.55:
            return float("%g" % (rng.uniform(-1, 1) * 10 ** rng.randint(-10, 300)))
        return rng.uniform(-100, 100)

    def counter(self, count: int) -> list[Value | None]:
        """A counter with resets, gaps and markers."""
        value, values = 0.0, []
        for _ in range(count):
            r = self.rng.random()
            if r < 0.1:
                value = self.rng.choice([0, self.rng.uniform(0, 5)])
            elif r < 0.15:
                values.append(None)
                continue
            elif r < 0.18:
                values.append(STALE)
                continue
            value += self.rng.choice([0, 1, self.rng.uniform(0, 20)])
            values.append(value)
        return values

    def targets(self) -> Iterator[Load]:
        """Series of targets, and info series about them that change and at times contradict each other."""
        rng = self.rng
        for step in rng.sample(["10s", "15s", "30s", "1m"], 2):
            load, count = Load(step), rng.randint(5, 40)
            for target in ({"instance": i, "job": j} for i in "12" for j in "uv"):
                if rng.random() < 0.8:
                    load.series.append(Series({"__name__": "w", **target}, [self.gauge() for _ in range(count)]))
                for name, label in (("target_info", "data"), ("build_info", "version"), ("x_info", "data")):
                    if rng.random() < 0.5:
                        values = [rng.choice([1, 1, 1, None, STALE]) for _ in range(count)]
                        load.series.append(Series({"__name__": name, **target, label: rng.choice("ab")}, values))
            yield load

    # ---- native histograms ----

    def native(self, metric: str) -> Load:
        load, count = Load(self.rng.choice(["10s", "15s", "30s", "1m"])), self.rng.randint(5, 30)
        for a in "12":
            for b in "xyz":
                if self.rng.random() < 0.8:
                    load.series.append(Series({"__name__": metric, "a": a, "b": b}, self.native_values(metric, count)))
        return load

    def native_values(self, kind: str, count: int) -> list[Value | None]:
        """mx has floats between the histograms, which are of all kinds."""
        rng, state, last, values = self.rng, {}, None, []
        self.two_sided = rng.random() < 0.4
        for _ in range(count):
            r = rng.random()
            if r < 0.08:
                values.append(None)
            elif r < 0.12:
                values.append(STALE)
            elif kind == "mx" and r < 0.5:
                values.append(rng.randint(-5, 30))
            elif last is not None and r < 0.7:
                values.append(last)
            else:
                last = self.histogram(rng.choice(["nh", "nh", "ng", "nc"]) if kind == "mx" else kind, state)
                values.append(last)
        return values

    def histogram(self, kind: str, state: dict[object, object]) -> Histogram:
        """nh grows and is reset at times, ng is a gauge, nc has bounds of its own."""
        rng, shape = self.rng, {}
        if kind == "nc":
            bounds = rng.choice([(1, 2, 5), (1, 2, 5), (1, 2, 5), (0.5, 2, 5, 10), (-1, 0, 2)])
            shape = {"schema": CUSTOM_SCHEMA, "bounds": bounds}
            size = len(bounds) + 1
        else:
            shape, size = self.exponential(state)
        if kind == "ng":
            counts = [rng.choice([0, rng.randint(0, 20), rng.uniform(0, 9)]) for _ in range(size)]
            shape["hint"] = "gauge"
        else:
            counts = self.grown(state, size)
            if rng.random() < 0.1:
                shape["hint"] = rng.choice(["reset", "not_reset", "gauge", "unknown"])
        total = rng.choice([float("nan"), rng.uniform(-50, 500), float(rng.randint(0, 99))])
        return Histogram(count=sum(counts) + rng.choice([0, 0, 3]), sum=total, buckets=tuple(counts), **shape)

    def exponential(self, state: dict[object, object]) -> tuple[dict[str, object], int]:
        """What stands beside the buckets, and how many there are. Buckets come and go with the schema and the zero bucket
        only: chunks of Prometheus add empty ones for those of other samples, which some of its functions do not overlook."""
        rng, schema = self.rng, self.rng.choice([0, 0, 0, 1, 2, -1])
        threshold = rng.choice([0.001, 0.001, 0.001, 0.5, 1, 3]) if rng.random() < 0.6 else 0
        if (schema, threshold) not in state:
            state[schema, threshold] = (rng.choice([0, 0, 0, rng.randint(-3, 3)]), rng.randint(1, 5), rng.randint(-2, 2), rng.randint(1, 3))
        offset, size, negative_offset, negative_size = state[schema, threshold]
        shape = {"schema": schema, "offset": offset}
        if threshold:
            shape.update(zero_threshold=threshold, zero_count=rng.randint(0, 5))
        if self.two_sided:
            shape.update(negative_offset=negative_offset, negative=tuple(rng.randint(1, 9) for _ in range(negative_size)))
        return outside_zero(shape), size

    def grown(self, state: dict[object, object], size: int) -> list[float]:
        """A counter's buckets. None is empty: where buckets end early, Prometheus looks for a reset in the first of those before that
        are behind, and not further if that is empty."""
        rng = self.rng
        if rng.random() < 0.12:
            for i in range(SIZE_MAX):
                state.pop(i, None)
        for i in range(size):
            state[i] = state.get(i, 1) + rng.choice([0, 1, rng.randint(0, 9), rng.uniform(0, 3)])
        return [state[i] for i in range(size)]


def rng_start(rng: random.Random, step_ms: int) -> int:
    return rng.choice([0, 1, 500, step_ms, step_ms - 1, step_ms // 2])


def outside_zero(shape: dict[str, object]) -> dict[str, object]:
    """Moves the buckets out of the zero bucket, where no sender has any."""
    threshold = shape.get("zero_threshold", 0)
    if threshold:
        first = math.ceil(math.log2(threshold) * 2.0 ** shape["schema"]) + 1
        shape["offset"] = max(shape.get("offset", 0), first)
        if "negative" in shape:
            shape["negative_offset"] = max(shape["negative_offset"], first)
    return shape


# ---- the same as it is scraped and sent ----

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sample:
    """One sample on its way: when it is sent decides whether it comes out of order."""

    labels: Labels
    time_ms: int
    value: Value
    integer: bool = False
    round: int = 0

    def __str__(self) -> str:
        words = [text_of(self.value), "of integers" if self.integer else "", f"in request {self.round + 1}" if self.round else ""]
        return f"{selector(dict(self.labels))} {self.time_ms} {' '.join(word for word in words if word)}"


ROUNDS = 4


def scraped(loads: list[Load], base_ms: int, rng: random.Random) -> list[Sample]:
    """The samples of loads as scrapes give them: at uneven times, some late, some twice."""
    samples: dict[tuple[Labels, int], Sample] = {}
    for load in loads:
        step_ms = STEPS[load.step] * 1000
        jitter_ms = rng.choice([0, 0, 40, 3000])
        for series in load.series:
            labels = tuple(sorted(series.labels.items()))
            integer = rng.random() < 0.5
            for index, value in enumerate(series.values):
                if value is None:
                    continue
                time_ms = base_ms + index * step_ms + (rng.randint(-jitter_ms, jitter_ms) if jitter_ms else 0)
                if isinstance(value, Histogram) and integer:
                    value = value.whole()
                samples[labels, time_ms] = Sample(labels, time_ms, value, integer)
    return [replace(sample, round=rng.randint(1, ROUNDS - 1) if rng.random() < 0.05 else 0) for sample in samples.values()]


def requests(samples: list[Sample]) -> Iterator[bytes]:
    """Remote write 2.0 requests that carry the samples, in the order of their rounds."""
    for number in range(ROUNDS):
        request, of_series = rw2.Request(), {}
        for sample in sorted(samples, key=lambda one: (one.labels, one.time_ms)):
            if sample.round == number:
                of_series.setdefault((sample.labels, isinstance(sample.value, Histogram)), []).append(sample)
        for (labels, native), group in of_series.items():
            if native:
                request.add(dict(labels), histograms=[one.value.message(one.time_ms, one.integer) for one in group])
            else:
                request.add(dict(labels), samples=[(one.time_ms, rw.STALE_NAN if one.value == STALE else float(one.value)) for one in group])
        if request.series:
            yield request.encode()
