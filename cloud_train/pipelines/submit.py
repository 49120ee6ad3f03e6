"""A compiled pipeline to a Kubeflow Pipelines host."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloud_train.aws import CloudError

TIMEOUT_SECONDS = 15.0


def submit(file: Path, host: str, *, experiment: str, arguments: Mapping[str, Any], token: str = "") -> str:
    """Create a run of a compiled pipeline and return its page's address; CloudError where the host does not answer."""
    import kfp
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    _require_answer(host)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        client = kfp.Client(host=host, existing_token=token or None)
        made = client.create_run_from_pipeline_package(
            str(file), arguments=dict(arguments), experiment_name=experiment, enable_caching=None
        )
    except (ApiException, HTTPError, OSError, RuntimeError) as error:
        msg = f"--host {host}: refuses the pipeline ({_first_line(error)})"
        raise CloudError(msg) from None
    return f"{host.rstrip('/')}/#/runs/details/{made.run_id}"


def _require_answer(host: str) -> None:
    """Ask the host once, as kfp's client would ask for minutes."""
    import urllib3

    if not host.startswith(("http://", "https://")):
        msg = f"--host {host}: is no address; it must look like https://kubeflow.example.com/pipeline"
        raise CloudError(msg)
    try:
        urllib3.PoolManager().request("GET", host, timeout=TIMEOUT_SECONDS, retries=False)
    except urllib3.exceptions.HTTPError as error:
        reason = type(error).__name__.removesuffix("Error")
        msg = f"--host {host}: cannot be reached ({reason}); is the cluster there, or `kubectl port-forward` running?"
        raise CloudError(msg) from None


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).strip()
