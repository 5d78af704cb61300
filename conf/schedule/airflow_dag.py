"""Airflow 3: a refresh per run, as of the day its data interval ends on. Link this file into the folder of DAGs.

What the workers' environment may say:
CLIENTELING_HOME       the checkout; /opt/clienteling without it
CLIENTELING_SETTINGS   the settings file; conf/shop.toml without it
CLIENTELING_SUBMIT     options of spark-submit, such as --master spark://host:7077; none without it
CLIENTELING_TASKS      refresh: one task that publishes all tables in one commit, as without it;
                       jobs: a task a job, each of which publishes its own tables
"""

import os
from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, chain

HOME = os.environ.get("CLIENTELING_HOME", "/opt/clienteling")
SETTINGS = os.environ.get("CLIENTELING_SETTINGS", "conf/shop.toml")
SUBMIT = os.environ.get("CLIENTELING_SUBMIT", "")

# in the order of what they read from one another; record_offers and what is kept day by day come by themselves
JOBS = (
    "ingest_events",
    "resolve_identities",
    "match_returns",
    "build_features",
    "track_lifecycle",
    "describe_context",
    "find_factors",
    "segment_customers",
    "mine_rules",
    "tune_models",
    "recommend_items",
    "evaluate_recommendations",
)
# a run that was started by hand has no interval
AS_OF = "{{ (data_interval_end if data_interval_end is defined and data_interval_end else dag_run.run_after) | ds }}"


def submit(job: str) -> BashOperator:
    """A task that runs one command of the suite."""
    dated = "" if job == "ingest_events" else f" --as-of {AS_OF}"
    words = f"cd {HOME} && ./spark-submit.sh {SUBMIT} {job} --settings {SETTINGS}{dated}"
    return BashOperator(task_id=job, bash_command=words, append_env=True)


with DAG(
    dag_id="clienteling",
    description="Segments, rules and recommendations of the day before",
    schedule="15 3 * * *",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    catchup=False,  # a refresh makes its release the current one: earlier days are for the first run, not for later ones
    max_active_runs=1,  # one run at a time may write a warehouse
    default_args={
        # a rerun goes on where a failed one ended; a wrong setting (2) and unusable input (3) fail again at once
        "retries": 2,
        "retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(hours=6),
    },
    tags=["clienteling"],
):
    if os.environ.get("CLIENTELING_TASKS", "refresh") == "jobs":
        chain(*map(submit, JOBS))
    else:
        submit("refresh")
