"""The layering check must find what it is there for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from meridian_test import layers, lint  # noqa: E402
from meridian_test.report import Report  # noqa: E402

CMAKE = """
mrd_library(base LINK xxhash)
mrd_library(model DEPENDS base)
mrd_library(codec
    DEPENDS model
    LINK zstd)
mrd_service(writer DEPENDS codec)
mrd_tool(asker DEPENDS model)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "CMakeLists.txt").write_text(CMAKE)
    for folder in ("libs/base", "libs/model", "libs/codec", "services/writer", "tools/asker"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("file, include, fine", [
    ("libs/model/a.c", "base/x.h", True),
    ("libs/model/a.c", "model/x.h", True),
    ("libs/codec/a.h", "base/x.h", True),  # by way of model
    ("services/writer/a.c", "base/x.h", True),
    ("tools/asker/a.c", "model/x.h", True),
    ("tools/asker/a.c", "codec/x.h", False),
    ("tools/asker/a.c", "writer/x.h", False),
    ("libs/base/a.c", "model/x.h", False),
    ("libs/model/a.cc", "codec/x.h", False),
    ("libs/codec/a_test.c", "writer/x.h", False),
])
def test_only_lower_libraries_may_be_included(tree, file, include, fine):
    (tree / file).write_text(f'#include <stdio.h>\n\n#  include "{include}"\n')
    problems = layers.check(tree)
    assert (problems == []) is fine, problems
    if not fine:
        assert problems[0].startswith(f"{file}:3: ")


def test_a_library_may_not_depend_on_a_later_one(tree):
    (tree / "CMakeLists.txt").write_text("mrd_library(model DEPENDS base)\nmrd_library(base)\nmrd_library(codec)\nmrd_service(writer)\nmrd_tool(asker)\n")
    assert "base" in layers.check(tree)[0]


def test_a_folder_that_is_not_declared_is_a_fault(tree):
    (tree / "libs/stray").mkdir()
    assert layers.check(tree) == ["libs/stray is not declared in CMakeLists.txt"]


@pytest.mark.parametrize("text", ["/" + "home/someone/x", "say /" + "root/a", "<<<<<<" + "< ours\n", "X" + "XX later", "end  " + "\n"])
def test_words_that_must_not_be_committed_are_found(text):
    assert any(pattern.search(text) for pattern in lint.FORBIDDEN.values())


@pytest.mark.parametrize("text", ["a/home/b", "$HOME/x", "https://example.org/home/x", "/api/v1/write"])
def test_ordinary_paths_are_not_taken_for_those_of_a_machine(text):
    assert not lint.FORBIDDEN["path of one machine"].search(text)


def test_a_run_without_any_test_has_failed(capsys):
    assert Report().close() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed"


def test_a_run_ends_with_its_counts(capsys):
    report = Report()
    report.record("a", None)
    report.record("b", "broken")
    assert report.close() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed"
