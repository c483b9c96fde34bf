from __future__ import annotations

import pytest

from hms_svc.aws.settings import RouterSettingInvalid, RouterSettings

WHOLE = {
    "HMS_SVC_ROUTES": "ssm:/hms-svc/routes",
    "HMS_SVC_LIMITS": "dynamodb:limits",
    "HMS_SVC_AUDIT": "firehose:audit",
}


def test_the_router_knows_its_stores_from_its_environment() -> None:
    more = {
        "HMS_SVC_KEYS": "dynamodb:keys",
        "HMS_SVC_JOBS": "sqs:https://sqs.us-east-1.amazonaws.com/123456789012/jobs",
        "HMS_SVC_JOBS_BUCKET": "job-bodies",
        "HMS_SVC_ROUTES_MAX_AGE": "5",
        "HMS_SVC_KEYS_CACHE": "7",
    }
    assert RouterSettings.from_environment(WHOLE | more) == RouterSettings(
        routes="/hms-svc/routes",
        limits="limits",
        audit="audit",
        keys="keys",
        jobs="https://sqs.us-east-1.amazonaws.com/123456789012/jobs",
        jobs_bucket="job-bodies",
        routes_max_age_s=5,
        keys_cache_s=7,
    )


def test_what_is_optional_may_be_left_out() -> None:
    settings = RouterSettings.from_environment(WHOLE)
    assert (settings.keys, settings.jobs, settings.jobs_bucket) == (None, None, None)
    assert (settings.routes_max_age_s, settings.keys_cache_s) == (30, 60)


def test_limits_in_memory_and_audit_in_the_log_have_to_be_asked_for() -> None:
    settings = RouterSettings.from_environment(WHOLE | {"HMS_SVC_LIMITS": "memory:", "HMS_SVC_AUDIT": "log:"})
    assert (settings.limits, settings.audit) == ("memory", "log")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("HMS_SVC_ROUTES", "", "HMS_SVC_ROUTES is not set; write ssm:/hms-svc/routes"),
        ("HMS_SVC_ROUTES", "file:routes.yml", "HMS_SVC_ROUTES is not file:routes.yml; write ssm:/hms-svc/routes"),
        ("HMS_SVC_LIMITS", "dynamodb:", "HMS_SVC_LIMITS is not dynamodb:; write dynamodb:TABLE"),
        ("HMS_SVC_AUDIT", "firehose:a/b", "HMS_SVC_AUDIT is not firehose:a/b; write firehose:STREAM"),
        ("HMS_SVC_KEYS", "keys", "HMS_SVC_KEYS is not keys; write dynamodb:TABLE"),
        ("HMS_SVC_JOBS", "sqs:jobs", "HMS_SVC_JOBS is not sqs:jobs; write sqs:https://QUEUE_URL"),
        ("HMS_SVC_JOBS_BUCKET", "No", "HMS_SVC_JOBS_BUCKET is the name of an S3 bucket, not No"),
        (
            "HMS_SVC_ROUTES_MAX_AGE",
            "0",
            "HMS_SVC_ROUTES_MAX_AGE is a whole number of seconds from 1 to 3600, not 0",
        ),
        ("HMS_SVC_KEYS_CACHE", "9h", "HMS_SVC_KEYS_CACHE is a whole number of seconds from 1 to 3600, not 9h"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, text: str, sentence: str) -> None:
    with pytest.raises(RouterSettingInvalid) as raised:
        RouterSettings.from_environment(WHOLE | {name: text})
    assert str(raised.value) == sentence
