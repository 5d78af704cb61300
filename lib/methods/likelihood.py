"""Maximum likelihood of positive parameters, over rows that stand for many equal cases each.

The negative log-likelihood and its gradient are sums over rows, so they are added up on the driver where there are few different rows, and
on the executors where there are many: either way scipy's L-BFGS-B sees the same function of the logarithms of the parameters. Standard
errors come from the curvature at the optimum: the inverse of the observed information, by the delta method back from the logarithms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]

Terms = Callable[[Floats, list[Floats]], tuple[Floats, Floats]]
"""(parameters, columns) → log-likelihood of each row, and its gradient by the parameters (parameters × rows)."""

LIMIT = 15.0
"""Parameters are kept between e⁻¹⁵ and e¹⁵: one that runs there is not determined by the data."""


@dataclass(frozen=True)
class Estimate:
    """What was fitted. `std_errors` has NaN where the data don't determine a parameter."""

    values: tuple[float, ...]
    std_errors: tuple[float, ...]
    log_likelihood: float
    cases: int
    rows: int
    converged: bool
    """Whether a maximum was found inside the limits."""


def maximise(
    terms: Terms, rows: DataFrame, columns: Sequence[str], start: Sequence[float], driver_rows: int
) -> Estimate:
    """The parameters of greatest likelihood over `rows` (`columns` double, and `cases`: how many equal cases a row stands for).

    At most `driver_rows` rows are fetched; where there are more, they stay on the executors, and each step is one pass over them.
    """
    rows = rows.select(*columns, F.col("cases").cast("double").alias("cases"))
    counted = rows.agg(F.count("*").alias("rows"), F.sum("cases").alias("cases")).head()
    assert counted is not None
    if not counted["rows"]:
        raise ValueError("no case to fit to")
    number, cases = int(counted["rows"]), int(counted["cases"])
    total = _on_driver(terms, rows, columns) if number <= driver_rows else _on_executors(terms, rows, columns)

    def objective(logs: Floats) -> tuple[float, Floats]:
        values = np.exp(logs)
        likelihood, gradient = total(values)
        return -likelihood / cases, -gradient * values / cases

    bounds = [(-LIMIT, LIMIT)] * len(start)
    found = minimize(
        objective,
        np.log(start),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 500},
    )
    inside = bool(np.all(np.abs(found.x) < LIMIT - 1e-3))
    errors = _standard_errors(lambda logs: objective(logs)[1] * cases, found.x)
    values = np.exp(found.x)
    return Estimate(
        tuple(values.tolist()), tuple((values * errors).tolist()), float(-found.fun * cases), cases, number, inside,
    )  # fmt: skip


def _on_driver(terms: Terms, rows: DataFrame, columns: Sequence[str]) -> Callable[[Floats], tuple[float, Floats]]:
    table = rows.sort(*columns).toArrow()  # at most driver_rows
    values = [np.asarray(table.column(name), dtype=np.float64) for name in columns]
    cases = np.asarray(table.column("cases"), dtype=np.float64)
    return lambda parameters: _weighted(terms, parameters, values, cases)


def _on_executors(terms: Terms, rows: DataFrame, columns: Sequence[str]) -> Callable[[Floats], tuple[float, Floats]]:
    kept = rows.cache()  # a pass per step
    names = list(columns)

    def total(parameters: Floats) -> tuple[float, Floats]:
        def add_up(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            likelihood, gradient = 0.0, np.zeros(len(parameters))
            for batch in batches:
                values = [np.asarray(batch.column(name), dtype=np.float64) for name in names]
                part = _weighted(terms, parameters, values, np.asarray(batch.column("cases"), dtype=np.float64))
                likelihood, gradient = likelihood + part[0], gradient + part[1]
            sums = [pa.array([likelihood]), pa.array([gradient.tolist()], pa.list_(pa.float64()))]
            yield pa.RecordBatch.from_arrays(sums, names=["likelihood", "gradient"])

        parts = kept.mapInArrow(add_up, "likelihood double, gradient array<double>").collect()  # one row per partition
        return sum(part["likelihood"] for part in parts), np.sum([part["gradient"] for part in parts], axis=0)

    return total


def _weighted(terms: Terms, parameters: Floats, columns: list[Floats], cases: Floats) -> tuple[float, Floats]:
    likelihood, gradient = terms(parameters, columns)
    return float(likelihood @ cases), gradient @ cases


def _standard_errors(gradient: Callable[[Floats], Floats], at: Floats, step: float = 1e-4) -> Floats:
    """Standard errors of the logarithms: the root of the diagonal of the inverse Hessian, by central differences."""
    size = len(at)
    hessian = np.empty((size, size))
    for place in range(size):
        move = np.zeros(size)
        move[place] = step
        hessian[place] = (gradient(at + move) - gradient(at - move)) / (2 * step)
    hessian = (hessian + hessian.T) / 2
    if np.any(~np.isfinite(hessian)) or np.any(np.linalg.eigvalsh(hessian) <= 0):
        return np.full(size, np.nan)
    errors: Floats = np.sqrt(np.diag(np.linalg.inv(hessian)))
    return errors
