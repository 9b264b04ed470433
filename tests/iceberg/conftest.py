"""Options of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tool", type=Path, required=True, help="the avro_tool binary")


@pytest.fixture
def tool(request: pytest.FixtureRequest) -> Path:
    return request.config.getoption("--tool").resolve()
