"""Measures of lists: worked by hand, against a plain second implementation, and what the sums of them say."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse, stats

from lib.evaluation.choice import choose
from lib.evaluation.judging import Asked, Sums, measure_customers
from lib.evaluation.ranking import ACCURACY, METRICS, Catalogue, measure_accuracy
from lib.evaluation.results import Compared, Measured, compared, measured, paired_t
from lib.methods.bootstrap import percentile_interval, poisson_weights
from lib.settings import load

WANTED = load().evaluation
NAN = float("nan")


def test_accuracy_of_a_list_is_what_a_hand_finds():
    """Places 1 to 4: miss, hit, miss, hit; 3 relevant items, of 10."""
    hits, offered = np.array([[False, True, False, True]]), np.ones((1, 4), dtype=bool)
    values = measure_accuracy(hits, offered, np.array([3]), np.array([10]), [2, 4])[0]
    found = {name: tuple(values[n]) for n, name in enumerate(ACCURACY)}
    second, fourth = 1 / math.log2(3), 1 / math.log2(5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found == {
        "accuracy": pytest.approx(((10 - 2 - 3 + 2) / 10, (10 - 4 - 3 + 4) / 10)),
        "precision": pytest.approx((1 / 2, 2 / 4)),
        "recall": pytest.approx((1 / 3, 2 / 3)),
        "f1": pytest.approx((2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3), 2 * (1 / 2) * (2 / 3) / (1 / 2 + 2 / 3))),
        "map": pytest.approx(((1 / 2) / 2, (1 / 2 + 2 / 4) / 3)),
        "mrr": pytest.approx((1 / 2, 1 / 2)),
        "hit_rate": (1.0, 1.0),
        "ndcg": pytest.approx((second / (1 + 1 / math.log2(3)), (second + fourth) / ideal)),
        "ndcg_all_k": pytest.approx((second / (1 + 1 / math.log2(3)), (second + fourth) / (ideal + 1 / math.log2(5)))),
    }


def plain(lists, relevant, popular, items, k):
    """One customer's list the long way: item → facts; None where nothing can be said."""
    offered, n = lists[:k], len({place for place, item in items.items() if item["offered"]} | relevant)
    hits = [place for place, item in enumerate(offered, start=1) if item in relevant]
    gain = sum(1 / math.log2(place + 1) for place in hits)
    ideal = lambda count: sum(1 / math.log2(place + 1) for place in range(1, count + 1))  # noqa: E731
    right = n - len(offered) - len(relevant) + 2 * len(hits)
    some = bool(offered)
    each = lambda name: [items[i][name] for i in offered if items[i][name] is not None]  # noqa: E731
    mean = lambda values: sum(values) / len(values) if values else None  # noqa: E731
    pairs = [items[a]["words"] @ items[b]["words"] for a in offered for b in offered if a != b]
    found = {
        "accuracy": right / n if some else 0.0,
        "precision": len(hits) / k,
        "recall": len(hits) / len(relevant),
        "f1": 2 * len(hits) / (k + len(relevant)),
        "map": sum(rank / place for rank, place in enumerate(hits, start=1)) / min(len(relevant), k),
        "mrr": 1 / hits[0] if hits else 0.0,
        "hit_rate": float(bool(hits)),
        "ndcg": gain / ideal(min(len(relevant), k)),
        "ndcg_all_k": gain / ideal(k),
        "novelty": mean([-math.log2(max(share, 0.5 / 40)) for share in each("share")]),
        "popularity": mean(each("share")),
        "price": mean(each("price")),
        "diversity": 1 - mean(pairs) if pairs else None,
        "serendipity": sum(i in relevant and i not in popular[:k] for i in offered) / k if some else None,
    }
    return [found[name] for name in METRICS]


def test_measures_equal_a_plain_second_implementation_on_short_lists_empty_ones_and_unknown_items():
    random = np.random.default_rng(5)
    number, customers, ks = 30, 60, [1, 3, 8]
    words = random.random((number, 6)) * (random.random((number, 6)) < 0.5)
    lengths = np.linalg.norm(words, axis=1, keepdims=True)
    words = np.divide(words, lengths, out=np.zeros_like(words), where=lengths > 0)
    buyers, prices = random.integers(0, 40, number).astype(float), random.choice([NAN, 1.0, 2.0, 7.0], number)
    offered = random.random(number) < 0.8
    catalogue = Catalogue([f"i{n:02d}" for n in range(number)], buyers, 40, prices, offered, sparse.csr_matrix(words))
    mean = np.nanmean(prices)
    items = {
        n: {"share": buyers[n] / 40, "price": None if math.isnan(prices[n]) else prices[n] / mean, "words": words[n], "offered": offered[n]}
        for n in range(number)
    }  # fmt: skip
    lists = [[list(random.permutation(number)[: random.integers(0, 9)]) for _ in range(3)] for _ in range(customers)]
    # -1: an item that the catalogue does not know
    relevant = [
        sorted({*random.choice(number, random.integers(1, 12)), *([-1] if random.random() < 0.3 else [])})
        for _ in range(customers)
    ]
    flat = [[(m, r, p) for m, places in enumerate(mine) for r, p in enumerate(places, start=1)] for mine in lists]
    block = pa.RecordBatch.from_pydict(
        {
            "relevant": pa.array(relevant, pa.list_(pa.int32())),
            **{
                name: pa.array([[int(cell[at]) for cell in mine] for mine in flat], pa.list_(pa.int32()))
                for at, name in enumerate(("model", "rank", "place"))
            },
        }
    )
    asked = Asked(["a", "b", "popular"], ks, [], "popular", 20, 0)
    values = measure_customers(block, catalogue, asked)
    each = [
        [[plain(mine, set(want), told[2], items, k) for k in ks] for mine in told]
        for told, want in zip(lists, relevant, strict=True)
    ]
    expected = np.array(each, dtype=float).transpose(0, 1, 3, 2)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    assert np.isnan(values).any()
    assert any(not mine for each in lists for mine in each)


