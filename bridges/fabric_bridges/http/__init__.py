"""The HTTP floor, shared by the MCP and A2A edges: raw bytes in, raw bytes or a stream of events out.

`app` serves an edge's routes inside the running loop; every request passes `auth` (who, and from which
origin) and `limits` (how much at once); `answer` is one message, `sse` a stream of them; `connection` bounds
one TCP connection; `config` holds the settings both edges have. Unaware of JSON-RPC, of the fabric, and of
which edge it serves.
"""
