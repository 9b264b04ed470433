"""Random queries."""

from __future__ import annotations

import random
from typing import Sequence

from differ.data import HISTOGRAM_METRICS
from differ.expressions import NOTHING, Node, option, range_vector, scalar, vector

OVER_RANGES = ("rate increase delta irate idelta changes resets deriv avg_over_time min_over_time max_over_time sum_over_time "
               "count_over_time stddev_over_time stdvar_over_time last_over_time first_over_time present_over_time mad_over_time "
               "ts_of_first_over_time ts_of_last_over_time ts_of_min_over_time ts_of_max_over_time absent_over_time").split()
HEED_STARTS = ("rate", "increase", "irate", "resets")
AGGREGATIONS = "sum avg count min max group stddev stdvar".split()
OF_VECTORS = ("abs ceil floor sqrt sgn round - + sort sort_desc timestamp absent deg day_of_week minute hour month year "
              "exp ln log2 log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh rad days_in_month day_of_month day_of_year").split()
DURATIONS = ("10s", "15s", "30s", "37s", "1m", "90s", "2m", "5m", "1500ms")
CLASSIC = ("h_bucket", "rate(h_bucket[1m])", "sum by (le,a) (increase(h_bucket[2m]))", "sum by (le) (h_bucket)")
EDGES = (("rate", "anchored"), ("increase", "anchored"), ("delta", "anchored"), ("changes", "anchored"), ("resets", "anchored"),
         ("rate", "smoothed"), ("increase", "smoothed"), ("delta", "smoothed"), ("changes", "smoothed"), ("sum_over_time", "anchored"))


