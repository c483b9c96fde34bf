from __future__ import annotations

import base64
import bz2
import json
from typing import Any

import pytest

from hms_svc.aws import ssm_pack
from hms_svc.aws.ssm_pack import ADVANCED_BYTES, FIRST_LINE, STANDARD_BYTES, PackInvalid, manifest, pack, unpack

GENERATION = "00000000000000ab"
SMALL = b"- {path: /a, forward_to: 'http://a:1', auth: none}\n"
MIDDLE = b"".join(b"- {path: /a/%d, forward_to: 'http://a:1', auth: none}\n" % n for n in range(500))
# Digits of a power: nothing that compresses to one parameter.
LARGE = b"".join(b"# %x\n" % pow(7, n, 2**521 - 1) for n in range(1, 200))


def packed(data: bytes, limit: int = STANDARD_BYTES) -> ssm_pack.Packed:
    return pack(data, generation=GENERATION, limit=limit)


def manifest_text(**members: Any) -> str:
    found = manifest(packed(LARGE).main)
    assert found is not None
    return f"{FIRST_LINE}\n{json.dumps({**found._asdict(), 'coding': 'bzip2+ascii85', **members})}"


def test_a_small_file_is_stored_as_it_is() -> None:
    assert packed(SMALL) == (SMALL.decode(), ())
    assert unpack(SMALL.decode()) == SMALL


def test_a_file_that_fits_when_it_is_compressed_stays_in_one_parameter() -> None:
    assert len(MIDDLE) > STANDARD_BYTES
    main, parts = packed(MIDDLE)
    assert (parts, len(main) <= STANDARD_BYTES) == ((), True)
    assert unpack(main) == MIDDLE


@pytest.mark.parametrize("limit", [STANDARD_BYTES, ADVANCED_BYTES])
def test_a_large_file_is_cut_into_parts_and_put_together_again(limit: int) -> None:
    main, parts = packed(LARGE, limit)
    found = manifest(main)
    assert found is not None
    assert (found.generation, found.parts, found.bytes) == (GENERATION, len(parts), len(LARGE))
    assert {len(part) for part in parts[:-1]} == {limit}
    assert unpack(main, parts) == LARGE


@pytest.mark.parametrize(
    "data",
    [
        b"# {{resolve}}\n" + SMALL,  # SSM refuses two braces in a value
        b"# caf\xe9\n" + SMALL,  # not UTF-8: the loader says so, whatever the store
        b"# \x00\n" + SMALL,
        FIRST_LINE.encode() + b"\n" + SMALL,  # would be taken for a manifest
        b"",
    ],
)
def test_what_ssm_would_not_take_as_it_is_is_packed(data: bytes) -> None:
    main, parts = packed(data)
    assert main.startswith(FIRST_LINE)
    assert unpack(main, parts) == data


def test_no_value_has_two_braces_together() -> None:
    main, parts = packed(LARGE)
    assert [value for value in (main, *parts) if "{{" in value or "}}" in value] == []


def test_a_file_of_the_very_size_of_a_parameter_is_stored_as_it_is() -> None:
    data = SMALL + b"#" * (STANDARD_BYTES - len(SMALL))
    assert packed(data).main == data.decode()
    assert packed(data + b"#").main.startswith(FIRST_LINE)


def test_bytes_count_not_characters() -> None:
    assert packed(SMALL + b"# " + "é".encode() * 2_100).main.startswith(FIRST_LINE)


@pytest.mark.parametrize(
    ("main", "why"),
    [
        ("#hms-svc manifest 2\n{}", "another version"),
        (FIRST_LINE, "cannot be understood"),
        (f"{FIRST_LINE}\n[]", "cannot be understood"),
        (f"{FIRST_LINE}\n{'[' * 100_000}", "cannot be understood"),
        (manifest_text(coding="rot13"), "cannot be understood"),
        (manifest_text(more=1), "members"),
        (manifest_text(parts=-1), "wrong kind"),
        (manifest_text(parts=True), "wrong kind"),
        (manifest_text(parts="2"), "wrong kind"),
        (manifest_text(generation="../keys"), "wrong kind"),
        (manifest_text(generation=None), "wrong kind"),
        (manifest_text(sha256="abc"), "wrong kind"),
        (manifest_text(parts=ssm_pack.MAX_PARTS + 1), "bounds"),
        (manifest_text(bytes=ssm_pack.MAX_BYTES + 1), "bounds"),
    ],
)
def test_a_manifest_that_is_none_is_refused_with_its_reason(main: str, why: str) -> None:
    with pytest.raises(PackInvalid, match=why):
        manifest(main)


def test_parts_that_are_changed_exchanged_or_missing_are_refused() -> None:
    main, parts = packed(LARGE)
    for wrong in (parts[:-1], parts[::-1], (*parts[:-1], "!" + parts[-1][1:]), (*parts[:-1], "é"), ()):
        with pytest.raises(PackInvalid):
            unpack(main, wrong)


def test_a_table_of_another_generation_is_refused_by_its_hash() -> None:
    other = packed(LARGE.replace(b"#", b"# ", 1))
    with pytest.raises(PackInvalid, match="SHA-256"):
        unpack(manifest_text(bytes=len(LARGE) + 1, sha256="0" * 64), other.parts)


def test_a_bomb_is_not_unpacked_beyond_what_its_manifest_says() -> None:
    bomb = base64.a85encode(bz2.compress(b"\0" * 50_000_000)).decode()
    main = manifest_text(generation="", parts=0, bytes=1_000)
    assert len(bomb) < STANDARD_BYTES
    with pytest.raises(PackInvalid, match="SHA-256"):
        unpack(f"{main}\n{bomb}")


def test_a_manifest_that_promises_an_inline_table_must_have_one() -> None:
    with pytest.raises(PackInvalid):
        unpack(manifest_text(generation="", parts=0))


def test_a_file_beyond_the_bounds_is_not_packed() -> None:
    with pytest.raises(PackInvalid, match="64,000,000 is the most"):
        packed(b"#" * (ssm_pack.MAX_BYTES + 1))
    with pytest.raises(PackInvalid, match="1,000 is the most"):
        packed(LARGE, limit=5)
