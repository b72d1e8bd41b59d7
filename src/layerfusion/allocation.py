"""What becomes of memory that tensors leave: the next tensor's, instead of the system's."""

import ctypes

# mallopt's, of glibc's <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 512 * 1024**2
"""Bytes at the end of the heap that stay with the process."""
OWN_PAGES = 32 * 1024**2
"""Bytes from which a block goes back to the system when it is freed: the most that glibc takes."""


def keep_freed_memory() -> bool:
    """Let glibc hand freed blocks to the next allocation, where its own defaults give them back to the system.

    Every step of a run allocates the activations of the step before anew. Given back and asked for again, each of their
    pages is cleared by the system: a tenth of a triplet's processor time on one machine, nothing to speak of on another
    (`python -m benchmarks.allocation`).

    Returns:
        Whether it acts; elsewhere than on glibc nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl has none, and Windows names its library
        return False
    return all([mallopt(M_MMAP_THRESHOLD, OWN_PAGES), mallopt(M_TRIM_THRESHOLD, KEPT)])
