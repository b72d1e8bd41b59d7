"""Systems of the user's own: functions in a Python file."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layerfusion.errors import LayerFusionError, told


def functions_of(system: Path, names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """Those of the named functions that a file defines, one at least.

    Raises:
        LayerFusionError: the file is missing, cannot be run, or has none of them.
    """
    wanted = " or ".join(names)
    if not system.is_file():
        raise LayerFusionError(f"there is no {system}; give a Python file with {wanted}.")
    try:
        module = runpy.run_path(str(system))
    except Exception as error:
        raise LayerFusionError(f"{system} cannot be run ({type(error).__name__}: {told(error)}); mend it.") from error
    found = {name: module[name] for name in names if callable(module.get(name))}
    if not found:
        raise LayerFusionError(f"{system} has no function {wanted}; add it.")
    return found
