"""What is said of a lake that cannot be written: what, where, how much is free, what to do."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def explained(root: Path, error: Exception) -> str:
    """Return one line about a failure to write to the lake in `root`."""
    code = getattr(error, "errno", None)
    if code in FULL or "No space left" in str(error):
        what = f"THE LAKE'S DISK IS FULL: {root} has {_free(root)} free. Make room or a larger disk"
    elif code in CLOSED:
        what = f"THE LAKE CANNOT BE WRITTEN: {root}. Is it mounted read-only, are its files another user's?"
    elif code == errno.ENOENT:
        what = (
            f"THE LAKE IS GONE: {root}. Mount it, or put it back; to begin a new one, start the worker anew"
        )
    else:
        what = f"THE LAKE FAILS: {root}"
    return f"{what} ({error}). Nothing is lost: landing goes on from what has landed as soon as it can"


def _free(root: Path) -> str:
    try:
        return f"{shutil.disk_usage(root).free / 2**20:,.1f} MiB"
    except OSError:
        return "an unknown amount"
