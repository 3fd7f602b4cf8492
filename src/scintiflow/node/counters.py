"""What the node counts, for monitoring; no identity in any label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)


class Counters:
    """Since the node started; a gauge says what is now."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = self._counter("received", "Objects taken into the spool")
        self.repeated = self._counter("repeated", "Objects that came again and were there already")
        self.declined = self._counter("declined", "Objects declined because the spool could not take them")
        self.strangers = self._counter("turned_away", "Callers that are not allowed")
        self.restored = self._counter("restored", "Scans restored")
        self.contradicted = self._counter("contradicted", "Scans restored and marked: their counts contradict them")
        self.refused = Counter(
            "scintiflow_node_refused", "Objects set aside, by reason", ["code"], registry=self.registry
        )
        self.sent = self._counter("sent", "Results that the peer has")
        self.in_doubt = self._counter("in_doubt", "Results whose sending was begun before and never confirmed")
        self.failures = self._counter("peer_failures", "Attempts to send that failed")
        self.seconds = Histogram(
            "scintiflow_node_restore_seconds", "Time to restore a scan", buckets=SECONDS, registry=self.registry
        )
        self.waiting = Gauge(
            "scintiflow_node_items", "Items in the spool now, by state", ["state"], registry=self.registry
        )
        self.oldest = self._gauge("oldest_seconds", "How long the oldest item has been waiting")
        self.peer_up = self._gauge("peer_up", "1 if the last attempt to reach the peer succeeded")
        self.model = Gauge(
            "scintiflow_node_model",
            "The model in use; always 1",
            ["name", "version", "sha256"],
            registry=self.registry,
        )

    def _counter(self, name: str, words: str) -> Counter:
        return Counter(f"scintiflow_node_{name}", words, registry=self.registry)

    def _gauge(self, name: str, words: str) -> Gauge:
        return Gauge(f"scintiflow_node_{name}", words, registry=self.registry)
