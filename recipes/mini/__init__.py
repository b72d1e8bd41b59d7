"""The embedded model: its world, its training and its report."""

from layerfusion.threads import settle_threads

settle_threads()
