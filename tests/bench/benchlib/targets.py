"""The servers that can be measured: Meridian and its peers.

A target is started in an empty directory and stopped again; in between it tells where to push, where to
query and which processes to watch. Use it as a context manager.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from . import proc

ROOT = pathlib.Path(__file__).resolve().parents[3]


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def http_get(url, timeout_seconds=60, method="GET"):
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
        return answer.read()


def wait_http(url, timeout_seconds=60):
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return http_get(url, 5)
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not answer: {error}") from error
            time.sleep(0.1)


class Target:
    """What every target offers. `name` is the key on the command line and in reports."""

    name = ""
    query_parameters = {}

    def __init__(self, directory, settings=()):
        self.directory = pathlib.Path(directory)
        self.settings = list(settings)
        self.push_url = ""
        self.query_url = ""  # what stands before /api/v1/

    def __enter__(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def processes(self):
        """[(name, pid), ...]"""
        raise NotImplementedError

    def usage(self):
        return proc.read_all(self.processes())

    def settle(self):
        """Waits until nothing is going on any more."""
        proc.wait_idle(self.usage)

    def flush(self):
        """Brings everything to disk and merges it as far as the server does on demand."""

    def disk_bytes(self):
        return proc.tree_bytes(self.directory)

    def version(self):
        return ""


class SingleProcess(Target):
    """A peer: one binary with flags."""

    binary = ""

    def __init__(self, directory, settings=()):
        super().__init__(directory, settings)
        self.process = None
        self.port = free_port()

    def arguments(self):
        raise NotImplementedError

    def ready_url(self):
        raise NotImplementedError

    def start(self):
        with open(self.directory / "log", "wb") as log:
            # A process of its own session: Ctrl-C ends the run, and the run ends the server.
            self.process = subprocess.Popen(
                [self.binary, *self.arguments()], stdout=log, stderr=log, start_new_session=True
            )
        wait_http(self.ready_url())

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def processes(self):
        return [(self.name, self.process.pid)]

    def version(self):
        for flag in ("--version", "-version"):
            run = subprocess.run([self.binary, flag], capture_output=True, text=True, check=False)
            found = re.search(r"\d+\.\d+\.\d+", run.stdout + run.stderr)
            if found:
                return found.group(0)
        # Debian's build of VictoriaMetrics does not know its own version; its package does.
        query = ["dpkg-query", "-W", "-f", "${Version}", self.name]
        package = subprocess.run(query, capture_output=True, text=True, check=False)
        return package.stdout.partition("+")[0]


class Prometheus(SingleProcess):
    name = "prometheus"
    binary = "prometheus"

    def __init__(self, directory, settings=()):
        super().__init__(directory, settings)
        self.push_url = f"http://127.0.0.1:{self.port}/api/v1/write"
        self.query_url = f"http://127.0.0.1:{self.port}"

    def arguments(self):
        config = self.directory / "prometheus.yml"
        config.write_text("", encoding="utf-8")
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
            "--web.enable-admin-api",
            "--storage.tsdb.retention.time=10y",
            "--query.max-samples=200000000",
            "--log.level=warn",
        ]

    def ready_url(self):
        return f"{self.query_url}/-/ready"

    def disk_bytes(self):
        """The size of a snapshot: all blocks, with the head written as one."""
        answer = http_get(f"{self.query_url}/api/v1/admin/tsdb/snapshot", 300, "POST")
        name = json.loads(answer)["data"]["name"]
        return proc.tree_bytes(self.directory / "data" / "snapshots" / name)


class VictoriaMetrics(SingleProcess):
    name = "victoria-metrics"
    binary = "victoria-metrics"
    query_parameters = {"nocache": "1"}

    def __init__(self, directory, settings=()):
        super().__init__(directory, settings)
        self.push_url = f"http://127.0.0.1:{self.port}/api/v1/write"
        self.query_url = f"http://127.0.0.1:{self.port}"

    def arguments(self):
        return [
            f"-storageDataPath={self.directory}/data",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            "-search.maxUniqueTimeseries=2000000",
            "-loggerLevel=ERROR",
        ]

    def ready_url(self):
        return f"{self.query_url}/health"

    def active_merges(self):
        text = http_get(f"{self.query_url}/metrics").decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("vm_active_merges"))

    def flush(self):
        http_get(f"{self.query_url}/internal/force_flush")
        http_get(f"{self.query_url}/internal/force_merge")
        deadline = time.monotonic() + 300
        time.sleep(1)
        while self.active_merges() > 0 and time.monotonic() < deadline:
            time.sleep(0.2)

    def disk_bytes(self):
        data = self.directory / "data"
        return proc.tree_bytes(data / "data") + proc.tree_bytes(data / "indexdb")


class Meridian(Target):
    """One region as scripts/quickstart starts it, without the demo; `settings` are more words for its `up`."""

    name = "meridian"

    def __init__(self, directory, settings=()):
        super().__init__(directory, settings)
        self.script = ROOT / "scripts" / "quickstart"
        self.supervisor = None

    def quickstart(self, *arguments, check=True):
        run = subprocess.run(
            [str(self.script), *arguments], capture_output=True, text=True, check=False, cwd=ROOT
        )
        if check and run.returncode != 0:
            raise RuntimeError(f"quickstart {arguments[0]}: {run.stdout[-2000:]}{run.stderr[-2000:]}")
        return run.stdout

    def start(self):
        words = [str(self.script), "up", "--dir", str(self.directory), "--no-demo", "--no-restart", *self.settings]
        with open(self.directory / "bench.log", "wb") as log:
            # In the session of the clients: priorities, theirs too, count within one.
            self.supervisor = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, process_group=0
            )
        deadline = time.monotonic() + 120
        while "phase: ready" not in self.quickstart("status", "--dir", str(self.directory), check=False):
            if self.supervisor.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"quickstart up: {(self.directory / 'bench.log').read_text()[-2000:]}")
            time.sleep(0.1)
        region = self.region()
        self.push_url = region["push_url"]
        self.query_url = region["query_url"].rstrip("/")

    def region(self):
        return json.loads(self.quickstart("status", "--dir", str(self.directory), "--json"))["regions"][0]

    def stop(self):
        if self.supervisor is not None:
            self.quickstart("down", "--dir", str(self.directory))
            self.supervisor.wait()
        self.supervisor = None

    def processes(self):
        # redis-server is there for the tenants' limits; its share is shown like any other.
        return [(s["name"], s["pid"]) for s in self.region()["services"] if s.get("pid")]

    def usage(self):
        return proc.read_all(self.watched())

    def watched(self):
        if not hasattr(self, "cached_processes"):
            self.cached_processes = self.processes()
        return self.cached_processes

    def version(self):
        found = re.search(r"VERSION (\d+\.\d+\.\d+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
        return found.group(1) if found else ""


TARGETS = {target.name: target for target in (Meridian, VictoriaMetrics, Prometheus)}
assert os.name == "posix"
