"""What the README shows is run as it stands there."""

import asyncio
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from fabric.config import load_config
from fabric_codecs.kafka.records import decode_batch
from floors.tree import ROOT
from helpers.cli import fabric, fabric_up

README = (ROOT / "README.md").read_text()
BOUND_S = 20.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


async def run(home: Path, code: str) -> asyncio.subprocess.Process:
    script = home / "shown.py"
    script.write_text(code)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(script)),
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "FABRIC_HOME": str(home), "PATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def until_live(home: Path, agent: str) -> None:
    async with asyncio.timeout(BOUND_S):
        while agent not in (await fabric(home, "ls", "--json")).out:
            pass


@pytest.mark.timeout(90)
async def test_the_ten_line_agent_and_the_library_page_run_as_shown(tmp_path: Path) -> None:
    agent, library, _ = blocks("python")
    async with fabric_up(tmp_path):
        thermostat = await run(tmp_path, agent)
        try:
            await until_live(tmp_path, "thermostat")
            command = re.search(r"fabric call (\S+) '(.*)'", README)
            assert command is not None
            called = await fabric(tmp_path, "call", command[1], command[2])
            assert '"celsius"' in called.out
            assert called.code == 0
            page = await run(
                tmp_path,
                "import asyncio, fabric\nasync def main():\n"
                + textwrap.indent(library, "    ")
                + "\nasyncio.run(main())\n",
            )
            async with asyncio.timeout(BOUND_S):
                said, _ = await page.communicate()
            assert page.returncode == 0, said.decode()
            assert "thermostat ['set_temperature']" in said.decode()
        finally:
            thermostat.terminate()
            await thermostat.wait()


def test_the_translation_shown_makes_what_it_says() -> None:
    shown: dict[str, Any] = {}
    exec(blocks("python")[2], shown)
    (record,) = decode_batch(shown["made"].message).records
    assert (record.value, shown["made"].losses) == (b'{"celsius":21.5}', ())


def test_the_configuration_shown_is_accepted(tmp_path: Path) -> None:
    (shown,) = blocks("toml")
    file = tmp_path / "fabric.toml"
    file.write_text(shown)
    config = load_config(file, environ={"FABRIC_HOME": str(tmp_path)})
    assert config.kafka.topics == {"story": "journal", "climate": "greenhouse.>"}