def sums_of(values, replicates=400):
    """What judging adds up over everybody. values: customers × models, of one measure."""
    asked = Asked([f"m{n}" for n in range(values.shape[1])], [1], [], "", replicates, 3)
    sums = Sums.none(asked)
    weights = poisson_weights(np.arange(len(values), dtype=np.int64) * 7919, replicates, 3).T
    first = (slice(None), slice(None), 0, 0)
    sums.counts[first], sums.totals[first], sums.squares[first] = len(values), values.sum(0), (values**2).sum(0)
    sums.sampled[first], sums.sampled_counts[first] = weights @ values, weights.sum(1)[:, None]
    for n, (a, b) in enumerate(asked.pairs):
        apart = values[:, a] - values[:, b]
        sums.pair_counts[n], sums.differences[n], sums.squared_differences[n] = (
            len(apart),
            apart.sum(),
            (apart**2).sum(),
        )
    return sums, asked


def test_a_planted_difference_is_found_with_the_p_value_of_scipy_and_an_interval_like_its_bootstrap():
    random = np.random.default_rng(1)
    worse = random.random(300)
    values = np.stack([worse + 0.05 + 0.2 * random.standard_normal(300), worse, worse], axis=1)
    sums, asked = sums_of(values)
    first, _, same = (one for one in compared(sums, asked, 0.95) if one.metric == METRICS[0])
    assert (first.model_a, first.model_b, first.customers) == ("m0", "m1", 300)
    assert first.p_value == pytest.approx(stats.ttest_rel(values[:, 0], values[:, 1]).pvalue, rel=1e-9)
    assert first.p_value < 0.01
    assert 0 < first.low < first.difference < first.high
    drawn = stats.bootstrap(
        (values[:, 0] - values[:, 1],), np.mean, method="percentile", rng=random
    ).confidence_interval
    assert (first.low, first.high) == pytest.approx((drawn.low, drawn.high), abs=0.006)
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    one = next(m for m in measured(sums, asked, 0.95) if m.model == "m1")
    assert one.value == pytest.approx(worse.mean())
    assert one.low < worse.mean() < one.high


def test_models_that_are_alike_are_seldom_called_different():
    random = np.random.default_rng(2)
    pairs = random.random((400, 2000)) - random.random((400, 2000))
    found = paired_t(pairs.sum(1), (pairs**2).sum(1), np.full(400, 2000.0))
    assert 0.01 < (found < 0.05).mean() < 0.09
    assert list(paired_t(np.array([3.0, 0.0]), np.array([9.0, 0.0]), np.array([1.0, 0.0]))) == [1.0, 1.0], "too few"


def test_replicates_count_each_customer_as_often_as_chance_would_and_the_same_wherever_they_are():
    keys = np.random.default_rng(3).integers(-(2**63), 2**63 - 1, 4000)
    weights = poisson_weights(keys, 200, -1)
    shares = [np.mean(weights == n) for n in range(4)]
    assert shares == pytest.approx([stats.poisson.pmf(n, 1) for n in range(4)], abs=0.003)
    assert np.abs(np.corrcoef(weights[:, :20].T)[np.triu_indices(20, 1)]).max() < 0.08
    np.testing.assert_array_equal(weights[1000:1010, :50], poisson_weights(keys[1000:1010], 50, -1))
    assert not np.array_equal(weights, poisson_weights(keys, 200, 4))
    assert np.isnan(percentile_interval(np.full((5, 1), NAN), 0.9)).all()


def told(**models):
    """ndcg@10, and maybe item_coverage, of each model."""
    return [
        Measured(model, "", metric, 10, value, None, None, 100)
        for model, values in models.items()
        for metric, value in zip(("ndcg", "item_coverage"), values, strict=False)
    ]


@pytest.mark.parametrize(
    ("metrics", "served", "interval", "floor", "chosen", "said"),
    [
        (told(a=[0.3], b=[0.2]), "b", (0.05, 0.15), 0.0, "a", "a serves next instead of b"),
        (told(a=[0.3], b=[0.2]), "b", (-0.01, 0.15), 0.0, "b", "not better by more than chance"),
        (told(a=[0.3], b=[0.2]), "a", (0.05, 0.15), 0.0, "a", "a stays: it has the best"),
        (told(a=[0.3, 0.1], b=[0.2, 0.5]), "a", (0.05, 0.15), 0.3, "a", "keeps to the floors and is worse"),
        (told(a=[0.21, 0.1], b=[0.2, 0.5]), "a", (-0.01, 0.02), 0.3, "b", "b serves next instead of a"),
        (told(a=[0.3, 0.1], b=[0.2, 0.2]), "a", (0.05, 0.15), 0.3, "a", "no model meets the floors"),
        (told(a=[0.3], b=[0.2]), "gone", (0.05, 0.15), 0.0, "a", "a serves next: it has the best"),
        ([], "a", (0.0, 0.0), 0.0, "a", "nothing could be judged"),
    ],
)  # fmt: skip
def test_what_serves_changes_for_what_is_better_by_more_than_chance_alone(
    metrics, served, interval, floor, chosen, said
):
    """interval: of a less b."""
    against = [Compared("a", "b", "ndcg", 10, sum(interval) / 2, *interval, 0.04, 100)]
    wanted = WANTED.model_copy(update={"min_item_coverage": floor})
    choice = choose(metrics, against, ["a", "b"], served, 10, wanted)
    assert choice.model == chosen
    assert said in choice.sentence
