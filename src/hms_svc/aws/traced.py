"""Calls to private services as X-Ray subsegments, by Powertools, for requests that Lambda has chosen to trace.

The tracer is imported with the first such request: its library takes longer to import than all the rest of the router.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.ports import Upstream, UpstreamRequest, UpstreamResponse

_SAMPLED = re.compile(r"(?:^|;)\s*Sampled=1(?:;|\Z)")


class TracedUpstream:
    """An `Upstream` that hands everything to another one."""

    def __init__(self, upstream: Upstream, environment: Mapping[str, str]) -> None:
        """``environment`` holds ``_X_AMZN_TRACE_ID`` during an invocation, by which it is known what is traced."""
        self._upstream = upstream
        self._environment = environment
        self._provider: Any = None

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """The other one's answer, and what it raises; the subsegment says the method, the host and the status."""
        if not _SAMPLED.search(self._environment.get("_X_AMZN_TRACE_ID", "")):
            return await self._upstream.send(request)
        if self._provider is None:
            from aws_lambda_powertools.tracing import Tracer

            self._provider = Tracer(service="hms-svc", auto_patch=False).provider
        with self._provider.in_subsegment(name=request.target.host, namespace="remote") as subsegment:
            subsegment.put_http_meta("method", request.method)
            answer = await self._upstream.send(request)
            subsegment.put_http_meta("status", answer.status)
            return answer
