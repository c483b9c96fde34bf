from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest
from fakes_routes import BROKEN, EXAMPLE, GOOD, AnyRule, config, notes, problems
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_svc.core.config import (
    CertificateRule,
    ClientCertificates,
    Condition,
    Cors,
    Enqueue,
    Forward,
    HeaderEdits,
    Issuer,
    Limit,
    Redirect,
    RevokedCertificate,
    Route,
    Target,
)
from hms_svc.core.routes.problems import MAX_PROBLEMS, Problem

if TYPE_CHECKING:
    from pathlib import Path

NO_AUTH = (
    "is missing; there is no default, so that no path is open by accident: write one of none, oauth, api_key, mtls"
)
MAX_AGE = "expected a whole number of seconds or a duration such as 10m, up to 24h"
DOUBT = "is not the same to all readers of YAML; put it in quotes, or write a plain number"
REMEDY = "begin the file with issuers: and put the list below routes:"
NO_ISSUERS = "the file names no issuers, so every token is refused"
ROUTE = "- {path: /x, auth: none, forward_to: http://x"


def route(more: str) -> Route:
    """The one route of a file, with keys besides path, auth and forward_to."""
    return config(f"{ROUTE}, {more}}}").routes[0]


def with_action(action: str) -> Route:
    return config(f"- {{path: /x, auth: api_key, {action}}}").routes[0]


def targets(action: str) -> tuple[Target, ...]:
    forward = with_action(f"forward_to: {action}").action
    assert isinstance(forward, Forward)
    return forward.targets


# -- the files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_loads(path: Path) -> None:
    assert problems(path.read_bytes()) == []


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_file_is_told_apart_in_its_own_sentence(path: Path) -> None:
    expected = [line.removeprefix("# expected: ") for line in notes(path) if line.startswith("# expected: ")]
    assert problems(path.read_bytes()) == expected


def test_each_broken_file_is_broken_in_one_way() -> None:
    several = [path.name for path in BROKEN if sum(line.startswith("# expected: ") for line in notes(path)) != 1]
    assert several == []


def test_the_example_is_the_one_a_team_would_deploy() -> None:
    example = config(EXAMPLE.read_bytes())
    assert [route.name for route in example.routes] == [
        "GET /public/faq",
        "GET,POST /secure/claims/*",
        "POST /secure/uploads",
        "GET /partner/claims/{id}",
    ]
    assert example.issuers == (Issuer("agency", "https://login.agency.example/", ("hms-api",), ("RS256",)),)
    assert example.warnings == ()
    assert example.sha256 == hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()


