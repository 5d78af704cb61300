"""Find the factors behind the customers' measures and the topics of what they buy or read.

In: customer_features, customer_identities, events, items, matched_returns. Out: factor_loadings, customer_factors, interest_topics,
customer_interests.
"""

from lib.events.identities import with_canonical
from lib.events.returns import with_units_kept
from lib.features.factors import find_factors
from lib.features.interests import find_interests
from lib.runtime.job import Inputs, Job, Outputs, Run
from lib.settings import Settings


def transform(inputs: Inputs, settings: Settings, run: Run) -> Outputs:
    loadings, scores = find_factors(inputs["customer_features"], settings, run.note)
    events = with_canonical(inputs["events"], inputs["customer_identities"])
    events = with_units_kept(events, inputs["matched_returns"])
    topics, interests = find_interests(events, inputs["items"], settings, run.stage, run.note)
    return {
        "factor_loadings": loadings,
        "customer_factors": scores,
        "interest_topics": topics,
        "customer_interests": interests,
    }


JOB = Job(
    name="find_factors",
    doc=__doc__,
    reads=("customer_features", "customer_identities", "events", "items", "matched_returns"),
    writes=("factor_loadings", "customer_factors", "interest_topics", "customer_interests"),
    settings=("factors", "interests", "segments", "items", "recommend"),
    transform=transform,
)
