"""The embedded model: its world, its training and its report."""

from layerfusion.allocation import keep_freed_memory
from layerfusion.threads import settle_threads

settle_threads()
keep_freed_memory()
