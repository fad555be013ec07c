"""Laws of what our pods may do: the restricted profile, a root file system that stays as it is, no token."""

from typing import Any

import pytest

from tests.deploy.manifests import OVERLAYS, overlay

WORKLOADS = ("api", "generate", "redis", "score")

each_overlay = pytest.mark.parametrize("name", OVERLAYS)
each_workload = pytest.mark.parametrize("workload", WORKLOADS)


def container(name: str, workload: str) -> dict[str, Any]:
    """The security context of a workload's container."""
    return dict(overlay(name).container(workload)["securityContext"])


@each_overlay
def test_these_are_all_workloads(name: str) -> None:
    assert sorted(each["metadata"]["name"] for each in overlay(name).workloads()) == list(WORKLOADS)


@each_overlay
def test_the_namespace_refuses_what_is_not_restricted(name: str) -> None:
    (namespace,) = overlay(name).of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
@each_workload
def test_it_is_nobody_special(workload: str, name: str) -> None:
    context = overlay(name).pod(workload)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


@each_overlay
@each_workload
def test_it_gains_no_rights(workload: str, name: str) -> None:
    assert container(name, workload)["allowPrivilegeEscalation"] is False
    assert container(name, workload)["capabilities"] == {"drop": ["ALL"]}


@each_overlay
@each_workload
def test_its_root_file_system_is_read_only(workload: str, name: str) -> None:
    assert container(name, workload)["readOnlyRootFilesystem"] is True


@each_overlay
@each_workload
def test_it_has_no_token_and_nothing_of_the_host(workload: str, name: str) -> None:
    pod = overlay(name).pod(workload)
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all(not {"hostPath"} & set(volume) for volume in pod.get("volumes", ()))


@each_overlay
@each_workload
def test_its_memory_is_bounded(workload: str, name: str) -> None:
    assert "memory" in overlay(name).container(workload)["resources"]["limits"]
