"""What a server did, in the text of Prometheus: ``/metrics``."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import accumulate
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diskdict.queues.given import Counts
from diskdict.server.service import Service

_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"})


class Metrics(Collector):
    """The route, and what counts requests around an application.

    The numbers are plain ones, changed by the loop alone: counters with locks would cost more than the rest of a
    request to a small value.
    """

    def __init__(self, service: Service, queues: Callable[[], Awaitable[Mapping[str, Counts]]]) -> None:
        self._service = service
        self._queues = queues
        self._counts: Mapping[str, Counts] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def routes(self) -> list[Route]:
        """Return it."""
        return [Route("/metrics", self.metrics, methods=["GET"])]

    async def metrics(self, _request: Request) -> Response:
        """Answer with all numbers."""
        self._counts = await self._queues()
        text = await self._service.changing(generate_latest, self._registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted, and what is in the store and its queues at this moment."""
        requests = CounterMetricFamily(
            "diskdict_http_requests", "Requests by method and status.", labels=("method", "status")
        )
        for (method, status), number in self._requests.copy().items():
            requests.add_metric((method, str(status)), number)
        yield requests
        bounds = [*map(str, _BOUNDS), "+Inf"]
        yield HistogramMetricFamily(
            "diskdict_http_seconds",
            "Seconds from a request to the beginning of its response.",
            buckets=list(zip(bounds, accumulate(self._buckets), strict=True)),
            sum_value=self._seconds,
        )
        keys, size = self._service.served.sizes()
        yield GaugeMetricFamily("diskdict_keys", "Keys that have not expired.", value=keys)
        yield GaugeMetricFamily("diskdict_payload_bytes", "Bytes of all values.", value=size)
        items = GaugeMetricFamily("diskdict_queue_items", "Items by queue and state.", labels=("queue", "state"))
        for name, counts in self._counts.items():
            for state, number in counts._asdict().items():
                items.add_metric((name, state), number)
        yield items

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is is known when it is asked for."""
        return iter(())

    def counting(self, app: ASGIApp) -> ASGIApp:
        """Return the application with its requests counted; a middleware."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            begin = perf_counter()

            async def sent(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._count(scope["method"], message["status"], perf_counter() - begin)
                await send(message)

            await app(scope, receive, sent if scope["type"] == "http" else send)

        return counted

    def _count(self, method: str, status: int, seconds: float) -> None:
        # Methods that nobody knows would be numbers without end.
        self._requests[method if method in _METHODS else "other", status] += 1
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds
