"""The packages that stand beside this one, found by their place and never by the search path.

They have ordinary names (``sql``, ``assets``), and a working directory may hold a user's own modules of these names.
Not here: packages of others (``optional``).
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from chandlery.errors import ConfigurationError

#: The folder that holds ``chandlery`` and the packages beside it: the checkout, or where the wheel was installed.
ROOT = Path(__file__).parents[2]
#: Migrations and named queries.
SQL = ROOT / "sql"
#: The packages of the pipeline; each imports those before it.
PIPELINE = ("expectations", "resources", "assets", "pipelines")


def load_own(*names: str) -> None:
    """Make sure that ``import <name>`` means the package beside this one, for each of ``names``.

    Raises:
        ConfigurationError: this process has imported another module of that name already.
    """
    for name in names:
        present = sys.modules.get(name)
        if present is None:
            _load(name, ROOT / name)
        elif not _is_at(present, ROOT / name):
            where = getattr(present, "__file__", None) or ", ".join(getattr(present, "__path__", ()))
            raise ConfigurationError(
                f"the module {name!r} at {where} hides Chandlery's own package of that name; rename it, or run this in"
                " a process that has not imported it"
            )


def _load(name: str, folder: Path) -> None:
    spec = spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{folder} is not a package; install Chandlery again")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError:
        del sys.modules[name]
        raise ConfigurationError(f"{folder} is not a package; install Chandlery again") from None


def _is_at(module: ModuleType, folder: Path) -> bool:
    return any(Path(place).resolve() == folder.resolve() for place in getattr(module, "__path__", ()))
