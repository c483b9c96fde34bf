"""The mapping ``introspection:`` of an issuer: where it is asked about tokens, as whom, and how long its word holds.

What stands where the secret's place belongs may be the secret itself, so no message repeats it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.core.config import IntrospectionEndpoint
from hms_svc.core.routes.places import Wrong
from hms_svc.core.routes.texts import duration, line
from hms_svc.core.routes.yaml_tree import Scalar

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.routes.places import Place

MAX_CACHE_S = 3_600
_REFERENCE = re.compile(r"file:[^\x00-\x1f\x7f]{1,1000}|ssm:/[A-Za-z0-9_.\-/]{1,900}")


def introspection(place: Place, url: Callable[[Place], str]) -> IntrospectionEndpoint:
    """The endpoint at ``place``, whose URL ``url`` reads."""
    fields = place.fields(("url", "client_id", "client_secret", "cache"), "introspection")
    why = "write the name by which the issuer knows this gateway"
    client_id = fields.need("client_id", line(200), "", why)
    why = "write where the secret is: file:/run/secrets/NAME or ssm:/hms-svc/secrets/NAME"
    client_secret = fields.need("client_secret", _reference, "", why)
    return IntrospectionEndpoint(
        client_id, client_secret, url=fields.get("url", url, None), cache_s=fields.get("cache", _cache, 60.0)
    )


def _reference(place: Place) -> str:
    text = place.node.value if isinstance(place.node, Scalar) else None
    if not isinstance(text, str) or not _REFERENCE.fullmatch(text):
        raise Wrong(
            "write where the secret is, as file:/run/secrets/NAME or ssm:/hms-svc/secrets/NAME; the secret itself does "
            "not belong into this file"
        )
    return text


def _cache(place: Place) -> float:
    what = "a duration such as 60s or 5m, up to 1h, or 0s for none"
    return 0.0 if place.holds("0s") else duration(0, MAX_CACHE_S, ("s", "m", "h"), what)(place)
