"""Runs in Spark: answers each question that comes by the socket it is given with the seconds that it took."""

import json
import socket
import sys
import time

from pyspark.sql import SparkSession


def main() -> None:
    session = SparkSession.builder.appName("bench").getOrCreate()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])
        with connection.makefile("rw", encoding="utf-8") as wire:
            for line in wire:
                asked = json.loads(line)
                session.read.parquet(*asked["files"]).createOrReplaceTempView("files")
                began = time.perf_counter()
                session.sql(asked["query"].format("files")).collect()
                print(time.perf_counter() - began, file=wire, flush=True)
    session.stop()


if __name__ == "__main__":
    main()
