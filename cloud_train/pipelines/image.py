"""The image that steps run in, and how a function becomes a component of it."""

import functools

from kfp import dsl

from edge import __version__

IMAGE = f"touchline-python:{__version__}"
"""Built from Dockerfile.train; `pipeline compile --image` names it as your registry does.

kfp's local runner, which needs no image, warns unless the name of one holds `python`.
"""

component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
