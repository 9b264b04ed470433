"""Makes what differs smaller while it still differs."""

from __future__ import annotations

from typing import Callable, Iterable, Sequence, TypeVar

One = TypeVar("One")


class Budget:
    """How many attempts are left. Each may cost a start of the reference, so shrinking ends by count."""

    def __init__(self, attempts: int):
        self.left = attempts

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


def descend(start: One, smaller: Callable[[One], Iterable[One]], differs: Callable[[One], bool], budget: Budget) -> One:
    """Takes the first smaller one that still differs, again and again."""
    best = start
    while True:
        seen = {str(best)}
        for candidate in smaller(best):
            if str(candidate) in seen:
                continue
            seen.add(str(candidate))
            if not budget.spend():
                return best
            if differs(candidate):
                best = candidate
                break
        else:
            return best


def fewer(items: Sequence[One], differs: Callable[[list[One]], bool], budget: Budget) -> list[One]:
    """Delta debugging: leaves out ever smaller parts of a list while the rest still differs."""
    kept = list(items)
    part = max(1, len(kept) // 2)
    while kept:
        reduced = False
        for begin in range(0, len(kept), part):
            rest = kept[:begin] + kept[begin + part:]
            if not budget.spend():
                return kept
            if differs(rest):
                kept, reduced = rest, True
                break
        if not reduced:
            if part == 1:
                return kept
            part = max(1, part // 2)
        part = min(part, max(1, len(kept)))
    return kept
