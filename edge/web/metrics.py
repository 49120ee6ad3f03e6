"""What Prometheus reads: figures of the board, in a registry of their own."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from edge import __version__
from edge.messages import Message, Tick

from .board import Board
from .standing import LEVELS

LATE_MS = 1000.0
"""A second of a live source that is decided so long after its end is late: the next is over by then."""
LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OF = ("node", "source")


class Metrics:
    """Counts messages as they come; all else is read from the board when it is asked for."""

    def __init__(self, board: Board) -> None:
        self._board, self._registry = board, CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self._registry
        self._seconds = Counter("touchline_seconds", "Seconds judged", _OF, registry=registry)
        self._late = Counter("touchline_late_seconds", "Seconds of a live source decided late", _OF, registry=registry)
        self._events = Counter("touchline_events", "Events begun", (*_OF, "label"), registry=registry)
        self._latency = Histogram(
            "touchline_decision_latency_seconds",
            "From the complete second to its decision",
            _OF,
            buckets=LATENCIES,
            registry=registry,
        )
        registry.register(self)

    def take(self, message: Message) -> None:
        """Count a message."""
        of = (message.node, message.source)
        if f"{message.node}/{message.source}" not in self._board.sources:
            return
        if isinstance(message, Tick):
            self._seconds.labels(*of).inc()
            self._latency.labels(*of).observe(message.latency_ms["clip_to_decision"] / 1000)
            self._late.labels(*of).inc(message.latency_ms.get("end_to_decision", 0) > LATE_MS)
        elif message.type == "new":
            self._events.labels(*of, message.label).inc()

    def write(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What is read from the board."""
        yield from self._of_sources()
        yield from self._of_nodes()
        build = GaugeMetricFamily("touchline_build", "The version that runs", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build
        yield GaugeMetricFamily("touchline_streams", "Open event streams", value=len(self._board.watchers))
        yield CounterMetricFamily(
            "touchline_stream_messages_dropped", "Messages dropped for slow watchers", value=self._board.dropped
        )

    def _of_sources(self) -> Iterator[Metric]:
        level = GaugeMetricFamily("touchline_source_level", "1 for the level that holds", labels=(*_OF, "level"))
        state = GaugeMetricFamily("touchline_source_state", "1 for the state that holds", labels=(*_OF, "state"))
        mode = GaugeMetricFamily("touchline_mode", "1 for the mode that holds", labels=(*_OF, "mode"))
        dropped = CounterMetricFamily("touchline_dropped_seconds", "Seconds dropped or missing", labels=_OF)
        reconnects = CounterMetricFamily("touchline_source_reconnects", "Connections made anew", labels=_OF)
        rate = GaugeMetricFamily("touchline_source_frames_per_second", "Pictures that arrive", labels=_OF)
        offset = GaugeMetricFamily("touchline_source_av_offset_seconds", "Sound behind picture", labels=_OF)
        for source in self._board.sources.values():
            of, standing = (source.node, source.source), source.standing
            if standing is None:
                continue
            for one in LEVELS:
                level.add_metric((*of, one), one == standing.level)
            state.add_metric((*of, standing.state), 1)
            mode.add_metric((*of, standing.mode), 1)
            dropped.add_metric(of, standing.seconds_dropped)
            reconnects.add_metric(of, standing.reconnects)
            if standing.frames_per_second is not None:
                rate.add_metric(of, standing.frames_per_second)
            if standing.av_offset_ms is not None:
                offset.add_metric(of, standing.av_offset_ms / 1000)
        yield from (level, state, mode, dropped, reconnects, rate, offset)

    def _of_nodes(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "touchline_part_level", "1 for the level that holds", labels=("node", "part", "level")
        )
        depth = GaugeMetricFamily("touchline_outbox_depth", "Messages that wait", labels=("node", "kind"))
        for name, node in self._board.nodes.items():
            for part, health in node.standing.parts.items():
                for level in LEVELS:
                    state.add_metric((name, part, level), level == health.level)
            for kind, account in node.standing.outbox.items():
                depth.add_metric((name, kind), account.queued)
        yield from (state, depth)
