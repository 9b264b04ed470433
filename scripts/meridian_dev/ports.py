"""Which ports a region uses: the default ones when they are free, others when not."""

from __future__ import annotations

import random
import socket

from meridian_dev.errors import UserError

DEFAULTS = {
    "distributor": 7201,
    "ingester": 7202,
    "compactor": 7203,
    "querier": 7204,
    "nats-server": 4222,
    "nats-monitor": 8222,
    "nats-cluster": 6222,
    "redis-server": 6379,
    "prometheus": 9090,
}

# Below the range from which Linux takes ports for outgoing connections (32768 on), so that no client can
# sit on a port while the process that owns it is down for a restart.
RANGE = range(20000, 32000)


class Ports:
    """Hands out ports of 127.0.0.1. A port that was handed out stays claimed for the life of this object
    by an abstract Unix socket named after it, so regions that start at the same time never pick the same one."""

    def __init__(self, policy: str = "default"):
        self.policy = policy
        self.claims: dict[int, socket.socket] = {}

    def take(self, name: str) -> int:
        candidates = [random.choice(RANGE) for _ in range(200)]
        if self.policy == "default":
            candidates.insert(0, DEFAULTS[name])
        for port in candidates:
            if self.claim(port):
                return port
        raise UserError(f"no free port for {name}")

    def claim(self, port: int) -> bool:
        if port in self.claims:
            return False
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0meridian-port-{port}")
        except OSError:
            claim.close()
            return False
        if not is_free(port):
            claim.close()
            return False
        self.claims[port] = claim
        return True

    def give_back(self, port: int) -> None:
        self.claims.pop(port).close()


def is_free(port: int) -> bool:
    """True if a server could listen on the port now, on this address or on all."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen(1)
            return True
        except OSError:
            return False
