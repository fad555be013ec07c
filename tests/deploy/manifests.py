"""The objects that `kubectl apply -k` would send, by overlay.

Owns their rendering and how one is found among them. Knows no law.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import REPOSITORY, output, tool

OVERLAYS = ("cpu", "gpu", "keda")
WORKERS = ("generate", "score")


@dataclass(frozen=True)
class Overlay:
    """Everything in one overlay."""

    name: str
    objects: tuple[dict[str, Any], ...]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """All objects of these kinds."""
        return [each for each in self.objects if each["kind"] in kinds]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """The object of this kind and name."""
        (found,) = [each for each in self.of(kind) if each["metadata"]["name"] == name]
        return found

    def workloads(self) -> list[dict[str, Any]]:
        """Everything that makes pods."""
        return self.of("Deployment", "StatefulSet")

    def pod(self, name: str) -> dict[str, Any]:
        """The pod specification of a workload."""
        (found,) = [each for each in self.workloads() if each["metadata"]["name"] == name]
        return dict(found["spec"]["template"]["spec"])

    def container(self, name: str) -> dict[str, Any]:
        """The one container of a workload."""
        (found,) = self.pod(name)["containers"]
        return dict(found)

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a workload's container; one from a secret has the secret's key in angle brackets."""
        container = self.container(name)
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for each in container.get("env", ()):
            found[each["name"]] = each.get("value") or f"<{each['valueFrom']['secretKeyRef']['key']}>"
        return found

    def picked_by(self, selector: dict[str, Any]) -> set[str]:
        """The workloads whose pods a label selector picks."""
        return {
            each["metadata"]["name"]
            for each in self.workloads()
            if picks(selector, each["spec"]["template"]["metadata"]["labels"])
        }


def picks(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a selector of `matchLabels` and `In` picks these labels."""
    equal = all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in expressions), "this reader knows the operator In alone"
    return equal and all(labels.get(each["key"]) in each["values"] for each in expressions)


@cache
def overlay(name: str) -> Overlay:
    """An overlay as kustomize builds it."""
    return built(REPOSITORY / "k8s/overlays" / name)


def built(folder: Path) -> Overlay:
    """An overlay of any folder as kustomize builds it."""
    kubectl = tool("kubectl", "see kubernetes.io/docs/tasks/tools")
    return Overlay(folder.name, tuple(yaml.safe_load_all(output(kubectl, "kustomize", str(folder)))))


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a document, at any depth."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from mappings(each)
