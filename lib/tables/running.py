"""Contracts of what the suite says about its own runs. Written by the runtime alone."""

from lib.tables.contract import Column, Table

RUNS = Table(
    name="runs",
    grain="One job in one refresh.",
    columns=(
        Column("refresh_id", "string", "The refresh.", required=True),
        Column("job", "string", "The job.", required=True),
        Column("as_of", "date", "The date the refresh is computed as of.", required=True),
        Column("status", "string", "succeeded or failed.", required=True),
        Column("started_at", "timestamp", "When the job began.", required=True),
        Column("ended_at", "timestamp", "When the job ended.", required=True),
        Column(
            "inputs",
            "map<string,string>",
            "Table → Delta version, or fingerprint of the job that wrote a published table.",
            required=True,
        ),
        Column("outputs", "map<string,bigint>", "Table → rows written.", required=True),
        Column("settings_hash", "string", "Hash of the settings the job uses.", required=True),
        Column("code_version", "string", "Hash of the code.", required=True),
        Column(
            "fingerprint",
            "string",
            "Hash of all that decides the job's rows: an equal one need not run again.",
            required=True,
        ),
        Column("error", "string", "Why it failed."),
        Column("attempts", "int", "How often it was run in this attempt at the refresh."),
        Column(
            "metrics",
            "map<string,bigint>",
            "What it took: rows_in, rows_out, rows_quarantined, tasks, failed_tasks, bytes_read, shuffle_bytes, spill_bytes; "
            "peak_heap_bytes of the fullest executor; milliseconds.",
        ),
    ),
    key=("refresh_id", "job"),
    subject=None,
    retention="forever",
    writing="log",
)

LINEAGE = Table(
    name="lineage",
    grain="One input of one table in one refresh: which version made which.",
    columns=(
        Column("refresh_id", "string", "The refresh that wrote the table's rows.", required=True),
        Column("output", "string", "The table.", required=True),
        Column("input", "string", "A table that its job read.", required=True),
        Column("job", "string", "The job.", required=True),
        Column("as_of", "date", "The date the refresh is computed as of.", required=True),
        Column("input_refresh_id", "string", "Of a published input: the refresh whose rows were read."),
        Column("input_version", "bigint", "Of another input: the Delta version that was read."),
    ),
    key=("refresh_id", "output", "input"),
    subject=None,
    retention="forever",
    writing="log",
)

RELEASES = Table(
    name="releases",
    grain="One published refresh. The highest release of kind refresh is the current one.",
    columns=(
        Column("refresh_id", "string", "The refresh that was published.", required=True),
        Column("release", "bigint", "1, 2, 3, …; no clock orders anything.", required=True),
        Column("kind", "string", "refresh or backfill.", required=True),
        Column("as_of", "date", "The date the refresh is computed as of.", required=True),
        Column("base_refresh_id", "string", "The newest release with an earlier as-of when it ran; null: none."),
        Column("published_at", "timestamp", "When it was published.", required=True),
        Column("tables", "map<string,string>", "Table → the refresh_id that holds its current rows.", required=True),
        Column("inputs", "map<string,bigint>", "Input table → the Delta version it was read at.", required=True),
        Column("rows", "map<string,bigint>", "Table → current rows.", required=True),
        Column(
            "checks",
            "array<struct<name:string,passed:boolean,detail:string>>",
            "What was checked on the rows before they were published.",
            required=True,
        ),
    ),
    key=("release",),
    subject=None,
    retention="forever",
    writing="log",
)

TABLES = (RUNS, LINEAGE, RELEASES)
