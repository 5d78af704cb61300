"""The jobs, one thin file each."""

from lib.runtime.job import Job


def all_jobs() -> list[Job]:
    """Every job of the suite; the runtime puts them in order."""
    from jobs import build_features, ingest_events, mine_rules, recommend_items, segment_customers, track_lifecycle

    return [
        ingest_events.JOB,
        build_features.JOB,
        track_lifecycle.JOB,
        segment_customers.JOB,
        mine_rules.JOB,
        recommend_items.JOB,
    ]
