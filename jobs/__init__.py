"""The jobs, one thin file each."""

from lib.runtime.job import Job


def all_jobs() -> list[Job]:
    """Every job of the suite; the runtime puts them in order."""
    from jobs import (
        build_features,
        describe_context,
        evaluate_recommendations,
        find_factors,
        generate_events,
        ingest_events,
        match_returns,
        mine_rules,
        recommend_items,
        record_offers,
        resolve_identities,
        segment_customers,
        summarise_days,
        total_customers,
        track_lifecycle,
        tune_models,
    )

    return [
        ingest_events.JOB,
        summarise_days.JOB,
        total_customers.JOB,
        resolve_identities.JOB,
        match_returns.JOB,
        build_features.JOB,
        track_lifecycle.JOB,
        describe_context.JOB,
        find_factors.JOB,
        segment_customers.JOB,
        mine_rules.JOB,
        tune_models.JOB,
        recommend_items.JOB,
        record_offers.JOB,
        evaluate_recommendations.JOB,
        generate_events.JOB,
    ]
