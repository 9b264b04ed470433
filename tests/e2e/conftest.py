"""Fixtures: regions of real processes."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from meridian_dev.build import build_services
from meridian_dev.cluster import Cluster
from meridian_dev.topology import SERVICES
from support.api import Api

LOG_BYTES = 256 << 20


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--binaries", type=Path, help="folder of the meridian-* binaries (default: build/release, built when needed)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several run at once: tests that share a fixture of their file stay together, others are free to go where there is room. Those that
    take long begin first, or the run would end with one of them alone."""
    for item in items:
        if any(definition[-1].scope == "module" for definition in item._fixtureinfo.name2fixturedefs.values()):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, item.get_closest_marker("xdist_group") is None))


@pytest.fixture(scope="session")
def binaries(request: pytest.FixtureRequest) -> Path:
    given = request.config.getoption("--binaries")
    return given.resolve() if given else build_services("release", list(SERVICES))


def started(directory: Path, binaries: Path, topology: dict[str, Any] | None, **options: Any) -> Cluster:
    settings = [f"all.log.max_bytes={LOG_BYTES}", *options.pop("settings", [])]
    cluster = Cluster(directory, binaries, topology, settings=settings, **options)
    print(f"region in {directory}")
    cluster.up()
    return cluster


def ended(cluster: Cluster) -> None:
    cluster.down()
    reports = cluster.crashes() + cluster.sanitizer_reports()
    assert not reports, "\n".join(reports[:20])


@pytest.fixture(scope="module")
def region(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One of each, shared by the tests of a file that do no harm to it. Each uses a tenant or series of its own."""
    cluster = started(tmp_path_factory.mktemp("region"), binaries, None)
    yield cluster
    ended(cluster)


@pytest.fixture
def start(binaries: Path, tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """start(topology, settings=[...]) -> a region of the test's own, stopped and looked over at its end."""
    clusters: list[Cluster] = []

    def start_one(topology: dict[str, Any] | None = None, **options: Any) -> Cluster:
        clusters.append(started(tmp_path / f"region-{len(clusters)}", binaries, topology, **options))
        return clusters[-1]

    yield start_one
    for cluster in clusters:
        ended(cluster)


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> str:
    """A tenant that no other test uses."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"{name[:40]}-{zlib.crc32(request.node.nodeid.encode()):08x}"


@pytest.fixture
def api(region: Cluster, tenant: str) -> Api:
    return Api(region.region["query_url"], tenant, strong=True)
