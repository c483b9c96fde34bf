"""Points of Edwards curves that are no key: whoever knows them can sign without any secret.

A point of small order has a handful of multiples, so one of a handful of signatures made of constants is good for any
message. Libraries verify with such a point like with any other (RFC 8032 does not ask more).
"""

from __future__ import annotations

_P25519 = 2**255 - 19
_D25519 = -121_665 * pow(121_666, -1, _P25519)
_P448 = 2**448 - 2**224 - 1


def has_small_order(curve: str, point: bytes) -> bool:
    """Whether the point, in the form of RFC 8032, section 5.1.2 or 5.2.2, has an order of 1, 2, 4 or 8.

    Its y tells: 1, -1 or 0, and for the order 8 a root of d y⁴ + 2 y² - 1, which doubling takes to 0.
    """
    if curve == "Ed25519":
        y = int.from_bytes(point, "little") & (2**255 - 1)
        return y * (y * y - 1) * (_D25519 * y**4 + 2 * y * y - 1) % _P25519 == 0
    y = int.from_bytes(point[:56], "little")
    return y * (y * y - 1) % _P448 == 0
