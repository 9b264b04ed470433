"""Both servers with the same data, and the same question to each."""

from __future__ import annotations

import http.client
import random
import shutil
import urllib.parse
from pathlib import Path

from differ import data
from differ.answers import Answer, Difference, difference
from differ.questions import Question
from differ.rules import excused
from differ.shrink import Budget, descend, fewer
from meridian_dev.cluster import Cluster
from support import remote_write as rw
from support.prometheus import Prometheus
from support.remote_write_2 import HEADERS

FEATURES = ["promql-experimental-functions", "promql-extended-range-selectors", "promql-binop-fill-modifiers"]
DELAYED = "promql-delayed-name-removal"
CONFIG = """
global: {}
storage: {tsdb: {out_of_order_time_window: 1d}}
"""
BASE_MS = 1_699_999_200_000
"""Where the data begin: a full hour, and any will do, for neither side looks at the clock."""

ANSWER_SECONDS = 120
QUERY_ATTEMPTS = 600
DATA_ATTEMPTS = 120


class Client:
    """One kept-alive connection."""

    def __init__(self, url: str, headers: dict[str, str] | None = None):
        parts = urllib.parse.urlsplit(url)
        self.headers = headers or {}
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_SECONDS)

    def ask(self, question: Question) -> Answer:
        self.connection.request("GET", f"{question.path}?{urllib.parse.urlencode(question.all_parameters())}", headers=self.headers)
        response = self.connection.getresponse()
        return Answer.parse(response.status, response.read())

    def close(self) -> None:
        self.connection.close()


class Refused(Exception):
    """One of the two did not take the data."""


class Pair:
    """Ours: a tenant of a region for each set of data. Theirs: a server with an empty directory for each."""

    def __init__(self, region: Cluster, program: Path, directory: Path, delayed: bool):
        self.region = region
        self.program = program
        self.directory = directory
        self.flags = [f"--enable-feature={','.join(FEATURES + [DELAYED] * delayed)}", "--log.level=warn"]
        self.loads = 0
        self.theirs: Prometheus | None = None
        self.clients: list[Client] = []

    def load(self, samples: list[data.Sample]) -> None:
        """Replaces what both hold."""
        self.close()
        self.loads += 1
        self.theirs = Prometheus(self.directory / "prometheus", CONFIG, self.program, self.flags)
        tenant = f"load-{self.loads}"
        for message in data.requests(samples):
            for url, name in ((self.region.region["push_url"], tenant), (f"{self.theirs.url}/api/v1/write", None)):
                answer = rw.push(url, message, name, **HEADERS)
                if answer.status not in (200, 204):
                    raise Refused(f"{url}: {answer.status} {answer.body[:1000]}")
        self.clients = [Client(self.region.region["query_url"], {"X-Scope-OrgID": tenant, "X-Read-Consistency": "strong"}),
                        Client(self.theirs.url)]

    def compare(self, question: Question) -> tuple[Difference | None, str]:
        """What differs, and the rule that excuses it."""
        ours, theirs = (client.ask(question) for client in self.clients)
        found = difference(question, ours, theirs)
        rule = found and excused(question, ours, theirs, found)
        return found, rule.name if rule else ""

    def kind_of(self, question: Question) -> str:
        found, rule = self.compare(question)
        return found.kind if found and not rule else ""

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.clients = []
        if self.theirs:
            self.theirs.stop()
            self.theirs = None
        shutil.rmtree(self.directory / "prometheus", ignore_errors=True)


def shrunk(pair: Pair, question: Question, samples: list[data.Sample], kind: str) -> tuple[Question, list[data.Sample]]:
    """The smallest question and data found that differ in the same way. Leaves other data loaded."""
    def question_differs(candidate: Question) -> bool:
        return pair.kind_of(candidate) == kind

    def data_differ(candidate: list[data.Sample]) -> bool:
        try:
            pair.load(candidate)
        except Refused:
            return False
        return pair.kind_of(question) == kind

    budget = Budget(QUERY_ATTEMPTS)
    question = descend(question, Question.smaller, question_differs, budget)
    attempts = Budget(DATA_ATTEMPTS)
    by_series: dict[data.Labels, list[data.Sample]] = {}
    for sample in samples:
        by_series.setdefault(sample.labels, []).append(sample)
    kept = fewer(list(by_series), lambda some: data_differ([sample for labels in some for sample in by_series[labels]]), attempts)
    samples = fewer([sample for labels in kept for sample in by_series[labels]], data_differ, attempts)
    pair.load(samples)
    question = descend(question, Question.smaller, question_differs, budget)
    return question, samples


def random_samples(rng: random.Random, histograms: bool) -> list[data.Sample]:
    return data.scraped(data.DataGenerator(rng, histograms).loads(), BASE_MS, rng)
