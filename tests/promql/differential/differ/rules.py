"""Differences between the two servers that are no fault of ours: each with its reason, and as narrow as can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable

from differ.answers import Answer, Difference, apart, key_of
from differ.data import HISTOGRAM_METRICS
from differ.questions import INSTANT, Question


@dataclass(frozen=True)
class Case:
    """A difference and all that led to it."""

    question: Question
    ours: Answer
    theirs: Answer
    found: Difference

    @property
    def text(self) -> str:
        return str(self.question.expression)

    def calls(self, *names: str) -> bool:
        return re.search(rf"\b({'|'.join(names)})\b", self.text) is not None

    def results(self) -> tuple[Any, Any]:
        return self.ours.result(self.question), self.theirs.result(self.question)

    def same_notes_after(self, pattern: str) -> bool:
        """True if the notes are the same but for what the pattern matches."""
        mine, reference = ([[re.sub(pattern, "", note) for note in kind] for kind in one.notes] for one in (self.ours, self.theirs))
        return self.found.kind == "notes" and [sorted(set(kind)) for kind in mine] == [sorted(set(kind)) for kind in reference]


@dataclass(frozen=True)
class Rule:
    name: str
    reason: str
    applies: Callable[[Case], bool]


def cut_to_limit(case: Case) -> bool:
    if case.found.kind != "result" or case.question.path != INSTANT or "limit" not in dict(case.question.parameters):
        return False
    return [len(one["result"]) for one in case.results()][:1] == [len(case.results()[1]["result"])]


def other_time_range(case: Case) -> bool:
    """Only ever a part of what Prometheus tells."""
    path, names = case.question.path, {name for name, _ in case.question.parameters}
    if case.found.kind not in ("result", "notes") or not names & {"start", "end"} or not path.startswith("/api/v1/label"):
        return False
    mine, reference = case.results()
    return set(mine) <= set(reference) or "limit" in names


def other_chunks(case: Case) -> bool:
    """One tells the series that the other tells, and more."""
    if case.found.kind != "result" or case.question.path != "/api/v1/series" or "start" not in dict(case.question.parameters):
        return False
    mine, reference = ({tuple(sorted(labels.items())) for labels in one} for one in case.results())
    return mine < reference or reference < mine


POWER_ULPS = 1 << 20
SAME_LABELS = "vector cannot contain metrics with the same labelset"


def without_names(case: Case) -> bool:
    for result in (results := case.results()):
        for series in result["result"]:
            series["metric"].pop("__name__", None)
        result["result"].sort(key=key_of)
    return results[0] == results[1]


def without_buckets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_buckets(inner) for name, inner in value.items() if name != "buckets"}
    return [without_buckets(inner) for inner in value] if isinstance(value, list) else value


def first_words(text: str) -> list[str]:
    return text.split()[:3]


def last_note(case: Case) -> bool:
    """Nothing else differs than what is told to be incompatible."""
    mine, reference = (set(one.notes[0] + one.notes[1]) for one in (case.ours, case.theirs))
    return case.found.kind == "notes" and all(re.search("incompatible (sample types|bucket layout) encountered for binary operator", note)
                                              for note in mine ^ reference)


def both_say(case: Case, text: str) -> bool:
    """True if a warning or an error of each has the text."""
    return all(text in " ".join([one.error, *one.notes[0], *one.notes[1]]) for one in (case.ours, case.theirs))


RULES: tuple[Rule, ...] = (
    Rule("which duplicate", "Prometheus names the first duplicate that it meets as it walks a Go map",
         lambda case: case.found.kind == "error" and (both_say(case, "found duplicate series for the match group") or both_say(case, "found duplicate series for info metric"))),
    Rule("which of equals", "limitk takes the first series in the order of the store, topk and bottomk the first of equal values: neither order is promised",
         lambda case: case.found.kind in ("result", "notes", "status") and case.calls("limitk", "topk", "bottomk")),
    Rule("cut to limit", "an instant vector has no order, so limit may leave any of its elements", cut_to_limit),
    Rule("label times", "Prometheus' head looks at times of the whole head for labels and their values, ours at those of each series", other_time_range),
    Rule("place of NaN observations", "release 3.14.0 points at the first argument, later sources at the vector, as we do",
         lambda case: case.same_notes_after(r"(?<=NaN observations).* \(\d+:\d+\)$")),
    Rule("count of monotonicity fixes", "Prometheus adds up the same samples again at each step and quantile",
         lambda case: case.same_notes_after(r"over -?\d+ samples from .*")),
    Rule("series times", "a series is told if one of its chunks reaches into the time asked for, and chunks are cut at other samples", other_chunks),
    Rule("which ten", "of more than ten warnings or infos any ten are told",
         lambda case: case.found.kind == "notes" and both_say(case, "annotations omitted")),
    Rule("which mix", "of floats, histograms and such with bounds of their own in one group, the pair that is met first is told",
         lambda case: case.found.kind == "notes" and both_say(case, "encountered a mix of") or both_say(case, "contains a mix of")),
    Rule("subquery under @", "release 3.14.0 reads nothing for the subquery under @ of a function with another argument",
         lambda case: re.search(r"(predict_linear|quantile_over_time)\(.*:\w*\][^)]*@", case.text) is not None),
    Rule("@ in a parameter", "release 3.14.0 does not look at start() and end() within the parameter of an aggregation",
         lambda case: re.search(r"(topk|bottomk|limitk|quantile|count_values)\b.*@ (start|end)\(\)", case.text) is not None),
    Rule("labels of absent", "Prometheus' store sorts the matchers in place before absent() reads labels from them, where a label has two",
         lambda case: case.found.kind == "result" and case.calls("absent", "absent_over_time") and re.search(r'\ba!?[=~]+"[^"]*",a|\bb!?[=~]+"[^"]*",b', case.text) is not None),
    Rule("order of zero buckets", "adding histograms whose zero buckets differ depends on their order, which is the store's",
         lambda case: case.found.kind == "result" and case.calls("sum", "avg") and without_buckets(case.results()[0]) == without_buckets(case.results()[1])),
    Rule("which error", "Prometheus evaluates step by step, this engine operator by operator: of two errors each meets another first",
         lambda case: case.found.kind == "error" and case.ours.status == 422 and first_words(case.ours.error) != first_words(case.theirs.error)),
    Rule("info at another time", "release 3.14.0 reads info series at the wrong time under offset and @; fixed in later sources",
         lambda case: case.found.kind in ("result", "error", "status") and case.calls("info") and re.search(r"offset|@", case.text) is not None),
    Rule("name beside info", "release 3.14.0 brings a name back that delayed removal had taken away; fixed in later sources",
         lambda case: case.found.kind == "result" and case.calls("info") and without_names(case)),
    Rule("last note", "Prometheus tells the last of the notes of a binary operation at a step, which depends on the order of the store", last_note),
    Rule("float beside histogram", "Prometheus takes one of a float and a histogram of the same labels and time where it would refuse two floats",
         lambda case: case.found.kind == "status" and case.ours.error == SAME_LABELS and case.calls(*HISTOGRAM_METRICS)),
    Rule("layout of the chunk", "Prometheus compares histograms with the empty buckets that their chunks have added, which depend on later samples",
         lambda case: case.found.kind == "result" and case.calls("changes") and case.calls(*HISTOGRAM_METRICS)),
    Rule("powers", "Go's pow multiplies, and is off by many of the last bits for large exponents; a remainder makes that any number",
         lambda case: case.found.kind == "result" and "^" in case.text and ("%" in case.text or apart(*case.results()) < POWER_ULPS)),
    Rule("angles of large numbers", "Go reduces large angles less exactly than the C library",
         lambda case: case.found.kind == "result" and case.calls("sin", "cos", "tan")),
    Rule("variance of large numbers", "the sum of squares of numbers close to each other depends on the order of the series, which is the store's",
         lambda case: case.found.kind == "result" and case.calls("stdvar", "stddev") and case.calls("timestamp", "time", r"ts_of_\w+", "predict_linear")),
)


def excused(question: Question, ours: Answer, theirs: Answer, found: Difference) -> Rule | None:
    case = Case(question, ours, theirs, found)
    return next((rule for rule in RULES if rule.applies(case)), None)
