"""Writing a table to SSM: the parts first, the manifest last, and what nobody needs any more is deleted after that.

SSM has no conditional write. The version is looked at right before the switch, and the number that the switch returns
tells if another writer came in between all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hms_svc.aws.ssm_client import ParameterExists, ParameterMissing, in_sentences
from hms_svc.aws.ssm_pack import ADVANCED_BYTES, STANDARD_BYTES, PackInvalid, pack
from hms_svc.aws.ssm_routes import BATCH
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from hms_svc.aws.ssm_pack import Packed
    from hms_svc.aws.ssm_routes import SsmRoutes
    from hms_svc.core.ports import Clock, Randomness

KEPT_VERSIONS = 10
"""Versions whose parts are kept, for `hms-svc rollback`."""
GRACE_S = 3_600
"""Parts stay for an hour after they were written and after their table was replaced, whatever comes: somebody may be
reading them, or be about to switch to them."""

_UNCHANGED = "nothing was switched: the routes in SSM stay as they were"


class Overtaken(Exception):  # noqa: N818  (named for what it means)
    """Somebody else has written the parameter since it was read."""


class Written(NamedTuple):
    """What was written."""

    version: int
    main_bytes: int
    parts: int
    overtook: tuple[int, ...] = ()
    """Versions that somebody else wrote between the last look and the switch, and that are not in force now."""


def write(
    routes: SsmRoutes,
    data: bytes,
    *,
    expected: int | None,
    randomness: Randomness,
    force: bool = False,
    advanced: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Written:
    """Put ``data`` in force, whole or not at all.

    ``expected`` is the version that it replaces, None: there is no parameter yet; with ``force`` it replaces whatever
    is there. ``advanced`` uses parameters of 8 KB, which cost money each month. ``progress`` is told after each part
    how many of how many are done. Raises `PackInvalid` (cannot be stored so), `Overtaken`, or `StoreUnavailable` whose
    message says what is in force.
    """
    generation = randomness.hex(8)
    packed = pack(data, generation=generation, limit=ADVANCED_BYTES if advanced else STANDARD_BYTES)
    put: list[str] = []
    try:
        now = _replaces(routes, expected, force=force)
        for number, part in enumerate(packed.parts, 1):
            put.append(f"{routes.parts_path(generation)}/{number}")
            _put(routes, put[-1], part, tier="Advanced" if advanced else "Standard")
            progress(number, len(packed.parts))
        if put:
            now = _replaces(routes, expected, force=force)
    except StoreUnavailable as error:
        _take_back(routes, put)
        raise StoreUnavailable(f"{error}; {_UNCHANGED}") from error
    except BaseException:  # Ctrl-C between two parts too
        _take_back(routes, put)
        raise
    version = _switch(routes, packed, put, new=now is None, advanced=advanced)
    between = range((now or 0) + 1, version)
    overtook = tuple(number for number in between if not _is_ours(routes, number, packed))
    return Written(version, len(packed.main.encode()), len(packed.parts), overtook)


def prune(routes: SsmRoutes, clock: Clock) -> int:
    """Delete the parts that neither `KEPT_VERSIONS` nor a reader can need; how many. Raises `StoreUnavailable`."""
    now_s = clock.wall_ns() / 1e9
    needed: set[str] = set()
    replaced_s = now_s
    for place, version in enumerate(routes.history()):
        if version.manifest and (place < KEPT_VERSIONS or now_s - replaced_s < GRACE_S):
            needed.add(version.manifest.generation)
        replaced_s = version.written_s
    path = routes.parts_path()
    gone: list[str] = []
    with in_sentences(path):
        pages = routes.client().get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        for page in pages:
            for found in page["Parameters"]:
                generation = found["Name"].removeprefix(f"{path}/").partition("/")[0]
                if generation not in needed and now_s - found["LastModifiedDate"].timestamp() >= GRACE_S:
                    gone.append(found["Name"])
    _delete(routes, gone)
    return len(gone)


def _put(
    routes: SsmRoutes, name: str, value: str, *, tier: Literal["Standard", "Advanced"] | None, overwrite: bool = True
) -> int:
    client = routes.client()
    with in_sentences(name):
        if tier is None:  # an existing parameter stays what it is: an advanced one cannot become standard
            return client.put_parameter(Name=name, Value=value, Type="String", Overwrite=overwrite)["Version"]
        return client.put_parameter(Name=name, Value=value, Type="String", Overwrite=overwrite, Tier=tier)["Version"]


def _replaces(routes: SsmRoutes, expected: int | None, *, force: bool) -> int | None:
    """The version that stands there now, None: no parameter. Raises `Overtaken` if it is not ``expected``."""
    try:
        main = routes.main()
    except ParameterMissing:
        if expected is not None and not force:
            raise Overtaken(f"{routes.name} was version {expected} and has been deleted meanwhile") from None
        return None
    if main.type != "String":
        raise PackInvalid(f"{routes.name} is a {main.type}, and routes are written as String: delete it first")
    if main.version != expected and not force:
        was = "was not there" if expected is None else f"was version {expected}"
        raise Overtaken(f"{routes.name} {was} and is version {main.version} now: somebody else has written it")
    return main.version


def _switch(routes: SsmRoutes, packed: Packed, put: list[str], *, new: bool, advanced: bool) -> int:
    """Write the main parameter; its version."""
    tier: Literal["Standard", "Advanced"] | None = "Advanced" if advanced else "Standard" if new else None
    try:
        return _put(routes, routes.name, packed.main, tier=tier, overwrite=not new)
    except StoreUnavailable as error:
        # An answer that was lost does not say that nothing was written: what stands there does.
        try:
            now = routes.main()
        except ParameterMissing:
            now = None
        except StoreUnavailable:
            raise StoreUnavailable(
                f"{error}; it is not known if the routes were switched: `hms-svc history` will tell"
            ) from error
        if now is not None and now.value == packed.main:
            return now.version
        _take_back(routes, put)
        if isinstance(error, ParameterExists):
            raise Overtaken(f"{routes.name} was not there and is now: somebody else has created it") from error
        raise StoreUnavailable(f"{error}; {_UNCHANGED}") from error


def _is_ours(routes: SsmRoutes, version: int, packed: Packed) -> bool:
    """Whether a version is what was written here: a write whose answer was lost is sent again."""
    try:
        return routes.main(version).value == packed.main
    except StoreUnavailable:
        return False


def _take_back(routes: SsmRoutes, names: list[str]) -> None:
    """Delete parts that no manifest names; those that stay all the same are found by a later `prune`."""
    try:
        _delete(routes, names)
    except StoreUnavailable:
        return


def _delete(routes: SsmRoutes, names: list[str]) -> None:
    for start in range(0, len(names), BATCH):
        with in_sentences(routes.parts_path()):
            routes.client().delete_parameters(Names=names[start : start + BATCH])
