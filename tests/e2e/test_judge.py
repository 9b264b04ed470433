"""The judge itself: each kind of fault must be found, and what is allowed must pass."""

from __future__ import annotations

import math

import pytest

from support import remote_write as rw
from support.ledger import Fate, Ledger, labels_key

LABELS = {"__name__": "m", "a": "1"}
OTHER = {"__name__": "m", "a": "2"}


def ledger_of(*samples: tuple[int, float, Fate]) -> Ledger:
    ledger = Ledger()
    for stamp, value, fate in samples:
        ledger.record(labels_key(LABELS), stamp, value, fate)
    return ledger


def found(*values: tuple[float, str], labels: dict = LABELS) -> dict:
    return {"metric": labels, "values": [list(value) for value in values]}


ACKNOWLEDGED = (1000, 1.5, Fate.ACKNOWLEDGED)


def test_what_was_acknowledged_and_is_there_once_is_right():
    ledger_of(ACKNOWLEDGED, (2500, math.nan, Fate.ACKNOWLEDGED)).check([found((1, "1.5"), (2.5, "NaN"))])


def test_what_was_never_answered_may_be_there_or_not():
    ledger = ledger_of(ACKNOWLEDGED, (2000, 2, Fate.UNKNOWN))
    ledger.check([found((1, "1.5"))])
    ledger.check([found((1, "1.5"), (2, "2"))])


@pytest.mark.parametrize("matrix, fault", [
    ([], "lost"),
    ([found((1, "1.5"), (1, "1.5"))], "twice"),
    ([found((1, "1.5")), found((1, "1.5"))], "series twice"),
    ([found((1, "1.25"))], "wrong value"),
    ([found((1, "-1.5"))], "wrong value"),
    ([found((1.001, "1.5"))], "lost"),
    ([found((1, "1.5"), (2, "1"))], "never sent"),
    ([found((1, "1.5")), found((1, "1.5"), labels=OTHER)], "series never sent"),
    ([found((1, "1.5"), (3, "3"))], "refused and stored"),
])
def test_every_kind_of_fault_is_found(matrix, fault):
    ledger = ledger_of(ACKNOWLEDGED, (3000, 3, Fate.REFUSED))
    with pytest.raises(AssertionError, match=fault):
        ledger.check(matrix)


def test_zero_and_minus_zero_are_different_samples():
    with pytest.raises(AssertionError, match="wrong value"):
        ledger_of((1000, 0.0, Fate.ACKNOWLEDGED)).check([found((1, "-0"))])


def test_an_acknowledgement_is_not_taken_back_by_a_later_refusal():
    ledger = ledger_of(ACKNOWLEDGED, (1000, 1.5, Fate.REFUSED))
    with pytest.raises(AssertionError, match="lost"):
        ledger.check([])


@pytest.mark.parametrize("number, encoded", [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (-1, b"\xff" * 9 + b"\x01")])
def test_varints_are_those_of_protobuf(number, encoded):
    assert rw.varint(number) == encoded


def test_snappy_bodies_declare_their_size_and_hold_the_bytes():
    data = bytes(range(256)) * 300
    body = rw.snappy(data)
    assert body.startswith(rw.varint(len(data)))
    assert body[len(rw.varint(len(data))) + 3 :][:65536] == data[:65536]
