"""docker-compose.yml, as far as it can be checked where there is no Docker.

Shape and promises by reading it (pinned, health-checked, loopback); the NATS configurations and the node's
settings by giving them to the real nats-server and to the real configuration reader.
"""

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from fabric.config import load_config
from floors.tree import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
CONFIGS: dict[str, Any] = COMPOSE["configs"]
NATS_SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"
NODES = ("node", "node-cluster")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_and_health_checked(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":\d+\.\d+\.\d+", service["image"])
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= check.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_bound_to_loopback(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


def test_no_two_services_want_the_same_port_of_the_host() -> None:
    taken = [port.split(":")[1] for service in SERVICES.values() for port in service["ports"]]
    assert len(taken) == len(set(taken))


def test_base_images_of_the_node_are_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", SERVICES["node"]["build"]["dockerfile_inline"], re.MULTILINE)
    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)


def test_plain_up_starts_one_server_and_one_node_and_the_cluster_is_a_profile() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {"nats", "node"}
    cluster = {name for name, service in SERVICES.items() if service.get("profiles") == ["cluster"]}
    assert cluster == {"nats-1", "nats-2", "nats-3", "node-cluster"}


@pytest.mark.parametrize("name", NODES)
def test_a_node_waits_until_its_servers_are_healthy(name: str) -> None:
    awaited = SERVICES[name]["depends_on"]
    assert awaited
    assert all(SERVICES[server] for server in awaited)
    assert all(rule == {"condition": "service_healthy"} for rule in awaited.values())


@pytest.mark.parametrize("name", SERVICES)
def test_named_volumes_and_configs_are_declared(name: str) -> None:
    service = SERVICES[name]
    assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in service["volumes"])
    assert all(config["source"] in CONFIGS for config in service.get("configs", ()))


@pytest.mark.parametrize("name", CONFIGS)
def test_nats_server_accepts_its_configuration(name: str, tmp_path: Path) -> None:
    assert "is valid" in _nats_check(CONFIGS[name]["content"], tmp_path)


def test_nats_server_refuses_a_key_it_does_not_know(tmp_path: Path) -> None:
    broken = CONFIGS["nats-single"]["content"].replace("max_payload", "max_pylaod")
    with pytest.raises(subprocess.CalledProcessError):
        _nats_check(broken, tmp_path)


def _nats_check(config: str, folder: Path) -> str:
    file = folder / "server.conf"
    file.write_text(config.replace('store_dir: "/data"', f'store_dir: "{folder}"'))
    command = [NATS_SERVER, "-t", "-c", file, "--name", "nats-1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stderr


@pytest.mark.parametrize("name", NODES)
def test_the_node_understands_its_environment(name: str) -> None:
    environment = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    edges = ("mcp", "a2a", "mqtt", "kafka")
    config = load_config(environ=environment, edge_names=edges)
    assert config.nats.url in {f"nats://{server}:4222" for server in SERVICES[name]["depends_on"]}
    assert config.nats.replicas == len(SERVICES[name]["depends_on"])
    inside = {port.rpartition(":")[2] for port in SERVICES[name]["ports"]}
    assert inside == {str(config.node.port), *(str(config.edge(edge).options["port"]) for edge in edges)}
