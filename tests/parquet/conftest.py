"""Fixtures: the tool that lets these tests use our writer and reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from tool import Tool


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tool", type=Path, required=True, help="the parquet_tool binary")


@pytest.fixture
def tool(request: pytest.FixtureRequest) -> Tool:
    return Tool(request.config.getoption("--tool").resolve())
