"""How the fuzzers come to their calls: near what is genuine, and far from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fakes_credentials import GOOD_CLAIMS, NOW_S, ec_jwk, ec_key, ed_jwk, ed_key, rsa_jwk, rsa_key
from fuzz.calls import EDITS, FORGED, GENUINE, Call, Signed
from fuzz.calls import KIDS as KIDS_OF
from guarded import ACCEPTS
from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

ANY_TEXT = st.text(st.characters() | st.sampled_from("\ud800\udfff\r\n\0"), max_size=20)
"""Half surrogate pairs too: JSON can hold them."""
LATIN = st.text(st.characters(max_codepoint=255), max_size=60)
TOKENISH = st.text("abcXYZ019-_.=+/~ ,\"'\t", max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
ALGORITHMS = [
    "RS256",
    "ES256",
    "RS384",
    "RS512",
    "ES512",
    "PS256",
    "PS512",
    "EdDSA",
    "Ed25519",
    "Ed448",
    "HS256",
    "none",
    "None",
    "",
    "rs256",
]
KIDS = ["rsa-1", "ec-1", "", "x" * 300, "../../etc/passwd", "' or 1=1 --", "\u0000", "é", "\ud800"]
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(ALGORITHMS) | JSON,
        "kid": st.sampled_from(KIDS) | JSON,
        "typ": st.sampled_from(["JWT", "at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", "JWE"]) | JSON,
    },
)
EXTENSIONS = st.dictionaries(
    st.sampled_from(["crit", "b64", "zip", "enc", "cty", "jwk", "jku", "x5c", "x5u", "x5t", "epk", "p2c", "apu", "a"]),
    JSON | st.sampled_from(["DEF", ["b64"], "https://attacker.example/keys", True]),
    max_size=2,
)
CLAIMS = st.dictionaries(
    st.sampled_from([*sorted(GOOD_CLAIMS), "nbf", "scp", "client_id", "azp", "cnf", "act", "a"]),
    JSON
    | st.sampled_from(
        [NOW_S, NOW_S - 59, NOW_S - 61, NOW_S + 61, 1e300, -1, 2**63, 2**64, "hms-api", ["hms-api"], ["x", "hms-api"]]
    ),
    max_size=3,
)
ODD_JSON = st.sampled_from(
    [
        "",
        "{}",
        "[]",
        "null",
        '"a"',
        "foo",
        "{",
        '{"a":1e999}',
        '{"a":-0}',
        '{"a":NaN}',
        '{"sub":"a","sub":"b"}',
        '{"a":"\\ud800"}',
        '{"a":' + "[" * 17 + "]" * 17 + "}",
        '{"a":' + "1" * 21 + "}",
        "\ufeff{}",
        " {} ",
    ]
)


def _header_text(key: str, changed: dict[str, Any], more: dict[str, Any]) -> str:
    """As the issuer writes it for this key; a forger with a secret says HS256."""
    kind = key.removeprefix("other-")
    algorithm, kid = GENUINE.get(kind, "HS256"), KIDS_OF.get(kind, "rsa-1")
    return json.dumps({"alg": algorithm, "kid": kid, **changed, **more})


def _payload_text(changed: dict[str, Any]) -> str:
    return json.dumps({**GOOD_CLAIMS, **changed})


EDIT = st.tuples(
    st.sampled_from(sorted(EDITS)), st.integers(0, 4000), st.sampled_from(["", "=", "==", ".", "A", "\n", " ", "é"])
)


@st.composite
def tokens(draw: Any) -> Signed:
    """Tokens: some genuine, most not."""
    key = draw(st.sampled_from([*GENUINE, *FORGED]))
    header = draw(st.builds(_header_text, st.just(key), HEADERS | st.just({}), EXTENSIONS | st.just({})) | ODD_JSON)
    payload = draw(st.builds(_payload_text, CLAIMS | st.just({})) | ODD_JSON)
    return Signed(header, payload, key, tuple(draw(st.lists(EDIT, max_size=2))))


SCHEMES = st.sampled_from(["Bearer ", "bearer  ", "BEARER ", "ApiKey ", "apikey ", "Basic ", "Bearer", "", "DPoP "])
API_KEYS = st.sampled_from(
    ["{api_key}", "{api_key} ", "{api_key}x", "hms_{api_key}", "hms_" + "0" * 49, "x{api_key}", "{api_key},{api_key}"]
)
VALUES: SearchStrategy[tuple[Any, ...]] = (
    st.tuples(SCHEMES, tokens())
    | st.tuples(SCHEMES, API_KEYS)
    | st.tuples(SCHEMES, LATIN | TOKENISH)
    | st.tuples(SCHEMES, tokens(), st.sampled_from(["", " ", "\t", ",", " x", ";a=b", ", Bearer x"]))
)
NAMES = st.sampled_from(
    [
        "Authorization",
        "AUTHORIZATION",
        "X-API-Key",
        "x-api-key",
        "X-Client-Cert",
        "X-Forwarded-Client-Cert",
        "Proxy-Authorization",
        "X-HMS-Caller",
        "x_hms_caller",
        "X-HMS-Auth",
        "Cookie",
        "Connection",
    ]
)
LINES = st.lists(st.tuples(NAMES, VALUES), max_size=3).map(tuple)
CERTIFICATES = st.none() | st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT, max_size=2).map(tuple))
PATHS = st.sampled_from(sorted(ACCEPTS))
CALLS = st.builds(Call, PATHS, LINES | st.tuples(st.tuples(st.just("Authorization"), VALUES)), st.none() | CERTIFICATES)

MUTATED = st.builds(
    lambda path, key, edits: Call(
        path,
        (("Authorization", ("Bearer ", Signed(_header_text(key, {}, {}), _payload_text({}), key, edits))),),
    ),
    st.sampled_from(["/oauth", "/any"]),
    st.sampled_from(sorted(GENUINE)),
    st.lists(EDIT, min_size=1, max_size=3).map(tuple),
)
"""A genuine token, changed on the way."""


def _is_plain(value: Any) -> bool:
    """Whether the door reads this JSON value at all: no number without end, nothing deep, no half of a pair."""
    try:
        text = json.dumps(value, allow_nan=False)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return False
    return len(text) < 1_500 and _numbers_are_short(value)


def _numbers_are_short(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_numbers_are_short, value.values()))
    if isinstance(value, list):
        return all(map(_numbers_are_short, value))
    return not isinstance(value, int | float) or len(json.dumps(value)) <= 20


ODD_BUT_VALID = st.builds(
    lambda scheme, key, header, claims, after: Call(
        "/oauth",
        (("authorization", (scheme, Signed(_header_text(key, {}, header), _payload_text(claims), key), after)),),
        status=200,
    ),
    st.sampled_from(["Bearer ", "bearer ", "BEARER    ", " Bearer "]),
    st.sampled_from(sorted(GENUINE)),
    st.fixed_dictionaries(
        {},
        optional={
            "typ": st.sampled_from(["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"]),
            "jku": st.just("https://attacker.example/"),
            "x5c": st.just(["MIIB"]),
            "unknown": JSON.filter(_is_plain),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "aud": st.sampled_from([["hms-api"], ["x", "hms-api"]]),
            "exp": st.sampled_from([NOW_S - 59, NOW_S + 0.5, 253_402_300_799]),
            "iat": st.sampled_from([NOW_S + 60, 0]),
            "nbf": st.sampled_from([NOW_S + 60, 0, NOW_S - 0.1]),
            "sub": st.text(st.characters(categories=["L", "N", "S", "P"]), min_size=1, max_size=255),
            "scope": st.sampled_from(["", "a", "a b", "claims:read"]),
            "more": JSON.filter(_is_plain),
        },
    ),
    st.sampled_from(["", " ", "\t"]),
)
"""A genuine token in a form that is seldom and right."""


NUMBERS = st.sampled_from(
    [
        *(str(rsa_jwk(rsa_key())[name]) for name in "ne"),
        *(str(ec_jwk(ec_key())[name]) for name in "xy"),
        str(ed_jwk(ed_key())["x"]),
    ]
) | st.sampled_from(["", "AA", "AQAB", "AQ", "Aw", "A" * 8193, "_" * 1366, "_" * 342, "AQAB==", "AQ+B", "é", " AQAB"])
KEY_SETS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "kty": st.sampled_from(["RSA", "EC", "oct", "OKP"]) | JSON,
            "kid": st.sampled_from(["rsa-1", "ec-1", ""]) | JSON,
            "alg": st.sampled_from(["RS256", "ES256", "RSA-OAEP", "none"]) | JSON,
            "use": st.sampled_from(["sig", "enc"]) | JSON,
            "key_ops": st.lists(st.sampled_from(["verify", "sign"]) | JSON, max_size=2) | JSON,
            "crv": st.sampled_from(["P-256", "P-521", "secp256k1", "Ed25519", "Ed448", "X25519"]) | JSON,
            **dict.fromkeys(("n", "e", "x", "y", "d", "k"), NUMBERS | JSON),
        },
    ),
    max_size=5,
)
"""What stands in an issuer's set."""

IDENTITIES = st.fixed_dictionaries(
    {},
    optional={
        "sourceIp": st.just("192.0.2.7") | JSON,
        "clientCert": JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "subjectDN": ANY_TEXT | JSON,
                "issuerDN": ANY_TEXT | JSON,
                "serialNumber": st.sampled_from(["0a:1b", ":", "00", "-1"]) | ANY_TEXT | JSON,
                "clientCertPem": st.just("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")
                | ANY_TEXT
                | JSON,
            },
        ),
    },
)
EVENT_HEADERS = st.dictionaries(
    st.sampled_from(["Authorization", "authorization", "X-API-Key", "X-Amzn-Oidc-Data", "x_api_key"]) | ANY_TEXT,
    ANY_TEXT | JSON,
    max_size=3,
)
