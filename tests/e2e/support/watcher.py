"""Asks all the time while writers write and faults happen: an answer is either right or says that it is not."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Callable

from support.api import Api, Reply
from support.fleet import METRIC, Fleet

RANGE_S = 6 * 3600


class Watcher:
    """A thread that counts the samples of every series, by turns at each querier, with strong reads. A complete
    answer must hold all rounds acknowledged before the question and none that was not begun before the answer."""

    def __init__(self, fleet: Fleet, query_urls: Callable[[], list[str]], tenant: str | None = None):
        self.fleet = fleet
        self.query_urls = query_urls
        self.tenant = tenant
        self.stopping = threading.Event()
        self.faults: list[str] = []
        self.right = 0
        self.outcomes: Counter[str] = Counter()
        self.thread = threading.Thread(target=self.run, name="watcher", daemon=True)

    def __enter__(self) -> Watcher:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()

    def run(self) -> None:
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            urls = self.query_urls()
            self.ask(Api(urls[turn % len(urls)], self.tenant, strong=True))
            self.stopping.wait(0.05)

    def ask(self, api: Api) -> None:
        must = {writer.name: writer.rounds_acknowledged for writer in self.fleet.writers}
        reply = api.query(f"count_over_time({METRIC}[{RANGE_S}s])", time.time())
        may = {writer.name: writer.rounds_started for writer in self.fleet.writers}
        if not reply.complete:
            self.outcomes[f"{reply.status} {'partial' if reply.status == 200 else reply.error[:80]}"] += 1
            if reply.status in range(400, 500):
                self.faults.append(f"a good query was refused: {reply}")
            return
        faults = self.judge(reply, must, may)
        self.faults += faults
        self.outcomes["wrong" if faults else "right"] += 1
        self.right += not faults

    def judge(self, reply: Reply, must: dict[str, int], may: dict[str, int]) -> list[str]:
        counts = {(entry["metric"]["writer"], entry["metric"]["device"]): int(float(entry["value"][1]))
                  for entry in reply.data["result"]}
        faults = []
        for writer in self.fleet.writers:
            for device in range(len(writer.keys)):
                count = counts.get((writer.name, str(device)), 0)
                if not must[writer.name] <= count <= may[writer.name]:
                    faults.append(f"{writer.name}/{device}: {count} samples, not {must[writer.name]} to {may[writer.name]}")
        return faults[:3]

    def await_right(self, answers: int = 3, seconds: float = 60) -> None:
        """Returns when this many more complete and right answers have come."""
        goal = self.right + answers
        deadline = time.monotonic() + seconds
        while self.right < goal:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no complete answers for {seconds} s: {dict(self.outcomes)}")
            time.sleep(0.02)

    def check(self) -> None:
        assert not self.faults, f"{len(self.faults)} wrong answers, first: {self.faults[:5]}; {dict(self.outcomes)}"
        assert self.right > 0, f"no complete answer at all: {dict(self.outcomes)}"
