"""What has expired, and what killed workers left, is removed; nothing that anyone may still want."""

import shutil
import time
from contextlib import suppress

from layerfusion.files import PREFIX, sweep
from layerfusion.serve.settings import Settings
from layerfusion.serve.store import Store


def tidy(store: Store, settings: Settings) -> None:
    """Remove runs that ended long ago, results that no run has, and uploads that nobody has asked for lately."""
    oldest = time.time() - settings.keep
    for run in store.ended_before(oldest):
        if store.remove(run.id):
            shutil.rmtree(settings.results / run.folder, ignore_errors=True)
    for folder in (settings.results, settings.uploads):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
    # First what is there, then what is wanted: a folder appears only while its run is running.
    there = [folder for folder in settings.results.iterdir() if not folder.name.startswith(PREFIX)]
    wanted = store.folders()
    for folder in there:
        if folder.name not in wanted:
            shutil.rmtree(folder, ignore_errors=True)
    for upload in settings.uploads.glob("*.png"):
        with suppress(FileNotFoundError):
            if upload.stat().st_mtime < oldest:
                upload.unlink()
