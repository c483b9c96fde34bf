"""What operators see of the router: JSON log lines and metrics, by Powertools, both written to the function's log.

Metrics are in CloudWatch's embedded metric format. Nothing here decides anything; no caller, path or header is a
dimension, so there are as many metrics as routes and outcomes.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

if TYPE_CHECKING:
    from typing import Any, TextIO

    from hms_svc.core.entry import Entry

NAMESPACE = "hms-svc"
NO_ROUTE = "none"
"""The dimension ``route`` of what no route served."""
INSTEAD = {"local": "LimitsDecidedLocally", "allow": "LimitsAllowedUnasked", "deny": "LimitsDeniedUnasked"}
"""The metrics of requests whose limits' ``on_error`` decided, because the store did not."""
_MS = 1_000_000
_log = logging.getLogger("hms_svc")
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


class Telemetry:
    """Logs and metrics of one environment. Metrics are collected during an invocation and written by `flush`."""

    def __init__(self, level: str = "INFO", log: TextIO | None = None, service: str = "hms-svc") -> None:
        """``service`` tells one gateway from another in the same account: the dimension of every metric.

        ``level`` is that of the least important lines written to ``log``, which is the standard output for None.
        """
        self._service = service
        self._lines = LambdaPowertoolsFormatter(service=service)
        handler = logging.StreamHandler(log or sys.stdout)
        handler.setFormatter(self._lines)
        for logger in (_log, logging.getLogger("py.warnings")):
            logger.handlers, logger.propagate = [handler], False
        _log.setLevel(level)
        logging.captureWarnings(capture=True)
        self._counts: dict[tuple[str, str], float] = {}
        self._requests: list[tuple[str, str, float, float | None]] = []

    def begin(self, context: Any) -> None:
        """An invocation begins: its log lines carry the function's and the request's names."""
        self._lines.append_keys(function_request_id=getattr(context, "aws_request_id", ""))

    def count(self, name: str, n: int = 1) -> None:
        """Add ``n`` to the metric ``name``: ``LimitStoreCalls``, say."""
        self._counts[name, "Count"] = self._counts.get((name, "Count"), 0) + n

    def gauge(self, name: str, seconds: float) -> None:
        """The metric ``name`` stands at ``seconds``: ``RoutesAgeSeconds``."""
        self._counts[name, "Seconds"] = seconds

    def warn(self, text: str) -> None:
        """Something is not as it should be, and the router goes on."""
        _log.warning("%s", text)

    def closed(self, entry: Entry, ended_ns: int) -> None:
        """The record of a request was closed: count it by its route and its outcome."""
        self._lines.append_keys(correlation_id=entry.request_id)
        upstream_ms = None if entry.upstream_ns is None else entry.upstream_ns / _MS
        route = entry.route.name if entry.route else NO_ROUTE
        self._requests.append((route, outcome(entry), max(0, ended_ns - entry.started_ns) / _MS, upstream_ms))
        if any(verdict.error for verdict in entry.limits):
            self.count("LimitStoreErrors")
            for on_error in sorted({verdict.on_error for verdict in entry.limits if verdict.on_error}):
                self.count(INSTEAD[on_error])
        if entry.cause:
            level = logging.ERROR if (entry.status or _SERVER_ERROR) >= _SERVER_ERROR else logging.INFO
            _log.log(level, "refused: %s", entry.refusal or "incomplete", extra={"status": entry.status})

    def flush(self) -> None:
        """Write what was collected to the log, one line for each set of dimensions."""
        requests, self._requests = self._requests, []
        for route, how, took_ms, upstream_ms in requests:
            metrics = AmazonCloudWatchEMFProvider(
                namespace=NAMESPACE, service=self._service, metric_set={}, dimension_set={}
            )
            metrics.add_dimension("route", route)
            metrics.add_dimension("outcome", how)
            metrics.add_metric("Requests", "Count", 1)
            metrics.add_metric("Latency", "Milliseconds", round(took_ms, 3))
            if upstream_ms is not None:
                metrics.add_metric("UpstreamLatency", "Milliseconds", round(upstream_ms, 3))
            metrics.flush_metrics()
        counts, self._counts = self._counts, {}
        if counts:
            metrics = AmazonCloudWatchEMFProvider(
                namespace=NAMESPACE, service=self._service, metric_set={}, dimension_set={}
            )
            for (name, unit), value in counts.items():
                metrics.add_metric(name, unit, value)
            metrics.flush_metrics()

    def _metrics(self) -> AmazonCloudWatchEMFProvider:
        """An empty set of metrics, one line of the log to be."""
        return AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service=self._service, metric_set={}, dimension_set={})


def outcome(entry: Entry) -> str:
    """One of a few words for how a request ended: the problem type of a refusal, else the class of its status."""
    if entry.refusal:
        return entry.refusal
    if entry.incomplete or entry.status is None:
        return "incomplete"
    if entry.status < _CLIENT_ERROR:
        return "served"
    return "served-4xx" if entry.status < _SERVER_ERROR else "served-5xx"
