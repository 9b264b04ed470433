"""An answer of the API, and how two of them differ."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from typing import Any

from differ.questions import Question

ULPS_MAX = 64
"""So many doubles apart two values still are the same but for the order of additions or a mathematical library."""
STATS_OF_OURS = ("blocks", "rollups")
"""What `stats` has beside what Prometheus says."""
ORDERED = re.compile(r"sort(_desc)?\(")


@dataclass(frozen=True)
class Answer:
    status: int
    document: Any

    @staticmethod
    def parse(status: int, body: bytes) -> Answer:
        try:
            return Answer(status, json.loads(body, parse_float=str, parse_int=str))
        except ValueError:
            return Answer(status, {"text": body.decode(errors="replace")})

    @property
    def error(self) -> str:
        return self.document.get("error", "")

    @property
    def notes(self) -> tuple[list[str], list[str]]:
        return sorted(self.document.get("warnings", [])), sorted(self.document.get("infos", []))

    def result(self, question: Question) -> Any:
        """`data` without an order that nobody promises, and without what depends on the clock."""
        data = self.document.get("data")
        if not isinstance(data, dict) or "resultType" not in data:
            return data
        data = dict(data)
        if "stats" in data:
            data["stats"] = {name: shape(inner) for name, inner in data["stats"].items() if name not in STATS_OF_OURS}
        if data["resultType"] == "vector":
            if ORDERED.match(str(question.expression)):
                data["order"] = [series.get("value") for series in data["result"]]  # those of equal values have none
            data["result"] = sorted(data["result"], key=key_of)
        return data


def key_of(series: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted(series["metric"].items())


def shape(value: Any) -> Any:
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else "..."


@dataclass(frozen=True)
class Difference:
    kind: str
    """status, error, result, notes; ulps if nothing but the last bits of numbers differs."""
    ours: str
    theirs: str


def difference(question: Question, ours: Answer, theirs: Answer) -> Difference | None:
    if ours.status != theirs.status or ours.document.get("errorType") != theirs.document.get("errorType"):
        return Difference("status", brief(ours.status, ours.document), brief(theirs.status, theirs.document))
    if ours.error != theirs.error:
        return Difference("error", ours.error, theirs.error)
    mine, reference = ours.result(question), theirs.result(question)
    if mine != reference:
        kind = "ulps" if apart(mine, reference) <= ULPS_MAX else "result"
        return Difference(kind, brief(mine), brief(reference))
    if ours.notes != theirs.notes:
        return Difference("notes", brief(ours.notes), brief(theirs.notes))
    return None


def brief(*values: Any) -> str:
    return " ".join(json.dumps(value, ensure_ascii=False) for value in values)[:1500]


# ---- how far apart numbers are ----

FAR = 1 << 62


def apart(a: Any, b: Any) -> int:
    """The most doubles that lie between two numbers at the same place of two documents; FAR if they differ otherwise."""
    if a == b:
        return 0
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((apart(a[key], b[key]) for key in a), default=0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max(map(apart, a, b), default=0)
    if isinstance(a, str) and isinstance(b, str):
        try:
            return ulps(float(a), float(b))
        except ValueError:
            return FAR
    return FAR


def ulps(a: float, b: float) -> int:
    if a != a or b != b:
        return 0 if a != a and b != b else FAR
    return abs(place(a) - place(b))


def place(value: float) -> int:
    """Where a double stands among all in order; both zeros at 0."""
    bits = struct.unpack(">q", struct.pack(">d", value))[0]
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)
