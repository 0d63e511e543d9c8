"""Writes deploy/k8s/schemas out of operators' own definitions: `python tools/custom_resource_schemas.py CRD.yaml...`.

The definitions come with each operator's release: Strimzi's and KEDA's `crds`, the Prometheus operator's
`example/prometheus-operator-crd`. Descriptions and defaults are left out, and so is what is large and that none of our
objects uses: it is refused, until this is run again on objects that use it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

K8S: Final = Path(__file__).parents[1] / "deploy/k8s"
TARGET: Final = K8S / "schemas"

_LARGE: Final = 1_500  # characters of JSON
_LEFT_OUT: Final = {"description", "default", "example", "format", "title"}

Schema = dict[str, Any]


def written(definitions: Sequence[Schema], objects: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The name and the content of a file for each version of a kind that `objects` use."""
    for definition in definitions:
        spec = definition["spec"]
        for version in spec["versions"]:
            api, kind = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            used = [one for one in objects if (one["apiVersion"], one["kind"]) == (api, kind)]
            if used:
                schema = _closed(version["schema"]["openAPIV3Schema"], used)
                schema["properties"] |= {"apiVersion": {"const": api}, "kind": {"const": kind}, "status": False}
                schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
                yield f"{kind}.json", json.dumps(schema, sort_keys=True, separators=(",", ":")) + "\n"


def _closed(schema: Any, used: Sequence[Any]) -> Any:
    """`schema` without what it says to people, in which an unknown property is an error."""
    if not isinstance(schema, dict):
        return schema
    told = {name: value for name, value in schema.items() if name not in _LEFT_OUT and not name.startswith("x-")}
    if "properties" in schema:
        told["properties"] = {name: _kept(name, part, used) for name, part in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            told["additionalProperties"] = False
    if "items" in schema:
        told["items"] = _closed(schema["items"], [part for one in used if isinstance(one, list) for part in one])
    if isinstance(schema.get("additionalProperties"), dict):
        values = [value for one in used if isinstance(one, dict) for value in one.values()]
        told["additionalProperties"] = _closed(schema["additionalProperties"], values)
    return told


def _kept(name: str, part: Any, used: Sequence[Any]) -> Any:
    ours = [one[name] for one in used if isinstance(one, dict) and name in one]
    closed = _closed(part, ours)
    return closed if ours or len(json.dumps(closed)) < _LARGE else False


def built() -> list[dict[str, Any]]:
    """All objects of both overlays."""
    kubectl, found = Path(sys.executable).with_name("kubectl"), []
    for overlay in sorted((K8S / "overlays").iterdir()):
        done = subprocess.run([kubectl, "kustomize", overlay], capture_output=True, text=True, check=True)  # noqa: S603
        found += list(yaml.safe_load_all(done.stdout))
    return found


if __name__ == "__main__":
    given = [one for path in sys.argv[1:] for one in yaml.safe_load_all(Path(path).read_text(encoding="utf-8")) if one]
    for file_name, content in written(given, built()):
        (TARGET / file_name).write_text(content, encoding="utf-8")
        print(file_name, len(content))  # noqa: T201
