"""The workloads, each on a fresh target, each giving one dictionary of figures.

W1   many scrapes of a known fleet, closed loop: throughput and CPU seconds per million samples
W2   one million series, five scrapes: memory per series, and the speed of registering new series
W3   120,000 samples/s, open loop: acknowledgement latency
W4   backfill of 90 days at 5 minutes
WT   100,000 tenants of 10 series each
WQ   light queries, with 1, 4 and 16 partitions (WQ1, WQ4, WQ16): latency
WI   the light queries of one tenant, alone, beside processes that only compute, and while another tenant sends its heaviest
     in a closed loop: isolation
"""

import json
import os
import subprocess
import time

from . import proc, profile, queries

MIB = 1024 * 1024
# Prometheus refuses what lies more than an hour behind its newest sample; a request of W4 spans 10 minutes.
MAX_SKEW = 4


class Failed(RuntimeError):
    """A workload whose figures would not mean what they say."""


class Bench:
    """One target under one loader: runs phases and takes the figures around them."""

    def __init__(self, loader, target, seed, log, profile_directory=None):
        self.loader = loader
        self.target = target
        self.seed = seed
        self.log = log
        self.profile_directory = profile_directory

    def load_profiled(self, start_ms, *arguments):
        """As load; where the CPU time goes is recorded if the run was asked to."""
        with profile.recording(self.target.processes(), self.profile_directory):
            return self.load(start_ms, *arguments)

    def load(self, start_ms, *arguments):
        """One run of the loader; its JSON with the target's usage during it under "usage"."""
        command = [str(self.loader), "--url", self.target.push_url, "--seed", str(self.seed)]
        command += ["--start-ms", str(start_ms)] + [str(argument) for argument in arguments]
        before = self.target.usage()
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        after = self.target.usage()
        if run.returncode != 0:
            raise Failed(f"{' '.join(command)}: {run.stderr}")
        result = json.loads(run.stdout)
        result["usage"] = proc.difference(before, after)
        lost = result["plan"]["samples"] - result["samples_accepted"]
        if lost and "--duration" not in arguments:
            raise Failed(f"{lost} of {result['plan']['samples']} samples not accepted: {result['statuses']} {result['first_failure']}")
        self.log(f"    {result['samples_accepted']:>10,} samples  {result['samples_per_second']:>10,.0f}/s"
                 f"  cpu {proc.total(result['usage']).cpu_seconds:.1f} s  p99 {result['latency_ms']['p99']:.1f} ms")
        return result

    def settle(self):
        before = self.target.usage()
        self.target.settle()
        return proc.difference(before, self.target.usage())


def add_usage(*parts):
    """CPU and written bytes of phases added up; memory of the last."""
    result = {}
    for usages in parts:
        for name, usage in usages.items():
            whole = result.setdefault(name, proc.Usage())
            whole.cpu_seconds += usage.cpu_seconds
            whole.written_bytes += usage.written_bytes
            whole.rss_bytes = usage.rss_bytes
            whole.rss_peak_bytes = usage.rss_peak_bytes
    return result


def by_process(usages, samples):
    """CPU seconds per million samples of each process, and in all."""
    figures = {name: usage.cpu_seconds / samples * 1e6 for name, usage in sorted(usages.items())}
    figures["all"] = sum(figures.values())
    return figures


def memory(usages, series):
    whole = proc.total(usages)
    return {
        "rss_mib": whole.rss_bytes / MIB,
        "rss_peak_mib": whole.rss_peak_bytes / MIB,
        "rss_bytes_per_series": whole.rss_bytes / series,
        "rss_bytes_per_series_by_process": {
            name: usage.rss_bytes / series for name, usage in sorted(usages.items())
        },
    }


def start_before(now_seconds, scrapes, interval_seconds):
    """Start of the data in ms, so that it ends a moment ago."""
    return int(now_seconds - scrapes * interval_seconds - 1) * 1000


