"""What each kind of process needs: its configuration files, command line, ports and how to see that it is ready."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from meridian_dev.errors import UserError
from meridian_dev.layout import Layout, write_atomically
from meridian_dev.ports import Ports
from meridian_dev.topology import Region, nested

HOST = "127.0.0.1"
PROBE_SECONDS = 2

LOG_SHARE_OF_DISK = 0.4
"""Of the free disk space, how much all partition logs together may take by default..."""
LOG_BYTES_MAX = 4 << 30
"""...and how much one partition's log may take at most."""

REQUIRED_KEYS = {"http.listen", "nats.url"}
"""Keys without which a service would not be part of the region."""


class Program:
    """One process that is to run. Subclasses say how; the supervisor says when."""

    kind = ""
    """Its name in the status, the same for all instances."""
    stop_seconds = 10
    """How long it may take to end after SIGTERM before it is killed."""

    def __init__(self, instance: str, region: Region, layout: Layout, ports: Ports):
        self.instance = instance
        self.region = region
        self.layout = layout
        self.port = ports.take(self.kind)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def ops_url(self) -> str | None:
        """Where it answers /metrics and the like; None if it has no such place."""
        return f"http://{self.address}"

    def ports_used(self) -> list[int]:
        return [self.port]

    def prepare(self) -> None:
        """Writes its configuration files. Called before each start."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        """Asks it once; never blocks longer than PROBE_SECONDS."""
        raise NotImplementedError


class NatsServer(Program):
    kind = "nats-server"

    def __init__(self, instance: str, region: Region, layout: Layout, ports: Ports):
        super().__init__(instance, region, layout, ports)
        self.monitor_port = ports.take("nats-monitor")
        self.cluster_port = ports.take("nats-cluster") if region.nats_servers > 1 else None
        self.peers: list[NatsServer] = []
        """All servers of the cluster, this one too; filled by whoever makes them, before the first start."""
        self.config_file = layout.config / f"{instance}.conf"
        self.store = layout.data_of(instance)

    @property
    def url(self) -> str:
        return f"nats://{self.address}"

    @property
    def ops_url(self) -> str:
        return f"http://{HOST}:{self.monitor_port}"

    def ports_used(self) -> list[int]:
        return [self.port, self.monitor_port] + ([self.cluster_port] if self.cluster_port else [])

    def prepare(self) -> None:
        if self.region.nats_sync == "always":
            self.write_through()
        settings = {
            "server_name": json.dumps(f"{self.region.id}-{self.instance}"),
            "host": json.dumps(HOST),
            "port": self.port,
            "http": json.dumps(f"{HOST}:{self.monitor_port}"),
            "max_payload": "8MB",
            "max_pending": "256MB",
            "write_deadline": json.dumps("10s"),
            **self.region.settings_of(self.kind),
        }
        lines = [f"{key}: {value}" for key, value in settings.items()]
        lines.append(f"jetstream {{ store_dir: {json.dumps(str(self.store))} }}")
        if self.cluster_port:
            routes = ", ".join(json.dumps(f"nats-route://{HOST}:{peer.cluster_port}") for peer in self.peers)
            lines.append(f"cluster {{ name: {json.dumps(self.region.id)}, "
                         f"listen: {json.dumps(f'{HOST}:{self.cluster_port}')}, routes: [{routes}] }}")
        write_atomically(self.config_file, "\n".join(lines) + "\n")

    def write_through(self) -> None:
        """nats-server 2.9 has no sync setting; the directory attribute, inherited by new files, stands in."""
        run = subprocess.run(["chattr", "-R", "+S", str(self.store)], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise UserError(f"nats.sync always: {run.stderr.strip()} (the file system must support chattr +S)")

    def command(self) -> list[str]:
        return ["nats-server", "-c", str(self.config_file)]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.ops_url}/healthz", timeout=PROBE_SECONDS) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


class RedisServer(Program):
    kind = "redis-server"

    @property
    def url(self) -> str:
        return f"redis://{self.address}"

    @property
    def ops_url(self) -> None:
        return None

    def command(self) -> list[str]:
        return [
            "redis-server",
            *("--bind", HOST, "--port", str(self.port)),
            *("--dir", str(self.layout.data_of(self.instance))),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
        ]

    def ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=PROBE_SECONDS) as connection:
                connection.settimeout(PROBE_SECONDS)
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class Service(Program):
    """One of Meridian's own."""

    stop_seconds = 25

    def __init__(self, kind: str, number: int, nats: list[NatsServer], binaries: Path, ports: Ports):
        self.kind = kind
        super().__init__(f"{kind}-{number}", nats[0].region, nats[0].layout, ports)
        self.zone = self.region.zones[(number - 1) % len(self.region.zones)]
        self.nats = nats
        self.binary = binaries / f"meridian-{kind}"
        self.config_file = self.layout.config / f"{self.instance}.yaml"

    def prepare(self) -> None:
        known = self.known_keys()
        absent = sorted(REQUIRED_KEYS - known)
        if absent:
            raise UserError(f"{self.binary} does not know the configuration keys {', '.join(absent)}")
        offered = {
            "instance": self.instance,
            "zone": self.zone,
            "region.id": self.region.id,
            "region.jurisdiction": self.region.jurisdiction,
            "region.partitions": self.region.partitions,
            "http.listen": self.address,
            "nats.url": ",".join(server.url for server in self.nats),
            "ingester.replicas": self.region.replicas,
            "log.replicas": self.region.log_replicas,
            "log.max_bytes": self.log_bytes(),
            "objstore.kind": "file",
            "objstore.file.folder": str(self.layout.objects),
            **({"log.max_age": 0} if self.region.trims else {}),
        }
        settings = {key: value for key, value in offered.items() if key in known}
        for key, value in self.region.settings.get("all", {}).items():
            if key in known:
                settings[key] = value
        own = {**self.region.settings_of(self.kind), **self.region.settings_of(self.instance)}
        for key, value in own.items():
            settings[self.full_key(key, known)] = value
        text = yaml.safe_dump(nested(settings), sort_keys=False, default_flow_style=False)
        write_atomically(self.config_file, f"# Written by scripts/quickstart at each start.\n{text}")

    def full_key(self, key: str, known: set[str]) -> str:
        """`querier.series_max` set for the querier is its key of that name, not one called `series_max`."""
        own = f"{self.kind}.{key}"
        return own if key not in known and own in known else key

    def known_keys(self) -> set[str]:
        """A service refuses a file with keys it does not know, and not every service has every key, so it is
        asked for its table of keys (docs/configuration.md is made of the same)."""
        try:
            run = subprocess.run([str(self.binary), "--print-config-docs"], capture_output=True, text=True,
                                 timeout=30, check=False)
        except FileNotFoundError:
            raise UserError(f"{self.binary} is not there") from None
        if run.returncode != 0:
            raise UserError(f"{self.binary} --print-config-docs failed: {run.stderr.strip()}")
        return set(re.findall(r"^\| `([a-z0-9_.]+)` \|", run.stdout, re.MULTILINE))

    def log_bytes(self) -> int:
        """A log's byte limit is a reservation in NATS, so the sum must fit the disk."""
        free = shutil.disk_usage(self.layout.directory).free
        return min(LOG_BYTES_MAX, int(free * LOG_SHARE_OF_DISK / self.region.partitions))

    def command(self) -> list[str]:
        return [str(self.binary), "--config", str(self.config_file)]

    def ready(self) -> bool:
        return answers(f"{self.ops_url}/ready")


