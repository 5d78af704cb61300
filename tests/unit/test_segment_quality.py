"""Measures of candidates against scikit-learn and by hand, small segments, and the choice of k. No Spark."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import log

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import davies_bouldin_score, silhouette_score

from lib.methods.lloyd import fit_lloyd
from lib.segments import quality
from lib.segments.choice import SmallSegments, explain, rank_candidates, refuse_small
from lib.segments.kmeans import Candidate, drop_small, measure, numbers_to_try
from lib.segments.quality import elbow, separation
from lib.segments.sample import count_distinct
from lib.segments.stability import agree
from lib.settings import load

KMEANS = load().segments.kmeans
CORNERS = [[0, 0, 0], [9, 0, 0], [0, 9, 0], [9, 9, 9]]


def settings(**changes):
    return KMEANS.model_copy(update=changes)


def candidate(k, **measures):
    known = {
        "centres": ((0.0,),) * k, "inertia": 1.0, "smallest_share": 0.1, "silhouette": None, "davies_bouldin": None, "elbow": None,
        "stability": None,
    }  # fmt: skip
    return Candidate(k, **(known | measures))


# --- measures


@pytest.mark.parametrize("seed", range(5))
def test_silhouette_and_davies_bouldin_are_scikit_learns(seed, monkeypatch):
    monkeypatch.setattr(quality, "BLOCK", 33)
    rng = np.random.default_rng(seed)
    vectors, labels = rng.normal(size=(120, 3)), rng.integers(0, 5, 120).astype(np.int32)
    labels[:6] = [0, 1, 2, 3, 4, 5]  # the last is a segment of one
    silhouette, davies_bouldin = separation(vectors, labels)
    assert silhouette == pytest.approx(silhouette_score(vectors, labels, metric="sqeuclidean"), abs=1e-9)
    assert davies_bouldin == pytest.approx(davies_bouldin_score(vectors, labels), abs=1e-9)


def test_one_segment_has_no_separation_and_coinciding_means_no_davies_bouldin():
    assert separation(np.array([[1.0], [2.0]]), np.zeros(2, dtype=np.int32)) == (None, None)
    around = np.array([[-1.0], [1.0], [-2.0], [2.0]])
    assert separation(around, np.array([0, 0, 1, 1], dtype=np.int32))[1] is None


def test_the_elbow_is_the_depth_below_the_chord_of_log_inertia():
    # depths ln 2, ln 40, ln 50 of ln 50 at a third, two thirds and all of the way from one segment to four
    found = elbow([2, 3, 4], [50.0, 2.5, 2.0], 100.0)
    assert found == pytest.approx([log(2) / log(50) - 1 / 3, log(40) / log(50) - 2 / 3, 0.0])
    assert found[1] == max(found)


def test_an_elbow_needs_a_range_and_survives_an_inertia_of_zero():
    assert elbow([4], [1.0], 9.0) == [None]
    assert elbow([2, 3], [9.0, 9.0], 9.0) == [None, None]
    assert elbow([2, 3], [0.5, 0.0], 1.0)[1] == 0.0


def stability(vectors, k, wanted):
    finish = partial(drop_small, min_share=0.0)
    centres = fit_lloyd(vectors, np.ones(len(vectors)), k, 3, 30, np.random.default_rng(k))
    return float(np.mean([agree(vectors, k, centres, wanted, (1, b), finish) for b in range(5)]))


def test_stability_tells_the_planted_number_from_a_larger_one():
    vectors, _ = make_blobs(n_samples=400, centers=CORNERS, cluster_std=1.0, random_state=4)
    wanted = settings(restarts=3, max_iterations=30)
    assert stability(vectors, 4, wanted) == pytest.approx(1.0, abs=0.01)
    assert stability(vectors, 7, wanted) < 0.9


def test_the_same_draw_gives_the_same_agreement_and_another_draw_another():
    vectors = np.random.default_rng(2).random((200, 2))
    centres, finish = vectors[:4], partial(drop_small, min_share=0.0)
    first, again, other = (agree(vectors, 4, centres, settings(restarts=1), (7, b), finish) for b in (0, 0, 1))
    assert first == again != other


# --- small segments


def test_the_smallest_centre_goes_first_and_its_customers_to_the_nearest_other():
    vectors = np.array([[0.0]] * 5 + [[10.0]] + [[12.0]] * 2 + [[30.0]] * 4)
    centres = np.array([[0.0], [10.0], [12.0], [30.0]])
    # 1 and 2 of 12 are both below a quarter, but with the 1 merged into the 2 there are 3
    left = drop_small(vectors, np.ones(12), centres, 0.25)
    assert left.ravel().tolist() == [0.0, 12.0, 30.0]
    # and these are below 0.3: they go to 0, which is nearer than 30
    assert drop_small(vectors, np.ones(12), centres, 0.3).ravel().tolist() == [0.0, 30.0]
    assert measure(vectors, 4, np.array([[0.0], [30.0]])).smallest_share == pytest.approx(4 / 12)


def test_weights_count_a_share_of_just_the_least_stays_and_so_does_the_last_centre():
    vectors, centres = np.array([[0.0], [10.0]]), np.array([[0.0], [10.0]])
    assert len(drop_small(vectors, np.array([3.0, 1.0]), centres, 0.25)) == 2
    assert drop_small(vectors, np.array([3.0, 1.0]), centres, 0.26).ravel().tolist() == [0.0]
    assert len(drop_small(vectors, np.ones(2), centres, 0.9)) == 1


def test_a_centre_without_customers_goes_even_where_small_segments_are_kept():
    left = drop_small(np.array([[0.0], [1.0]]), np.ones(2), np.array([[0.0], [50.0], [1.0]]), 0.0)
    assert left.ravel().tolist() == [0.0, 1.0]


def test_candidates_with_a_small_segment_are_refused():
    candidates = [candidate(3, smallest_share=0.2), candidate(4, smallest_share=0.04)]
    refuse = settings(small_segments="refuse", min_share=0.05)
    assert [c.k for c in refuse_small(candidates, refuse)] == [3]
    assert len(refuse_small(candidates, settings(small_segments="keep", min_share=0.05))) == 2
    with pytest.raises(SmallSegments) as raised:
        refuse_small(candidates, settings(small_segments="refuse", min_share=0.3))
    message = str(raised.value)
    assert message.startswith("segments.kmeans.min_share is 0.3, but with k=3 to 4 the smallest segment")
    assert "0.2000 (k=3)" in message and 'small_segments = "merge"' in message


# --- the choice


def test_the_least_mean_rank_is_taken_and_ties_go_to_the_smaller_k():
    candidates = [
        candidate(3, silhouette=0.5, davies_bouldin=0.9, elbow=0.1, stability=0.9),  # ranks 2 2 2 3
        candidate(4, silhouette=0.6, davies_bouldin=0.8, elbow=0.3, stability=0.95),  # ranks 1 1 1 2
        candidate(5, silhouette=0.4, davies_bouldin=1.0, elbow=0.0, stability=1.0),  # ranks 3 3 3 1
    ]
    ranked = rank_candidates(candidates, 0.6)
    assert [(r.candidate.k, r.mean_rank) for r in ranked] == [(4, 1.25), (3, 2.25), (5, 2.5)]
    even = [candidate(5, silhouette=0.5, elbow=0.1), candidate(4, silhouette=0.4, elbow=0.2)]
    assert [r.candidate.k for r in rank_candidates(even, 0.6)] == [4, 5]


def test_figures_that_differ_by_rounding_share_a_rank_and_a_missing_one_is_last():
    candidates = [candidate(3, silhouette=0.5), candidate(4, silhouette=0.5 + 1e-9), candidate(5)]
    assert [r.ranks["silhouette"] for r in rank_candidates(candidates, 0.6)] == [1, 1, 3]
    assert rank_candidates([candidate(1)], 0.6)[0].mean_rank == 1.0


def test_an_unstable_candidate_is_out_unless_all_are():
    candidates = [candidate(3, silhouette=0.9, stability=0.5), candidate(4, silhouette=0.1, stability=0.7)]
    assert [r.candidate.k for r in rank_candidates(candidates, 0.6)] == [4]
    assert [r.candidate.k for r in rank_candidates(candidates, 0.8)] == [3, 4]


def test_the_choice_is_explained_in_a_sentence():
    candidates = [
        candidate(3, silhouette=0.9, stability=0.5),
        candidate(4, silhouette=0.1, stability=0.7, centres=((0.0,),) * 3),
    ]
    (best,) = rank_candidates(candidates, 0.6)
    assert explain(best, candidates, settings(k_max=4)) == (
        "kmeans: k=4 has the best mean rank, 1.00, of k=3 to 4: silhouette 0.100, stability 0.700; "
        "k=3 of stability below 0.6 left out; small segments merged, 3 are left"
    )
    alone = [candidate(1)]
    assert "one segment" in explain(rank_candidates(alone, 0.6)[0], alone, KMEANS)
    (fixed,) = rank_candidates(candidates[:1], 0.6)
    assert explain(fixed, candidates[:1], settings(k=3)).startswith("kmeans: k=3, as segments.kmeans.k says: silh")
    assert "(no more than 3 different customers)" in explain(fixed, candidates[:1], settings(k=9))


@pytest.mark.parametrize(
    ("changes", "distinct", "expected"),
    [
        ({"k_min": 3, "k_max": 5}, 100, [3, 4, 5]),
        ({"k_min": 3, "k_max": 5}, 4, [3, 4]),
        ({"k_min": 3, "k_max": 5}, 2, [2]),
        ({"k_min": 3, "k_max": 5}, 1, [1]),
        ({"k": 7}, 100, [7]),
        ({"k": 7}, 5, [5]),
    ],
)
def test_no_more_segments_are_tried_than_customers_differ(changes, distinct, expected):
    assert numbers_to_try(settings(**changes), distinct) == expected


def test_different_rows_are_counted_up_to_a_limit_and_zero_has_no_sign():
    vectors = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    assert count_distinct(vectors, 10) == 3
    assert count_distinct(vectors, 2) == 2
    assert count_distinct(vectors[:1], 10) == 1


def test_measures_are_published_where_there_are_any():
    assert set(replace(candidate(3), elbow=0.2).measures) == {"inertia", "segments", "smallest_share", "elbow"}
