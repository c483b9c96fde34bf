"""routes.yml → `Config`: the file as a whole. Every problem at once, or a configuration that is good throughout."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hms_svc.core.config import API_KEY_HEADER, ClientCertificates, Config, Issuer
from hms_svc.core.routes.client_certificates import client_certificates
from hms_svc.core.routes.fields import PolicyBuilder, RouteRead, read_route
from hms_svc.core.routes.names import named
from hms_svc.core.routes.overlaps import overlaps
from hms_svc.core.routes.places import Place, Wrong
from hms_svc.core.routes.problems import Findings, Problem, RoutesInvalid
from hms_svc.core.routes.shared import api_key_header, issuers, trusted_proxies
from hms_svc.core.routes.warnings import warnings
from hms_svc.core.routes.yaml_tree import YamlInvalid, parse

if TYPE_CHECKING:
    from hms_svc.core.routes.yaml_tree import Node

__all__ = ["PolicyBuilder", "Problem", "RoutesInvalid", "load"]

FIRST_ROUTE = "- {path: /public/faq, forward_to: http://faq-svc:9000, auth: none}"


def load(data: bytes, *, source: str = "routes.yml", build_policy: PolicyBuilder) -> Config:
    """The configuration in ``data``; ``source`` is how problems name the file.

    ``build_policy`` makes a policy from its name and options, or raises `PolicyLoadError`. Raises `RoutesInvalid` with
    every problem of the file, and nothing else.
    """
    found = Findings(source)
    root = _parsed(data, found)
    proxies: tuple[str, ...] = ()
    signers: tuple[Issuer, ...] = ()
    key_header: str | None = None
    certificates = ClientCertificates()
    reads: tuple[RouteRead, ...] = ()

    def read_routes(place: Place) -> tuple[RouteRead, ...]:
        if place.holds(None) or (place.is_list() and not place.each()):
            raise Wrong(f"there is no route; write a first one: {FIRST_ROUTE}")
        return place.items(lambda item: read_route(item, build_policy), unique=False)

    place = Place(root, "", root.line, root.column, found)
    if place.is_list():
        reads = Place(root, "routes", root.line, root.column, found).read(read_routes, ())
    elif place.has("path") and not place.has("routes"):
        place.report("one route stands where the list of routes belongs; begin its first line with '- '")
    elif place.is_mapping():
        keys = ("routes", "issuers", "api_keys", "trusted_proxies", "client_certificates")
        fields = place.fields(keys, "the file")
        signers = fields.get("issuers", issuers, ())
        key_header = fields.get("api_keys", api_key_header, None)
        proxies = fields.get("trusted_proxies", trusted_proxies, ())
        certificates = fields.get("client_certificates", client_certificates, certificates)
        reads = fields.need("routes", read_routes, (), f"write a first route: {FIRST_ROUTE}")
    else:
        place.report(str(place.expected("a list of routes, or a mapping with routes:")))
    routes = named(reads)
    _report_overlaps(reads)
    if found.count:
        raise found.invalid()
    return Config(
        routes=routes,
        issuers=signers,
        trusted_proxies=proxies,
        api_key_header=key_header or API_KEY_HEADER,
        client_certificates=certificates,
        sha256=hashlib.sha256(data).hexdigest(),
        warnings=warnings(place, reads, signers, proxies, certificates),
    )


def _parsed(data: bytes, found: Findings) -> Node:
    """The tree of the file; raises `RoutesInvalid` if there is none."""
    try:
        root = parse(data)
    except YamlInvalid as invalid:
        found.add(invalid.line, invalid.column, "", invalid.message)
        raise found.invalid() from None
    if root is None or Place(root, "", 1, 1, found).holds(None):
        found.add(1, 1, "", f"the file is empty; write a first route: {FIRST_ROUTE}")
        raise found.invalid()
    return root


def _report_overlaps(reads: tuple[RouteRead, ...]) -> None:
    comparable = [read for read in reads if read.can_match]
    for later, earlier in overlaps([read.route for read in comparable]):
        other = comparable[earlier].place
        comparable[later].place.report(f"matches the same requests as {other.key} ({other.position})")
