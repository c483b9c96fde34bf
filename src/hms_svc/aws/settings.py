"""Which stores the Lambda router uses, read from its environment variables once. template.yaml sets each of them.

A store that the router cannot do without (routes, limits, audit) has no default: a router that counts or records
nothing must not come about by a typing error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_AGE_S = 3_600
"""The largest age of routes and of cached keys that can be set, in seconds."""
_SSM = re.compile(r"/[A-Za-z0-9_.\-/]{1,900}")
TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}|arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[A-Za-z0-9_.-]{3,255}")
_STREAM = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_QUEUE = re.compile(r"https?://[^\s?#]{1,900}")
_OBJECT = re.compile(
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9!_.'()/=+@,:~&-]{1,900}(?:\?versionId=[A-Za-z0-9._-]{1,1024})?"
)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class RouterSettingInvalid(Exception):  # noqa: N818  (named for what it means)
    """An environment variable that is missing or cannot be used; the message names it and says what it should be."""


class RouterSettings(NamedTuple):
    """Everything the router needs to know."""

    routes: str
    """The SSM parameter that holds routes.yml."""
    limits: str
    """The DynamoDB table of the rate limits; ``memory`` for buckets in each environment only."""
    audit: str
    """The Firehose stream; ``log`` writes every record to the function's log instead."""
    keys: str | None
    """The DynamoDB table of API keys; None: there are none, so a route with ``auth: api_key`` answers 401."""
    jobs: str | None
    """The URL of the SQS queue for routes that name none of their own; None: such a route answers 503."""
    jobs_bucket: str | None
    """The S3 bucket for the bodies of jobs that are too big for a message."""
    routes_max_age_s: int = 30
    keys_cache_s: int = 60
    crl: str | None = None
    """The S3 object of the revocation lists of client certificates, ``BUCKET/KEY``; None: no list is asked."""
    client_ca: str | None = None
    """The S3 object of the authorities that sign them: API Gateway's truststore, with its version if it has one.
    None: no rule with an ``issuer`` can be followed."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RouterSettings:
        """The settings that ``environment`` holds. Raises `RouterSettingInvalid`."""
        crl = _optional(environment, "HMS_SVC_CRL", "s3", _OBJECT, example="s3:BUCKET/KEY")
        client_ca = _optional(
            environment, "HMS_SVC_CLIENT_CA", "s3", _OBJECT, example="s3:BUCKET/KEY?versionId=VERSION"
        )
        if crl is not None and client_ca is None:
            raise RouterSettingInvalid("HMS_SVC_CRL needs HMS_SVC_CLIENT_CA, the authorities that sign the lists")
        return cls(
            routes=_place(environment, "HMS_SVC_ROUTES", "ssm", _SSM, example="ssm:/hms-svc/routes"),
            limits=_or_word(environment, "HMS_SVC_LIMITS", "memory:")
            or _place(environment, "HMS_SVC_LIMITS", "dynamodb", TABLE, example="dynamodb:TABLE"),
            audit=_or_word(environment, "HMS_SVC_AUDIT", "log:")
            or _place(environment, "HMS_SVC_AUDIT", "firehose", _STREAM, example="firehose:STREAM"),
            keys=_optional(environment, "HMS_SVC_KEYS", "dynamodb", TABLE, example="dynamodb:TABLE"),
            jobs=_optional(environment, "HMS_SVC_JOBS", "sqs", _QUEUE, example="sqs:https://QUEUE_URL"),
            jobs_bucket=_bucket(environment),
            routes_max_age_s=_seconds(environment, "HMS_SVC_ROUTES_MAX_AGE", 30),
            keys_cache_s=_seconds(environment, "HMS_SVC_KEYS_CACHE", 60),
            crl=crl,
            client_ca=client_ca,
        )


def _or_word(environment: Mapping[str, str], name: str, word: str) -> str | None:
    return word.removesuffix(":") if environment.get(name) == word else None


def _optional(
    environment: Mapping[str, str], name: str, kind: str, form: re.Pattern[str], *, example: str
) -> str | None:
    return _place(environment, name, kind, form, example=example) if environment.get(name) else None


def _place(environment: Mapping[str, str], name: str, kind: str, form: re.Pattern[str], *, example: str) -> str:
    text = environment.get(name, "")
    given, colon, place = text.partition(":")
    if not colon or given != kind or not form.fullmatch(place):
        raise RouterSettingInvalid(f"{name} is {f'not {text}' if text else 'not set'}; write {example}")
    return place


def _bucket(environment: Mapping[str, str]) -> str | None:
    text = environment.get("HMS_SVC_JOBS_BUCKET")
    if text and not _BUCKET.fullmatch(text):
        raise RouterSettingInvalid(f"HMS_SVC_JOBS_BUCKET is the name of an S3 bucket, not {text}")
    return text or None


def _seconds(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_AGE_S):
        raise RouterSettingInvalid(f"{name} is a whole number of seconds from 1 to {MAX_AGE_S}, not {text}")
    return int(text)
