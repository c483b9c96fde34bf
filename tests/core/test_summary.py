from __future__ import annotations

from hms_svc.core.model import Enqueue, Forward, Redirect, Route, Target
from hms_svc.core.summary import destination

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
