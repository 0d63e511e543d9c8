"""The same question in Spark, where `make spark` has put it: a session on one processor, in processes of its own."""

import json
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

HERE = Path(__file__).parent
STARTS_WITHIN_S = 120
SETTINGS = {"spark.master": "local[1]", "spark.sql.shuffle.partitions": "4"}

Question = Callable[[Sequence[str], str], Callable[[], Awaitable[float]]]


@contextmanager
def spark() -> Iterator[Question | None]:
    """Makes of files and a query, with {} for the table, what measures its seconds; None where there is no Spark."""
    submit = _submit()
    if not (submit.SPARK / ".installed").exists():
        yield None
        return
    with TemporaryDirectory(prefix="twinstream-spark-") as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/questions")
        listening.listen()
        listening.settimeout(STARTS_WITHIN_S)
        settings = submit.MODEST | SETTINGS | {"spark.local.dir": folder}
        told = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
        command = [*submit.command(()), *told, str(HERE / "spark_session.py"), f"{folder}/questions"]
        running = subprocess.Popen(command, env={**os.environ, **submit.homes()})  # noqa: S603  # our own
        try:
            connected, _ = listening.accept()
            with closing(connected), connected.makefile("rw", encoding="utf-8") as wire:
                yield _question(wire)
        finally:
            running.terminate()
            running.wait()


def _question(wire: TextIO) -> Question:
    def question(files: Sequence[str], query: str) -> Callable[[], Awaitable[float]]:
        async def measure() -> float:
            print(json.dumps({"files": files, "query": query}), file=wire, flush=True)
            return float(json.loads(wire.readline()))

        return measure

    return question


def _submit() -> Any:
    """How `make spark` starts it."""
    spec = spec_from_file_location("submit", HERE.parent / "examples" / "spark" / "submit.py")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("examples/spark/submit.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
