"""How good forecasts of value were on the days that they did not see: what value_quality says of all customers."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

DEFINITIONS = {
    "total_ratio": "sum of the forecasts / sum of what came",
    "mean_absolute_error": "mean distance of forecast and truth per customer",
    "top_decile_capture": "share of what came that the tenth of the customers with the highest forecasts brought",
    "decile_lift": "that over their share of the customers",
}


def measure_value(quality: DataFrame) -> DataFrame:
    """model (value:MODEL:MEASURE), metric, value, customers. Rows of value_quality."""
    told = F.array(*(F.struct(F.lit(name).alias("metric"), F.col(name).alias("value")) for name in DEFINITIONS))
    rows = quality.where("repeats = 'all'").select("model", "measure", "customers", F.inline(told))
    named = F.concat(F.lit("value:"), "model", F.lit(":"), "measure")
    return rows.where("value IS NOT NULL").select(named.alias("model"), "metric", "value", "customers")
