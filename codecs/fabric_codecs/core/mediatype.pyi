def guess(data: bytes) -> str:
    """The media type of data that came without one: JSON, plain text, else bytes."""
