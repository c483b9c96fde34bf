"""Which stores and endpoints a gateway on one machine uses, read from the environment and the command line once.

A store is named ``kind:place``. The kinds of AWS (``ssm:``, ``dynamodb:``, ``firehose:``, ``sqs:``, ``s3:``) belong to
the Lambda router and are refused here with a sentence that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = Path(".hms-svc")
"""The folder for what a gateway on this machine keeps, below the current one."""
DEFAULT_POLICIES = Path("layers/policies")
_AWS_KINDS = frozenset({"ssm", "dynamodb", "firehose", "sqs", "s3"})


class SettingInvalid(Exception):  # noqa: N818  (named for what it means)
    """A setting that cannot be used; the message is one sentence for the person who wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything `wiring` needs to know."""

    routes: Path | None = None
    """None: the gateway starts empty and waits for a reload."""
    policies: Path | None = None
    """The folder of plug-ins; None: only importable modules."""
    keys: Path = STATE / "keys.json"
    audit: Path | None = STATE / "audit.jsonl"
    """None: no file."""
    jobs: Path = STATE / "jobs.sqlite"
    crl: Path | None = None
    """The revocation lists of client certificates; None: no list is asked."""
    client_ca: Path | None = None
    """The authorities of client certificates, which sign the lists; None: there are no client certificates."""
    ops_url: str | None = None
    token: str | None = None
    """The admin token; None: no admin interface."""
    demo: bool = False
    state: Path = STATE

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: object) -> Settings:
        """The settings that ``environment`` names; what the command line gave wins. Raises `SettingInvalid`."""
        values: dict[str, object] = {
            "keys": file_of("HMS_SVC_KEYS", environment.get("HMS_SVC_KEYS"), STATE / "keys.json"),
            "jobs": file_of("HMS_SVC_JOBS", environment.get("HMS_SVC_JOBS"), STATE / "jobs.sqlite"),
            "token": environment.get("HMS_SVC_TOKEN") or None,
            "ops_url": _url("HMS_OPS_URL", environment.get("HMS_OPS_URL")),
        }
        if environment.get("HMS_SVC_ROUTES"):
            values["routes"] = file_of("HMS_SVC_ROUTES", environment["HMS_SVC_ROUTES"], STATE)
        if environment.get("HMS_SVC_LIMITS", "memory:") != "memory:":
            raise SettingInvalid(f"HMS_SVC_LIMITS is memory: on one machine, not {environment['HMS_SVC_LIMITS']}")
        if environment.get("HMS_SVC_CRL"):
            values["crl"] = file_of("HMS_SVC_CRL", environment["HMS_SVC_CRL"], STATE)
        audit = environment.get("HMS_SVC_AUDIT")
        if audit == "none:" and not values["ops_url"]:
            raise SettingInvalid("HMS_SVC_AUDIT is none: but HMS_OPS_URL is not set: calls would leave no record")
        values["audit"] = None if audit == "none:" else file_of("HMS_SVC_AUDIT", audit, STATE / "audit.jsonl")
        settings = cls(**(values | {name: value for name, value in given.items() if value is not None}))  # type: ignore[arg-type]  # the names and types are this class's own, put together from two sources
        if settings.crl is not None and settings.client_ca is None:
            raise SettingInvalid("--client-crl (HMS_SVC_CRL) goes with --client-ca, whose authorities sign the lists")
        return settings


def file_of(setting: str, text: str | None, default: Path) -> Path:
    """The file that ``file:…`` names; a plain path is taken too. Raises `SettingInvalid` for another kind."""
    if not text:
        return default
    kind, colon, place = text.partition(":")
    if not colon:
        return Path(text)
    if kind == "file" and place:
        return Path(place)
    if kind in _AWS_KINDS:
        raise SettingInvalid(f"{setting}={text} is a store of the Lambda router; on one machine it is file:PATH")
    raise SettingInvalid(f"{setting} names a store as file:PATH, not {text}")


def _url(setting: str, text: str | None) -> str | None:
    if not text:
        return None
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise SettingInvalid(f"{setting} is no http or https URL")
    return text
