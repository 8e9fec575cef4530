"""How the scenarios reach the fabric: through the public client API, as an agent does. Above: scenarios."""

from pathlib import Path

from fabric.client import Fabric, Session
from fabric_bench.plans import Place

__all__ = ["connect"]


def connect(place: Place, name: str) -> Fabric:
    """A fabric under `name`, connected inside its `async with`."""
    creds = Path(place.creds) if place.creds else None
    return Fabric(Session([place.url], name=name, credentials=creds), name, owns_session=True)
