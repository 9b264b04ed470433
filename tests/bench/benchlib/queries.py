"""Query latency: the same queries, over the same data, one at a time, on a kept-alive connection."""

import contextlib
import http.client
import json
import math
import multiprocessing
import os
import socket
import statistics
import time
import urllib.parse

import yaml


class Client:
    def __init__(self, query_url, parameters, tenant=None):
        self.headers = {"X-Scope-OrgID": tenant} if tenant else {}
        parts = urllib.parse.urlsplit(query_url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=300)
        self.prefix = parts.path.rstrip("/")
        self.parameters = parameters

    def fetch(self, path, parameters):
        """(seconds, body); raises RuntimeError with the server's text if it refuses."""
        target = f"{self.prefix}{path}?" + urllib.parse.urlencode({**parameters, **self.parameters}, doseq=True)
        begin = time.perf_counter()
        self.connection.request("GET", target, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - begin
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {body[:300].decode(errors='replace')}")
        return seconds, body

    def get(self, path, parameters):
        """(seconds, decoded answer)"""
        seconds, body = self.fetch(path, parameters)
        return seconds, json.loads(body)

    def close(self):
        self.connection.close()


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)["queries"]


def request_of(query, end_seconds, device):
    text = query["query"].replace("DEVICE", device)
    if query["kind"] == "instant":
        return "/api/v1/query", {"query": text, "time": end_seconds}
    return "/api/v1/query_range", {
        "query": text,
        "start": end_seconds - query["window"],
        "end": end_seconds,
        "step": query["step"],
    }


def result_size(answer):
    """(series, points): an answer of nothing is fast and worthless, so the report shows it."""
    result = answer["data"]["result"]
    points = sum(len(series.get("values", [0])) for series in result)
    return len(result), points


# A query that takes less than a millisecond is repeated more often: a handful of those is what the scheduler makes of them.
REPEATS_SHORT = 200
SHORT_SECONDS = 1.0  # all repeats of a query together


def measure(target, queries, end_seconds, repeats):
    """[{name, ms (median), ms_min, ms_max, series, points} or {name, error}, ...]; each at least `repeats` times"""
    client = Client(target.query_url, target.query_parameters)
    rows = []
    try:
        _, answer = client.get(
            "/api/v1/query", {"query": "bottomk(1, sensor_signal_strength)", "time": end_seconds}
        )
        found = answer["data"]["result"]
        device = found[0]["metric"]["device_id"] if found else ""
        for query in queries:
            path, parameters = request_of(query, end_seconds, device)
            row = {"name": query["name"], "reads": query["series"]}
            try:
                client.get(path, parameters)  # once to warm up
                times = []
                while len(times) < repeats or (len(times) < REPEATS_SHORT and sum(times) < SHORT_SECONDS * 1000):
                    seconds, answer = client.get(path, parameters)
                    times.append(seconds * 1000)
                row["series"], row["points"] = result_size(answer)
                row["ms"] = statistics.median(times)
                row["ms_min"], row["ms_max"] = min(times), max(times)
            except (RuntimeError, OSError, http.client.HTTPException) as error:
                row["error"] = str(error)
                client.close()
            rows.append(row)
    finally:
        client.close()
    return rows


# Queries that read one series or none: what they cost is what any query costs. The first needs no data at all: what is left is
# HTTP, the client and the scheduler, below which no other one can come.
LIGHT = [
    {"name": "floor", "kind": "instant", "query": "vector(1)"},
    {"name": "empty", "kind": "instant", "query": "no_such_metric"},
    {"name": "instant", "kind": "instant", "query": 'sensor_temperature{device_id="DEVICE"}'},
    {"name": "range", "kind": "range", "window": 7200, "step": 15, "query": 'sensor_temperature{device_id="DEVICE"}'},
]

# What a dashboard of a small tenant asks.
PANELS = [
    {"name": "panel", "kind": "range", "window": 3600, "step": 15,
     "query": "sum by (region) (rate(sensor_messages_sent_total[5m]))"},
    {"name": "panel_p99", "kind": "range", "window": 3600, "step": 60,
     "query": "histogram_quantile(0.99, sum by (region, le) (rate(sensor_uplink_seconds_bucket[5m])))"},
]


