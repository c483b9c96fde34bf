"""The Authorization field, read: a scheme and one token (RFC 9110, section 11.4), or a reason why it is neither."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.errors import Malformed

if TYPE_CHECKING:
    from hms_svc.core.model import Headers

MAX_TOKEN = 8192
"""Characters of a credential."""
_SCHEME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}(?= |\Z)")
_QUOTED = re.compile(r'"[^"]*"')
_OURS = re.compile(r"[ \t]*(?:bearer|apikey)(?=[ \t]|\Z)", re.IGNORECASE)
"""The beginning of a credential of the gateway's own schemes."""
_ANY_OR_NONE = re.compile(r"[ \t]*(?:\Z|[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}[ \t]+[^ \t])")
"""The beginning of a credential of any scheme, or a field that was empty."""
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+={0,2}")


class Authorization(NamedTuple):
    """What came in the field."""

    scheme: str
    """In lower case: schemes have no case (RFC 9110, section 11.1). Empty when there is none that can be read."""
    token: str
    """Exactly one token68; empty when ``fault`` says why not."""
    fault: str = ""
    """For the record: never holds anything of what came."""

    def __repr__(self) -> str:
        """Without the token."""
        return f"Authorization({self.scheme!r})"


def read_authorization(headers: Headers) -> Authorization | None:
    """The Authorization field, or None where there is none.

    Raises `Malformed` when there are several: which one counts must not be a matter of who reads them. So it does when
    a door or a proxy has joined them with commas, and one of them is of the gateway's own schemes. Other schemes have
    commas of their own (Digest, AWS4-HMAC-SHA256); and what is no token for having one is a bad credential.
    """
    value: str | None = headers.get("authorization")
    if value is None:
        return None
    if "," in value and (len(headers.all("authorization")) > 1 or _is_joined(value)):
        raise Malformed("There is more than one Authorization field")
    value = value.strip(" \t")
    scheme = _SCHEME.match(value)
    if scheme is None:
        return Authorization("", "", "it begins with no scheme")
    token = value[scheme.end() :].lstrip(" ")
    fault = ""
    if len(token) > MAX_TOKEN:
        fault = f"it is longer than {MAX_TOKEN} characters"
    elif not _TOKEN68.fullmatch(token):
        fault = "it is not one token" if token else "it is empty"
    return Authorization(scheme.group().lower(), "" if fault else token, fault)


def _is_joined(value: str) -> bool:
    """Whether a value with a comma in it holds a credential of the gateway's own schemes, and one more or nothing."""
    first, *others = _QUOTED.sub("", value).split(",")
    is_ours = _OURS.match(first) is not None
    return any(_OURS.match(other) or (is_ours and _ANY_OR_NONE.match(other)) for other in others)
