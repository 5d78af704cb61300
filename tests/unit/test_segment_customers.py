"""The job as a whole, release after release: segments stand while customers stay; after drift they are fitted anew and matched."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from jobs.segment_customers import JOB, transform
from lib.runtime.conforming import conform
from lib.settings import load
from lib.tables import contract
from tests.builders import Build, FakeRun

DAY = date(2024, 2, 1)
TOLD = [
    'segments.vectors.features=["recency_days", "frequency", "monetary", "context.channel"]',
    "segments.kmeans.k=3", "segments.kmeans.restarts=1", "segments.kmeans.bootstraps=2", "segments.bisecting.leaves=3",
    "segments.bisecting.max_iterations=3", "segments.ward.leaves=6", "segments.ward.segments=3", "segments.dbscan.enabled=false",
    "segments.trees.min_instances=3", "segments.trees.max_depth=2", "segments.trees.folds=2", "fit.partitions=1",
    "segments.tracking.max_share_drift=0.2", "segments.tracking.max_distance_growth=50.0",
]  # fmt: skip


GROUPS = {"web": (40, 5, 20, 100), "shop": (30, 60, 4, 900), "app": (25, 300, 1, 5)}
"""Channel → customers, recency, orders, spend."""


def inputs(build, groups):
    people = [
        (f"{name}{n}", name.split("-")[0], recency + n % 3, orders + n % 2, spend + n % 4)
        for name, (customers, recency, orders, spend) in groups.items()
        for n in range(customers)
    ]
    tables = {name: build(name) for name in JOB.reads}
    tables["customer_features"] = build("customer_features", *(
        {"customer_id": who, "recency_days": recency, "frequency": orders, "monetary": Decimal(spend), "rfm_segment": "loyal"}
        for who, _, recency, orders, spend in people
    ))  # fmt: skip
    tables["customer_lifecycle"] = build(
        "customer_lifecycle",
        *({"customer_id": who, "stage": "active" if r < 100 else "churned", "reason": "r"} for who, _, r, *_ in people),
    )
    tables["customer_context"] = build("customer_context", *(
        {"customer_id": who, "dimension": "channel", "value": channel, "share": 1.0, "events": 3} for who, channel, *_ in people
    ))  # fmt: skip
    return {name: df.cache() for name, df in tables.items()}


@pytest.fixture(scope="module")
def releases(spark, tmp_path_factory):
    """Three releases: the first; a day later with two newcomers; then with ninety of another kind."""
    build, settings = Build(spark), load(assignments=TOLD)
    folder, done = tmp_path_factory.mktemp("releases"), []

    def stage(df, name):
        path = str(folder / f"{len(done)}-{name}")
        df.write.parquet(path)
        return spark.read.schema(df.schema).parquet(path)

    more = {"new": (2, 5, 20, 100)}
    many = {"shop-b": (90, 3, 60, 5000)}
    for number, groups in enumerate([GROUPS, GROUPS | more, GROUPS | more | many]):
        given = inputs(build, groups)
        run = FakeRun(JOB, spark, stage, DAY + timedelta(days=number), done[-1][0] if done else {})
        outputs = {
            name: stage(conform(df, contract(name)), f"out-{name}")
            for name, df in transform(given, settings, run).items()
        }
        done.append((outputs, run.notes, given))
    return done


def segments(outputs, segmentation):
    found: dict[str, set[str]] = {}
    for who, segment in (
        outputs["customer_segments"]
        .where(f"segmentation = '{segmentation}'")
        .select("customer_id", "segment_id")
        .collect()
    ):
        found.setdefault(segment, set()).add(who)
    return found


def named(outputs):
    rows = outputs["segment_profiles"].where("segmentation IN ('kmeans', 'bisecting', 'ward')").collect()
    return {(row["segmentation"], row["segment_id"]): row["segment_name"] for row in rows}


def of(group, customers):
    return {f"{group}{n}" for n in range(customers)}


def test_the_first_release_finds_the_groups_and_every_rule_is_its_segment(releases):
    outputs, _, given = releases[0]
    for segmentation in ("kmeans", "bisecting", "ward"):
        found = segments(outputs, segmentation)
        assert found == {"1": of("web", 40), "2": of("shop", 30), "3": of("app", 25)}
    joined = given["customer_features"].join(outputs["segment_features"], on="customer_id", how="left").cache()
    for row in outputs["segment_profiles"].where("segmentation = 'kmeans'").collect():
        assert {r["customer_id"] for r in joined.where(row["rule"]).collect()} == segments(outputs, "kmeans")[
            row["segment_id"]
        ]
        assert (row["rule_precision"], row["rule_recall"]) == (1.0, 1.0)
    assert set(segments(outputs, "lifecycle")) == {"active", "churned"}
    assert outputs["segment_transitions"].isEmpty()
    drift = {row["segmentation"]: row for row in outputs["segmentation_drift"].collect()}
    assert set(drift) == {"kmeans", "bisecting", "ward"}
    assert (drift["kmeans"]["refitted"], drift["kmeans"]["fitted_as_of"], drift["kmeans"]["share_drift"]) == (
        True,
        DAY,
        None,
    )
    assert drift["kmeans"]["shares"] == {"1": 40 / 95, "2": 30 / 95, "3": 25 / 95}
    agreement = (
        outputs["segmentation_agreement"].where("segmentation_a = 'kmeans' AND segmentation_b = 'ward'").collect()
    )
    assert [(row["customers"], row["adjusted_rand_index"]) for row in agreement] == [(95, 1.0)]


def test_a_day_later_the_fit_stands_and_ids_and_names_are_kept(releases):
    (before, _, _), (outputs, notes, _) = releases[0], releases[1]
    assert any(note.startswith(f"segments: the fit as of {DAY} stands") for note in notes), notes
    for segmentation in ("kmeans", "bisecting", "ward"):
        assert segments(outputs, segmentation) == {
            "1": of("web", 40) | of("new", 2),
            "2": of("shop", 30),
            "3": of("app", 25),
        }
    assert named(outputs) == named(before)
    moves = {tuple(row)[1:] for row in outputs["segment_transitions"].where("segmentation = 'kmeans'").collect()}
    assert moves == {("1", "1", 40, 1.0), ("2", "2", 30, 1.0), ("3", "3", 25, 1.0), ("unknown", "1", 2, 1.0)}
    drift = {row["segmentation"]: row for row in outputs["segmentation_drift"].collect()}
    assert {(row["refitted"], row["fitted_as_of"]) for row in drift.values()} == {(False, DAY)}
    assert all(0 < row["share_drift"] < 0.05 for row in drift.values())
    rows = before["customer_segments"].where("segmentation IN ('kmeans', 'bisecting')").collect()
    held = {(r["segmentation"], r["customer_id"]): r for r in rows}
    for row in outputs["customer_segments"].where("segmentation IN ('kmeans', 'bisecting')").collect():
        old = held.get((row["segmentation"], row["customer_id"]))
        assert old is None or (row["distance"], row["node_id"]) == (
            pytest.approx(old["distance"], abs=1e-9),
            old["node_id"],
        )


def test_after_drift_all_is_fitted_anew_and_segments_that_go_on_keep_their_ids(releases):
    outputs, notes, _ = releases[2]
    assert any(
        note.startswith("segments: fitted anew, for kmeans: the segments' shares have drifted") for note in notes
    ), notes
    drift = outputs["segmentation_drift"].collect()
    assert {(row["refitted"], row["fitted_as_of"]) for row in drift} == {(True, DAY + timedelta(days=2))}
    found = segments(outputs, "kmeans")
    (newcomers,) = [segment for segment, who in found.items() if of("shop-b", 90) <= who]
    assert newcomers == "4", "a number that no segment had"
    assert [segment for segment, who in found.items() if of("app", 25) <= who] == ["3"]
    assert len(found) == 3


def test_the_comparison_shows_every_segmentation_and_every_pair(releases, spark):
    outputs, _, _ = releases[0]
    for table in ("segment_profiles", "segmentation_quality", "segmentation_agreement"):
        outputs[table].createOrReplaceTempView(table)
    sizes, pairs = (spark.sql(query).collect() for query in JOB.reports["compare"])
    found = {row["segmentation"]: row for row in sizes}
    assert set(found) == {"rfm", "lifecycle", "kmeans", "bisecting", "ward"}
    assert (found["kmeans"]["segments"], found["kmeans"]["smallest"], found["kmeans"]["largest"]) == (3, 25, 40)
    # spend is all but the same within each group, so that the groups explain it
    assert found["kmeans"]["spend_explained"] > 0.99 and found["rfm"]["spend_explained"] == 0.0
    assert found["kmeans"]["silhouette"] > 0.9
    assert len(pairs) == 10


def test_a_tree_says_what_each_split_is_about(releases):
    nodes = {
        row["node_id"]: row for row in releases[0][0]["segment_tree"].where("segmentation = 'bisecting'").collect()
    }
    assert nodes["0"]["split_on"] and set(nodes["0"]["split_on"]) <= {
        "recency_days", "frequency", "monetary", "context.channel=web", "context.channel=shop", "context.channel=app"
    }  # fmt: skip
    leaves = [row for row in nodes.values() if row["segment_id"]]
    assert all(row["split_on"] is None for row in leaves)
