"""Where the CPU time goes: perf on every process of a target while a load runs.

Writes <process>.txt into a directory: shares by function, then the hottest call chains. Needs
Debian's linux-perf and the right to use it. The software clock is sampled, since virtual machines
often have no hardware counters.
"""

import contextlib
import pathlib
import signal
import subprocess

SAMPLES_PER_SECOND = 499


@contextlib.contextmanager
def recording(processes, directory):
    """Samples [(name, pid), ...] while the body runs; no-op without a directory."""
    if directory is None:
        yield
        return
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    recorders = []
    for name, pid in processes:
        data = directory / f"{name}-{pid}.perf"
        command = ["perf", "record", "-q", "-F", str(SAMPLES_PER_SECOND), "-g", "-e", "cpu-clock"]
        recorders.append((data, subprocess.Popen(command + ["-o", str(data), "-p", str(pid)])))
    try:
        yield
    finally:
        for _, process in recorders:
            process.send_signal(signal.SIGINT)
        for data, process in recorders:
            process.wait(60)
            write_report(data)


def write_report(data):
    parts = []
    for title, arguments in (
        ("by function (self)", ["--no-children", "-g", "none", "--percent-limit", "0.5"]),
        ("by thread name", ["--no-children", "-g", "none", "--sort", "comm"]),
        ("by function with what it calls", ["--children", "-g", "none", "--percent-limit", "2"]),
        ("call chains", ["--no-children", "-g", "caller,0.5,callee", "--percent-limit", "2"]),
    ):
        command = ["perf", "report", "-i", str(data), "--stdio", *arguments]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in run.stdout.splitlines() if line.strip() and not line.startswith("#")]
        parts.append(f"== {title}\n" + "\n".join(lines[:400]) + "\n")
    data.with_suffix(".txt").write_text("\n".join(parts), encoding="utf-8")
