"""Path and query of an event, percent-encoded once, as if they had come in a request line.

What the doors do to them was seen in captures that others published: REST APIs, ALB and Function URLs hand the path on
as it came; HTTP APIs decode it (``/a%2Fb`` arrives as ``/a/b``, which nobody can undo). API Gateway decodes the names
and values of a query in payload 1.0; ALB does not; payload 2.0 has the query as it came.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from hms_svc.aws.events.members import pairs, part, text

if TYPE_CHECKING:
    from hms_svc.aws.events.members import Event

_IN_A_PATH = "/:@!$&'()*+,;=~"
_IN_A_QUERY = "-._~!$'()*,:@/?"
"""What a name or value keeps; ``&=+;#%`` and the rest would be read otherwise, so they are escaped."""
_NEVER_IN_A_PATH = re.compile(r"[ ?#\x80-\U0010ffff]")
_NEVER_IN_A_QUERY = re.compile(r"[\x00-\x20#\x7f-\U0010ffff]")
_PARAMETER = re.compile(r"\{([^{}]+)\}")
_EXECUTE_API = re.compile(r"[^.]+\.execute-api(?:-fips)?\.[a-z0-9-]+\.[a-z0-9.-]+(?::\d+)?")


def encoded_path(path: str) -> str:
    """A path that came encoded. Characters that no URI holds are escaped: emulators of the doors let them through."""
    return _NEVER_IN_A_PATH.sub(_escape, path)


def decoded_path(path: str) -> str:
    """A path that came decoded, encoded again. Control characters stay, so that the core refuses them."""
    return quote(path, safe=_IN_A_PATH)


def raw_query(query: str) -> str:
    """A query that came encoded."""
    return _NEVER_IN_A_QUERY.sub(_escape, query)


def encoded_query(event: Event, member: str) -> str:
    """The query of an object whose names and values came encoded."""
    return raw_query("&".join(f"{name}={value}" for name, value in pairs(event, member)))


def decoded_query(event: Event, member: str) -> str:
    """The query of an object whose names and values came decoded; a space becomes ``%20``."""
    return "&".join(
        f"{quote(name, safe=_IN_A_QUERY)}={quote(value, safe=_IN_A_QUERY)}" for name, value in pairs(event, member)
    )


def without_base(path: str, template: str, event: Event) -> str:
    """``path`` without what stands before the door's own resource: a stage, or the base path of a custom domain.

    ``template`` is the resource or route that the door matched, ``/{proxy+}`` say; with the event's path parameters
    filled in it is the end of the path. A path that does not end so stays whole.
    """
    parameters = part(event, "pathParameters")
    missing = False

    def fill(parameter: re.Match[str]) -> str:
        nonlocal missing
        value = parameters.get(parameter[1].removesuffix("+"))
        missing = missing or not isinstance(value, str)
        return value if isinstance(value, str) else ""

    own = _PARAMETER.sub(fill, template)
    if missing or not template.startswith("/"):
        return path
    wanted = {own.rstrip("/"), unquote(own).rstrip("/")}
    position = 0
    while position >= 0:
        rest = path[position:]
        if rest.rstrip("/") in wanted or unquote(rest).rstrip("/") in wanted:
            return rest or "/"
        position = path.find("/", position + 1)
    return "/" if wanted == {""} else path


def without_stage(path: str, event: Event) -> str:
    """``path`` without the stage that stands before it at an API's own domain; a custom domain has none there."""
    context = part(event, "requestContext")
    stage, domain = text(context, "stage"), text(context, "domainName")
    if not stage or stage == "$default" or not _EXECUTE_API.fullmatch(domain):
        return path
    if path == f"/{stage}" or path.startswith(f"/{stage}/"):
        return path[1 + len(stage) :] or "/"
    return path


def _escape(character: re.Match[str]) -> str:
    return quote(character[0], safe="")
