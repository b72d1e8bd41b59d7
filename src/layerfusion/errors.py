"""The error a user can mend: one sentence that says what is wrong and what to do."""


class LayerFusionError(ValueError):
    """Bad input. Its text is one sentence; the command prints it and exits with code 2."""
