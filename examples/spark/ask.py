"""SQL on the lake in Spark: `make spark` on this machine, spark-submit with the settings of cluster.conf on a cluster.

`a` and `b` have the newest version of each id, as they have in DuckDB; `a_log`, `b_log`, `a_latest`, `b_latest` are the
tables themselves. All are read at the state of the start, whatever is written meanwhile. Nothing is written.
"""

import argparse
import csv
import json
import logging
import sys

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

TABLES = "lake.twinstream"
POSITIONS = "twinstream.positions"
NO_LAKE = """Spark finds no lake: its writer and its maintenance, which `make up` starts, have made no tables where
TWINSTREAM_LAKE_CATALOG_URI and TWINSTREAM_LAKE_WAREHOUSE say, or TWINSTREAM_HOME for both. It said: {}"""
TOP = "select Stream_A_unique_identifier, count(*) n from b group by 1 order by n desc, 1 limit 10"

# The greatest version of each id: untouched ones out of the latest, the others out of both, without what a tombstone
# made void. One in another partition, for the topic was given more of them, counts by the time it was written.
NEWEST = """
CREATE OR REPLACE TEMPORARY VIEW {stream} AS WITH
tail AS (SELECT * FROM {stream}_log WHERE {behind}),
voids AS (
    SELECT unique_identifier, kafka_partition, max(kafka_offset) AS kafka_offset,
        max(kafka_timestamp) AS kafka_timestamp
    FROM tail WHERE erased GROUP BY unique_identifier, kafka_partition
),
alive AS (
    SELECT {columns}, first_seen FROM {stream}_latest
    LEFT SEMI JOIN tail USING (unique_identifier) LEFT ANTI JOIN voids USING (unique_identifier)
    UNION ALL
    SELECT {columns}, event_time AS first_seen FROM tail LEFT ANTI JOIN voids
    ON voids.unique_identifier = tail.unique_identifier AND CASE
        WHEN voids.kafka_partition = tail.kafka_partition THEN voids.kafka_offset > tail.kafka_offset
        ELSE voids.kafka_timestamp >= tail.kafka_timestamp END
    WHERE NOT erased
)
SELECT {columns}, first_seen FROM {stream}_latest LEFT ANTI JOIN tail USING (unique_identifier)
UNION ALL
SELECT newest.*, first_seen FROM (
    SELECT max_by(struct({columns}), struct(event_time, ingested_at, content_hash)) AS newest,
        min(first_seen) AS first_seen
    FROM alive GROUP BY unique_identifier
)
"""


def register(spark: SparkSession) -> None:
    """Make the six views; of each stream the latest first, so that the log has all that it was made of."""
    for stream in ("a", "b"):
        positions = pin(spark, f"{stream}_latest")
        pin(spark, f"{stream}_log")
        columns = ", ".join(name for name in spark.table(f"{stream}_latest").columns if name != "first_seen")
        spark.sql(NEWEST.format(stream=stream, columns=columns, behind=behind(positions)))


def pin(spark: SparkSession, table: str) -> dict[int, int]:
    """A view of `table` as it is now; returns, by partition, before which offset the log is in it."""
    refs = spark.sql(
        f"SELECT snapshot_id, summary['{POSITIONS}'] FROM {TABLES}.{table}.refs JOIN {TABLES}.{table}.snapshots "
        "USING (snapshot_id) WHERE name = 'main'"
    ).collect()
    at = f" VERSION AS OF {refs[0][0]}" if refs else ""
    spark.sql(f"SELECT * FROM {TABLES}.{table}{at}").createOrReplaceTempView(table)
    told = json.loads(refs[0][1] or "{}") if refs else {}
    return {int(partition): offset for partition, offset in told.items()}


def behind(positions: dict[int, int]) -> str:
    """A condition on rows of a log: they stand at or behind `positions`. Files without such rows are not opened."""
    if not positions:
        return "true"
    last = max(positions)
    ranges = [f"(kafka_partition = {n} AND kafka_offset >= {positions.get(n, 0)})" for n in range(last + 1)]
    return " OR ".join([*ranges, f"kafka_partition > {last}"])


def answer(spark: SparkSession, statement: str, *, as_csv: bool) -> None:
    found = spark.sql(statement)
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(found.columns)
        writer.writerows(row for row in found.toLocalIterator())
    else:
        found.show(1_000, truncate=False)


def in_short(error: Exception) -> str:
    """What Spark, or what Java, said; not where."""
    lines = str(error).strip().splitlines()
    return lines[1].removeprefix(": ") if isinstance(error, Py4JJavaError) and len(lines) > 1 else lines[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sql", nargs="*", default=[TOP], help="one SELECT each; the A with most B unless given")
    parser.add_argument("--csv", action="store_true", help="rows as CSV, in place of a table; results in their order")
    options = parser.parse_args()
    logging.getLogger("SQLQueryContextLogger").disabled = True  # it says at length what is told in short below
    spark = SparkSession.builder.appName("twinstream").getOrCreate()
    try:
        try:
            register(spark)
        except (PySparkException, Py4JJavaError) as error:
            sys.exit(NO_LAKE.format(in_short(error)))
        for statement in options.sql:
            try:
                answer(spark, statement, as_csv=options.csv)
            except (PySparkException, Py4JJavaError) as error:
                sys.exit(f"Spark does not answer: {in_short(error)}")
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
