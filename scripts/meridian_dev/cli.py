"""The command line of scripts/quickstart."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from meridian_dev import control, topology
from meridian_dev.build import REPOSITORY, build_services
from meridian_dev.errors import UserError
from meridian_dev.layout import Layout
from meridian_dev.process import rotate, tail
from meridian_dev.supervisor import Supervisor, say_to_stderr

DETACH_SECONDS = 300
DOWN_SECONDS = 120
FIRST_DATA_SECONDS = 30

COMMANDS = ("up", "status", "down", "kill", "pause", "resume", "stop", "start", "add", "remove")


def main(arguments: list[str]) -> int:
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["up", *arguments]
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="scripts/quickstart",
        description="Starts, shows and stops a region of Meridian on this machine. Without a command: up.",
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    up = command(commands, "up", run_up, "install what is missing, build, start, and stay until Ctrl-C")
    up.add_argument("--detach", action="store_true", help="return when the region is ready and leave it running")
    up.add_argument("--no-demo", action="store_true", help="without the demonstration Prometheus")
    up.add_argument("--topology", type=Path, metavar="FILE", help="what to run (docs/topology.md)")
    up.add_argument("--set", action="append", default=[], metavar="SERVICE.KEY=VALUE", help="a configuration value of a service")
    up.add_argument("--no-restart", action="store_true", help="leave a process that dies dead")
    up.add_argument("--preset", default="release", help="the CMake preset to build and run (default: %(default)s)")
    up.add_argument("--build-dir", type=Path, help="run the binaries of this folder and build nothing")

    status = command(commands, "status", run_status, "what runs and where")
    status.add_argument("--json", action="store_true", help="for programs")
    command(commands, "down", run_down, "stop everything")

    for name, text in (
        ("kill", "SIGKILL an instance; it starts again unless --no-restart was given"),
        ("pause", "SIGSTOP an instance"),
        ("resume", "SIGCONT an instance"),
        ("stop", "end an instance and leave it down"),
        ("start", "start an instance that was stopped"),
        ("remove", "end an instance for good"),
    ):
        command(commands, name, run_instance_command, text).add_argument("instance")
    command(commands, "add", run_instance_command, "start one more of a service").add_argument("instance", metavar="service")
    return root


def command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    added = commands.add_parser(name, help=text, description=text)
    added.add_argument("--dir", type=Path, default=Path("run"), help="where state, data and logs live (default: ./run)")
    added.set_defaults(run=run, command=name)
    return added


# ---- up ----


def run_up(options: argparse.Namespace) -> int:
    layout = Layout(options.dir)
    if layout.locked():
        print(f"already running in {layout.directory}")
        print_summary(layout.read_state() or {})
        return 0
    region = read_region(options)
    kinds = [kind for kind, count in region.services.items() if count > 0]
    binaries = options.build_dir.resolve() if options.build_dir else build_services(options.preset, kinds)
    layout.create()
    if options.detach:
        return detach(layout, options, binaries)
    supervisor = Supervisor(region, layout, binaries, not options.no_restart, say_to_stderr)
    code = supervisor.run(lambda state: announce(layout, state, region.demo))
    if code:
        print(f"error: {supervisor.problem}", file=sys.stderr)
    return code


def read_region(options: argparse.Namespace) -> topology.Region:
    region = topology.load(options.topology).only_region
    for setting in options.set:
        topology.add_setting(region, setting)
    if options.no_demo:
        region.demo = False
    return region


def detach(layout: Layout, options: argparse.Namespace, binaries: Path) -> int:
    """Starts the same command in a session of its own and waits until the region is ready or failed."""
    words = [sys.executable, "-m", "meridian_dev", "up", "--dir", str(layout.directory), "--build-dir", str(binaries)]
    if options.topology:
        words += ["--topology", str(options.topology.resolve())]
    words += [word for setting in options.set for word in ("--set", setting)]
    words += ["--no-demo"] if options.no_demo else []
    words += ["--no-restart"] if options.no_restart else []
    layout.state_file.unlink(missing_ok=True)
    log = layout.log_of("supervisor")
    rotate(log)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts"), "PYTHONUNBUFFERED": "1"}
    with open(log, "ab") as sink:
        supervisor = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
                                      cwd=layout.directory, env=environment)
    deadline = time.monotonic() + DETACH_SECONDS
    while time.monotonic() < deadline:
        state = layout.read_state() or {}
        if state.get("phase") == "ready" and state.get("supervisor_pid") == supervisor.pid:
            print_summary(state)
            return 0
        if supervisor.poll() is not None:
            raise UserError(state.get("problem") or f"the supervisor ended: {tail(log)}")
        time.sleep(0.05)
    supervisor.terminate()
    raise UserError(f"not ready after {DETACH_SECONDS} s; see {layout.logs}")


def announce(layout: Layout, state: dict[str, Any], demo: bool) -> None:
    """Prints where things are; with the demonstration, a thread watches for the first data."""
    print_summary(state)
    print(f"logs: {layout.logs}   stop: Ctrl-C", flush=True)
    query_url = state["regions"][0]["query_url"]
    if demo and query_url:
        threading.Thread(target=report_first_data, args=(query_url,), daemon=True).start()


def report_first_data(query_url: str) -> None:
    begin = time.monotonic()
    while time.monotonic() - begin < FIRST_DATA_SECONDS:
        count = len(query(query_url, "up"))
        if count:
            print(f"data has arrived: {count} series of up after {time.monotonic() - begin:.1f} s", flush=True)
            return
        time.sleep(0.25)
    print(f"no data after {FIRST_DATA_SECONDS} s: see the logs", file=sys.stderr, flush=True)


def query(query_url: str, expression: str) -> list[Any]:
    try:
        url = f"{query_url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return []


def curl_line(region: dict[str, Any]) -> str:
    return f"curl -sG {region['query_url']}/api/v1/query --data-urlencode 'query=up'"


# ---- status, down, single instances ----


def run_status(options: argparse.Namespace) -> int:
    layout = Layout(options.dir)
    if not layout.locked():
        raise UserError(f"nothing runs in {layout.directory}")
    state = layout.read_state() or {}
    if options.json:
        print(json.dumps({"regions": state.get("regions", [])}, indent=2))
    else:
        print(f"phase: {state.get('phase')}")
        print_summary(state)
    return 0


def print_summary(state: dict[str, Any]) -> None:
    for region in state.get("regions", []):
        print(f"\nregion {region['id']} (jurisdiction {region['jurisdiction']})")
        for service in region["services"]:
            pid = service["pid"] if service["pid"] is not None else "down"
            print(f"  {service['instance']:<16} pid {pid:<8} {service['ops_url'] or ''}")
        print(f"\n  remote write: {region['push_url']}\n  query:        {region['query_url']}")
        if region["query_url"]:
            print(f"\n  {curl_line(region)}\n")
    sys.stdout.flush()


def run_down(options: argparse.Namespace) -> int:
    """Idempotent: nothing running is what was asked for."""
    layout = Layout(options.dir)
    if not layout.locked():
        print(f"nothing runs in {layout.directory}")
        return 0
    control.ask(layout, "down")
    deadline = time.monotonic() + DOWN_SECONDS
    while layout.locked():
        if time.monotonic() > deadline:
            raise UserError(f"still running after {DOWN_SECONDS} s; see {layout.logs}")
        time.sleep(0.02)
    print(f"stopped what ran in {layout.directory}")
    return 0


def run_instance_command(options: argparse.Namespace) -> int:
    answer = control.ask(Layout(options.dir), options.command, options.instance)
    if answer.get("result"):
        print(answer["result"])
    return 0
