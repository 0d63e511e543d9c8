"""What each of our processes is: derived from the processes themselves, for whoever writes or checks a deployment.

Whatever `twinstream up` starts is found here without being named a second time.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.settings import PREFIX, Settings
from localstack.profile import Profile
from localstack.services import services

_METRICS = "_metrics_port"


@dataclass(frozen=True)
class Part:
    """One process: `module` is what `python -m` runs, `extra` the one of pyproject.toml with its dependencies."""

    name: str
    module: str
    extra: str
    settings: type[Settings]

    @property
    def variables(self) -> frozenset[str]:
        """What it reads from its environment."""
        return frozenset(PREFIX + field.upper() for field in self.settings.model_fields)

    @property
    def required(self) -> frozenset[str]:
        """What it does not start without."""
        fields = self.settings.model_fields.items()
        return frozenset(PREFIX + name.upper() for name, field in fields if field.is_required())

    @property
    def ports(self) -> Mapping[str, int]:
        """What it listens on besides its metrics, by the name of the port."""
        return {name: port for name, port in self._all_ports().items() if not name.endswith(_METRICS)}

    @property
    def metrics_port(self) -> int:
        (port,) = (port for name, port in self._all_ports().items() if name.endswith(_METRICS))
        return port

    def _all_ports(self) -> dict[str, int]:
        fields = self.settings.model_fields.items()
        return {name: field.default for name, field in fields if name.endswith("_port")}


def census(home: Path) -> list[Part]:
    """Every process of ours, in the order of its start; `home` is a folder that may be written to."""
    return [_part(process.name, process.command[-1]) for process in services(Profile(home))]


def _part(name: str, module: str) -> Part:
    started = importlib.import_module(module)
    if hasattr(started, "__path__"):  # a package: `python -m` runs its __main__
        started = importlib.import_module(f"{module}.__main__")
    (settings,) = {kind for kind in vars(started).values() if isinstance(kind, type) and issubclass(kind, Settings)}
    return Part(name, module, module.partition(".")[0].replace("_", "-"), settings)
