"""Kafka's messages in kio, which is generated from Kafka's own schemas: the class of each, and its bytes."""

import io
from functools import cache
from importlib import import_module
from typing import Any

from kio.serial import entity_writer

from fabric_codecs.kafka.apis import Api
from fabric_codecs.kafka.messages import EXCHANGES

__all__ = ["kio_bytes", "ours", "theirs"]


def ours(api: Api, part: str) -> Any:
    """Our class of a request or a response."""
    return getattr(EXCHANGES[api], part)


@cache
def theirs(api: Api, version: int, part: str) -> Any:
    """kio's class of it in one version."""
    module = import_module(f"kio.schema.{api.name.lower()}.v{version}.{part}")
    return getattr(module, ours(api, part).__name__)


def kio_bytes(*entities: Any) -> bytes:
    """Entities of kio, written one after the other."""
    buffer = io.BytesIO()
    for entity in entities:
        entity_writer(type(entity))(buffer, entity)
    return buffer.getvalue()
