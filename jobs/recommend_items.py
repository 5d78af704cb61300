"""Offer every customer the items they are most likely to want.

In: events, items, customers. Out: recommendations.
"""

from lib.recommend.recommendations import recommend
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    offered = recommend(
        inputs["customers"], inputs["events"], inputs["items"], run.as_of, settings, run.stage, run.note
    )
    return {"recommendations": offered}


JOB = Job(
    name="recommend_items",
    doc=__doc__,
    reads=("events", "items", "customers"),
    writes=("recommendations",),
    settings=("recommend", "als", "items"),
    transform=transform,
)
