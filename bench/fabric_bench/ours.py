"""How the scenarios reach the fabric: through its front door, as an agent does. Above: scenarios."""

from contextlib import AbstractAsyncContextManager

import fabric
from fabric.client import Fabric
from fabric_bench.plans import Place

__all__ = ["connect"]


def connect(place: Place, name: str) -> AbstractAsyncContextManager[Fabric]:
    """A fabric under `name`, connected inside its `async with`."""
    return fabric.connect(name, url=place.url, credentials=place.creds or None)
