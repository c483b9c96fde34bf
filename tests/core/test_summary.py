from __future__ import annotations

import pytest

from hms_svc.core.config import Enqueue, Forward, Limit, Redirect, Route, Target
from hms_svc.core.summary import destination, limit_text
from hms_svc.core.windows import DAY_S, MONTH_S

CLAIMS = Target("http", "claims", 9001, path="/v1")


def leads_to(action: Forward | Redirect | Enqueue) -> str:
    return destination(Route(name="r", path="/r", action=action, auth=()))


def test_a_route_leads_to_its_services_a_redirection_or_a_queue() -> None:
    assert leads_to(Forward((CLAIMS, Target("https", "other", 443)))) == "http://claims:9001/v1, https://other"
    assert leads_to(Redirect(301)) == "redirect 301"
    assert leads_to(Enqueue("sqs:reports")) == "queue sqs:reports"


def test_a_route_whose_callers_may_prefer_a_job_says_both() -> None:
    action = Forward((CLAIMS,), if_async=Enqueue("sqs:reports"))
    assert leads_to(action) == "http://claims:9001/v1 (queue sqs:reports if preferred)"


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit(30, 60, 30), "30/m"),
        (Limit(30, 60, 10, per="token", shadow=True), "30/m burst 10 per_token (shadow)"),
        (Limit(9, MONTH_S, 9), "9/month"),
        (Limit(9, 60, 9, cost_header="X-Cost", max_cost=9), "9/m cost from X-Cost"),
        (
            Limit(9, 1, 9, per="caller", plan_claim="plan", plans={"a": Limit(90, 1, 90), "b": Limit(9, 60, 10)}),
            "9/s per_caller by plan: a 90/s, b 9/m burst 10",
        ),
        (Limit(9, DAY_S, 9, per="caller", window="calendar"), "9/d calendar per_caller"),
    ],
)
def test_a_limit_in_a_few_words(limit: Limit, text: str) -> None:
    assert limit_text(limit) == text