class Prometheus(Program):
    """The demonstration: scrapes itself and the services, and writes what it scrapes to the distributor."""

    kind = "prometheus"

    def __init__(self, region: Region, layout: Layout, ports: Ports, push_url: str):
        super().__init__("prometheus-1", region, layout, ports)
        self.push_url = push_url
        self.config_file = layout.config / "prometheus.yml"
        self.targets_file = layout.config / "prometheus-targets.json"

    def write_targets(self, services: list[Service]) -> None:
        """Prometheus watches the file, so instances come and go without a restart."""
        groups = [
            {"targets": [service.address], "labels": {"job": service.kind, "name": service.instance}}
            for service in services
        ]
        groups.append({"targets": [self.address], "labels": {"job": self.kind, "name": self.instance}})
        write_atomically(self.targets_file, json.dumps(groups, indent=2) + "\n")

    def prepare(self) -> None:
        settings = {"scrape_interval": "2s", "tenant": None, **self.region.settings_of(self.kind)}
        write = {
            "url": self.push_url,
            "queue_config": {"batch_send_deadline": "1s", "max_shards": 4},
        }
        if settings["tenant"]:
            write["headers"] = {"X-Scope-OrgID": str(settings["tenant"])}
        document = {
            "global": {
                "scrape_interval": settings["scrape_interval"],
                "external_labels": {"region": self.region.id},
            },
            "scrape_configs": [
                {"job_name": "meridian", "file_sd_configs": [{"files": [str(self.targets_file)], "refresh_interval": "5s"}]}
            ],
            "remote_write": [write],
        }
        write_atomically(self.config_file, yaml.safe_dump(document, sort_keys=False))

    def command(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.config_file}",
            f"--storage.tsdb.path={self.layout.data_of(self.instance)}",
            "--storage.tsdb.retention.time=1d",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]

    def ready(self) -> bool:
        return answers(f"{self.ops_url}/-/ready")


def answers(url: str) -> bool:
    """True if a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
