"""Options and fixtures of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables import Table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tools", type=Path, required=True, help="the folder with avro_tool, table_tool and rest_tool")


@pytest.fixture
def tools(request: pytest.FixtureRequest) -> Path:
    return request.config.getoption("--tools").resolve()


@pytest.fixture
def tool(tools: Path) -> Path:
    return tools / "avro_tool"


@pytest.fixture
def table(tools: Path, tmp_path: Path) -> Table:
    """An empty store, and a table of samples to be made in it."""
    (tmp_path / "store").mkdir()
    return Table(tools / "table_tool", tmp_path / "store", "eu/acme/samples")
