"""What is asked of both servers: a path of the API and its parameters, as something that can become smaller."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Iterator

from differ import expressions
from differ.expressions import Node
from differ.queries import QueryGenerator

INSTANT, RANGE = "/api/v1/query", "/api/v1/query_range"
Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Question:
    path: str
    parameters: Parameters = ()
    expression: Node | None = None
    start_ms: int = 0
    end_ms: int = 0
    step_ms: int = 0
    """Of a range query; an instant query is at start_ms."""

    def all_parameters(self) -> Parameters:
        own = ()
        if self.path == INSTANT:
            own = (("query", str(self.expression)), ("time", seconds(self.start_ms)))
        elif self.path == RANGE:
            own = (("query", str(self.expression)), ("start", seconds(self.start_ms)), ("end", seconds(self.end_ms)), ("step", seconds(self.step_ms)))
        given = {name for name, _ in self.parameters}
        return tuple(pair for pair in own if pair[0] not in given) + self.parameters

    def __str__(self) -> str:
        return " ".join([self.path, *(f"{name}={value}" for name, value in self.all_parameters())])

    def smaller(self) -> Iterator[Question]:
        for index in range(len(self.parameters)):
            yield replace(self, parameters=self.parameters[:index] + self.parameters[index + 1:])
        if self.path == RANGE:
            yield from self.fewer_steps()
        if self.expression is not None:
            for less in expressions.smaller(self.expression):
                yield replace(self, expression=less)

    def fewer_steps(self) -> Iterator[Question]:
        steps = (self.end_ms - self.start_ms) // self.step_ms
        if steps == 0:
            yield replace(self, path=INSTANT)
        else:
            middle = self.start_ms + steps // 2 * self.step_ms
            yield replace(self, end_ms=middle)
            yield replace(self, start_ms=middle + self.step_ms)


def seconds(ms: int) -> str:
    return f"{ms // 1000}" if ms % 1000 == 0 else f"{ms // 1000}.{ms % 1000:03d}"


BAD = (
    Question(INSTANT, (("query", "sum("),)), Question(INSTANT, (("query", ""),)), Question(INSTANT, (("query", "m[5m"),)),
    Question(INSTANT, (("query", "rate(m)"),)), Question(INSTANT, (("query", "m{"),)), Question(INSTANT, (("query", "nothing_of_the_kind(m)"),)),
    Question(INSTANT, (("query", "m"), ("time", "x"))), Question(INSTANT, (("query", "m"), ("time", "1"), ("timeout", "x"))),
    Question(INSTANT, (("query", "m"), ("time", "1"), ("lookback_delta", "-1"))), Question(INSTANT, (("query", "m"), ("time", "1"), ("limit", "-1"))),
    Question(INSTANT, (("query", "m"), ("time", "1"), ("limit", "1.5"))), Question(INSTANT, (("query", "m offset 5m offset 5m"), ("time", "1"))),
    Question(INSTANT, (("query", '{a=~".*"}'), ("time", "1"))), Question(INSTANT, (("query", "m @ x"), ("time", "1"))),
    Question(INSTANT, (("query", 'm{a=~"("}'), ("time", "1"))), Question(INSTANT, (("query", "topk(NaN, m)"), ("time", "1"))),
    Question(INSTANT, (("query", 'label_replace(m, "", "", "", "")'), ("time", "1"))), Question(INSTANT, (("query", 'label_replace(m, "a", "$1", "b", "(")'), ("time", "1"))),
    Question(INSTANT, (("query", 'count_values("", m)'), ("time", "1"))), Question(INSTANT, (("query", "m == 1 == bool 2"), ("time", "1"))),
    Question(INSTANT, (("query", "1 == 1"), ("time", "1"))), Question(INSTANT, (("query", "m and 1"), ("time", "1"))),
    Question(INSTANT, (("query", "m + on(a) group_left(a) n"), ("time", "1"))), Question(INSTANT, (("query", "sum by (a) (m) by (b)"), ("time", "1"))),
    Question(INSTANT, (("query", "m[5m:0s]"), ("time", "1"))), Question(INSTANT, (("query", "m[0s]"), ("time", "1"))), Question(INSTANT, (("query", '"a" + 1'), ("time", "1"))),
    Question(INSTANT, (("query", "m"), ("time", "1"), ("stats", "all"))), Question(INSTANT, (("query", "m"), ("time", "1"), ("stats", "x"))),
    Question(RANGE, (("query", "m[5m]"), ("start", "1"), ("end", "2"), ("step", "1"))), Question(RANGE, (("query", "m"), ("start", "2"), ("end", "1"), ("step", "1"))),
    Question(RANGE, (("query", "m"), ("start", "1"), ("end", "2"), ("step", "0"))), Question(RANGE, (("query", "m"), ("start", "1"), ("end", "2"), ("step", "x"))),
    Question(RANGE, (("query", "m"), ("start", "0"), ("end", "110000"), ("step", "1"))), Question(RANGE, (("query", '"a"'), ("start", "1"), ("end", "2"), ("step", "1"))),
    Question(RANGE, (("query", "m"), ("end", "2"), ("step", "1"))), Question("/api/v1/series"), Question("/api/v1/series", (("match[]", "{}"),)),
    Question("/api/v1/series", (("match[]", "m{"),)), Question("/api/v1/series", (("match[]", "m"), ("limit", "x"))), Question("/api/v1/labels", (("limit", "-1"),)),
    Question("/api/v1/labels", (("match[]", "sum(m)"),)), Question("/api/v1/labels", (("start", "x"),)),
    Question("/api/v1/label/a/values", (("match[]", ""),)), Question("/api/v1/query_exemplars", (("query", "m{"),)), Question("/api/v1/format_query", (("query", "sum(m)by(a)"),)),
    Question("/api/v1/parse_query", (("query", "sum(m)by(a)"),)), Question("/api/v1/format_query"),
)
"""Explicit errors, and answers that need no samples."""


class QuestionGenerator:
    def __init__(self, rng: random.Random, base_ms: int, histograms: bool):
        self.rng = rng
        self.base_ms = base_ms
        self.queries = QueryGenerator(rng, histograms, base_ms // 1000)

    def question(self) -> Question:
        r = self.rng.random()
        if r < 0.03:
            return self.rng.choice(BAD)
        if r < 0.1:
            return self.of_labels()
        return self.of_expression()

    def moment_ms(self, choices: tuple[int, ...]) -> int:
        return self.base_ms + self.rng.choice(choices) * 1000

    def of_expression(self) -> Question:
        expression, parameters = self.queries.expression(), self.extras()
        if self.rng.random() < 0.5:
            at = self.moment_ms((0, 60, 100, 123, 300, 420, 1200)) + self.rng.choice((0, 0, 500))
            return Question(INSTANT, parameters, expression, at)
        return Question(RANGE, parameters, expression, self.moment_ms((0, 30, 60)), self.moment_ms((120, 300, 600, 1500)),
                        self.rng.choice((15, 30, 60, 17)) * 1000)

    def extras(self) -> Parameters:
        rng, extras = self.rng, []
        if rng.random() < 0.05:
            extras.append(("limit", rng.choice(["0", "1", "3", "100"])))
        if rng.random() < 0.05:
            extras.append(("lookback_delta", rng.choice(["10", "1m", "17s", "1h", "0"])))
        if rng.random() < 0.05:
            extras.append(("stats", rng.choice(["all", "true"])))
        if rng.random() < 0.03:
            extras.append(("timeout", rng.choice(["30s", "60", "1h"])))
        return tuple(extras)

    def of_labels(self) -> Question:
        rng, parameters = self.rng, []
        path = rng.choice(["/api/v1/series", "/api/v1/series", "/api/v1/labels", "/api/v1/label/a/values", "/api/v1/label/__name__/values", "/api/v1/label/nothing/values"])
        for _ in range(rng.choice([1, 1, 2]) if path.endswith("series") else rng.choice([0, 1, 2])):
            parameters.append(("match[]", str(self.queries.selector())))
        if rng.random() < 0.5:
            start = self.base_ms + rng.choice([-7200, 0, 0, 60, 300, 600]) * 1000
            parameters.append(("start", seconds(start)))
            parameters.append(("end", seconds(start + rng.choice([10, 60, 600, 7200]) * 1000)))
        if rng.random() < 0.2:
            parameters.append(("limit", rng.choice(["0", "1", "2", "10"])))
        return Question(path, tuple(parameters))
