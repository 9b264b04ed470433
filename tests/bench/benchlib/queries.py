"""Query latency: the same queries, over the same data, one at a time, on a kept-alive connection."""

import http.client
import json
import statistics
import time
import urllib.parse

import yaml


class Client:
    def __init__(self, query_url, parameters):
        parts = urllib.parse.urlsplit(query_url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=300)
        self.prefix = parts.path.rstrip("/")
        self.parameters = parameters

    def get(self, path, parameters):
        """(seconds, decoded answer); raises RuntimeError with the server's text if it refuses."""
        target = f"{self.prefix}{path}?" + urllib.parse.urlencode({**parameters, **self.parameters}, doseq=True)
        begin = time.perf_counter()
        self.connection.request("GET", target)
        answer = self.connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - begin
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {body[:300].decode(errors='replace')}")
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


def measure(target, queries, end_seconds, repeats):
    """[{name, ms (median), ms_min, ms_max, series, points} or {name, error}, ...]"""
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
                for _ in range(repeats):
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
