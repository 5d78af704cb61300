"""Record what a release offers, and to whom, so that what they then did can be held against it.

In: recommendations, customer_segments. Out: offers.
"""

from pyspark.sql import functions as F

from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings
from lib.tables import contract


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    segments = inputs["customer_segments"].where(F.col("segmentation") == settings.feedback.segmentation)
    offered = inputs["recommendations"].join(segments.select("customer_id", "segment_id"), on="customer_id", how="left")
    rows = offered.withColumns(
        {
            "offered_on": F.lit(run.as_of),
            "refresh_id": F.lit(run.refresh_id),
            "reason_kind": F.get("reasons", F.lit(0))["kind"],
            "held_out": F.coalesce("held_out", F.lit(False)),
        }
    )
    return {"offers": rows.select(contract("offers").column_names)}


JOB = Job(
    name="record_offers",
    doc=__doc__,
    reads=("recommendations", "customer_segments"),
    writes=("offers",),
    settings=("feedback",),
    transform=transform,
)
