"""What the kernel knows of processes: CPU time, memory, bytes written.

Everything is read from /proc, for a list of processes that belong to one target, keyed by their name
("distributor", "nats-server", ...). Several processes of one name are added up.
"""

import dataclasses
import os
import time

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Usage:
    """Of one process at one moment."""

    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    rss_peak_bytes: int = 0
    written_bytes: int = 0

    def add(self, other):
        self.cpu_seconds += other.cpu_seconds
        self.rss_bytes += other.rss_bytes
        self.rss_peak_bytes += other.rss_peak_bytes
        self.written_bytes += other.written_bytes


def read_usage(pid):
    """The usage of a process with all its threads, also those that have ended."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    usage = Usage(cpu_seconds=(int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND)
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                usage.rss_bytes = int(line.split()[1]) * 1024
            elif line.startswith("VmHWM:"):
                usage.rss_peak_bytes = int(line.split()[1]) * 1024
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as file:
            for line in file:
                if line.startswith("write_bytes:"):
                    usage.written_bytes = int(line.split()[1])
    except PermissionError:
        pass
    return usage


def read_all(processes):
    """{name: Usage} for [(name, pid), ...]. A process that is gone is an error: the figures would lie."""
    usages = {}
    for name, pid in processes:
        usages.setdefault(name, Usage()).add(read_usage(pid))
    return usages


def difference(before, after):
    """CPU and written bytes between two read_all; memory as it is in `after`."""
    result = {}
    for name, usage in after.items():
        old = before.get(name, Usage())
        result[name] = Usage(
            cpu_seconds=usage.cpu_seconds - old.cpu_seconds,
            rss_bytes=usage.rss_bytes,
            rss_peak_bytes=usage.rss_peak_bytes,
            written_bytes=usage.written_bytes - old.written_bytes,
        )
    return result


def total(usages):
    result = Usage()
    for usage in usages.values():
        result.add(usage)
    return result


def wait_idle(read, busy_share=0.05, calm_seconds=3.0, timeout_seconds=120.0):
    """Waits until the processes use less than busy_share of a core for calm_seconds.

    `read` returns read_all's result. Returns False if they never calm down.
    """
    deadline = time.monotonic() + timeout_seconds
    calm_since = time.monotonic()
    last_cpu = total(read()).cpu_seconds
    last_time = calm_since
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = time.monotonic()
        cpu = total(read()).cpu_seconds
        if (cpu - last_cpu) / (now - last_time) >= busy_share:
            calm_since = now
        last_cpu, last_time = cpu, now
        if now - calm_since >= calm_seconds:
            return True
    return False


def tree_bytes(path):
    """Bytes that a directory takes on disk."""
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                size += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # files come and go under a running server
    return size