def w1(bench, options):
    """Known series, full speed. The first scrapes, which register the series, are shown apart."""
    series, scrapes, warm = options.series, options.scrapes, min(4, options.scrapes // 4)
    start_ms = start_before(time.time(), scrapes, 15)
    common = ["--series", series, "--churn", options.churn, "--shape", options.shape]
    first = bench.load(start_ms, *common, "--scrapes", warm)
    main = bench.load_profiled(start_ms, *common, "--first-scrape", warm, "--scrapes", scrapes - warm)
    idle = bench.settle()
    samples = first["samples_accepted"] + main["samples_accepted"]
    usage = add_usage(first["usage"], main["usage"])
    after = add_usage(usage, idle)
    before_flush = bench.target.usage()
    bench.target.flush()
    flushed = add_usage(after, proc.difference(before_flush, bench.target.usage()))
    figures = {
        "samples": samples,
        "samples_per_second": samples / (first["seconds"] + main["seconds"]),
        "steady_samples_per_second": main["samples_per_second"],
        "cpu_per_million": by_process(usage, samples),
        "steady_cpu_per_million": by_process(main["usage"], main["samples_accepted"]),
        "cpu_per_million_with_flush": by_process(flushed, samples)["all"],
        "loader_cpu_per_million": main["loader_cpu_seconds"] / main["samples_accepted"] * 1e6,
        "latency_ms": main["latency_ms"],
        "written_bytes_per_sample": proc.total(flushed).written_bytes / samples,
        "disk_bytes_per_sample": bench.target.disk_bytes() / samples,
        **memory(idle, series),
    }
    if options.query_repeats > 0:
        end_seconds = start_ms // 1000 + scrapes * 15
        bench.log("    queries")
        figures["queries"] = queries.measure(bench.target, options.queries, end_seconds, options.query_repeats)
    return figures


def w2(bench, options):
    """New series, then four more samples of each: registration, and memory per series."""
    series = options.many_series
    start_ms = start_before(time.time(), 5, 15)
    first = bench.load_profiled(start_ms, "--series", series, "--scrapes", 1)
    rest = bench.load(start_ms, "--series", series, "--first-scrape", 1, "--scrapes", 4)
    idle = bench.settle()
    return {
        "series": series,
        "registered_per_second": first["samples_per_second"],
        "register_cpu_per_million": by_process(first["usage"], series),
        "register_latency_ms": first["latency_ms"],
        "cpu_per_million": by_process(rest["usage"], rest["samples_accepted"]),
        **memory(idle, series),
    }


def w3(bench, options):
    """A fixed rate. The fleet is registered before, at full speed."""
    series, rate, seconds = options.series, 120000, options.open_seconds
    scrapes = max(1, round(rate * seconds / series))
    start_ms = start_before(time.time(), scrapes + 1, 15)
    bench.load(start_ms, "--series", series, "--scrapes", 1)
    bench.settle()
    main = bench.load_profiled(start_ms, "--series", series, "--first-scrape", 1, "--scrapes", scrapes,
                               "--rate", rate)
    return {
        "rate": rate,
        "samples_per_second": main["samples_per_second"],
        "latency_ms": main["latency_ms"],
        "cores_used": proc.total(main["usage"]).cpu_seconds / main["seconds"],
        "cpu_per_million": by_process(main["usage"], main["samples_accepted"]),
    }


def w4(bench, options):
    """90 days at 5 minutes, 2,000 series; time moves forward for all series together."""
    scrapes = max(1, options.backfill_days * 288)
    start_ms = start_before(time.time(), scrapes, 300)
    main = bench.load(start_ms, "--series", 2000, "--scrapes", scrapes, "--interval", "5m",
                      "--connections", 2, "--max-skew", MAX_SKEW)
    idle = bench.settle()
    bench.target.flush()
    return {
        "samples": main["samples_accepted"],
        "samples_per_second": main["samples_per_second"],
        "cpu_per_million": by_process(main["usage"], main["samples_accepted"]),
        "disk_bytes_per_sample": bench.target.disk_bytes() / main["samples_accepted"],
        **memory(idle, 2000),
    }


def wt(bench, options):
    """Many tiny tenants: 10 series each, a request per tenant and scrape."""
    tenants, each = options.tenants, 10
    start_ms = start_before(time.time(), 3, 15)
    common = ["--tenants", tenants, "--series", each]
    first = bench.load(start_ms, *common, "--scrapes", 1)
    rest = bench.load(start_ms, *common, "--first-scrape", 1, "--scrapes", 2)
    idle = bench.settle()
    return {
        "tenants": tenants,
        "registered_per_second": first["samples_per_second"],
        "samples_per_second": rest["samples_per_second"],
        "requests_per_second": rest["requests"] / rest["seconds"],
        "cpu_per_million": by_process(rest["usage"], rest["samples_accepted"]),
        "latency_ms": rest["latency_ms"],
        **memory(idle, tenants * each),
    }


def wq(bench, options):
    """A small fleet, and queries that read one series or none of it."""
    scrapes = 480
    start_ms = start_before(time.time(), scrapes, 15)
    bench.load(start_ms, "--series", 3200, "--scrapes", scrapes)
    bench.settle()
    bench.log("    light queries")
    figures = queries.measure_light(bench.target, start_ms // 1000 + scrapes * 15, options.light_repeats)
    found = {name: figure["series"] for name, figure in figures.items()}
    if found != {"machine": 0, "floor": 1, "empty": 0, "instant": 1, "range": 1}:
        raise Failed(f"the light queries found {found} series")
    return figures


# A tenant that asks the next thing as soon as it has an answer uses as much of an ingester as the heaviest.
LIGHT_PAUSE_SECONDS = 0.005


def wi(bench, options):
    """Two tenants. What the heavy one does must not be felt by the light one."""
    scrapes = 240
    start_ms = start_before(time.time(), scrapes, 15)
    end_seconds = start_ms // 1000 + scrapes * 15
    bench.load(start_ms, "--series", options.series, "--scrapes", scrapes, "--tenant", "heavy")
    bench.load(start_ms, "--series", 3200, "--scrapes", scrapes, "--tenant", "light")
    bench.settle()
    heavy = [query for query in options.queries if query["series"] > 1]
    light = queries.LIGHT + queries.PANELS

    def measured():
        return queries.measure_light(bench.target, end_seconds, options.light_repeats, "light", light, LIGHT_PAUSE_SECONDS)

    bench.log("    light queries alone")
    alone = measured()
    bench.log("    beside strangers")
    with queries.strangers(os.cpu_count()):
        stranger = measured()
    bench.log("    and beside heavy ones")
    with queries.heavy_load(bench.target, heavy, end_seconds, options.heavy_clients, "heavy") as load:
        time.sleep(2)
        beside = measured()
    if load["answered"] == 0 or load["failures"]:
        raise Failed(f"the heavy queries: {load}")
    ratios = {
        name: {share: beside[name][share] / alone[name][share] for share in ("p50", "p99")} for name in alone
    }
    return {"alone": alone, "strangers": stranger, "beside": beside, "ratio": ratios,
            "heavy_clients": options.heavy_clients, "heavy_per_second": load["answered"] / load["seconds"]}


WORKLOADS = {"w1": w1, "w2": w2, "w3": w3, "w4": w4, "wt": wt, "wi": wi, "wq1": wq, "wq4": wq, "wq16": wq}
# Of the region that Meridian is started with, where that is not the default.
PARTITIONS = {"wq1": 1, "wq4": 4, "wq16": 16}
