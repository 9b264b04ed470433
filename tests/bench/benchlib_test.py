#!/usr/bin/env python3
"""Tests of the benchmark's own arithmetic and of its query client, against a server in this process."""

import http.server
import json
import os
import pathlib
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from benchlib import proc, queries, report, workloads  # noqa: E402


class ProcTest(unittest.TestCase):
    def test_own_cpu_time_and_memory_are_seen(self):
        before = proc.read_all([("self", os.getpid())])
        while os.times().user - before["self"].cpu_seconds < 0.05:
            sum(range(10000))
        after = proc.read_all([("self", os.getpid())])
        spent = proc.difference(before, after)["self"]
        self.assertGreater(spent.cpu_seconds, 0)
        self.assertGreater(spent.rss_bytes, 1 << 20)
        self.assertGreaterEqual(spent.rss_peak_bytes, spent.rss_bytes)

    def test_processes_of_one_name_are_added_up(self):
        one = proc.read_all([("a", os.getpid())])["a"].rss_bytes
        two = proc.read_all([("a", os.getpid()), ("a", os.getpid())])["a"].rss_bytes
        self.assertGreater(two, one * 1.5)

    def test_a_process_that_is_gone_is_an_error(self):
        with self.assertRaises(FileNotFoundError):
            proc.read_all([("gone", 2**22 + 1)])


class FigureTest(unittest.TestCase):
    def test_cpu_is_given_per_million_samples_by_process_and_in_all(self):
        usages = {"a": proc.Usage(cpu_seconds=1.0), "b": proc.Usage(cpu_seconds=0.5)}
        self.assertEqual(workloads.by_process(usages, 2_000_000), {"a": 0.5, "b": 0.25, "all": 0.75})

    def test_phases_add_up_but_memory_is_that_of_the_last(self):
        first = {"a": proc.Usage(cpu_seconds=1.0, rss_bytes=100, written_bytes=5)}
        last = {"a": proc.Usage(cpu_seconds=2.0, rss_bytes=70, written_bytes=6)}
        self.assertEqual(
            workloads.add_usage(first, last)["a"],
            proc.Usage(cpu_seconds=3.0, rss_bytes=70, rss_peak_bytes=0, written_bytes=11),
        )

    def test_a_percentile_is_a_measured_value_that_the_share_is_not_above(self):
        values = list(range(100, 0, -1))
        self.assertEqual([queries.percentile(values, share) for share in (0, 0.5, 0.99, 1)], [1, 50, 99, 100])
        self.assertEqual(queries.percentile([7], 0.5), 7)

    def test_a_workload_that_was_not_run_has_no_row_and_a_failed_one_says_so(self):
        results = {
            "meridian": {"w1": {"samples_per_second": 2_000_000}, "w2": {"error": "no such thing"}},
            "peer": {"w1": {"samples_per_second": 1_000_000}},
        }
        rows = report.main_table(results)
        self.assertEqual(rows[0], ["W1 ingest, k samples/s", "2,000", "1,000"])
        self.assertEqual(rows[-1], ["W2 failed", "no such thing", ""])
        self.assertEqual(len(rows), 2)
        self.assertIn("| W1 ingest, k samples/s |", report.text(results, {}, markdown=True))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        bad = "bad" in self.path
        series = {"metric": {"device_id": "d-1"}, "values": [[1, "2"], [2, "3"]], "value": [1, "2"]}
        body = json.dumps({"status": "success", "data": {"result": [series]}}).encode()
        self.send_response(400 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.paths.append(self.path)

    def log_message(self, *_):
        pass


class QueryTest(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.paths = []
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.query_url = f"http://127.0.0.1:{self.server.server_port}/prometheus"
        self.query_parameters = {"nocache": "1"}

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()

    def test_a_query_is_measured_and_an_error_is_a_row_not_an_end(self):
        asked = [
            {"name": "one", "kind": "range", "window": 60, "step": 15, "series": 1, "query": 'x{d="DEVICE"}'},
            {"name": "two", "kind": "instant", "series": 1, "query": "bad("},
            {"name": "three", "kind": "instant", "series": 1, "query": "y"},
        ]
        rows = queries.measure(self, asked, 1000, 3)
        self.assertEqual([row["name"] for row in rows], ["one", "two", "three"])
        self.assertEqual((rows[0]["series"], rows[0]["points"]), (1, 2))
        self.assertGreater(rows[0]["ms"], 0)
        self.assertIn("400", rows[1]["error"])
        self.assertIn("ms", rows[2])
        self.assertTrue(all(path.startswith("/prometheus/api/v1/query") for path in self.server.paths))
        self.assertTrue(all("nocache=1" in path for path in self.server.paths))
        self.assertTrue(any("d-1" in path and "start=940" in path for path in self.server.paths))

    def test_light_queries_are_measured_by_percentiles(self):
        figures = queries.measure_light(self, 1000, 20)
        self.assertEqual(sorted(figures), ["empty", "floor", "instant", "machine", "range"])
        self.assertEqual(len(self.server.paths), 1 + 22 * 4)
        for name, figure in figures.items():
            self.assertTrue(0 < figure["p50"] <= figure["p90"] <= figure["p99"])
            self.assertEqual(figure["series"], 0 if name == queries.MACHINE else 1)

    def test_the_published_query_set_is_well_formed(self):
        for query in queries.load(pathlib.Path(__file__).parent / "queries.yaml"):
            path, parameters = queries.request_of(query, 1_700_000_000, "d-1")
            self.assertTrue(path.startswith("/api/v1/query"))
            self.assertNotIn("DEVICE", parameters["query"])
            self.assertGreater(query["series"], 0)


if __name__ == "__main__":
    unittest.main()
