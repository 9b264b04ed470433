"""Background writers. Each owns its series and behaves as Prometheus' remote write does: an answer of 5xx (or
429) or a broken connection is tried again with the same bytes, 4xx is given up."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter
from typing import Callable

from support import remote_write
from support.ledger import Fate, Ledger, labels_key

STEP_MS = 250
BACKOFF_FIRST_SECONDS = 0.03
BACKOFF_MOST_SECONDS = 1.0
FINISH_SECONDS = 60

METRIC = "fleet_reading"


class Writer:
    """A thread that sends one sample of each of its series per request, a quarter of a second of their time apart."""

    def __init__(self, name: str, push_urls: Callable[[], list[str]], ledger: Ledger, series_count: int,
                 first_ms: int, tenant: str | None = None, pause_seconds: float = 0):
        self.name = name
        self.pause_seconds = pause_seconds
        self.push_urls = push_urls
        self.ledger = ledger
        self.first_ms = first_ms
        self.headers = {"X-Scope-OrgID": tenant}
        label_sets = [{"__name__": METRIC, "writer": name, "device": str(number)} for number in range(series_count)]
        self.keys = [labels_key(labels) for labels in label_sets]
        self.encoded = [remote_write.labels_message(sorted(labels.items())) for labels in label_sets]
        self.stopping = threading.Event()
        self.abandon = threading.Event()
        self.statuses: Counter[int | str] = Counter()
        self.rounds_started = 0
        self.rounds_acknowledged = 0
        self.thread = threading.Thread(target=self.run, name=f"writer {name}", daemon=True)

    def run(self) -> None:
        self.target = 0
        self.connection: remote_write.Connection | None = None
        for number in itertools.count():
            if self.stopping.is_set():
                break
            self.rounds_started = number + 1
            fate = self.send_round(number)
            if fate is Fate.ACKNOWLEDGED:
                self.rounds_acknowledged += 1
            if self.pause_seconds > 0:
                self.stopping.wait(self.pause_seconds)
        if self.connection:
            self.connection.close()

    def value(self, series: int, number: int) -> float:
        return series * 1_000_000 + number + 0.25

    def send_round(self, number: int) -> Fate:
        timestamp_ms = self.first_ms + number * STEP_MS
        request = b"".join(
            remote_write.time_series(labels, remote_write.sample(self.value(series, number), timestamp_ms))
            for series, labels in enumerate(self.encoded)
        )
        samples = [(key, timestamp_ms, self.value(series, number)) for series, key in enumerate(self.keys)]
        self.ledger.record_all(samples, Fate.UNKNOWN)
        fate = self.deliver(remote_write.snappy(request))
        self.ledger.record_all(samples, fate)
        return fate

    def deliver(self, body: bytes) -> Fate:
        """Tries until there is a final answer."""
        pause = BACKOFF_FIRST_SECONDS
        while not self.abandon.is_set():
            status = self.attempt(body)
            self.statuses[status] += 1
            if isinstance(status, int) and 200 <= status < 300:
                return Fate.ACKNOWLEDGED
            if isinstance(status, int) and 400 <= status < 500 and status != 429:
                return Fate.UNKNOWN  # a mixed request may have been stored in part
            self.target += 1  # as behind a load balancer: the next try may reach another distributor
            self.abandon.wait(pause)
            pause = min(pause * 2, BACKOFF_MOST_SECONDS)
        return Fate.UNKNOWN

    def attempt(self, body: bytes) -> int | str:
        urls = self.push_urls()
        url = urls[self.target % len(urls)]
        try:
            if self.connection is None or self.url != url:
                if self.connection:
                    self.connection.close()
                self.connection, self.url = remote_write.Connection(url), url
            return self.connection.post(body, self.headers).status
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__


class Fleet:
    """Several writers and the ledger they share, which pause after each request. A context manager: leaving it stops them."""

    def __init__(self, push_urls: Callable[[], list[str]], writers: int = 3, series: int = 100, tenant: str | None = None,
                 pause_seconds: float = 0):
        self.ledger = Ledger()
        self.first_ms = (int(time.time()) - 3 * 3600) * 1000
        self.writers = [
            Writer(f"w{number}", lambda shift=number: rotated(push_urls(), shift), self.ledger, series, self.first_ms, tenant,
                   pause_seconds)
            for number in range(writers)
        ]

    def __enter__(self) -> Fleet:
        for writer in self.writers:
            writer.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.abandon.set()
        self.finish()

    def finish(self) -> None:
        """Ends each writer after the request it is at, which it still delivers."""
        for writer in self.writers:
            writer.stopping.set()
        deadline = time.monotonic() + FINISH_SECONDS
        for writer in self.writers:
            writer.thread.join(max(0.0, deadline - time.monotonic()))
            if writer.thread.is_alive():
                writer.abandon.set()
                writer.thread.join()
                raise TimeoutError(f"{writer.name} could not deliver its last request: {dict(writer.statuses)}")

    def acknowledged(self) -> int:
        """Rounds acknowledged so far, over all writers."""
        return sum(writer.rounds_acknowledged for writer in self.writers)

    def statuses(self) -> Counter[int | str]:
        return sum((writer.statuses for writer in self.writers), Counter())

    def await_progress(self, rounds: int = 10, seconds: float = 60) -> None:
        """Returns when each writer has had this many more rounds acknowledged."""
        goals = [(writer, writer.rounds_acknowledged + rounds) for writer in self.writers]
        deadline = time.monotonic() + seconds
        for writer, goal in goals:
            while writer.rounds_acknowledged < goal:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{writer.name}: {writer.rounds_acknowledged} of {goal} rounds acknowledged "
                                       f"after {seconds} s; answers {dict(writer.statuses)}")
                time.sleep(0.01)


def rotated(urls: list[str], shift: int) -> list[str]:
    cut = shift % len(urls) if urls else 0
    return urls[cut:] + urls[:cut]
