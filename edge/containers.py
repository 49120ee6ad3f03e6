"""What differs between the versions of PyAV that the supported Pythons get."""

from __future__ import annotations

from typing import Any

import av

LENIENT: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "ignore"}
"""For `av.open`: a title that is no UTF-8 is no reason to refuse a recording; since PyAV 19 it is none anyway."""
