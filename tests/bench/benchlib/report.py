"""Reports: a table for the terminal and for docs/benchmarks.md, and the statement of what changed hands.

`results` is {target: {workload: figures}}; a workload that failed has {"error": text}.
"""


def get(figures, path):
    """figures["a"]["b"] for "a.b", or None."""
    for key in path.split("."):
        if not isinstance(figures, dict) or key not in figures:
            return None
        figures = figures[key]
    return figures


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


# (workload, row title, path of the figure, factor, digits)
ROWS = [
    ("w1", "W1 ingest, k samples/s", "samples_per_second", 1e-3, 0),
    ("w1", "W1 the same once the series are known, k samples/s", "steady_samples_per_second", 1e-3, 0),
    ("w1", "W1 server CPU s per M samples", "cpu_per_million.all", 1, 2),
    ("w1", "W1 the same once the series are known", "steady_cpu_per_million.all", 1, 2),
    ("w1", "W1 CPU with flush and merge", "cpu_per_million_with_flush", 1, 2),
    ("w1", "W1 loader CPU s per M samples", "loader_cpu_per_million", 1, 3),
    ("w1", "W1 ack p50 ms (closed loop)", "latency_ms.p50", 1, 1),
    ("w1", "W1 ack p99 ms (closed loop)", "latency_ms.p99", 1, 1),
    ("w1", "W1 RSS after, MiB", "rss_mib", 1, 0),
    ("w1", "W1 RSS peak, MiB", "rss_peak_mib", 1, 0),
    ("w1", "W1 bytes on disk per sample", "disk_bytes_per_sample", 1, 2),
    ("w1", "W1 bytes written per sample", "written_bytes_per_sample", 1, 1),
    ("w2", "W2 new series, k/s", "registered_per_second", 1e-3, 0),
    ("w2", "W2 CPU s per M new series", "register_cpu_per_million.all", 1, 1),
    ("w2", "W2 RSS per series, B", "rss_bytes_per_series", 1, 0),
    ("w2", "W2 RSS peak, MiB", "rss_peak_mib", 1, 0),
    ("w3", "W3 ack p50 ms at 120 k/s", "latency_ms.p50", 1, 1),
    ("w3", "W3 ack p99 ms", "latency_ms.p99", 1, 1),
    ("w3", "W3 ack p99.9 ms", "latency_ms.p999", 1, 1),
    ("w3", "W3 ack max ms", "latency_ms.max", 1, 1),
    ("w3", "W3 cores used", "cores_used", 1, 2),
    ("w4", "W4 backfill, k samples/s", "samples_per_second", 1e-3, 0),
    ("w4", "W4 CPU s per M samples", "cpu_per_million.all", 1, 2),
    ("w4", "W4 bytes on disk per sample", "disk_bytes_per_sample", 1, 2),
    ("wt", "WT new series, k/s", "registered_per_second", 1e-3, 0),
    ("wt", "WT requests/s (10 samples each)", "requests_per_second", 1, 0),
    ("wt", "WT RSS per series, B", "rss_bytes_per_series", 1, 0),
] + [
    (f"wq{partitions}", f"WQ {text}, {partitions} partitions, {share} ms", f"{query}.{share}", 1, 2)
    for query, text in (("machine", "an idle process"), ("floor", "needs no data"), ("empty", "nothing found"), ("instant", "one series, instant"), ("range", "one series, 2 h at 15 s"))
    for partitions in (1, 4, 16)
    for share in ("p50", "p99")
] + [
    ("wi", f"WI {text}, {share}, {what}", f"{path}.{query}.{share}", 1, digits)
    for query, text in (("machine", "an idle process"), ("floor", "needs no data"), ("empty", "nothing found"), ("instant", "one series, instant"), ("range", "one series, 1 h at 15 s"),
                        ("panel", "panel of 100 series"), ("panel_p99", "panel of 900 series"))
    for share in ("p50", "p99")
    for path, what, digits in (("alone", "alone, ms", 2), ("strangers", "beside strangers, ms", 2), ("beside", "beside heavy ones, ms", 2), ("ratio", "ratio", 2))
] + [("wi", "WI heavy queries/s meanwhile", "heavy_per_second", 1, 1)]


def main_table(results):
    """[[title, figure of each target, ...], ...] with rows for the workloads that were run."""
    table = []
    for workload, title, path, factor, digits in ROWS:
        values = [get(figures.get(workload, {}), path) for figures in results.values()]
        if any(value is not None for value in values):
            table.append([title] + [number(None if v is None else v * factor, digits) for v in values])
    for workload in sorted({w for figures in results.values() for w in figures}):
        errors = [figures.get(workload, {}).get("error") for figures in results.values()]
        if any(errors):
            table.append([f"{workload.upper()} failed"] + [error[:60] if error else "" for error in errors])
    return table


def query_table(results):
    rows = {}
    for column, figures in enumerate(results.values()):
        for query in figures.get("w1", {}).get("queries", []):
            cells = rows.setdefault((query["name"], query["reads"]), ["-"] * len(results))
            cells[column] = "error" if "error" in query else f"{query['ms']:,.2f} ({query['series']})"
    return [[name, f"{reads:,}"] + cells for (name, reads), cells in rows.items()]


def process_table(results, workload, path):
    """CPU seconds per million samples of each process of each target."""
    table = []
    for target, figures in results.items():
        parts = get(figures.get(workload, {}), path) or {}
        for name, value in parts.items():
            if name != "all" and len(parts) > 2:
                table.append([target, name, number(value, 3)])
    return table


def layout(header, rows, markdown):
    if not rows:
        return ""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]

    def line(cells):
        padded = [str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(cells, widths))]
        return ("| " + " | ".join(padded) + " |") if markdown else "  ".join(padded)

    lines = [line(header)]
    if markdown:
        lines.append("|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|")
    return "\n".join(lines + [line(row) for row in rows]) + "\n"


def text(results, versions, markdown=False):
    names = [f"{name} {versions.get(name, '')}".strip() for name in results]
    parts = [layout(["figure", *names], main_table(results), markdown)]
    parts.append(layout(["query, median ms (series in the answer)", "reads", *names], query_table(results), markdown))
    for workload, path, title in (
        ("w1", "steady_cpu_per_million", "W1 by process, CPU s per M samples"),
        ("w2", "rss_bytes_per_series_by_process", "W2 by process, RSS bytes per series"),
    ):
        parts.append(layout([title, "process", ""], process_table(results, workload, path), markdown))
    return "\n".join(part for part in parts if part)
