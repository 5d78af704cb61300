"""The jobs, one thin file each."""

from lib.runtime.job import Job


def all_jobs() -> list[Job]:
    """Every job of the suite; the runtime puts them in order."""
    from jobs import build_features, generate_events, ingest_events, mine_rules, recommend_items, segment_customers

    return [
        ingest_events.JOB,
        build_features.JOB,
        segment_customers.JOB,
        mine_rules.JOB,
        recommend_items.JOB,
        generate_events.JOB,
    ]
