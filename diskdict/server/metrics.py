"""What a server did, in the text of Prometheus: ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diskdict.server.served import ServedDict
from diskdict.server.service import Service

_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Sizes(Collector):
    """Keys and bytes of the store, at the moment of asking."""

    def __init__(self, served: ServedDict) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        keys, size = self._served.sizes()
        yield GaugeMetricFamily("diskdict_keys", "Keys that have not expired.", value=keys)
        yield GaugeMetricFamily("diskdict_payload_bytes", "Bytes of all values.", value=size)


class Metrics:
    """The route, and what counts requests around an application."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = CollectorRegistry()
        self._registry.register(_Sizes(service.served))
        self._requests = Counter(
            "diskdict_http_requests", "Requests by method and status.", ("method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "diskdict_http_seconds",
            "Seconds from a request to the beginning of its response.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._counters: dict[tuple[str, int], Counter] = {}

    def routes(self) -> list[Route]:
        """Return it."""
        return [Route("/metrics", self.metrics, methods=["GET"])]

    async def metrics(self, _request: Request) -> Response:
        """Answer with all numbers."""
        text = await self._service.changing(generate_latest, self._registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    def counting(self, app: ASGIApp) -> ASGIApp:
        """Return the application with its requests counted; a middleware."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            begin = perf_counter()

            async def sent(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._seconds.observe(perf_counter() - begin)
                    self._counter(scope["method"], message["status"]).inc()
                await send(message)

            await app(scope, receive, sent if scope["type"] == "http" else send)

        return counted

    def _counter(self, method: str, status: int) -> Counter:
        known = self._counters.get((method, status))
        if known is None:
            # Methods that nobody knows would be numbers without end.
            label = method if method in ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS") else "other"
            known = self._requests.labels(label, str(status))
            if label == method:
                self._counters[method, status] = known
        return known
