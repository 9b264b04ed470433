"""An expression as a tree that knows how to become smaller.

A query is generated as a tree of texts and nodes. A node has a kind; a node may stand wherever another of its kind
stands, which is all that making a query smaller needs to know about PromQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Union

VECTOR, RANGE, SCALAR = "vector", "range", "scalar"
OPTION = "option"
"""A modifier, a list of matchers: may be left out."""

Part = Union[str, "Node"]


@dataclass(frozen=True)
class Node:
    kind: str
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.parts))

    @property
    def size(self) -> int:
        return 1 + sum(part.size for part in self.parts if isinstance(part, Node))

    def inner(self) -> Iterator[Node]:
        """All nodes below this one."""
        for part in self.parts:
            if isinstance(part, Node):
                yield part
                yield from part.inner()


def vector(*parts: Part) -> Node:
    return Node(VECTOR, parts)


def range_vector(*parts: Part) -> Node:
    return Node(RANGE, parts)


def scalar(*parts: Part) -> Node:
    return Node(SCALAR, parts)


def option(*parts: Part) -> Node:
    return Node(OPTION, parts)


NOTHING = option()


def smaller(node: Node) -> Iterator[Node]:
    """Expressions with one thing less, those that lose most first."""
    if node.kind == OPTION:
        if str(node):
            yield NOTHING
    else:
        yield from sorted((one for one in node.inner() if one.kind == node.kind), key=lambda one: one.size)
    if node.kind == SCALAR and str(node) not in ("0", "1", "2"):
        yield scalar("1")
        yield scalar("2")
    for index, part in enumerate(node.parts):
        if isinstance(part, Node):
            for less in smaller(part):
                yield Node(node.kind, node.parts[:index] + (less,) + node.parts[index + 1:])
