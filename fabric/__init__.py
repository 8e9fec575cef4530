"""The agent message fabric: agents, devices and pipelines meet on channels that exist as soon as somebody
uses them.

    async with fabric.connect(name="greenhouse-1") as fab:
        async with fab.agent("thermostat") as me: ...

Errors are in `fabric.errors`, everything an agent needs beside `connect` in `fabric.client`.
"""

from fabric.client import Call, Skill, ToolError
from fabric.connect import connect

__all__ = ["Call", "Skill", "ToolError", "connect"]

__version__ = "0.1.0"
