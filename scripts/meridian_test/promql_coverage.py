"""Whether the scripts of tests/promql use all of the language: each function, aggregation, operator and modifier in an evaluation
with an expectation, each text of an error, a warning or an info in an expectation. The lists are the engine's own tables and calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path("libs") / "promql"
SCRIPTS = Path("tests") / "promql"

STRING = r'"(?:[^"\\\n]|\\.)*"'
TEXTS = re.compile(rf"{STRING}(?:\s*(?:PRI[a-z0-9]+\s*)?{STRING})*")
CONVERSION = re.compile(r"%[-+ 0#]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j|t)?[a-zA-Z]")
FRAGMENT_LEAST = 4

TELLING = re.compile(r"\b(pql_fail|pql_fail_at|fail_token|fail_here|fail_character|fail_escape|note_failure|mrd_annotations_addf|mrd_fail)\(")
"""Calls that make a text which a client reads."""

TEXT_TABLES = {"histogram_notes.c": "notes"}
"""Tables of such texts: file and name."""

NOT_IN_SCRIPTS = {
    **dict.fromkeys([
        "%s() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        "%s modifier is experimental and not enabled",
        "binop fill modifiers are experimental and not enabled",
        "experimental duration expression is not enabled",
    ], "scripts run with every part of the language on"),
    **dict.fromkeys([
        "unknown position: parse error: %s",
        "query of %zu bytes: at most %d are taken",
        "expression is nested deeper than %d levels",
        "duration is nested deeper than %d levels",
    ], "an empty query, or one so large, is no line of a script"),
    "the step of a range query must be positive": "the API refuses such a request before the engine sees it",
    "a plan fragment is malformed": "between services: no query makes one",
    "unknown PromQL feature \"%s\"; there are %s": "of a setting, not of a query",
}
"""Texts that no script can have, and why. Unit tests of libs/promql have them."""

MODIFIERS = {
    "by": r"\bby\s*\(", "without": r"\bwithout\s*\(", "bool": r"\bbool\b", "on": r"\bon\s*\(", "ignoring": r"\bignoring\s*\(",
    "group_left": r"\bgroup_left\b", "group_right": r"\bgroup_right\b", "fill": r"\bfill\s*\(", "fill_left": r"\bfill_left\s*\(",
    "fill_right": r"\bfill_right\s*\(", "offset": r"\boffset\s+[0-9(]", "negative offset": r"\boffset\s+-", "@": r"@\s*-?[0-9]",
    "@ start()": r"@\s*start\(\)", "@ end()": r"@\s*end\(\)", "anchored": r"\banchored\b", "smoothed": r"\bsmoothed\b",
    "range": r"\[[^]:]+\]", "subquery": r"\[[^]]+:[^]]+\]", "subquery without a step": r"\[[^]]+:\s*\]",
    "= of a matcher": r'[^=!<>]="', "!= of a matcher": r'!="', "=~ of a matcher": r'=~\s*"', "!~ of a matcher": r'!~\s*"',
    "unary -": r"(?:^|[(,])\s*-\s*[a-z({]", "unary +": r"(?:^|[(,])\s*\+\s*[a-z({]",
    "arithmetic in a range": r"\[[^]]*[0-9a-z)]\s*[-+*/^%]\s*[0-9a-z(][^]]*\]", "arithmetic in an offset": r"\boffset\s+-?\([^)]*[-+*/^%]",
}
"""What stands beside expressions, and how a query that uses it looks. The grammar has no table of them."""


@dataclass
class Used:
    queries: list[str] = field(default_factory=list)
    """Of evaluations with an expectation: without one an evaluation proves that nothing comes out, which may have many reasons."""
    texts: list[str] = field(default_factory=list)
    """Of errors, warnings and infos that are expected."""


def read_scripts(folder: Path) -> Used:
    used = Used()
    for path in sorted(folder.glob("*.test")):
        query, expected = "", False
        for line in [*map(str.strip, path.read_text().splitlines()), ""]:
            if head := re.fullmatch(r"eval(?:_fail)?\s+(?:instant(?:\s+at\s+\S+)?|range\s+from\s+\S+\s+to\s+\S+\s+step\s+\S+)\s+(.*)", line):
                query, expected = head.group(1), False
            elif not line or line.startswith("#"):
                if query and expected:
                    used.queries.append(query)
                query = ""
            elif query:
                expected = True
                if told := re.match(r"expect (?:fail|warn|info)\s+(?:msg|regex):\s*(.*)", line):
                    used.texts.append(told.group(1))
    return used


def without_strings(query: str) -> str:
    """Words in label values are not the language's."""
    return re.sub(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`", '""', query)


def functions(folder: Path) -> list[str]:
    return re.findall(r'\b(?:MAP|DATE|WINDOW|CALL)\("(\w+)"', (folder / "function_table.c").read_text())


def table(file: Path, function: str) -> list[str]:
    """The texts of the table inside a function such as mrd_binary_op_text."""
    body = re.search(rf"\b{function}\(.*?texts\[\w+\] = \{{(.*?)\}};", file.read_text(), re.DOTALL)
    return re.findall(r'= "([^"]+)"', body.group(1)) if body else []


def argument_text(source: str, start: int) -> str:
    """What stands between the parentheses of a call, `start` behind the first."""
    depth, at = 1, start
    while depth and at < len(source):
        if source[at] == '"':
            at = re.compile(STRING).match(source, at).end()
            continue
        depth += {"(": 1, ")": -1}.get(source[at], 0)
        at += 1
    return source[start:at]


def joined(literals: str) -> str:
    """Adjacent literals as one; PRId64 and its kin are conversions."""
    literals = re.sub(r'"\s*PRI[a-z0-9]+\s*"', "d", literals)
    return "".join(part[1:-1] for part in re.findall(STRING, literals)).replace('\\"', '"').replace("\\\\", "\\")


def telling_texts(folder: Path) -> dict[str, str]:
    """Formats of errors and annotations, each with where it is."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.c")):
        if path.name.endswith(("_test.c", "_fuzz.c")):
            continue
        source = path.read_text()
        spots = [(match.end(), argument_text(source, match.end()), match.group(1)) for match in TELLING.finditer(source)]
        if path.name in TEXT_TABLES:
            body = re.search(rf"\b{TEXT_TABLES[path.name]}\[[^]]*\] = \{{(.*?)\n\}};", source, re.DOTALL)
            spots += [(body.start(1) + text.start(), text.group(), "table") for text in TEXTS.finditer(body.group(1))]
        for at, arguments, call in spots:
            text = TEXTS.search(arguments)
            if text and not (call == "mrd_fail" and "MRD_E_INVALID" not in arguments) and fragments(joined(text.group())):
                found.setdefault(joined(text.group()), f"{path.name}:{source.count(chr(10), 0, at) + 1}")
    return found


def fragments(text: str) -> list[str]:
    """What of a format stands in the text as it is."""
    parts = [part.strip() for part in CONVERSION.split(text)]
    return [part for part in parts if len(part) >= FRAGMENT_LEAST]


def is_told(text: str, expectation: str) -> bool:
    """Whether the format may have made an expected text: its parts stand there in order."""
    at = 0
    for part in fragments(text):
        at = expectation.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def missing(repository: Path, excused: dict[str, str] = NOT_IN_SCRIPTS) -> list[str]:
    """What no script has, and excuses that are not needed."""
    used = read_scripts(repository / SCRIPTS)
    queries = [without_strings(query) for query in used.queries]
    expectations = [text.replace("\\", "") for text in used.texts]
    folder = repository / FOLDER
    words = {f"function {name}": rf"\b{name}\s*\(" for name in functions(folder)}
    words |= {f"aggregation {name}": rf"\b{name}\s*(?:by\s*|without\s*)?\(" for name in table(folder / "functions.c", "mrd_aggregation_text")}
    words |= {f"operator {name}": operator_pattern(name) for name in table(folder / "parse.c", "mrd_binary_op_text")}
    words |= {f"modifier {name}": pattern for name, pattern in MODIFIERS.items()}
    kinds = {what.split()[0] for what in words} | ({"text"} if telling_texts(folder) else set())
    if kinds != {"function", "aggregation", "operator", "modifier", "text"}:
        return [f"the engine's own tables cannot be read: found {', '.join(sorted(kinds))} only"]
    problems = [f"no script evaluates {what}" for what, pattern in words.items() if not any(re.search(pattern, query) for query in queries)]
    for text, where in telling_texts(folder).items():
        told = any(is_told(text, expectation) for expectation in expectations)
        if not told and text not in excused:
            problems.append(f"no script expects the text of {where}: {text}")
        if told and text in excused:
            problems.append(f"a script expects what is excused: {text}")
    problems += [f"excused, but nowhere in {FOLDER}: {text}" for text in excused if text not in telling_texts(folder)]
    return problems


def operator_pattern(name: str) -> str:
    if name.isalnum():
        return rf"\b{name}\b"
    return rf"(?<![-+*/%^=<>!~]){re.escape(name)}(?![=~/])"
