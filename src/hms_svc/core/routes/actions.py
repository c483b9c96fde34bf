"""What a route does with a request it admits: ``forward_to``, ``redirect`` or ``enqueue_to``.

A route has one of them; only ``enqueue_to`` with ``when: prefer`` stands beside a ``forward_to``.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from hms_svc.core.config import Enqueue, Forward, Redirect, Target
from hms_svc.core.routes.paths import target_path
from hms_svc.core.routes.places import Wrong
from hms_svc.core.routes.problems import shown
from hms_svc.core.routes.texts import HOST, IPV6, MAX_HOST, duration, refuse_password

if TYPE_CHECKING:
    from hms_svc.core.routes.places import Fields, Place

ACTIONS = ("forward_to", "redirect", "enqueue_to")
ONLY_WITH_FORWARD = ("timeout", "retries", "rewrite_host")
ALWAYS, PREFER = "always", "prefer"
"""When ``enqueue_to`` applies: to each request, or to one that says ``Prefer: respond-async``."""
MAX_PORT = 65_535
MAX_URL = 1_000
"""Characters."""
_ORIGIN = re.compile(rf"(https?)://({HOST}|{IPV6})(?::([0-9]{{1,5}}))?")
_AUTHORITY = re.compile(rf"({HOST})(?::([1-9][0-9]{{0,4}}))?")
_HOST = re.compile(HOST)
_QUEUE = re.compile(r"(?:sqs|sqlite|file):[!-~]{1,500}")
_STATUS_URL = re.compile(r"(?:https?://[!-~]+|/[!-~]*)")
_NOWHERE = Forward(())


def action(route: Fields) -> Forward | Redirect | Enqueue:
    """The one action of a route, with the keys that belong to it."""
    given = [key for key in ACTIONS if key in route]
    if not given:
        return _forward(route)
    is_choice = "enqueue_to" in given and _is_choice(route.at("enqueue_to"))
    if is_choice and "forward_to" in given:
        given.remove("enqueue_to")
    elif is_choice and given == ["enqueue_to"]:
        route.at("enqueue_to").below("when").report("the request of who does not prefer a job needs a forward_to")
    for extra in given[1:]:
        route.at(extra).report(f"{given[0]} is there too; a route has exactly one of {', '.join(ACTIONS)}")
    if given[0] == "forward_to":
        return _forward(route, route.get("enqueue_to", _enqueue, None) if is_choice else None)
    for key in ONLY_WITH_FORWARD:
        if key in route:
            route.at(key).report(f"has no effect on {given[0]}; it belongs to forward_to")
    if given[0] == "redirect":
        return route.get("redirect", _redirect, _NOWHERE)
    return route.get("enqueue_to", _enqueue, _NOWHERE)


def _is_choice(enqueue_to: Place) -> bool:
    """Whether the caller chooses between a job and an answer, so that ``forward_to`` stands beside."""
    return enqueue_to.has("when") and not enqueue_to.below("when").holds(ALWAYS)


def _forward(route: Fields, if_async: Enqueue | None = None) -> Forward:
    missing = "a route has exactly one of " + ", ".join(ACTIONS)
    timeout = duration(0.001, 900, ("ms", "s", "m"), "a duration such as 500ms, 30s or 2m, up to 15m")
    return Forward(
        targets=route.need("forward_to", lambda place: place.one_or_more(_target, unique=False), (), missing),
        timeout_s=route.get("timeout", timeout, 30.0),
        retries=route.get("retries", lambda place: place.integer(0, 10), 0),
        rewrite_host=route.get("rewrite_host", _rewrite_host, None),
        if_async=if_async,
    )


def _target(place: Place) -> Target:
    if not place.is_mapping():
        return url(place)
    fields = place.fields(("url", "weight"), "a target")
    target = fields.need("url", url, Target("http", "", 80), "write the service's URL, such as http://claims-svc:9001")
    weight = fields.get("weight", lambda at: at.integer(1, 1_000_000), 1)
    return Target(target.scheme, target.host, target.port, target.path, weight)


def url(place: Place) -> Target:
    """The URL of a private service."""
    text = place.text("a URL such as http://claims-svc:9001")
    if len(text) > MAX_URL:
        raise Wrong(f"{shown(text)} is over {MAX_URL} characters")
    refuse_password(text)
    match = _ORIGIN.match(text)
    rest = text[match.end() :] if match else ""
    if match is None or (rest and rest[0] not in "/?#"):
        raise place.expected("a URL such as http://claims-svc:9001")
    for mark, name in (("?", "query"), ("#", "fragment")):
        if mark in rest:
            raise Wrong(f"{shown(text)} has a {name}, which cannot be forwarded to; leave it out")
    scheme, host_text, port_text = match.groups()
    port = int(port_text) if port_text else {"http": 80, "https": 443}[scheme]
    if port > MAX_PORT or (port_text and port_text.startswith("0")):
        raise Wrong(f"{shown(text)} has the port {port_text}; ports are 1 to {MAX_PORT}")
    return Target(scheme, _known_host(host_text), port, target_path(rest) if rest else "")


def _known_host(text: str) -> str:
    if not text.startswith("["):
        if len(text) > MAX_HOST:
            raise Wrong(f"{shown(text)} is over {MAX_HOST} characters, which no host name is")
        return text.lower()
    try:
        return str(ipaddress.IPv6Address(text[1:-1]))
    except ValueError:
        raise Wrong(f"{shown(text)} is no IPv6 address") from None


def _rewrite_host(place: Place) -> str | None:
    """None for the target's own, ``{host}`` for the caller's, or a name."""
    what = "true (the target's host), false (the caller's host) or a host name"
    value = place.value()
    if isinstance(value, bool):
        return None if value else "{host}"
    match = place.matching(_AUTHORITY, what)
    if len(match[1]) > MAX_HOST or (match[2] and int(match[2]) > MAX_PORT):
        raise place.expected(what)
    return match[0].lower()


def _redirect(place: Place) -> Redirect:
    fields = place.fields(("scheme", "host", "port", "path", "status"), "a redirect")
    if not any(key in fields for key in ("scheme", "host", "port", "path")):
        raise Wrong("leads back to the same place; give it a scheme, host, port or path")
    return Redirect(
        status=fields.get("status", _redirect_status, 302),
        scheme=fields.get("scheme", lambda at: at.one_of(("http", "https")), None),
        host=fields.get("host", _redirect_host, None),
        port=fields.get("port", lambda at: at.integer(1, MAX_PORT), None),
        path=fields.get("path", lambda at: target_path(at.text("a path such as /claims")), None),
    )


def _redirect_status(place: Place) -> int:
    what = "one of 301, 302, 303, 307, 308"
    try:
        status = place.integer(301, 308)
    except Wrong:
        status = 0
    if status not in {301, 302, 303, 307, 308}:
        raise place.expected(what)
    return status


def _redirect_host(place: Place) -> str:
    text = place.matching(_HOST, "a host name such as www.agency.example, without a port").group()
    return _known_host(text)


def _enqueue(place: Place) -> Enqueue:
    if not place.is_mapping():
        return Enqueue(_queue(place))
    fields = place.fields(("queue", "status_url", "when"), "enqueue_to")
    fields.get("when", lambda at: at.one_of((ALWAYS, PREFER)), ALWAYS)
    return Enqueue(
        fields.need("queue", _queue, "", "name it as sqs:URL, sqlite:NAME or file:PATH"),
        fields.get("status_url", _status_url, None),
    )


def _queue(place: Place) -> str:
    return place.matching(_QUEUE, "a queue: sqs:URL, sqlite:NAME or file:PATH").group()


def _status_url(place: Place) -> str:
    what = "a URL or path that holds {id}, such as /jobs/{id}"
    text = place.matching(_STATUS_URL, what).group()
    if "{id}" not in text or len(text) > 2_000:  # noqa: PLR2004  (bounded like every input)
        raise place.expected(what)
    return text
