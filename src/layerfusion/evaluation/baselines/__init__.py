"""The systems that the paper compares with, and some that need no weights, behind one interface.

    for name, system in SYSTEMS.items():
        ready = system.prepare(folder, pipeline)

A system is either ready, and then does what its `tasks` say, or names what it lacks. Code and weights of others are
never part of this package: weights are loaded from files that the user has, and where an architecture is not small, its
own code runs in its own environment (`outside`).
"""

from layerfusion.evaluation.baselines.colour import HISTOGRAM, PASTE, REINHARD
from layerfusion.evaluation.baselines.diffused import MASKED, SDEDIT, TELEA
from layerfusion.evaluation.baselines.interface import (
    Completer,
    Extractor,
    Generator,
    Harmonizer,
    Missing,
    Scene,
    System,
    Task,
)
from layerfusion.evaluation.baselines.layerdiffuse import EXTRACTION, SEQUENTIAL
from layerfusion.evaluation.baselines.matting import PPMATTING, U2NETP
from layerfusion.evaluation.baselines.outside import ALFIE, HARMONIZER, INR, MATTING_ANYTHING, PCT_NET

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        *(SEQUENTIAL, ALFIE),
        *(EXTRACTION, MATTING_ANYTHING, PPMATTING, U2NETP),
        *(HARMONIZER, INR, PCT_NET, PASTE, REINHARD, HISTOGRAM, SDEDIT),
        *(TELEA, MASKED),
    )
}
"""Every system by its name, in the order of the tables."""

__all__ = [
    "SYSTEMS",
    "Completer",
    "Extractor",
    "Generator",
    "Harmonizer",
    "Missing",
    "Scene",
    "System",
    "Task",
    "systems_for",
]


def systems_for(task: Task) -> list[System]:
    """Those that can do a task, ready or not."""
    return [system for system in SYSTEMS.values() if task in system.tasks]
