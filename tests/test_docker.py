"""The files for containers and clusters agree with each other, with Ray and with our commands."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
import yaml

from pipeline.commands import app
from tests.conftest import ROOT

DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/howto/cluster.md").read_text(encoding="utf-8")


def load(name: str) -> Any:
    return yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))


def our_commands() -> Iterator[str]:
    """Yield every `pipeline ...` command in the guide to clusters and in the RayJob."""
    yield load("rayjob.yaml")["spec"]["entrypoint"]
    for line in PAGE.replace("\\\n", " ").splitlines():
        if found := re.search(r"(?:-- |fakeflow )(pipeline .*)", line):
            yield found[1].rstrip("`")


def ray_start(command: str) -> dict[str, Any]:
    """Parse a `ray start` command with Ray's own options."""
    from ray.scripts.scripts import start

    words = shlex.split(re.sub(r"\$\{[^}]*:-([^}]*)\}", r"\1", command))
    assert words[:2] == ["ray", "start"]
    parsed: dict[str, Any] = start.make_context("ray start", words[2:]).params
    return parsed


@pytest.mark.parametrize("command", sorted(set(our_commands())))
def test_every_command_is_one_that_we_have(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    parsed = typer.main.get_command(app).commands[name].make_context(name, arguments)  # type: ignore[attr-defined]
    assert parsed.params


def test_the_guide_shows_each_way() -> None:
    assert len(set(our_commands())) >= 3
    for name in ("docker/Dockerfile", "docker/compose.yaml", "docker/ray-cluster.yaml", "docker/rayjob.yaml"):
        assert name in PAGE


def test_image_gets_what_the_wheel_is_made_of() -> None:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        project = tomllib.load(stream)
    copied = {source for line in re.findall(r"^COPY (.*)", DOCKERFILE, re.M) for source in line.split()[:-1]}
    needed = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], "pyproject.toml"}
    needed |= {project["project"]["readme"], *project["project"]["license-files"]}
    assert copied == needed
    assert all((ROOT / source).exists() for source in copied)
    ignored, *kept = (DOCKER / "Dockerfile.dockerignore").read_text().split()
    assert ignored == "*"
    assert {name.removeprefix("!") for name in kept if name.startswith("!")} == copied
    requires = project["project"]["requires-python"].removeprefix(">=")
    assert re.search(r"^ARG PYTHON_VERSION=(.*)", DOCKERFILE, re.M)[1] >= requires  # type: ignore[index]
    for extra in re.findall(r"--extra (\w+)", DOCKERFILE):
        assert extra in project["project"]["optional-dependencies"]


def test_compose_builds_the_image_and_its_nodes_find_each_other() -> None:
    compose = load("compose.yaml")
    services = compose["services"]
    assert set(load("compose.gpu.yaml")["services"]) <= set(services)
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.M))
    for service in services.values():
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DOCKER / "Dockerfile")
        assert set(service["build"]["args"]) <= arguments
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
    head, worker = (ray_start(services[name]["command"]) for name in ("head", "worker"))
    assert head["head"]
    assert head["num_cpus"] == 0
    assert worker["address"] == f"head:{head['port']}"
    assert head["block"]
    assert worker["block"]
    assert services["head"]["healthcheck"]["test"][-1] == worker["address"]
    assert all(port.startswith("127.0.0.1:") for port in services["head"]["ports"])


def test_gpus_are_not_left_to_two_cores() -> None:
    command = ray_start(load("compose.gpu.yaml")["services"]["worker"]["command"])
    assert command["num_cpus"] is None
    assert command["address"] == ray_start(load("compose.yaml")["services"]["worker"]["command"])["address"]


def test_ray_accepts_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster = prepare_config(load("ray-cluster.yaml"))
    validate_config(cluster)
    assert cluster["provider"]["type"] == "aws"
    assert " boto3" in DOCKERFILE  # Ray's provider for AWS imports it on the head, and s3fs does not depend on it
    kinds = cluster["available_node_types"]
    assert kinds[cluster["head_node_type"]]["resources"]["CPU"] == 0
    assert kinds["gpu"]["min_workers"] == kinds["gpu"]["max_workers"] == cluster["max_workers"]
    (head,) = [ray_start(line) for line in cluster["head_start_ray_commands"] if "start" in line]
    (worker,) = [ray_start(line) for line in cluster["worker_start_ray_commands"] if "start" in line]
    assert worker["address"] == f"$RAY_HEAD_IP:{head['port']}"


def test_rayjob_asks_for_the_workers_that_its_groups_have() -> None:
    job = load("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]
    entrypoint = shlex.split(job["spec"]["entrypoint"])
    assert int(entrypoint[entrypoint.index("--workers") + 1]) == group["replicas"]
    images = set()
    for template in (cluster["headGroupSpec"]["template"], group["template"]):
        (container,) = template["spec"]["containers"]
        images.add(container["image"])
        assert container["resources"]["limits"] == container["resources"]["requests"]
    assert images == {load("ray-cluster.yaml")["docker"]["image"]}
    for parameters in (cluster["headGroupSpec"]["rayStartParams"], group["rayStartParams"]):
        assert all(isinstance(value, str) for value in parameters.values())  # KubeRay accepts only strings
