"""The OpenTelemetry context of the caller as headers, so that the server's spans belong to the application's trace."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def trace_headers() -> Mapping[str, str]:
    """What OpenTelemetry would send with a request of this thread or task now; nothing where it is not in use.

    Without a span this is empty; with one, W3C `traceparent`, and what else the application's propagators add.
    """
    if "opentelemetry.trace" not in sys.modules:  # an application that traces has imported it
        return {}
    from opentelemetry import propagate

    headers: dict[str, str] = {}
    propagate.inject(headers)
    return {name.lower(): value for name, value in headers.items()}  # gRPC takes lower case only
