from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.credentials.bearer import MAX_TOKEN, Authorization, read_authorization
from hms_svc.core.errors import Malformed
from hms_svc.core.model import Headers


def read(*values: str) -> Authorization | None:
    return read_authorization(Headers([("Host", "a"), *(("Authorization", value) for value in values)]))


def test_no_field_is_no_authorization() -> None:
    assert read() is None


@pytest.mark.parametrize("text", ["Bearer abc.d-e_f~+/==", "bearer abc.d-e_f~+/==", "BEARER   abc.d-e_f~+/== "])
def test_a_scheme_has_no_case_and_a_token_comes_whole(text: str) -> None:
    assert read(text) == Authorization("bearer", "abc.d-e_f~+/==")


@pytest.mark.parametrize(
    "text",
    [
        *("Bearer", "Bearer ", "Bearer a b", "Bearer a=b", "Bearer =", 'Bearer "a"', "Bearer a, b"),
        'Bearer {"payload":"a","signatures":[{"protected":"b", "signature":"c"}]}',
    ],
)
def test_what_is_not_one_token_has_a_fault_and_no_token(text: str) -> None:
    found = read(text)
    assert found is not None
    assert (found.scheme, found.token) == ("bearer", "")
    assert found.fault


@pytest.mark.parametrize("text", ["", " ", "\tBearer\ta", "é abc", "x" * 33 + " abc", "Bearer\n"])
def test_what_begins_with_no_scheme_has_none(text: str) -> None:
    found = read(text)
    assert found is not None
    assert (found.scheme, found.token) == ("", "")


def test_a_token_may_be_as_long_as_the_bound_and_no_longer() -> None:
    assert read("Bearer " + "a" * MAX_TOKEN) == Authorization("bearer", "a" * MAX_TOKEN)
    too_long = read("Bearer " + "a" * (MAX_TOKEN + 1))
    assert too_long is not None
    assert (too_long.token, too_long.fault) == ("", "it is longer than 8192 characters")


@pytest.mark.parametrize("values", [("Bearer a", "Bearer b"), ("Bearer a", ""), ("Basic x", "Bearer a")])
def test_several_fields_are_malformed(values: tuple[str, ...]) -> None:
    with pytest.raises(Malformed):
        read(*values)


CREDENTIALS = st.sampled_from(["Bearer a.b.c", "bearer x", "APIKEY hms_a", "ApiKey", "Bearer", "Bearer  y=="])
OTHERS = st.sampled_from(["Basic eDp5", "Digest a=b", "", "DPoP a.b.c", 'Digest u="a, b"'])


@given(
    st.lists(OTHERS, max_size=2), CREDENTIALS, st.lists(OTHERS | CREDENTIALS, max_size=2), st.sampled_from([",", ", "])
)
def test_fields_that_a_door_has_joined_are_malformed_wherever_one_of_ours_is(
    before: list[str], ours: str, after: list[str], comma: str
) -> None:
    values = [*before, ours, *after]
    if len(values) > 1:
        for came in (values, [comma.join(values)]):
            with pytest.raises(Malformed):
                read(*came)


@pytest.mark.parametrize(
    "value",
    ["Bearer a,Bearer b", "Bearer a,", "bearer\ta,\tBASIC b", ",Bearer a", "Basic a, ApiKey", "ApiKey,Bearer a"],
)
def test_a_second_credential_after_a_comma_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        read(value)


@pytest.mark.parametrize(
    "value",
    [
        'Digest username="a, Bearer b", realm="x", uri="/a", response="6629fae4"',
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4, SignedHeaders=host;x-date, Signature=fe5f",
        'OAuth realm="a", oauth_token="bearer", oauth_nonce="x"',
        "Digest bearer=a, apikey=b, bearers b",
        "Bearers a, b",
    ],
)
def test_commas_of_other_schemes_are_the_services_own(value: str) -> None:
    found = read(value)
    assert found is not None
    assert (found.scheme, found.token) == (value.partition(" ")[0].lower(), "")


@given(st.text(max_size=200).filter(lambda text: "," not in text))
def test_any_text_is_read_or_has_a_fault_that_quotes_nothing(text: str) -> None:
    found = read(text)
    assert found is not None
    assert bool(found.token) is not bool(found.fault)


def test_its_repr_does_not_show_the_token() -> None:
    assert "s3cret" not in repr(read("Bearer s3cret"))
