"""NATS over TLS, with certificates on both sides: a region that works over it, and services that do not start with what does not fit."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Iterator

import pytest

from meridian_dev.cluster import Cluster
from support import remote_write as rw
from support.api import Api
from support.certificates import Authority, Certificate, user_nkey

KINDS = ("distributor", "ingester", "compactor", "querier")
NAME = "nats.example"


def text_of(settings: dict[str, object]) -> str:
    """As nats-server's configuration has it, quoted for YAML."""
    return "'{ " + ", ".join(f"{key}: {json.dumps(value)}" for key, value in settings.items()) + " }'"


def server_settings(authority: Certificate, server: Certificate) -> list[str]:
    tls = {"cert_file": str(server.cert), "key_file": str(server.key), "ca_file": str(authority.cert), "verify": True, "timeout": 5}
    return [f"nats-server.tls={text_of(tls)}"]


def nats(**keys: object) -> list[str]:
    """Settings of all services."""
    return [f"nats.{key}={value}" for key, value in keys.items()]


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def client(authority) -> Certificate:
    return authority.issue("service", "DNS:meridian")


@pytest.fixture(scope="module")
def cluster(binaries, tmp_path_factory, authority, client) -> Iterator[Cluster]:
    """The server's certificate has a name, not the address that is connected to; and users are known by NKeys."""
    from conftest import ended, started

    folder = authority.folder
    nkey, seed_file = user_nkey(folder, "user")
    keys = nats(ca_file=authority.cert, cert_file=client.cert, key_file=client.key, server_name=NAME, nkey=nkey, nkey_seed_file=seed_file)
    settings = [*server_settings(authority, authority.issue("server", f"DNS:{NAME}")),
                f"nats-server.authorization='{{ users: [ {{ nkey: {nkey} }} ] }}'", *(f"all.{key}" for key in keys)]
    region = started(tmp_path_factory.mktemp("tls"), binaries, {"partitions": 2, "services": {"compactor": 1}}, settings=settings)
    region.keys = keys
    region.secrets = [seed_file.read_text().strip(), *client.key.read_text().split("\n")[1:-2]]
    yield region
    ended(region)


def test_a_region_works_over_tls_with_certificates_and_nkeys(cluster):
    now = int(time.time() * 1000)
    answer = rw.push(cluster.region["push_url"], rw.series_of({"__name__": "over_tls"}, [(now, 7)]), "tls")
    assert answer.status == 204, answer
    api = Api(cluster.region["query_url"], "tls", strong=True)
    assert list(api.vector("over_tls", now / 1000).values()) == [7]
    assert list(api.vector("sum(over_tls)", now / 1000).values()) == [7]
    [server] = [service for service in cluster.region["services"] if service["name"] == "nats-server"]
    with urllib.request.urlopen(f"{server['ops_url']}/connz", timeout=10) as found:
        connections = json.load(found)["connections"]
    assert {connection["name"].split()[1].rpartition("-")[0] for connection in connections} == set(KINDS)
    assert all(connection["tls_version"] in ("1.2", "1.3") for connection in connections), connections


def run(cluster: Cluster, binaries: Path, kind: str, keys: list[str]) -> tuple[int, str]:
    """One more service, until it ends by itself: its status and all that it says."""
    settings = [*keys, f"nats.url={cluster.region['nats_url']}", "http.listen=127.0.0.1:0", f"region.id={cluster.region['id']}"]
    done = subprocess.run([binaries / f"meridian-{kind}", *(part for key in settings for part in ("--set", key))], capture_output=True, text=True,
                          timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def changed(cluster: Cluster, **keys: object) -> list[str]:
    names = {f"nats.{key}" for key in keys}
    return [key for key in cluster.keys if key.partition("=")[0] not in names] + nats(**{key: value for key, value in keys.items() if value is not None})


def check_refused(cluster: Cluster, binaries: Path, kind: str, words: str, **keys: object) -> None:
    code, text = run(cluster, binaries, kind, changed(cluster, **keys))
    assert code == 1, text
    assert words in text, text
    assert "msg=listening" not in text, text
    assert not any(secret in text for secret in cluster.secrets)


def test_another_authority_is_not_believed_and_says_so(cluster, binaries, tmp_path):
    other = Authority(tmp_path, "other")
    check_refused(cluster, binaries, "querier", "SSL handshake error", ca_file=other.cert)


def test_a_certificate_for_another_name_is_not_believed(cluster, binaries):
    check_refused(cluster, binaries, "distributor", "hostname mismatch:expected=other.example", server_name="other.example")


def test_a_server_refuses_services_without_its_authoritys_certificate(cluster, binaries, tmp_path):
    stranger = Authority(tmp_path, "other").issue("stranger", "DNS:meridian")
    check_refused(cluster, binaries, "ingester", "nats.cert_file", cert_file=stranger.cert, key_file=stranger.key)


@pytest.mark.parametrize("keys, words", [
    ({"ca_file": "/nonexistent/ca.pem"}, "/nonexistent/ca.pem: No such file"),
    ({"key_file": None}, "nats.cert_file, nats.key_file"),
    ({"nkey_seed_file": None}, "nats.nkey, nats.nkey_seed_file"),
])
def test_what_cannot_work_is_refused_at_once(cluster, binaries, keys, words):
    check_refused(cluster, binaries, "compactor", words, **keys)
