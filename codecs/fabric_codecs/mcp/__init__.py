"""The Model Context Protocol: tools, progress and cancellation, in the revisions 2026-07-28 and 2025-11-25.

`wire` reads and writes messages, `lift` makes a request envelope of a `tools/call`, `lower` makes results
and notifications of what the agent answered, `tools` makes MCP tools of agents' tools. Sessions and HTTP
are the edge's.
"""
