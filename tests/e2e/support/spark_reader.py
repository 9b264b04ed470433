"""Spark for tests, in a Python of its own (support/engines.py starts it): a request a line, an answer a line, in JSON, as table_reader.py has them.

The arguments are the jars beside Spark's own, and how much memory it may take.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import Row, SparkSession


def plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return round(value.replace(tzinfo=value.tzinfo or datetime.timezone.utc).timestamp() * 1000)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, Row):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


class Reader:
    """The functions that may be asked for."""

    def __init__(self, jars: str, memory: str):
        os.environ["TZ"] = "UTC"  # what Python makes of Spark's times
        builder = SparkSession.builder.master("local[2]").config("spark.jars", jars).config("spark.driver.memory", memory)
        for key, value in {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.sql.session.timeZone": "UTC",
                           "spark.sql.shuffle.partitions": "2", "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"}.items():
            builder = builder.config(key, value)
        self.spark = builder.getOrCreate()
        self.spark.sparkContext.setLogLevel("OFF")

    def attach(self, name: str, properties: dict[str, str]) -> None:
        """A catalog of that name from now on."""
        self.spark.conf.set(f"spark.sql.catalog.{name}", "org.apache.iceberg.spark.SparkCatalog")
        for key, value in properties.items():
            self.spark.conf.set(f"spark.sql.catalog.{name}.{key}", value)

    def sql(self, statement: str) -> list:
        return [plain(row) for row in self.spark.sql(statement).collect()]

    def columns(self, statement: str) -> list:
        return [[field.name, field.dataType.simpleString()] for field in self.spark.sql(statement).schema.fields]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the virtual machine inherits it, and may say something
    reader = Reader(*sys.argv[1:])
    for line in sys.stdin:
        function, arguments = json.loads(line)
        try:
            answer = {"value": getattr(reader, function)(**arguments)}
        except Py4JJavaError as error:
            answer = {"error": error.java_exception.getClass().getSimpleName(), "text": str(error.java_exception.getMessage())}
        except Exception as error:  # whatever it is, it is the answer
            answer = {"error": type(error).__name__, "text": str(error).split("\n", 1)[0]}
        print(json.dumps(answer), file=answers, flush=True)
    reader.spark.stop()


if __name__ == "__main__":
    main()
