"""The folder of plug-ins as Python imports from it: always from source, and afresh when routes are loaded again.

Bytecode caches are neither read nor written there: they are told stale by the second, and an edit and a reload may
fall into one.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import invalidate_caches
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType


class _FromSource(SourceFileLoader):
    """Compiles a module's file whenever the module is imported."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


@dataclass(frozen=True, slots=True)
class _Hook:
    """An entry of ``sys.path_hooks`` for one folder and all below it."""

    folder: Path

    def __call__(self, path: str) -> FileFinder:
        if not PurePath(path).is_relative_to(self.folder):
            raise ImportError(f"{path} is not below {self.folder}")
        return FileFinder(path, (_FromSource, SOURCE_SUFFIXES), (ExtensionFileLoader, EXTENSION_SUFFIXES))


class PolicyFolder:
    """One folder, once its `install` was called part of ``sys.path``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder.resolve()

    def install(self) -> None:
        """Make the folder's modules importable. Last in ``sys.path``, so that no plug-in hides a library's module."""
        hook = _Hook(self.path)
        if hook not in sys.path_hooks:
            sys.path_hooks.insert(0, hook)
        if str(self.path) not in sys.path:
            sys.path.append(str(self.path))
        for known in [path for path in sys.path_importer_cache if PurePath(path).is_relative_to(self.path)]:
            del sys.path_importer_cache[known]

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Inside, the folder's modules are imported anew. What raises out of it puts the old ones back.

        Objects of the old modules go on working either way. A library in the folder with compiled parts is left as
        it is: most of them cannot be loaded twice.
        """
        invalidate_caches()
        old = self._loaded()
        for name in old:
            del sys.modules[name]
        try:
            yield
        except BaseException:
            for name in self._loaded():
                del sys.modules[name]
            sys.modules.update(old)
            raise

    def holds(self, module: object) -> bool:
        """Whether ``module``, an entry of ``sys.modules``, was imported from the folder."""
        if not isinstance(module, ModuleType):
            return False
        file, paths = vars(module).get("__file__"), vars(module).get("__path__")
        places = [file] if isinstance(file, str) else list(paths or ())
        return any(PurePath(place).is_relative_to(self.path) for place in places)

    def module_names(self) -> list[str]:
        """Every module and package in the folder that could be imported, ``pkg.module``."""
        found = []
        for file in sorted(self.path.rglob("*.py")):
            parts = file.relative_to(self.path).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        return [name for name in found if name]

    def _loaded(self) -> dict[str, ModuleType]:
        ours = {name: module for name, module in list(sys.modules.items()) if self.holds(module)}
        compiled = {
            name.partition(".")[0]
            for name, module in ours.items()
            if (vars(module).get("__file__") or "").endswith(tuple(EXTENSION_SUFFIXES))
        }
        return {name: module for name, module in ours.items() if name.partition(".")[0] not in compiled}
