from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.credentials.distinguished_names import TYPES, canonical, written

CN, C, O, UID = "2.5.4.3", "2.5.4.6", "2.5.4.10", "0.9.2342.19200300.100.1.1"  # noqa: E741  (as they are called)


@pytest.mark.parametrize(
    ("rdns", "text"),
    [
        ([], ""),
        ([[(C, "US")], [(CN, "a")]], "CN=a,C=US"),
        ([[(UID, "b"), (CN, "a")]], "CN=a+UID=b"),
        ([[(CN, "Smith, John")]], "CN=Smith\\, John"),
        ([[(CN, ' a+b"c\\<d>;e= ')]], 'CN=\\ a\\+b\\"c\\\\\\<d\\>\\;e\\=\\ '),
        ([[(CN, "#a#")]], "CN=\\#a#"),
        ([[("1.2.840.113549.1.9.1", "a@b.example")]], "emailAddress=a@b.example"),
        ([[("1.2.3.4", "a")]], "1.2.3.4=a"),
        ([[(CN, "a\0,CN=admin\n")]], "CN=a\\00\\,CN\\=admin\\0A"),
    ],
)
def test_a_name_is_written_so_that_it_reads_back_one_way(rdns: list[list[tuple[str, str]]], text: str) -> None:
    assert written(rdns) == text
    if rdns:
        assert canonical(text) == text


@pytest.mark.parametrize(
    ("spelt", "text"),
    [
        ("cn = batch , o=Agency", "CN=batch,O=Agency"),
        ("UID=b + CN=a", "CN=a+UID=b"),
        ("CN=Smith\\2C John", "CN=Smith\\, John"),
        ("CN=\\C3\\A9t\\c3\\a9", "CN=été"),
        ("CN=a\\ ", "CN=a\\ "),
        ("CN=a  ", "CN=a"),
        ("CN=,O=a", "CN=,O=a"),
        ("2.5.4.3=a", "CN=a"),
        ("emailaddress=a@b", "emailAddress=a@b"),
    ],
)
def test_a_name_has_one_spelling_whoever_wrote_it(spelt: str, text: str) -> None:
    assert canonical(spelt) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "what stands at character 1 is no part such as CN=name"),
        ("/O=Agency/CN=a", "what stands at character 1 is no part such as CN=name"),
        ("CN=a,,O=b", "what stands at character 6 is no part such as CN=name"),
        ("CN=a,", "what stands at character 6 is no part such as CN=name"),
        ('CN="a"', "what stands at character 1 is no part such as CN=name"),
        ("CN=a\\", "what stands at character 1 is no part such as CN=name"),
        ("CN=a\nb", "what stands at character 1 is no part such as CN=name"),
        ("CN=#0401", "a value in hexadecimal is not read; write it as text"),
        ("CN=\\ff", "what is escaped by numbers is not UTF-8"),
        ("XY=a", f"XY is not one of {', '.join(TYPES.values())}; write it as a number"),
    ],
)
def test_what_is_no_name_is_told(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        canonical(text)


VALUES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(' ,+"\\<>;=#\0\n'), max_size=12)
NAMES = st.lists(
    st.lists(st.tuples(st.sampled_from([*TYPES, "1.2.3.4"]), VALUES), min_size=1, max_size=3), min_size=1, max_size=4
)


@given(NAMES, NAMES)
def test_names_are_equal_when_their_texts_are(
    one: list[list[tuple[str, str]]], two: list[list[tuple[str, str]]]
) -> None:
    alike = [sorted(rdn) for rdn in one] == [sorted(rdn) for rdn in two]
    assert (written(one) == written(two)) == alike
    assert canonical(written(one)) == written(one)
    assert canonical(written([reversed(rdn) for rdn in one])) == written(one)


@given(st.text(max_size=60) | st.text('CNO=,+\\ "#a0', max_size=60))
def test_any_text_is_a_name_or_a_valueerror(text: str) -> None:
    try:
        found = canonical(text)
    except ValueError:
        return
    assert canonical(found) == found
