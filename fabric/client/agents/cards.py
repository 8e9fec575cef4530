"""Agent cards: what an agent says of itself, as kept in the registry. Shapes only; JSON by msgspec."""

from typing import Any, Literal

import msgspec

__all__ = ["AgentCard", "Skill", "ToolContract", "ToolSpec"]

SideEffects = Literal["none", "reads", "writes", "irreversible"]


class Skill(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something an agent is good at; `find(skill=...)` matches its id."""

    id: str
    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()


class ToolContract(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a caller may rely on: whether a tool changes the world, what a call costs (the agent's own
    units), and which error codes it answers with."""

    side_effects: SideEffects = "writes"
    idempotent: bool = False
    cost: float = 0.0
    errors: tuple[str, ...] = ()


class ToolSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tool: its arguments and result as JSON Schema (2020-12)."""

    name: str
    description: str = ""
    input_schema: dict[str, Any] = {}
    output_schema: dict[str, Any] | None = None
    contract: ToolContract = ToolContract()
    streams: bool = False  # its answer comes in parts to who asks for them: `Fabric.stream`


class AgentCard(msgspec.Struct, frozen=True, omit_defaults=True):
    """A live agent. `epoch` counts its lives; `process` names the one that holds it, `connection` the lease
    it hangs on."""

    name: str
    epoch: int
    process: str
    connection: str
    version: str = ""
    description: str = ""
    skills: tuple[Skill, ...] = ()
    tools: tuple[ToolSpec, ...] = ()

    @property
    def holder(self) -> str:
        """The lease that keeps this agent alive."""
        return f"{self.connection}.{self.process}"

    @property
    def keys(self) -> list[str]:
        """What `find(skill=...)` finds it by: ids and tags of its skills."""
        return [key for skill in self.skills for key in (skill.id, *skill.tags)]
