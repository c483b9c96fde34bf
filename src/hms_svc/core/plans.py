"""Which of a limit's plans a caller is on, by a claim of who calls.

Plans have buckets of their own: a bucket is a moment, and that of a slow plan would be an empty one to a fast plan,
which would then forgive it. So who changes plan finds the other plan's bucket, and on the way back the first as it was
left: who has credentials of two plans gets the sum of the two, once, and no change fills a bucket. A calendar window
has a count, which is the same to all plans: what was used of it is used after a change, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hms_svc.core.config import Limit
    from hms_svc.core.model import Caller


def planned(limit: Limit, caller: Caller) -> Limit:
    """The limit of the caller's plan; ``limit`` itself for who is on none of them.

    Of a claim that is a list, the plan counts that stands first in the file.
    """
    claim = caller.claims.get(limit.plan_claim)
    held = claim if isinstance(claim, list | tuple) else (claim,)
    for plan, own in limit.plans.items():
        if plan in held:
            return own
    return limit
