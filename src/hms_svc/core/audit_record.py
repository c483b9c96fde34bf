"""What an `Entry` says in the terms of OCSF: one API Activity event (class 6003), as canonical JSON text.

Every member stands in the order of its name, which is the order of the canonical serialisation; so the text can be
hashed and written as it is, once. docs/audit.md explains each field; a test holds the two together.
"""

from __future__ import annotations

from functools import lru_cache
from json.encoder import encode_basestring as own
from typing import TYPE_CHECKING

from hms_svc.core.audit_text import bare_path, query_names, quoted, scrubbed, tamed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hms_svc.core.config import Route
    from hms_svc.core.entry import Entry, LimitVerdict, PolicyVerdict
    from hms_svc.core.model import Caller, Request

OCSF_VERSION = "1.9.0-dev"
LOG_NAME = "hms-svc.audit"
OPENING = ":opening"
"""Ends the ``metadata.uid`` of a record that was written before its request was forwarded."""
MAX_LISTED = 64
"""Scopes, limits and policies listed in one record."""

_ACTIVITIES = {"POST": 1, "GET": 2, "HEAD": 2, "OPTIONS": 2, "PUT": 3, "PATCH": 3, "DELETE": 4}
_OTHER = 99
_FIRST_ERROR, _BUG = 400, 500
_MAX_PORT = 65_535
_FLAG = {True: "true", False: "false"}
_UNKNOWN, _SUCCESS, _FAILURE = '"Unknown"', '"Success"', '"Failure"'
_ANONYMOUS = '{"user":{"name":"anonymous","type":"Unknown","type_id":0}}'
_MEDIUM = frozenset({401, 403, 429, 502, 503, 504})
"""Refusals that more than a mistaken caller may stand behind."""


def metadata(version: str) -> tuple[str, str]:
    """What ``metadata`` holds in every record of a gateway of this ``version``: before its ``uid``, and after."""
    product = f'"product":{{"name":"hms-svc","vendor_name":"hms-svc","version":{quoted(version)}}}'
    return (
        f'"log_name":"{LOG_NAME}",{product},"profiles":["record_integrity","trace"],"uid":',
        f',"version":"{OCSF_VERSION}"}}',
    )


def render(entry: Entry, fixed: tuple[str, str], *, ended_ns: int | None, lost: int = 0) -> tuple[str, str, str]:
    """The record's text before ``attestation_list``, the text after, and the record's ``metadata.uid``.

    ``fixed`` is `metadata` of the gateway. ``ended_ns`` by the monotonic clock; None for an opening record, whose
    outcome is not known yet. ``lost`` is the number of earlier records that were lost.
    """
    request, route, status = entry.request, entry.route, entry.status
    activity = _ACTIVITIES.get(request.method, _OTHER)
    took_us = None if ended_ns is None else max(0, ended_ns - entry.started_ns) // 1_000
    request_id = tamed(entry.request_id)
    uid = request_id if took_us is not None else f"{request_id}{OPENING}"
    started_ms = entry.started_wall_ns // 1_000_000
    before = (
        f'{{"activity_id":{activity},"actor":{_actor(entry.caller, is_admin=bool(entry.admin))},'
        f'"api":{{"operation":{_operation(request.method, route, entry.admin)}'
        f"{_api_response(status, entry.refusal)}{_service(route.name) if route else ''}}},"
    )
    after = (
        f'"category_uid":6,"class_uid":6003,{_upstream_endpoint(entry.upstream) if entry.upstream else ""}'
        f'"http_request":{_http_request(entry)},{_http_response(entry, took_us)}'
        f'"metadata":{{"correlation_uid":{own(request_id)},{fixed[0]}{own(uid)}{fixed[1]},'
        f'{_outcome(entry, took_us)}"time":{started_ms},{_trace(entry, started_ms, took_us)}'
        f'"type_uid":{600300 + activity},"unmapped":{{"hms":{_hms(entry, took_us, lost)}}}}}'
    )
    return before, after, uid


