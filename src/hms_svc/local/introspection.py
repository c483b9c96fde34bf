"""Issuers asked about tokens by a gateway that runs as a server: the `Introspection` of one machine.

All who wait for the same token share one question; there are at most `MAX_AT_ONCE` of them at a time, and none of them
takes longer than its time. Whoever gives up waiting does not end the question.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.introspect import BUDGET_S

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.local.introspect import Introspector

MAX_AT_ONCE = 16


class SharedIntrospection:
    """An `Introspection` over another one that suspends."""

    def __init__(self, introspector: Introspector, *, patience_s: float = BUDGET_S) -> None:
        """``patience_s`` is for a question with all that belongs to it, in seconds."""
        self._introspector = introspector
        self._patience_s = patience_s
        self._under_way: dict[tuple[Issuer, str], asyncio.Task[bytes | str]] = {}

    async def introspect(self, issuer: Issuer, token: str) -> bytes:
        """The answer. Raises `StoreUnavailable`."""
        question = (issuer, token)
        task = self._under_way.get(question)
        if task is None:
            if len(self._under_way) >= MAX_AT_ONCE:
                raise StoreUnavailable(f"issuer {issuer.name} is asked about {MAX_AT_ONCE} tokens already")
            task = self._under_way[question] = asyncio.get_running_loop().create_task(self._ask(issuer, token))
            task.add_done_callback(lambda _: self._under_way.pop(question))
        await asyncio.wait({task})
        outcome = task.result()
        if isinstance(outcome, str):
            raise StoreUnavailable(outcome)
        return outcome

    async def _ask(self, issuer: Issuer, token: str) -> bytes | str:
        """The answer, or why there is none: an exception would be lost where nobody waits any more."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._introspector.introspect(issuer, token)
        except StoreUnavailable as error:
            return str(error)
        except TimeoutError:
            fault = "it takes too long to answer"
            self._introspector.leave_alone(issuer, fault)
            return f"issuer {issuer.name} cannot be asked: {fault}"
