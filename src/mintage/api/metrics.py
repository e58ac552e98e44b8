"""Prometheus metrics: counts of calls, latency, batches, queues, receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mintage.core.background import standings
from mintage.core.types import Batch

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32)
_BATCH_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10)
UNKNOWN = "-"
"""Stands where a call named no product of ours: a stranger's names must not become series."""


class Metrics:
    """One server's metrics, in a registry of their own."""

    media_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "mintage_calls",
            "Calls by product, model version and outcome.",
            ("product", "version", "outcome"),
            registry=self._registry,
        )
        self._latency = Histogram(
            "mintage_latency_seconds",
            "From a call's arrival to its answer, of answered calls.",
            ("product",),
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "mintage_batch_items",
            "Calls answered together.",
            ("product", "version"),
            buckets=_BATCH_BUCKETS,
            registry=self._registry,
        )
        self._queued = self._seconds("mintage_queue_seconds", "From a call's body to its batch.")
        self._decoding = self._seconds("mintage_decode_seconds", "Decoding the uploads of a batch.")
        self._inference = self._seconds("mintage_inference_seconds", "Inference of a batch.")
        self._receipts = Counter(
            "mintage_receipts", "Receipts given.", ("product",), registry=self._registry
        )

        # Of several processes those that live are added up; see ``workers``.
        self._waiting = Gauge(
            "mintage_queue_length",
            "Calls that are not answered yet.",
            ("product",),
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self._queues: Callable[[], Mapping[str, int]] = dict
        self._explanations = Counter(
            "mintage_explanations",
            "Explanations asked for, by product and outcome.",
            ("product", "outcome"),
            registry=self._registry,
        )
        # To look one up by its labels takes three times as long as to count.
        self._call = cache(self._calls.labels)
        self._answer = cache(
            lambda product: (self._latency.labels(product), self._receipts.labels(product))
        )

        self._shadows = Counter(
            "mintage_shadow",
            "Answers of a shadow, by how they compare with those that were given.",
            ("product", "version", "compared"),
            registry=self._registry,
        )
        self._registry.register(Background())

    def _seconds(self, name: str, what: str) -> Histogram:
        return Histogram(
            name, what, ("product", "version"), buckets=_BATCH_SECONDS, registry=self._registry
        )

    def call(self, product: str, version: str, outcome: str) -> None:
        """Count a call; ``outcome`` is a usage event's, or why it never reached the product."""
        self._call(product, version, outcome).inc()

    def answered(self, product: str, seconds: float) -> None:
        """Count an answer that left with its receipt, and how long it took."""
        latency, receipts = self._answer(product)
        latency.observe(seconds)
        receipts.inc()

    def explanation(self, product: str, outcome: str) -> None:
        """Count an explanation that was asked for, and what became of it."""
        self._explanations.labels(product, outcome).inc()

    def shadow(self, product: str, version: str, compared: str) -> None:
        """Count an answer of a shadow, which nobody got."""
        self._shadows.labels(product, version, compared).inc()

    def batch(self, product: str, batch: Batch) -> None:
        """Count a batch, what its calls waited for it, and what it took."""
        labels = product, batch.version
        self._batches.labels(*labels).observe(batch.items)
        waited = self._queued.labels(*labels)
        for seconds in batch.queue_seconds:
            waited.observe(seconds)
        self._decoding.labels(*labels).observe(batch.decode_seconds)
        self._inference.labels(*labels).observe(batch.infer_seconds)

    def watch(self, queues: Callable[[], Mapping[str, int]]) -> None:
        """Have the queues' lengths read whenever the metrics are."""
        self._queues = queues

    def sample(self) -> None:
        """Read the queues' lengths."""
        for product, length in self._queues().items():
            self._waiting.labels(product).set(length)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        self.sample()
        return generate_latest(self._registry)


class _Audits:
    """When audits are due, for Prometheus to collect."""

    def __init__(self, due: Mapping[str, str | None]) -> None:
        self._due = due

    def collect(self) -> Iterator[Metric]:
        """One series a version that is sold."""
        found = GaugeMetricFamily(
            "mintage_audit_due_timestamp_seconds",
            "When the next audit of a version that is sold is due; 0 where none ever was.",
            labels=("model", "version"),
        )
        for model, due_at in self._due.items():
            due = 0.0 if due_at is None else datetime.fromisoformat(due_at).timestamp()
            name, __, version = model.partition("@")
            found.add_metric((name, version), due)
        yield found


def audits_text(due: Mapping[str, str | None]) -> bytes:
    """When audits are due, as Prometheus reads it; ``due`` is a moment by ``name@version``."""
    registry = CollectorRegistry()
    registry.register(_Audits(due))
    return generate_latest(registry)


class Background(Collector):
    """How what this process does beside answering fares: heads, notices, models' servers."""

    def collect(self) -> Iterator[Metric]:
        """As it is now."""
        failures = CounterMetricFamily(
            "mintage_background_failures", "Failures of work in the background.", labels=["work"]
        )
        failing = GaugeMetricFamily(
            "mintage_background_failing",
            "1 where work in the background failed the last time.",
            labels=["work"],
        )
        for each in standings():
            failures.add_metric([each.name], each.failures)
            failing.add_metric([each.name], each.is_failing)
        yield failures
        yield failing
