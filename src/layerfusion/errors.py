"""The error a user can mend: one sentence that says what is wrong and what to do."""

LONGEST = 200  # characters of what another library says
QUOTED = 60  # characters of a wrong value


class LayerFusionError(ValueError):
    """Bad input. Its text is one sentence; the command prints it and exits with code 2."""


def told(error: Exception) -> str:
    """What another library's exception says, on one line and no longer than a line: some quote a whole file."""
    said = " ".join(str(error).split())
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def shown(value: object) -> str:
    """A wrong value as a sentence quotes it: on one line and short, whatever a file holds in its place."""
    quoted = repr(value)
    return quoted if len(quoted) <= QUOTED else quoted[: QUOTED - 1] + "…"


def foreseen(error: Exception) -> str | None:
    """The sentence for a failure that a user can mend, or None for a mistake of ours."""
    if isinstance(error, LayerFusionError):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "there is not enough memory; choose a smaller --size or --batch-size, or --offload on a GPU."
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}; make room, or choose another place."
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return "there is not enough memory; choose a smaller --size or --batch-size."
    return None
