"""What a data scientist would write without the suite, on one machine: read, clean, RFM, segments, rules, recommendations.

The peer of benchmark refresh: `python refresh_peer.py RAW OUT`, with polars, scikit-learn, implicit and mlxtend, and with our settings'
sizes: k from 2 to 10 by silhouette, a minimum support of 1 %, 32 factors, ten items a customer. It keeps no history, checks and explains
nothing, and publishes nothing; nor has it the life cycle, context, factors, topics, other models, tuning and evaluation of a refresh.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from implicit.als import AlternatingLeastSquares
from mlxtend.frequent_patterns import association_rules, fpgrowth
from mlxtend.preprocessing import TransactionEncoder
from scipy.sparse import coo_matrix
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import RobustScaler


def read(raw: Path) -> pl.DataFrame:
    events = pl.read_parquet(raw / "events/*.parquet").unique("event_id")
    when = pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    price, quantity = (pl.col(name).cast(pl.Float64, strict=False) for name in ("price", "quantity"))
    return events.with_columns(when.alias("when"), price.alias("price"), quantity.alias("quantity")).filter(
        pl.col("when") < datetime.now(), pl.col("customer").is_not_null(), pl.col("price").fill_null(0.0).is_finite()
    )


def features(events: pl.DataFrame) -> pl.DataFrame:
    bought = events.filter(pl.col("type") == "purchase", pl.col("price") >= 0, pl.col("quantity").is_between(1, 1e6))
    end = bought["when"].max()
    return bought.group_by("customer").agg(
        (pl.lit(end) - pl.col("when").max()).dt.total_days().alias("recency"),
        pl.col("order").n_unique().alias("frequency"),
        (pl.col("price") * pl.col("quantity")).sum().alias("monetary"),
        pl.col("item").n_unique().alias("items"),
    )


def segments(customers: pl.DataFrame) -> pl.DataFrame:
    table = np.log1p(customers.select("recency", "frequency", "monetary", "items").to_numpy().astype(float))
    scaled = RobustScaler().fit_transform(table)
    draw = np.random.default_rng(1).permutation(len(scaled))[:10_000]
    tried = {}
    for k in range(2, 11):
        fit = KMeans(k, n_init=10, random_state=1).fit(scaled)
        tried[k] = (silhouette_score(scaled[draw], fit.labels_[draw]), fit)
    return customers.with_columns(pl.Series("segment", max(tried.values(), key=lambda pair: pair[0])[1].labels_))


def rules(events: pl.DataFrame) -> pl.DataFrame:
    bought = events.filter(pl.col("type") == "purchase", pl.col("order").is_not_null(), pl.col("item").is_not_null())
    baskets = bought.group_by("order").agg(pl.col("item").unique())["item"].to_list()
    encoder = TransactionEncoder()
    encoded = pd.DataFrame.sparse.from_spmatrix(
        encoder.fit(baskets).transform(baskets, sparse=True), columns=encoder.columns_
    )
    itemsets = fpgrowth(encoded, min_support=0.01, use_colnames=True, max_len=3)
    found = association_rules(itemsets, metric="confidence", min_threshold=0.3)
    return pl.DataFrame(
        {"rule": [f"{set(a)} → {set(b)}" for a, b in zip(found["antecedents"], found["consequents"], strict=True)]}
    )


def recommend(events: pl.DataFrame) -> pl.DataFrame:
    bought = events.filter(pl.col("type") == "purchase", pl.col("item").is_not_null())
    pairs = bought.group_by("customer", "item").len()
    customer, item = (pairs[name].cast(pl.Categorical).to_physical().to_numpy() for name in ("customer", "item"))
    customer, item = (np.unique(values, return_inverse=True)[1] for values in (customer, item))
    matrix = coo_matrix((pairs["len"].to_numpy().astype(np.float32), (customer, item))).tocsr()
    model = AlternatingLeastSquares(factors=32, iterations=10, regularization=0.1, random_state=1)
    model.fit(matrix, show_progress=False)
    ids, scores = model.recommend(np.arange(matrix.shape[0]), matrix, N=10)
    return pl.DataFrame(
        {"customer": np.repeat(np.arange(len(ids)), ids.shape[1]), "item": ids.ravel(), "score": scores.ravel()}
    )


def main(raw: str, out: str) -> None:
    folder, steps = Path(out), {}
    folder.mkdir()
    began = time.monotonic()

    def done(step: str, table: pl.DataFrame) -> pl.DataFrame:
        nonlocal began
        table.write_parquet(folder / f"{step}.parquet")
        steps[step] = time.monotonic() - began
        began = time.monotonic()
        return table

    events = done("ingest", read(Path(raw)))
    customers = done("features", features(events))
    done("segments", segments(customers))
    done("rules", rules(events))
    done("recommendations", recommend(events))
    (folder / "steps.json").write_text(json.dumps(steps))


if __name__ == "__main__":
    main(*sys.argv[1:])
