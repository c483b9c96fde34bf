"""What an unquoted scalar stands for, where YAML 1.1 and YAML 1.2 agree; where they do not, that it is in doubt."""

from __future__ import annotations

import math
import re

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DISPUTED_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_FIRST_OF_NUMBER = frozenset("0123456789+-.")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9A-Fa-f]+")
_FLOAT = re.compile(r"(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?")
_DISPUTED_NUMBER = re.compile(
    r"[-+]?(?:"
    r"0[0-9_]+"  # octal, or not
    r"|[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?|[0-9]+\.[0-9]*_[0-9_]*"  # thousands
    r"|0[box][0-9A-Fa-f_]+"
    r"|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"  # base 60
    r"|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+|\.[0-9]+"
    r"|\.(?:inf|Inf|INF|nan|NaN|NAN)"
    r")"
)
_MAX_DIGITS = 18


def plain_scalar(text: str) -> tuple[str | int | float | bool | None, str]:
    """What an unquoted scalar stands for, and why that is in doubt if it is."""
    if text in _NULLS:
        return None, ""
    if text in _BOOLEANS:
        return _BOOLEANS[text], ""
    if text[0] in _FIRST_OF_NUMBER:
        return _number(text)
    meant = _DISPUTED_BOOLEANS.get(text.lower()) if len(text) <= 3 else None  # noqa: PLR2004  (the longest is "yes")
    if meant and text in {text.lower(), text.upper(), text.capitalize()}:
        return None, f"{text} is {meant} to some readers of YAML and text to others; put it in quotes, or write {meant}"
    return text, ""


def _number(text: str) -> tuple[str | int | float | None, str]:
    if _INTEGER.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            return None, f"a number has at most {_MAX_DIGITS} digits; put it in quotes if it is text"
        return int(text, 16 if text[1:2] == "x" else 10), ""
    if _FLOAT.fullmatch(text):
        number = float(text)
        return (number, "") if math.isfinite(number) else (None, "the number is too large")
    if _DISPUTED_NUMBER.fullmatch(text):
        shown = text if len(text) <= 80 else text[:80] + "…"  # noqa: PLR2004  (one line of a terminal)
        return None, f"{shown} is not the same to all readers of YAML; put it in quotes, or write a plain number"
    return text, ""
