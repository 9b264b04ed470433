"""Owns the processes of one region: starts them in order, starts again what dies, obeys the control socket,
stops them in reverse. One thread, one loop; nothing here blocks for long but the start itself."""

from __future__ import annotations

import json
import os
import select
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from meridian_dev import process
from meridian_dev.control import bind_control, receive_line
from meridian_dev.errors import UserError
from meridian_dev.layout import Layout
from meridian_dev.ports import Ports
from meridian_dev.process import Child
from meridian_dev.programs import NatsServer, Program, Prometheus, RedisServer, Service
from meridian_dev.topology import SERVICES, Region

RESTART_SECONDS = 1.0
READY_SECONDS = 60
READY_POLL_SECONDS = 0.05
LOG_CHECK_SECONDS = 5
KILL_SECONDS = 5


class Stopped(Exception):
    """SIGINT or SIGTERM came while the region was starting."""


@dataclass
class Slot:
    """A program and its process of the moment."""

    program: Program
    child: Child | None = None
    wanted: bool = True
    """False after `stop`: it stays down until `start`."""
    restart_at: float | None = None
    starts: int = 0


class Supervisor:
    def __init__(self, region: Region, layout: Layout, binaries: Path, restart: bool, say: Callable[[str], None]):
        self.region = region
        self.layout = layout
        self.binaries = binaries
        self.restart = restart
        self.say = say
        self.ports = Ports(region.ports)
        self.slots: dict[str, Slot] = {}
        self.phase = "starting"
        self.problem: str | None = None
        self.stop_asked = False
        self.selector = selectors.DefaultSelector()
        self.commands = {
            "status": lambda: None,
            "kill": self.do_kill,
            "pause": self.do_pause,
            "resume": self.do_resume,
            "stop": self.do_stop,
            "start": self.do_start,
            "add": self.do_add,
            "remove": self.do_remove,
            "down": self.do_down,
        }

    # ---- life ----

    def run(self, on_ready: Callable[[dict[str, Any]], None]) -> int:
        """Starts the region and keeps it until it is told to stop. Returns an exit code."""
        lock = self.layout.lock()
        listener = bind_control(self.layout)
        self.listen_for_signals()
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        code = 0
        try:
            self.start_all()
            self.phase = "ready"
            self.publish()
            on_ready(self.state())
            while not self.stop_asked:
                self.step()
        except Stopped:
            pass
        except UserError as error:
            self.problem = str(error)
            code = 1
        finally:
            self.stop_all()
            listener.close()
            self.layout.control_socket.unlink(missing_ok=True)
            self.phase = "failed" if code else "stopped"
            self.publish()
            os.close(lock)
        return code

    def listen_for_signals(self) -> None:
        """Signals, child exits among them, become bytes in a pipe that the loop waits for."""
        self.signals, wake = socket.socketpair()
        self.signals.setblocking(False)
        wake.setblocking(False)
        self.wake = wake  # kept open for as long as signals may come
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self.ask_stop())
        self.selector.register(self.signals, selectors.EVENT_READ, self.drain_signals)

    def ask_stop(self) -> None:
        self.stop_asked = True

    def drain_signals(self) -> None:
        try:
            while self.signals.recv(4096):
                pass
        except BlockingIOError:
            pass

    def start_all(self) -> None:
        numbers = range(1, self.region.nats_servers + 1)
        nats = [NatsServer(f"nats-server-{number}", self.region, self.layout, self.ports) for number in numbers]
        for server in nats:
            server.peers = nats
        redis = RedisServer("redis-server-1", self.region, self.layout, self.ports)
        for program in (*nats, redis):
            self.add_slot(program)
        self.await_ready([*nats, redis])
        # Ingesters first: a distributor needs only the log, but queries need owners of partitions.
        services = []
        for kind in ("ingester", "distributor", "compactor", "querier"):
            for _ in range(self.region.services.get(kind, 0)):
                services.append(self.new_service(kind))
                self.add_slot(services[-1])
        self.await_ready(services)
        if self.region.demo and self.programs_of("distributor"):
            prometheus = Prometheus(self.region, self.layout, self.ports, self.push_url())
            prometheus.write_targets(self.all_services())
            self.add_slot(prometheus)
            self.await_ready([prometheus])

    def stop_all(self) -> None:
        self.phase = "stopping"
        order = ["prometheus", "querier", "distributor", "compactor", "ingester", "redis-server", "nats-server"]
        for kind in order:
            self.end([slot for slot in self.slots.values() if slot.program.kind == kind])

    def end(self, slots: list[Slot]) -> None:
        """SIGTERM to all, then SIGKILL to those that are not gone in time."""
        running = [slot for slot in slots if slot.child is not None and slot.child.poll() is None]
        for slot in running:
            slot.child.send(signal.SIGTERM)
            slot.child.send(signal.SIGCONT)  # a paused process could not obey
        deadline = time.monotonic() + max((slot.program.stop_seconds for slot in running), default=0)
        while running and time.monotonic() < deadline:
            select.select([self.signals], [], [], 0.05)  # a child's exit is a signal
            self.drain_signals()
            running = [slot for slot in running if slot.child.poll() is None]
        for slot in running:
            self.say(f"{slot.program.instance} did not end in {slot.program.stop_seconds} s: killed")
            slot.child.send(signal.SIGKILL)
            slot.child.popen.wait(timeout=KILL_SECONDS)
        for slot in slots:
            slot.child = None

    def step(self) -> None:
        """One turn of the loop: waits for a signal, a command, a due restart or the next look at the logs."""
        now = time.monotonic()
        due = [slot.restart_at for slot in self.slots.values() if slot.restart_at is not None]
        timeout = max(0.0, min([LOG_CHECK_SECONDS] + [at - now for at in due]))
        for key, _ in self.selector.select(timeout):
            key.data()
        self.reap()
        self.restart_due()
        for slot in self.slots.values():
            process.rotate(self.layout.log_of(slot.program.instance))

    def reap(self) -> None:
        changed = False
        for slot in self.slots.values():
            if slot.child is None or slot.child.poll() is None:
                continue
            code = slot.child.poll()
            slot.child = None
            changed = True
            if slot.wanted:
                self.say(f"{slot.program.instance} ended ({describe_exit(code)})")
                if self.restart:
                    slot.restart_at = time.monotonic() + RESTART_SECONDS
        if changed:
            self.publish()

    def restart_due(self) -> None:
        for slot in self.slots.values():
            if slot.restart_at is not None and slot.restart_at <= time.monotonic():
                slot.restart_at = None
                try:
                    self.launch(slot)
                except UserError as error:  # its binary is being rebuilt, for example
                    self.say(f"{slot.program.instance} cannot start: {error}")
                    slot.restart_at = time.monotonic() + RESTART_SECONDS
                self.publish()

    def await_ready(self, programs: list[Program]) -> None:
        """Waits until each answers; fails with the end of its log when one dies or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        waiting = list(programs)
        while waiting:
            if self.stop_asked:
                raise Stopped
            program = waiting[0]
            if program.ready():
                waiting.pop(0)
                continue
            child = self.slots[program.instance].child
            code = child.poll() if child else None
            if code is not None or time.monotonic() > deadline:
                what = f"ended ({describe_exit(code)})" if code is not None else f"is not ready after {READY_SECONDS} s"
                log = self.layout.log_of(program.instance)
                raise UserError(f"{program.instance} {what}; the end of {log}:\n{process.tail(log)}")
            for key, _ in self.selector.select(READY_POLL_SECONDS):
                key.data()

    # ---- programs ----

    def new_service(self, kind: str) -> Service:
        numbers = [int(slot.program.instance.rpartition("-")[2]) for slot in self.slots.values() if slot.program.kind == kind]
        return Service(kind, max(numbers, default=0) + 1, self.programs_of("nats-server"), self.binaries, self.ports)

    def add_slot(self, program: Program) -> None:
        slot = Slot(program)
        self.slots[program.instance] = slot
        self.launch(slot)
        self.publish()

    def launch(self, slot: Slot) -> None:
        program = slot.program
        program.prepare()
        command = program.command()
        try:
            slot.child = Child(command, self.layout.log_of(program.instance), self.layout.directory)
        except FileNotFoundError:
            raise UserError(f"{command[0]} is not there") from None
        slot.starts += 1

    def programs_of(self, kind: str) -> list[Any]:
        return [slot.program for slot in self.slots.values() if slot.program.kind == kind]

    def all_services(self) -> list[Service]:
        return [program for kind in SERVICES for program in self.programs_of(kind)]

    def push_url(self) -> str:
        return f"{self.programs_of('distributor')[0].ops_url}/api/v1/push"

    def retarget_demo(self) -> None:
        for slot in self.slots.values():
            if isinstance(slot.program, Prometheus):
                slot.program.write_targets(self.all_services())

    # ---- what others see ----

    def state(self) -> dict[str, Any]:
        return {
            "phase": self.phase,
            "problem": self.problem,
            "supervisor_pid": os.getpid(),
            "binaries": str(self.binaries),
            "regions": [self.region_state()],
        }

    def region_state(self) -> dict[str, Any]:
        def first(kind: str, suffix: str) -> str | None:
            programs = self.programs_of(kind)
            return f"{programs[0].ops_url}{suffix}" if programs else None

        def url(kind: str) -> str | None:
            return ",".join(program.url for program in self.programs_of(kind)) or None

        return {
            "id": self.region.id,
            "jurisdiction": self.region.jurisdiction,
            "push_url": first("distributor", "/api/v1/push"),
            "otlp_url": first("distributor", "/otlp/v1/metrics"),
            "query_url": first("querier", ""),
            "nats_url": url("nats-server"),
            "redis_url": url("redis-server"),
            "object_store": self.layout.objects.as_uri(),
            "services": [
                {
                    "name": slot.program.kind,
                    "instance": slot.program.instance,
                    "pid": slot.child.pid if slot.child else None,
                    "ops_url": slot.program.ops_url,
                }
                for slot in self.slots.values()
            ],
        }

    def publish(self) -> None:
        self.layout.write_state(self.state())

    # ---- commands ----

    def accept(self) -> None:
        """One connection, one command, one answer: clients are local and quick, so it is served at once."""
        listener = next(key.fileobj for key in self.selector.get_map().values() if key.data == self.accept)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(2)
            try:
                request = json.loads(receive_line(connection))
                answer = self.obey(request)
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except (OSError, ValueError):
                return

    def obey(self, request: dict[str, Any]) -> dict[str, Any]:
        command = self.commands.get(request.get("command", ""))
        if command is None:
            return {"error": f"unknown command {request.get('command')!r}"}
        try:
            result = command(*request.get("arguments", []))
        except (UserError, TypeError) as error:
            return {"error": str(error)}
        self.reap()
        self.publish()
        return {"result": result, "state": self.state()}

    def slot_of(self, instance: str) -> Slot:
        if instance not in self.slots:
            raise UserError(f"no instance {instance} (there are: {', '.join(self.slots)})")
        return self.slots[instance]

    def running(self, instance: str) -> Slot:
        slot = self.slot_of(instance)
        if slot.child is None or slot.child.poll() is not None:
            raise UserError(f"{instance} is not running")
        return slot

    def do_kill(self, instance: str) -> None:
        """SIGKILL. It starts again after a second, as after any death, unless --no-restart was given."""
        slot = self.running(instance)
        slot.child.send(signal.SIGKILL)
        slot.child.popen.wait(timeout=KILL_SECONDS)

    def do_pause(self, instance: str) -> None:
        self.running(instance).child.send(signal.SIGSTOP)

    def do_resume(self, instance: str) -> None:
        self.running(instance).child.send(signal.SIGCONT)

    def do_stop(self, instance: str, how: str = "term") -> None:
        """Ends it and leaves it down; how "kill" spares it the chance to drain."""
        slot = self.slot_of(instance)
        slot.wanted = False
        slot.restart_at = None
        if how == "kill" and slot.child is not None:
            slot.child.send(signal.SIGKILL)
        self.end([slot])

    def do_start(self, instance: str) -> None:
        slot = self.slot_of(instance)
        self.reap()
        slot.wanted = True
        slot.restart_at = None
        if slot.child is None:
            self.launch(slot)

    def do_add(self, kind: str) -> str:
        if kind not in SERVICES:
            raise UserError(f"cannot add {kind}: only {', '.join(SERVICES)}")
        program = self.new_service(kind)
        self.add_slot(program)
        self.retarget_demo()
        return program.instance

    def do_remove(self, instance: str) -> None:
        slot = self.slot_of(instance)
        if slot.program.kind not in SERVICES:
            raise UserError(f"cannot remove {instance}: only {', '.join(SERVICES)} come and go")
        self.do_stop(instance)
        del self.slots[instance]
        for port in slot.program.ports_used():
            self.ports.give_back(port)
        self.retarget_demo()

    def do_down(self) -> None:
        self.stop_asked = True


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def say_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