class QueryGenerator:
    """Expressions over the series of data.py. `base_s` is where the series begin."""

    def __init__(self, rng: random.Random, histograms: bool, base_s: int = 0, starts: bool = False):
        self.rng = rng
        self.histograms = histograms
        self.starts = starts
        self.base_s = base_s

    def expression(self) -> Node:
        return self.vector(self.rng.randint(1, 3))

    # ---- selectors ----

    def one_of(self, choices: Sequence[str]) -> str:
        return self.rng.choice(choices)

    def duration(self) -> str:
        return self.one_of(DURATIONS)

    def modifiers(self) -> Node:
        parts = []
        if self.rng.random() < 0.15:
            parts.append(option(" offset " + self.one_of(["", "-"]) + self.duration()))
        if self.rng.random() < 0.12:
            at = self.one_of(["60", "100", "0", "123.456", "start()", "end()"])
            parts.append(option(f" @ {self.base_s + float(at):.13g}" if at[0].isdigit() else f" @ {at}"))
        return option(*parts)

    def matchers(self) -> Node:
        if self.rng.random() < 0.4:
            return NOTHING
        known = ['a="1"', 'b=~"x|y"', 'b!="z"', 'a!~"2"', 'a=~".*"', 'b="x"', 'a="2"', 'zz=""']
        return option("{", ",".join(self.rng.sample(known, self.rng.randint(1, 2))), "}")

    def selector(self) -> Node:
        if self.rng.random() < 0.06:
            return vector('{__name__=~"%s"%s}' % (self.one_of(["m|n", "p|q", ".+", "m", "n|p"]), self.one_of(["", ',a="1"'])))
        if self.histograms and self.rng.random() < 0.6:
            return vector(self.one_of(HISTOGRAM_METRICS), self.matchers())
        return vector(self.one_of(["m", "n", "c_total", "p", "q"]), self.matchers())

    def labels(self) -> str:
        return self.one_of(["", "a", "b", "a,b", "__name__", "zz", "a,zz"])

    def range(self, depth: int) -> Node:
        if self.rng.random() < 0.75 or depth <= 0:
            return range_vector(self.selector(), f"[{self.duration()}]", self.modifiers())
        step = self.one_of(["", "10s", "15s", "13s", "30s"])
        return range_vector("(", self.vector(depth - 1), f")[{self.one_of(['1m', '2m', '5m'])}:{step}]", self.modifiers())

    def scalar(self, depth: int) -> Node:
        r = self.rng.random()
        if r < 0.5 or depth <= 0:
            return scalar(self.one_of(["0", "1", "2", "0.5", "-1", "NaN", "Inf", "-Inf", "3.7", "1e10"]))
        if r < 0.6:
            return scalar("time()")
        if r < 0.8:
            return scalar("scalar(", self.vector(depth - 1), ")")
        if r < 0.9:
            return scalar("(", self.scalar(depth - 1), f" {self.one_of('+-*/%')} ", self.scalar(depth - 1), ")")
        return scalar("-", self.scalar(depth - 1))

    def grouping(self) -> Node:
        return self.rng.choice([NOTHING, option(f"by ({self.labels()})"), option(f"without ({self.labels()})")])

    # ---- vectors ----

    def vector(self, depth: int) -> Node:
        if self.rng.random() < 0.08:
            return self.rare(depth)
        if self.histograms and depth > 0 and self.rng.random() < 0.2:
            return self.of_histograms(depth)
        if depth <= 0:
            return self.leaf()
        kinds = (self.leaf, self.over_range, self.over_range_with_scalar, self.aggregation, self.by_value, self.counted, self.function,
                 self.clamped, self.with_scalar, self.scalar_with, self.matched, self.set_operation, self.relabelled, self.classic)
        weights = (12, 24, 6, 14, 7, 2, 7, 3, 5, 3, 10, 4, 1.5, 1.5)
        kind = self.rng.choices(kinds, weights)[0]
        return kind() if kind == self.leaf else kind(depth - 1)

    def leaf(self) -> Node:
        return vector(self.selector(), self.modifiers())

    def over_range(self, depth: int) -> Node:
        if self.starts and self.rng.random() < 0.5:
            return vector(self.one_of(HEED_STARTS), "(", self.range(depth), ")")
        return vector(self.one_of(OVER_RANGES), "(", self.range(depth), ")")

    def over_range_with_scalar(self, depth: int) -> Node:
        which = self.rng.randrange(3)
        if which == 0:
            return vector("quantile_over_time(", self.scalar(1), ", ", self.range(depth), ")")
        if which == 1:
            return vector("predict_linear(", self.range(depth), ", ", self.scalar(1), ")")
        return vector("double_exponential_smoothing(", self.range(depth), ", 0.3, 0.6)")

    def aggregation(self, depth: int) -> Node:
        return vector(self.one_of(AGGREGATIONS), " ", self.grouping(), " (", self.vector(depth), ")")

    def by_value(self, depth: int) -> Node:
        count = self.scalar(depth) if self.rng.random() < 0.3 else scalar(self.one_of(["1", "2", "3", "0.5"]))
        return vector(self.one_of(["topk", "bottomk", "quantile", "limitk"]), " ", self.grouping(), " (", count, ", ", self.vector(depth), ")")

    def counted(self, depth: int) -> Node:
        return vector("count_values ", self.grouping(), ' ("v", ', self.vector(depth), ")")

    def function(self, depth: int) -> Node:
        if self.starts and self.rng.random() < 0.4:
            inner = vector(self.selector(), option(" offset " + self.duration())) if self.rng.random() < 0.8 else self.vector(depth)
            return vector("start_timestamp(", inner, ")")
        return vector(self.one_of(OF_VECTORS), "(", self.vector(depth), ")")

    def clamped(self, depth: int) -> Node:
        if self.rng.random() < 0.25:
            return vector("clamp(", self.vector(depth), ", ", self.scalar(1), ", ", self.scalar(1), ")")
        return vector(self.one_of(["clamp_min", "clamp_max", "round"]), "(", self.vector(depth), ", ", self.scalar(1), ")")

    def with_scalar(self, depth: int) -> Node:
        operator = self.one_of("+ - * / % ^ atan2 > < == != >= <=".split() + ["> bool", "== bool", "<= bool"])
        return vector("(", self.vector(depth), f" {operator} ", self.scalar(depth), ")")

    def scalar_with(self, depth: int) -> Node:
        operator = self.one_of("+ - * / % ^ > < ==".split() + ["> bool"])
        return vector("(", self.scalar(depth), f" {operator} ", self.vector(depth), ")")

    def matched(self, depth: int) -> Node:
        """A binary operation between vectors with all that may say how they match."""
        rng = self.rng
        operator = self.one_of("+ - * / % ^ atan2 > < == != >= <=".split() + ["> bool", "== bool", "!= bool"])
        match = ""
        if rng.random() < 0.7:
            match = self.one_of(["on", "ignoring"]) + f"({self.labels()})"
        joined = NOTHING
        if match and rng.random() < 0.4:
            label = self.one_of(["", "a", "b", "zz"])
            if not (match.startswith("on") and label and label in match):
                joined = option(f" {self.one_of(['group_left', 'group_right'])}({label})")
        filled = NOTHING
        if rng.random() < 0.3:
            filled = option(" " + self.one_of(["fill(1)", "fill_left(2)", "fill_right(-1)", "fill_left(3) fill_right(NaN)"]))
        how = option(match, joined) if match else NOTHING
        return vector("(", self.vector(depth), f" {operator} ", how, filled, " ", self.vector(depth), ")")

    def set_operation(self, depth: int) -> Node:
        match = option(self.one_of(["", "on(a)", "on()", "ignoring(b)", "ignoring(a)"]))
        return vector("(", self.vector(depth), f" {self.one_of(['and', 'or', 'unless'])} ", match, " ", self.vector(depth), ")")

    def relabelled(self, depth: int) -> Node:
        call, arguments = self.rng.choice([
            ("label_replace", '"zz", "$1", "b", "(.)"'), ("label_replace", '"b", "k", "b", "x"'), ("label_replace", '"__name__", "r$1", "a", "(.*)"'),
            ("label_join", '"zz", "-", "a", "b"'), ("label_join", '"a", "-"')])
        return vector(call, "(", self.vector(depth), f", {arguments})")

    def classic(self, depth: int) -> Node:
        buckets = self.one_of(CLASSIC)
        which = self.rng.randrange(4)
        if which == 0:
            return vector("histogram_quantile(", self.scalar(1), f", {buckets})")
        if which == 1:
            return vector(f'histogram_quantiles({buckets}, "zz", ', self.scalar(1), f", {self.one_of(['0.25', '0.9', '1'])})")
        if which == 2:
            return vector("histogram_fraction(", self.scalar(0), ", ", self.scalar(0), f", {buckets})")
        return vector("vector(", self.scalar(depth), ")")

    # ---- native histograms, and what few know ----

    def of_histograms(self, depth: int) -> Node:
        inner = self.vector(depth - 1)
        which = self.rng.randrange(6)
        if which == 0:
            return vector("histogram_quantile(", self.rng.choice([scalar(q) for q in ("0", "0.1", "0.5", "0.9", "1", "2")] + [self.scalar(1)]), ", ", inner, ")")
        if which == 1:
            return vector(f"histogram_fraction({self.one_of(['-Inf', '-1', '0', '0.7'])}, {self.one_of(['0', '1', '2.5', 'Inf'])}, ", inner, ")")
        if which == 2:
            return vector(self.one_of(["histogram_count", "histogram_sum", "histogram_avg"]), "(", inner, ")")
        if which == 3:
            return vector(self.one_of(["histogram_stddev", "histogram_stdvar"]), "(", inner, ")")
        if which == 4:
            return vector("(", inner, f" {self.one_of(['</', '>/'])} ", self.scalar(depth - 1), ")")
        return vector("histogram_quantiles(", inner, ', "q", 0.1, 0.9)')

    def rare(self, depth: int) -> Node:
        which = self.rng.randrange(5)
        if which < 2:
            function, edge = self.rng.choice(EDGES)
            return vector(function, "(", self.selector(), f"[{self.duration()}] {edge}", self.modifiers(), ")")
        if which == 2:
            return self.info(depth)
        return vector(self.selector(), self.one_of([" smoothed", " anchored"]), self.modifiers())

    def info(self, depth: int) -> Node:
        """Labels of info series for series of targets."""
        base = vector(self.one_of(["w", 'w{instance="1"}', "-w", "sum by (instance, job) (w)", "sum by (job) (w)", "build_info"]))
        if str(base)[0] == "w" and depth > 0:
            base = self.rng.choice([vector(base, self.modifiers()), vector(f"rate(w[{self.duration()}]", self.modifiers(), ")"),
                                    vector("w or ", self.vector(depth - 1))])
        labels = self.one_of(["", ", {}", ', {data="a"}', ', {data=~".+"}', ', {data=~".*"}', ', {__name__="build_info"}',
                              ', {__name__=~".+_info"}', ', {__name__!="target_info"}', ', {__name__=~"target_.*|build_.*",version="b"}'])
        return vector("info(", base, option(labels), ")")
