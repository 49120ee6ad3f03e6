"""A TFLite delegate, a GPU's for one: used where it does what the CPU does, and otherwise the CPU's kernels are."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

from .bundle import GOLDEN, Bundle
from .check import compare_scores
from .golden import Golden
from .manifest import BundleError

log = logging.getLogger(__name__)

TRIAL_SECONDS = 300
"""A GPU's driver compiles each model when it first sees it."""


def usable(library: str, bundle: Bundle) -> str:
    """Give `library`, or "" after one line of the log that says why it is not used.

    It is tried in a child process, which a driver may kill, on the bundle's golden clips.
    """
    command = [sys.executable, "-m", "edge.delegate", library, str(bundle.path)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        why = f"it did not answer within {TRIAL_SECONDS} s"
    else:
        if child.returncode == 0:
            return library
        why = child.stdout.strip() or f"its trial ended with status {child.returncode}"
        if child.returncode < 0:
            why = f"its trial was ended by signal {-child.returncode}"
    log.warning("delegate %s is not used, the CPU's kernels (XNNPACK) are: %s", library, why)
    return ""


def _try(library: str, path: str) -> int:
    """Be the child of `usable`: let the models judge the golden clips with the delegate, and print what differs."""
    try:
        bundle = Bundle.read(path)
        golden = Golden.from_npz((Path(path) / GOLDEN).read_bytes(), GOLDEN)
        compare_scores(bundle, golden, library)
    except (BundleError, OSError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_try(*sys.argv[1:]))
