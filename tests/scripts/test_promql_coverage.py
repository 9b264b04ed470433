"""The check that the PromQL scripts use all of the language must find what they do not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from meridian_test import promql_coverage  # noqa: E402

TABLES = {
    "function_table.c": 'MAP("abs", fabs), CALL("sort", WHAT),',
    "functions.c": 'const char *mrd_aggregation_text(int op)\n{\n    static const char *const texts[N] = {\n        [S] = "sum",\n    };\n}',
    "parse.c": 'const char *mrd_binary_op_text(int op)\n{\n    static const char *const texts[N] = {\n        [A] = "+", [O] = "or",\n    };\n}\n'
               'bool f(void)\n{\n    return pql_fail_at(parser, at, "bad \\"%.*s\\" "\n        "here", word) || mrd_fail(err, MRD_E_LIMIT, "too much");\n}',
}
WHOLE = "load 1m\n  m 1\n\neval instant at 0 sum(abs(sort(m))) + 1 or m\n  {} 2\n\neval instant at 0 x\n  expect fail regex:1:1: bad \"x\" here\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in (promql_coverage.FOLDER, promql_coverage.SCRIPTS):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in TABLES.items():
        (tmp_path / promql_coverage.FOLDER / name).write_text(text)
    monkeypatch.setattr(promql_coverage, "MODIFIERS", {"m": "m"})
    return tmp_path


def missing(tree: Path, script: str, excused: dict[str, str] | None = None) -> list[str]:
    (tree / promql_coverage.SCRIPTS / "a.test").write_text(script)
    return promql_coverage.missing(tree, excused or {})


def test_scripts_that_use_everything_miss_nothing(tree):
    assert missing(tree, WHOLE) == []


@pytest.mark.parametrize("change, what", [
    (("abs(sort(m))", "sort(m)"), "function abs"),
    (("abs(", "absolute("), "function abs"),
    (("sort(m)", 'm{a="sort(x)"}'), "function sort"),
    (("sum(", "sum_of("), "aggregation sum"),
    ((" or m", ""), "operator or"),
    (("+ 1", ""), "operator +"),
    (("  {} 2\n", ""), "function abs"),
    (('bad "x" here', 'good "x" here'), 'bad "%.*s" here'),
    (("expect fail regex:", "expect no_warn msg:"), 'bad "%.*s" here'),
])
def test_what_is_not_used_is_named(tree, change, what):
    problems = missing(tree, WHOLE.replace(*change))
    assert any(what in problem for problem in problems), problems


def test_an_excuse_that_is_not_needed_is_a_fault(tree):
    assert "excused" in missing(tree, WHOLE, {'bad "%.*s" here': "no reason"})[0]
    assert "nowhere" in missing(tree, WHOLE, {"some other text": "no reason"})[0]


def test_tables_that_cannot_be_read_are_a_fault(tree):
    (tree / promql_coverage.FOLDER / "function_table.c").write_text("")
    assert "cannot be read" in missing(tree, WHOLE)[0]