# Beside them, in turns with them, a request to a process that has nothing to do: what the machine and the client make of
# any request, whoever answers it.
MACHINE = "machine"


def percentile(values, share):
    """The smallest value that at least `share` of all are not above."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def idle_main(listener):
    """Answers every request of one connection after the other with the same few bytes."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while connection.recv(65536):
            connection.sendall(answer)
        connection.close()


@contextlib.contextmanager
def idle_server():
    """A process that does nothing else than answer: what the machine itself adds to a request. Yields a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.Process(target=idle_main, args=(listener,), daemon=True)
        process.start()
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", {})
        try:
            yield client
        finally:
            client.close()
            process.terminate()
            process.join()


def measure_light(target, end_seconds, repeats, tenant=None, light=LIGHT, pause=0.0):
    """{name: {p50, p90, p99, series}, ...} in ms, of the light queries, taken in turns, `pause` seconds after one another, and of
    MACHINE."""
    with idle_server() as idle:
        return measure_light_beside(idle, target, end_seconds, repeats, tenant, light, pause)


def measure_light_beside(idle, target, end_seconds, repeats, tenant, light, pause):
    client = Client(target.query_url, target.query_parameters, tenant)
    try:
        _, answer = client.get("/api/v1/query", {"query": "bottomk(1, sensor_signal_strength)", "time": end_seconds})
        device = answer["data"]["result"][0]["metric"]["device_id"]
        times = {name: [] for name in (MACHINE, *(query["name"] for query in light))}
        series = {MACHINE: 0}
        for turn in range(-max(1, repeats // 10), repeats):  # the first tenth warms up
            time.sleep(pause)
            seconds, _ = idle.get("/", {})
            if turn >= 0:
                times[MACHINE].append(seconds * 1000)
            for query in light:
                time.sleep(pause)
                seconds, answer = client.get(*request_of(query, end_seconds, device))
                series[query["name"]] = len(answer["data"]["result"])
                if turn >= 0:
                    times[query["name"]].append(seconds * 1000)
    finally:
        client.close()
    return {
        name: {**{f"p{share}": percentile(values, share / 100) for share in (50, 90, 99)}, "series": series[name]}
        for name, values in times.items()
    }


def heavy_loop(query_url, parameters, tenant, requests, stop, results):
    """One client of heavy queries in a closed loop, in a process of its own; puts (answered, refused, failures) at the end."""
    os.nice(19)  # it stands for other machines
    client = Client(query_url, parameters, tenant)
    answered, refused, failures = 0, 0, set()
    while not stop.is_set():
        for request in requests:
            try:
                client.fetch(*request)
                answered += 1
            except RuntimeError as error:
                refused += 1
                failures.add(str(error)[:200])
            if stop.is_set():
                break
    client.close()
    results.put((answered, refused, sorted(failures)))


@contextlib.contextmanager
def heavy_load(target, queries, end_seconds, clients, tenant):
    """Runs so many clients of the queries, each beginning with another one; yields a dictionary that is filled at the end."""
    requests = [request_of(query, end_seconds, "") for query in queries]
    stop, results, figures = multiprocessing.Event(), multiprocessing.Queue(), {}
    processes = []
    for index in range(clients):
        turn = index * len(requests) // clients
        arguments = (target.query_url, target.query_parameters, tenant, requests[turn:] + requests[:turn], stop, results)
        processes.append(multiprocessing.Process(target=heavy_loop, args=arguments, daemon=True))
        processes[-1].start()
    begin = time.monotonic()
    try:
        yield figures
    finally:
        stop.set()
        ends = [results.get(timeout=300) for _ in processes]
        for process in processes:
            process.join()
    figures["seconds"] = time.monotonic() - begin
    figures["answered"] = sum(end[0] for end in ends)
    figures["refused"] = sum(end[1] for end in ends)
    figures["failures"] = sorted({text for end in ends for text in end[2]})


def compute_main():
    os.setsid()
    while True:
        pass


@contextlib.contextmanager
def strangers(count):
    """So many processes that only compute and share nothing with the server: what no isolation inside of it can prevent."""
    processes = [multiprocessing.Process(target=compute_main, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()
