"""Fixtures: the tool that lets these tests write blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from writing import Tool


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tool", type=Path, required=True, help="the block_tool binary")


@pytest.fixture
def tool(request: pytest.FixtureRequest) -> Tool:
    return Tool(request.config.getoption("--tool").resolve())
