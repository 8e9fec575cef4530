"""A2A 1.0 and 0.3: bytes <-> messages <-> Envelope.

| what                                  | where                                                             |
|---------------------------------------|-------------------------------------------------------------------|
| a message as an Envelope, and back    | `lift` (`message`, `outcome`), `lower` (`written`, `updates`)     |
| the answers to a call, as a task's    | `events`; `task` puts together what the task is now               |
| the call that SendMessage asks for    | `call`, after `params` has checked what it says                   |
| messages and operations, unchanged    | `messages`, `operations`, `rest` (HTTP+JSON), `spelling` (0.3)    |
| errors, an agent's card, numbers      | `faults`, `card`, `numbers`                                       |

Unaware of HTTP, of tasks' lives and of agents: that is the edge's business.
"""
