"""What is to run. The format is described in docs/topology.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from meridian_dev.errors import UserError

SERVICES = ("distributor", "ingester", "compactor", "querier")
"""Meridian's services in the order they start; they stop in reverse."""

SETTABLE = SERVICES + ("all", "nats-server", "prometheus")
"""What `--set NAME.KEY=VALUE` and a topology's `set` may name."""

PORT_POLICIES = ("default", "free")
SYNC_POLICIES = ("default", "always")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass
class Region:
    id: str = "local"
    jurisdiction: str = "local"
    partitions: int = 4
    replicas: int = 1
    """Ingesters of each zone that hold a partition."""
    zones: list[str] = field(default_factory=lambda: ["a"])
    services: dict[str, int] = field(default_factory=lambda: {name: 1 for name in SERVICES})
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Flat configuration keys and their values, per program, per instance of a service ("querier-2") or under "all": for
    every service that has the key."""
    nats_sync: str = "default"
    nats_servers: int = 1
    demo: bool = True
    ports: str = "default"

    @property
    def log_replicas(self) -> int:
        """Of each partition of the log: as many as servers, but an odd number, and no more than five."""
        return min(self.nats_servers - 1 + self.nats_servers % 2, 5)

    @property
    def trims(self) -> bool:
        """Whether compactors drop from the log what is in blocks: then it has no age limit from the beginning, be they ever so late."""
        settings = [self.settings_of(name) for name in ("all", "compactor")]
        return self.services["compactor"] > 0 and all(own.get("compactor.trim", own.get("trim")) is not False for own in settings)

    def settings_of(self, name: str) -> dict[str, Any]:
        return dict(self.settings.get(name, {}))


@dataclass
class Topology:
    regions: list[Region]

    @property
    def only_region(self) -> Region:
        if len(self.regions) != 1:
            raise UserError(
                f"the topology names {len(self.regions)} regions; only one can be started by now "
                "(several come with the policy gateway that connects them)"
            )
        return self.regions[0]


def load(path: Path | None) -> Topology:
    """Reads a topology file; without one, the default of one region with one of each service."""
    if path is None:
        return Topology([Region()])
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"topology {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"topology {path}: {error}") from error
    try:
        return parse(document)
    except UserError as error:
        raise UserError(f"topology {path}: {error}") from error


def parse(document: Any) -> Topology:
    expect_keys(document, {"regions"}, "the document")
    regions = document.get("regions")
    if not isinstance(regions, list) or not regions:
        raise UserError("regions must be a list of at least one region")
    parsed = [parse_region(entry) for entry in regions]
    ids = [region.id for region in parsed]
    if len(set(ids)) != len(ids):
        raise UserError(f"region ids repeat: {', '.join(ids)}")
    return Topology(parsed)


def parse_region(entry: Any) -> Region:
    keys = {"id", "jurisdiction", "partitions", "replicas", "zones", "services", "set", "nats", "demo", "ports"}
    expect_keys(entry, keys, "a region")
    region = Region()
    region.id = name_of(entry.get("id", region.id), "id")
    region.jurisdiction = name_of(entry.get("jurisdiction", region.jurisdiction), "jurisdiction")
    region.partitions = count_of(entry.get("partitions", region.partitions), "partitions", 1, 4096)
    region.replicas = count_of(entry.get("replicas", region.replicas), "replicas", 1, 16)
    region.zones = [name_of(zone, "zones") for zone in entry.get("zones", region.zones)]
    if not region.zones:
        raise UserError("zones must name at least one zone")
    services = entry.get("services", {})
    expect_keys(services, set(SERVICES), "services")
    for name, count in services.items():
        region.services[name] = count_of(count, f"services.{name}", 0, 100)
    settings = entry.get("set", {})
    expect_keys(settings, {*SETTABLE, *instances_of(region)}, "set")
    region.settings = {name: flatten(values, f"set.{name}") for name, values in settings.items()}
    nats = entry.get("nats", {})
    expect_keys(nats, {"sync", "servers"}, "nats")
    region.nats_servers = count_of(nats.get("servers", region.nats_servers), "nats.servers", 1, 9)
    if region.nats_servers == 2:
        raise UserError("nats.servers must not be 2: the loss of one would leave no majority")
    region.nats_sync = one_of(nats.get("sync", region.nats_sync), SYNC_POLICIES, "nats.sync")
    region.ports = one_of(entry.get("ports", region.ports), PORT_POLICIES, "ports")
    region.demo = bool(entry.get("demo", region.demo))
    return region


def instances_of(region: Region) -> list[str]:
    return [f"{name}-{number}" for name, count in region.services.items() for number in range(1, count + 1)]


def add_setting(region: Region, text: str) -> None:
    """Adds one `SERVICE.KEY=VALUE` of the command line. The value is read as YAML, as in a file."""
    name, dot, rest = text.partition(".")
    key, equals, value = rest.partition("=")
    if not (name and dot and key and equals):
        raise UserError(f"--set {text}: must be SERVICE.KEY=VALUE")
    if name not in SETTABLE:
        raise UserError(f"--set {text}: {name} is none of {', '.join(SETTABLE)}")
    region.settings.setdefault(name, {})[key] = yaml.safe_load(value) if value else ""


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}, the shape of a configuration file."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        node = tree
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise UserError(f"configuration key {key}: {parent} is a value, not a section")
        node[leaf] = value
    return tree


def flatten(tree: Any, where: str) -> dict[str, Any]:
    """The inverse of nested."""
    if not isinstance(tree, dict):
        raise UserError(f"{where} must be a mapping of keys to values")
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{rest}": leaf for rest, leaf in flatten(value, f"{where}.{key}").items()})
        else:
            flat[str(key)] = value
    return flat


def expect_keys(value: Any, known: set[str], where: str) -> None:
    if not isinstance(value, dict):
        raise UserError(f"{where} must be a mapping")
    unknown = sorted(set(map(str, value)) - known)
    if unknown:
        raise UserError(f"{where}: unknown {', '.join(unknown)} (known: {', '.join(sorted(known))})")


def count_of(value: Any, where: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UserError(f"{where} must be a whole number from {least} to {most}, not {value!r}")
    return value


def name_of(value: Any, where: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise UserError(f"{where} must be lower-case letters, digits and dashes, at most 32, not {value!r}")
    return value


def one_of(value: Any, choices: tuple[str, ...], where: str) -> str:
    if value not in choices:
        raise UserError(f"{where} must be one of {', '.join(choices)}, not {value!r}")
    return value
