"""What people are shown of a store of API keys: what can be read of it, and what cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hms_svc.core.ports import ApiKey


class Listing(NamedTuple):
    """The keys of a store."""

    keys: list[ApiKey]
    """In the order they were made."""
    faults: tuple[str, ...] = ()
    """What of the store cannot be read, in a sentence each; holds nothing of it."""
    uses_known: bool = True
    """Whether ``last_used_s`` says when a key was last used; else it is None for every key, used or not."""