def _actor(caller: Caller, *, is_admin: bool) -> str:
    if not caller.name and not caller.credential_id:
        return _ANONYMOUS
    issuer = f'"idp":{{"name":{_known(caller.issuer)}}},' if caller.issuer else ""
    credential = f'"credential_uid":{quoted(caller.credential_id)},' if caller.credential_id else ""
    kind = '"Admin","type_id":2' if is_admin else f'{_known(caller.via)},"type_id":{_OTHER}'
    return f'{{{issuer}"user":{{{credential}"name":{quoted(caller.name)},"type":{kind}}}}}'


def _operation(method: str, route: Route | None, admin: str) -> str:
    if admin:
        return quoted(f"admin {admin}")
    return _known(f"{method} {route.path}") if route else quoted(method)


@lru_cache(maxsize=1_024)
def _known(text: str) -> str:
    """`quoted`, for the texts that come again and again: names from routes.yml."""
    return quoted(text)


def _service(name: str) -> str:
    return f',"service":{{"name":{_known(name)}}}'


def _api_response(status: int | None, refusal: str) -> str:
    if status is None:
        return ""
    error = f',"error":{quoted(refusal)}' if refusal else ""
    return f',"response":{{"code":{status}{error}}}'


@lru_cache(maxsize=1_024)
def _upstream_endpoint(authority: str) -> str:
    hostname, port = _host_and_port(authority)
    return f'"dst_endpoint":{{"hostname":{hostname}{port}}},'


@lru_cache(maxsize=1_024)
def _host_and_port(authority: str) -> tuple[str, str]:
    """``host:port`` as a JSON string and a member ``port``, empty where there is none or it is no number."""
    host = authority.rpartition("@")[2]
    name, colon, port = host.rpartition(":")
    if colon and not name.endswith(":") and port.isascii() and port.isdigit() and int(port[:6]) <= _MAX_PORT:
        return quoted(name.strip("[]")), f',"port":{int(port[:6])}'
    return quoted(host.strip("[]")), ""


def _http_request(entry: Entry) -> str:
    request = entry.request
    hostname, port = _host_and_port(entry.host)
    length = "" if entry.request_bytes is None else f'"body_length":{entry.request_bytes},'
    path = quoted(entry.path or bare_path(request.path))
    agent = request.headers.get("user-agent")
    agent = "" if agent is None else f',"user_agent":{quoted(agent)}'
    return (
        f'{{{length}"http_method":{_known(request.method)},'
        f'"url":{{"hostname":{hostname},"path":{path}{port},"scheme":{_known(entry.scheme)}}}{agent},'
        f'"version":{_known(request.http_version)}}}'
    )


def _http_response(entry: Entry, took_us: int | None) -> str:
    if took_us is None or entry.status is None:
        return ""
    return (
        f'"http_response":{{"body_length":{entry.response_bytes},"code":{entry.status},"latency":{took_us // 1_000}}},'
    )


def _outcome(entry: Entry, took_us: int | None) -> str:
    """``severity_id`` to ``status_id``."""
    status = entry.status
    if took_us is None:
        label, number, detail = _UNKNOWN, 0, ""
    elif status is None:
        label, number, detail = _FAILURE, 2, entry.detail or "The caller had gone before there was an answer"
    else:
        good = status < _FIRST_ERROR and not entry.incomplete
        label, number = (_SUCCESS, 1) if good else (_FAILURE, 2)
        detail = entry.detail or ("The answer broke off" if entry.incomplete else "")
    code = "" if status is None else f'"status_code":"{status}",'
    said = f'"status_detail":{quoted(scrubbed(detail, entry.request))},' if detail else ""
    return f'"severity_id":{_severity(entry)},{_source(entry)}"status":{label},{code}{said}"status_id":{number},'


def _severity(entry: Entry) -> int:
    """1 informational, 2 low, 3 medium, 4 high."""
    if entry.refusal:
        return 4 if entry.status == _BUG else 3 if entry.status in _MEDIUM else 2
    return 2 if entry.incomplete else 1


def _source(entry: Entry) -> str:
    peer = entry.request.peer_ip
    if entry.ip in ("", peer):
        return f'"src_endpoint":{{"ip":{quoted(peer)}}},'
    return f'"src_endpoint":{{"intermediate_ips":[{quoted(peer)}],"ip":{quoted(entry.ip)}}},'