def test_the_first_line_of_the_example_names_the_schema() -> None:
    first = EXAMPLE.read_text("utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=src/hms_svc/routes.schema.json"
    assert (EXAMPLE.parent / first.partition("=")[2]).is_file()


# -- problems ------------------------------------------------------------------------------------------------------


def test_every_problem_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
- path: claims/*
  forward_to: http://claims-svc:9001
  rate_limt: 30/m
- path: /faq
  auth: none
  forward_to: http://faq-svc:9000
  timeout: 20m
  methods: [GET, put, POST]
  cors: {origins: ['*'], max_age: forever}
"""
    assert problems(text) == [
        "routes.yml:1:3 routes[0].auth: " + NO_AUTH,
        "routes.yml:1:3 routes[0].path: found 'claims/*', expected a path that begins with /",
        "routes.yml:3:3 routes[0].rate_limt: unknown key; did you mean rate_limit?",
        "routes.yml:7:3 routes[1].timeout: found '20m', expected a duration such as 500ms, 30s or 2m, up to 15m",
        "routes.yml:8:18 routes[1].methods[1]: found 'put', expected a method in capitals: PUT",
        "routes.yml:9:26 routes[1].cors.max_age: found 'forever', " + MAX_AGE,
    ]


def test_a_file_has_a_bounded_number_of_issuers() -> None:
    def text(count: int) -> str:
        named = ", ".join(f"i{n}: {{issuer: 'https://i{n}.example', audience: a}}" for n in range(count))
        return f"issuers: {{{named}}}\nroutes:\n- {{path: /x, auth: oauth, forward_to: http://x}}\n"

    assert problems(text(64)) == []
    assert problems(text(65)) == ["routes.yml:1:1 issuers: has 65 issuers, at most 64 are allowed"]


def test_an_overlap_is_reported_beside_other_problems() -> None:
    text = (
        "- {path: /x, auth: none, forward_to: http://x, retries: 99}\n- {path: /x, auth: none, forward_to: http://y}\n"
    )
    assert problems(text) == [
        "routes.yml:1:48 routes[0].retries: found the number 99, expected a whole number from 0 to 10",
        "routes.yml:2:3 routes[1]: matches the same requests as routes[0] (routes.yml:1:3)",
    ]


def test_a_file_full_of_problems_has_them_counted_not_listed() -> None:
    found = problems("- {}\n" * (MAX_PROBLEMS + 10))
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1].endswith(" more problems are not listed")


def test_a_problem_is_text_for_people_and_a_mapping_for_programs() -> None:
    problem = Problem("routes.yml", 12, 3, "routes[1].rate_limit", "found nothing")
    assert str(problem) == "routes.yml:12:3 routes[1].rate_limit: found nothing"
    assert problem.as_dict() == {
        "source": "routes.yml",
        "line": 12,
        "column": 3,
        "key": "routes[1].rate_limit",
        "message": "found nothing",
    }


def test_a_long_or_unprintable_key_is_cut_and_escaped_in_a_problem() -> None:
    (found,) = problems(f'{ROUTE}, "{"k" * 200}\\u202e": 1}}')
    assert len(found) < 500
    assert "\u202e" not in found


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_whatever_the_bytes_loading_ends_in_a_configuration_or_in_problems(data: bytes) -> None:
    problems(data)


@settings(deadline=None)
@given(data=st.data())
def test_whatever_is_done_to_a_good_file_loading_ends_in_a_configuration_or_in_problems(data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(GOOD)).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 5))] = data.draw(
            st.sampled_from(
                [b"", b"\n", b" ", b"- ", b"[", b"{", b"&a ", b"*a", b"'", b'"', b": ", b"#", b"\t", b"~", b"\xff"]
            )
        )
    problems(bytes(text))


# -- the two forms, and the order ----------------------------------------------------------------------------------


def test_a_list_of_routes_and_a_mapping_with_routes_are_the_same() -> None:
    listed = f"{ROUTE}}}\n"
    assert config(listed).routes == config(f"routes:\n{listed}").routes


@settings(deadline=None)
@given(seed=st.integers(0, 1_000))
def test_the_order_in_the_file_makes_no_difference(seed: int) -> None:
    path = next(path for path in GOOD if path.stem == "one_path_many_routes")
    comment, *lines = path.read_text("utf-8").splitlines()
    shuffled = random.Random(seed).sample(lines, len(lines))  # noqa: S311  (an order, no secret)
    by_name = {route.name: route for route in config("\n".join(shuffled)).routes}
    assert by_name == {route.name: route for route in config("\n".join([comment, *lines])).routes}


# -- defaults and readings -----------------------------------------------------------------------------------------


def test_what_is_not_said_has_the_defaults_of_the_model() -> None:
    plain = config(f"{ROUTE}}}").routes[0]
    assert plain == Route(name="any /x", path="/x", action=Forward((Target("http", "x", 80),)), auth=())


def test_a_route_may_accept_several_credentials() -> None:
    assert config("- {path: /x, forward_to: http://x, auth: [mtls, oauth]}").routes[0].auth == ("mtls", "oauth")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://claims-svc:9001", Target("http", "claims-svc", 9001)),
        ("https://Claims.Example", Target("https", "claims.example", 443)),
        ("http://claims/", Target("http", "claims", 80, "/")),
        ("http://claims/v1/%C3%BC", Target("http", "claims", 80, "/v1/%C3%BC")),
        ('"http://[2001:DB8::0:7]:8"', Target("http", "2001:db8::7", 8)),
        ("{url: http://claims, weight: 3}", Target("http", "claims", 80, weight=3)),
    ],
)
def test_a_target_is_a_url_with_or_without_a_weight(text: str, expected: Target) -> None:
    assert targets(text) == (expected,)


def test_several_targets_share_the_load() -> None:
    assert targets("[http://a, {url: http://b, weight: 3}]") == (
        Target("http", "a", 80),
        Target("http", "b", 80, weight=3),
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("2m", 120.0), ("15m", 900.0), ("0.5", 0.5), ("7", 7)]
)
def test_a_timeout_is_a_duration_or_a_number_of_seconds(text: str, seconds: float) -> None:
    assert route(f"timeout: {text}").action == Forward((Target("http", "x", 80),), timeout_s=seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("10MB", 10_000_000), ("5MiB", 5_242_880), ("1GiB", 2**30), ("2kB", 2_000), ("3KB", 3_000), ("0", 0), ("17", 17)],
)
def test_max_body_is_a_size(text: str, size: int) -> None:
    assert route(f"max_body: {text}").max_body == size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30/m", Limit(30, 60, 30)),
        ("100/s per_ip", Limit(100, 1, 100)),
        ("5/h per_token", Limit(5, 3_600, 5, per="token")),
        ("1/d per_caller", Limit(1, 86_400, 1, per="caller")),
        ("9/month", Limit(9, 30 * 86_400, 9)),
        ("{limit: 9/month, window: calendar}", Limit(9, 30 * 86_400, 9, window="calendar")),
        ("{limit: 30/m}", Limit(30, 60, 30)),
        (
            "{limit: 30/m, burst: 60, per: route, cost: 2, shadow: true, on_error: deny, legacy_headers: true}",
            Limit(30, 60, 60, per="route", cost=2, shadow=True, on_error="deny", legacy_headers=True),
        ),
    ],
)
def test_a_rate_limit_is_a_word_or_a_mapping(text: str, expected: Limit) -> None:
    assert with_action(f"forward_to: http://x, rate_limit: {text}").limits == (expected,)


def test_plans_are_like_the_limit_beside_them_in_all_but_size() -> None:
    text = (
        "{limit: 10/s, per: caller, cost: 2, plan_claim: plan, plans: {gold: 1000/s, silver: {limit: 9/m, burst: 20}}}"
    )
    (limit,) = with_action(f"forward_to: http://x, rate_limit: {text}").limits
    assert limit.plan_claim == "plan"
    assert dict(limit.plans) == {
        "gold": Limit(1_000, 1, 1_000, per="caller", cost=2, plan="gold"),
        "silver": Limit(9, 60, 20, per="caller", cost=2, plan="silver"),
    }


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ("{header: X-Cost}", Limit(30, 60, 30, cost=1, cost_header="X-Cost", max_cost=30)),
        ("{header: x-c, default: 0, max: 9}", Limit(30, 60, 30, cost=0, cost_header="x-c", max_cost=9)),
    ],
)
def test_a_cost_may_be_a_policys_to_say(cost: str, expected: Limit) -> None:
    limits = with_action(f"forward_to: http://x, policies: [a.B], rate_limit: {{limit: 30/m, cost: {cost}}}").limits
    assert limits == (expected,)


def test_the_most_a_call_may_cost_is_what_the_smallest_plan_holds() -> None:
    text = "{limit: 30/m, cost: {header: X-Cost}, plan_claim: plan, plans: {gold: 90/m, free: 5/m}}"
    (limit,) = with_action(f"forward_to: http://x, rate_limit: {text}").limits
    assert [limit.max_cost, *(plan.max_cost for plan in limit.plans.values())] == [5, 5, 5]


def test_several_limits_stand_in_a_list() -> None:
    text = "[100/s, 5000/h per_caller, {limit: 9/d, name: daily, ipv6_prefix: 56}]"
    assert with_action(f"forward_to: http://x, rate_limit: {text}").limits == (
        Limit(100, 1, 100),
        Limit(5_000, 3_600, 5_000, per="caller"),
        Limit(9, 86_400, 9, name="daily", ipv6_prefix=56),
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("true", None), ("false", "{host}"), ("claims.Internal:8443", "claims.internal:8443")]
)
def test_rewrite_host_is_the_targets_the_callers_or_a_name(text: str, expected: str | None) -> None:
    assert route(f"rewrite_host: {text}").action == Forward((Target("http", "x", 80),), rewrite_host=expected)


def test_a_redirect_keeps_what_it_does_not_name() -> None:
    assert with_action("redirect: {path: /new}").action == Redirect(path="/new")
    assert with_action("redirect: {scheme: https, host: WWW.example, port: 8443, status: 308}").action == Redirect(
        status=308, scheme="https", host="www.example", port=8443
    )


def test_a_job_goes_to_a_queue() -> None:
    assert with_action('enqueue_to: "sqs:https://sqs.example/1/jobs"').action == Enqueue(
        "sqs:https://sqs.example/1/jobs"
    )
    assert with_action('enqueue_to: {queue: "file:jobs", status_url: "/jobs/{id}"}').action == Enqueue(
        "file:jobs", "/jobs/{id}"
    )


def test_a_job_may_be_the_callers_choice() -> None:
    action = with_action("forward_to: http://x, enqueue_to: {queue: 'sqs:jobs', when: prefer}, timeout: 3s").action
    assert action == Forward((Target("http", "x", 80),), timeout_s=3.0, if_async=Enqueue("sqs:jobs"))


def test_conditions_have_one_value_or_several() -> None:
    read = route('headers: {X-A: "1", B: [x, y]}, query: {v: ["2"]}')
    assert read.headers == (Condition("B", frozenset({"x", "y"})), Condition("X-A", frozenset({"1"})))
    assert read.query == (Condition("v", frozenset({"2"})),)


def test_header_edits_are_read_in_the_order_of_the_file() -> None:
    assert route(
        "response_headers: {set: {A: x, B: y}, add: {C: [1a, 2b]}, remove: [D]}"
    ).response_headers == HeaderEdits(
        remove=frozenset({"D"}), set=(("A", "x"), ("B", "y")), add=(("C", "1a"), ("C", "2b"))
    )


def test_cors_has_the_defaults_of_the_model() -> None:
    assert route("cors: {origins: [https://a.example]}").cors == Cors(("https://a.example",))
    assert route("cors: {origins: ['*'], max_age: 2h, methods: [PUT]}").cors == Cors(("*",), ("PUT",), max_age_s=7_200)


def test_what_a_caller_must_have_are_scopes_and_claims() -> None:
    (read,) = config(
        "- {path: /x, auth: oauth, forward_to: http://x, require: {scopes: [a], claims: {r: [b, 1], s: c}}}"
    ).routes
    assert read.require.scopes == {"a"}
    assert read.require.claims == {"r": ("b", 1), "s": ("c",)}


def test_a_policy_is_built_with_its_options() -> None:
    first, second = route(
        "policies: [pkg.rules:One, {use: two.Two, with: {max_bytes: 5, kinds: [a, {b: null}]}}]"
    ).policies
    assert (first.name, dict(first.options)) == ("pkg.rules:One", {})
    assert isinstance(second.policy, AnyRule)
    assert second.policy.options == second.options == {"max_bytes": 5, "kinds": ["a", {"b": None}]}


def test_a_policy_with_doubtful_options_is_not_built() -> None:
    assert problems(f"{ROUTE}, policies: [{{use: nowhere.X, with: {{mode: 0644}}}}]}}") == [
        "routes.yml:1:83 routes[0].policies[0].with.mode: 0644 " + DOUBT
    ]


def test_a_host_is_compared_in_small_letters() -> None:
    assert route("host: '*.Agency.EXAMPLE'").host == "*.agency.example"


def test_networks_of_proxies_are_written_one_way() -> None:
    text = f"trusted_proxies: [10.0.0.0/8, 192.0.2.7, '2001:DB8:0::/32']\nroutes:\n{ROUTE}}}"
    assert config(text).trusted_proxies == ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("path: /faq", "any /faq"),
        ("path: /faq, methods: [POST, GET]", "GET,POST /faq"),
        ("path: /faq/*, host: Claims.example", "any claims.example/faq/*"),
        ("path: /faq, query: {v: ['2', '1']}, headers: {X-T: a b}", "any /faq ?v=1|2 X-T:a%20b"),
        ("path: /faq, headers: {X-T: 'a|b'}", "any /faq X-T:a%7Cb"),
        ("path: /faq, name: Questions and answers", "Questions and answers"),
    ],
)
def test_a_route_is_named_by_the_file_or_by_what_it_matches(more: str, name: str) -> None:
    assert config(f"- {{auth: none, forward_to: http://x, {more}}}").routes[0].name == name


def test_a_given_name_may_not_be_one_that_another_route_gets() -> None:
    text = (
        "- {path: /a, name: any /b, auth: none, forward_to: http://x}\n- {path: /b, auth: none, forward_to: http://x}\n"
    )
    assert problems(text) == [
        "routes.yml:1:14 routes[0].name: is the name of routes[1] too (routes.yml:2:3); names are unique"
    ]


# -- warnings ------------------------------------------------------------------------------------------------------


def warnings(text: str) -> tuple[str, ...]:
    return config(text).warnings


def test_tokens_without_an_issuer_are_warned_of_once() -> None:
    many = "\n".join(f"- {{path: /{n}, auth: oauth, forward_to: http://x}}" for n in range(3))
    assert warnings(many) == (f"routes.yml:1:14 routes[0].auth: {NO_ISSUERS} (so for 3 routes in all); {REMEDY}",)
    assert warnings("routes:\n- {path: /x, auth: [mtls, oauth], forward_to: http://x}") == (
        "routes.yml:2:14 routes[0].auth: " + NO_ISSUERS + "; add issuers:",
    )


def test_issuers_that_no_route_uses_are_warned_of() -> None:
    assert warnings(f"issuers: {{a: {{issuer: https://a.example, audience: b}}}}\nroutes:\n{ROUTE}}}") == (
        "routes.yml:1:1 issuers: no route takes tokens (auth: oauth), so the issuers are not used",
    )


def test_trusting_everybody_is_warned_of() -> None:
    assert warnings(f"trusted_proxies: ['::/0']\nroutes:\n{ROUTE}}}") == (
        "routes.yml:1:1 trusted_proxies: ::/0 is everybody: each caller can claim any address and any host",
    )


def test_requirements_that_no_credential_can_meet_are_warned_of() -> None:
    text = """\
- {path: /x, auth: mtls, forward_to: http://x, require: {scopes: [a]}}
- {path: /y, auth: api_key, forward_to: http://x, require: {claims: {a: b}}}
"""
    assert warnings(text) == (
        "routes.yml:1:48 routes[0].require: no rule gives a client certificate scopes, so every call is refused",
        "routes.yml:2:51 routes[1].require: only tokens have claims (API keys: plan), so every call is refused",
    )


def test_a_certificate_can_have_the_scopes_of_a_rule() -> None:
    text = """\
client_certificates: {callers: [{cn: a, name: b, scopes: [c]}]}
routes:
- {path: /x, auth: mtls, forward_to: http://x, require: {scopes: [c]}}
"""
    assert warnings(text) == ()


def test_rules_for_certificates_that_no_route_takes_are_warned_of() -> None:
    assert warnings(f"client_certificates: {{name: cn}}\nroutes:\n{ROUTE}}}") == (
        "routes.yml:1:1 client_certificates: no route takes client certificates (auth: mtls), so this is not used",
    )


def test_names_and_serials_of_certificates_are_read_in_one_spelling() -> None:
    text = """\
client_certificates:
  callers:
  - {subject: 'cn = Smith\\2C John + UID=7 , O=A', issuer: "O=B", name: smith}
  - {dns: "*.Batch.example", name: batch, scopes: [a, b]}
  - {email: "Batch@Agency.EXAMPLE", name: mail}
  revoked: ["af3", "0:0a:f4", {issuer: "cn=A", serial: "00"}]
routes:
- {path: /x, auth: mtls, forward_to: http://x}
"""
    assert config(text).client_certificates == ClientCertificates(
        callers=(
            CertificateRule("subject", "CN=Smith\\, John+UID=7,O=A", "smith", issuer="O=B"),
            CertificateRule("dns", "*.batch.example", "batch", frozenset({"a", "b"})),
            CertificateRule("email", "Batch@agency.example", "mail"),
        ),
        revoked=frozenset({RevokedCertificate("0AF3"), RevokedCertificate("0AF4"), RevokedCertificate("00", "CN=A")}),
    )


def test_counting_tokens_where_nobody_has_one_is_warned_of() -> None:
    assert warnings(f"{ROUTE}, rate_limit: 30/m per_token}}") == (
        "routes.yml:1:48 routes[0].rate_limit: nobody has a token where auth is none, so calls are counted per ip",
    )


IN_URLS = (
    "keys in URLs stay in browser histories and in the logs of every proxy on the way; callers who can send a header "
    "should"
)


def test_keys_in_urls_and_a_header_that_no_route_uses_are_warned_of() -> None:
    assert warnings("- {path: /x, auth: api_key, api_key: {query: key}, forward_to: http://x}") == (
        "routes.yml:1:29 routes[0].api_key: " + IN_URLS,
    )
    assert warnings(f"api_keys: {{header: X-Key}}\nroutes:\n{ROUTE}}}") == (
        "routes.yml:1:1 api_keys: no route takes API keys (auth: api_key), so the header is not used",
    )


def test_of_several_limits_the_one_that_is_meant_is_named() -> None:
    (warning,) = warnings(f"{ROUTE}, rate_limit: [30/m, 9/s per_caller]}}")
    assert warning.startswith("routes.yml:1:67 routes[0].rate_limit[1]: nobody has a caller")


def test_plans_where_nobody_has_claims_are_warned_of() -> None:
    (warning,) = warnings(f"{ROUTE}, rate_limit: {{limit: 9/s, plan_claim: plan, plans: {{gold: 90/s}}}}}}")
    assert warning.endswith("rate_limit: nobody has the claim plan here, so nobody is on a plan")


def test_a_cost_that_no_policy_can_say_is_warned_of() -> None:
    (warning,) = warnings(f"{ROUTE}, rate_limit: {{limit: 9/s, cost: {{header: X-Cost, default: 2}}}}}}")
    assert warning.endswith("rate_limit: no policy sets X-Cost here, so every call costs 2")
