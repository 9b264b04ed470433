"""The parts of the differential tester that make a difference smaller."""

from __future__ import annotations

import random
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "promql" / "differential"), str(REPOSITORY / "tests" / "e2e")]

from differ import answers, data, expressions, shrink  # noqa: E402
from differ.expressions import option, vector  # noqa: E402
from differ.questions import INSTANT, RANGE, Question  # noqa: E402


def test_an_expression_shrinks_to_the_part_that_matters():
    inner = vector("rate(", vector("m", option('{a="1"}')), "[1m]", option(" offset 5m"), ")")
    start = vector("sum ", option("by (a)"), " (", vector("(", inner, " + ", vector("n"), ")"), ")")
    smallest = shrink.descend(start, expressions.smaller, lambda one: "rate(" in str(one), shrink.Budget(1000))
    assert str(smallest) == "rate(m[1m])"


def test_a_list_shrinks_to_those_that_matter_together():
    kept = shrink.fewer(list(range(100)), lambda some: 17 in some and 64 in some, shrink.Budget(1000))
    assert kept == [17, 64]


def test_shrinking_ends_with_its_budget():
    budget, asked = shrink.Budget(10), []
    kept = shrink.fewer(list(range(1000)), lambda some: asked.append(some) or 0 in some and 999 in some, budget)
    assert len(asked) == 10 and 0 in kept and 999 in kept


def test_a_range_query_shrinks_to_the_step_that_differs():
    start = Question(RANGE, (("limit", "3"),), vector("m"), 0, 600_000, 15_000)
    hit = 285_000

    def differs(question: Question) -> bool:
        if question.path == INSTANT:
            return question.start_ms == hit
        return hit in range(question.start_ms, question.end_ms + 1, question.step_ms)

    assert str(shrink.descend(start, Question.smaller, differs, shrink.Budget(100))) == "/api/v1/query query=m time=285"


def test_the_same_seed_makes_the_same_requests():
    def made() -> list[bytes]:
        rng = random.Random(7)
        return list(data.requests(data.scraped(data.DataGenerator(rng, histograms=True).loads(), 0, rng)))

    assert made() == made() and len(made()) > 1


def test_answers_differ_in_numbers_or_in_more():
    question = Question(INSTANT, (), vector("m"))

    def answer(value: str, **more) -> answers.Answer:
        return answers.Answer(200, {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": ["1", value]}]}, **more})

    def kind(ours: answers.Answer, theirs: answers.Answer) -> str:
        found = answers.difference(question, ours, theirs)
        return found.kind if found else ""

    assert kind(answer("0.1"), answer("0.1")) == ""
    assert kind(answer("0.1"), answer("0.10000000000000002")) == "ulps"
    assert kind(answer("0.1"), answer("0.2")) == "result"
    assert kind(answer("NaN"), answer("0.2")) == "result"
    assert kind(answer("1", infos=["x"]), answer("1")) == "notes"
    assert kind(answers.Answer(422, {"errorType": "execution", "error": "x"}), answer("1")) == "status"