def _trace(entry: Entry, started_ms: int, took_us: int | None) -> str:
    if not entry.trace_id:
        return ""
    span = ""
    if entry.span_id and took_us is not None:
        ended_ms = started_ms + took_us // 1_000
        span = f'"span":{{"end_time":{ended_ms},"start_time":{started_ms},"uid":"{entry.span_id}"}},'
    return f'"trace":{{{span}"uid":"{entry.trace_id}"}},'


def _hms(entry: Entry, took_us: int | None, lost: int) -> str:
    """What OCSF has no place for, each member only where there is something to say."""
    request, caller = entry.request, entry.caller
    members = [
        f'"admin":{quoted(entry.admin)}' if entry.admin else "",
        f'"attempts":{entry.attempts}' if entry.attempts else "",
        f'"auth":{_known(caller.via)}',
        f'"cause":{quoted(scrubbed(entry.cause, request))}' if entry.cause else "",
        f'"config_sha256":"{entry.config_sha256}"' if entry.config_sha256 else "",
        '"incomplete":true' if entry.incomplete else "",
        f'"job_id":{quoted(entry.job_id)}' if entry.job_id else "",
        "" if took_us is None else f'"latency_us":{took_us}',
        f'"limits":{_list([_limit(it, request) for it in entry.limits[:MAX_LISTED]])}' if entry.limits else "",
        f'"lost":{lost}' if lost else "",
        '"phase":"opening"' if took_us is None else "",
        f'"policies":{_list(_policy(it, request) for it in entry.policies[:MAX_LISTED])}' if entry.policies else "",
        f'"query":{_query(request.query)}' if request.query else "",
        f'"refusal":{quoted(entry.refusal)}' if entry.refusal else "",
        f'"request_sha256":"{entry.request_sha256}"' if entry.request_sha256 else "",
        f'"response_sha256":"{entry.response_sha256}"' if entry.response_sha256 else "",
        f'"route":{_known(entry.route.name)}' if entry.route else "",
        f'"scopes":{_scopes(caller.scopes)}' if caller.scopes else "",
        _upstream(entry) if entry.upstream else "",
    ]
    return f"{{{','.join([member for member in members if member])}}}"


def _list(items: Iterable[str]) -> str:
    return f"[{','.join(items)}]"


@lru_cache(maxsize=1_024)
def _scopes(scopes: frozenset[str]) -> str:
    return _list(quoted(scope) for scope in sorted(scopes)[:MAX_LISTED])


def _limit(verdict: LimitVerdict, request: Request) -> str:
    error = f',"error":{quoted(scrubbed(verdict.error, request))}' if verdict.error else ""
    instead = f',"on_error":{_known(verdict.on_error)}' if verdict.on_error else ""
    shadow = ',"shadow":true' if verdict.shadow else ""
    return (
        f'{{"allowed":{_FLAG[verdict.allowed]}{error}{instead},"per":{_known(verdict.per)},'
        f'"policy":{_known(verdict.policy)},"remaining":{verdict.remaining}{shadow}}}'
    )


def _policy(verdict: PolicyVerdict, request: Request) -> str:
    error = f',"error":{quoted(scrubbed(verdict.error, request))}' if verdict.error else ""
    reason = f',"reason":{quoted(scrubbed(verdict.reason, request))}' if verdict.reason else ""
    return f'{{"allowed":{_FLAG[verdict.allowed]}{error},"name":{_known(verdict.name)}{reason}}}'


def _query(query: str) -> str:
    names, unnamed = query_names(query)
    more = f',"unnamed":{unnamed}' if unnamed else ""
    return f'{{"names":{_list(quoted(name) for name in names)}{more}}}'


def _upstream(entry: Entry) -> str:
    latency = "" if entry.upstream_ns is None else f',"latency_us":{entry.upstream_ns // 1_000}'
    status = "" if entry.upstream_status is None else f',"status":{entry.upstream_status}'
    return f'"upstream":{{"address":{_known(entry.upstream)}{latency}{status}}}'
