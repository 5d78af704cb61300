"""Contracts of what is offered to whom."""

from lib.tables.contract import Column, Table
from lib.tables.features import KEPT

_REASONS = Column(
    "reasons",
    "array<struct<kind:string,item_id:string,rule:string,weight:double,text:string>>",
    "What the offer comes from.",
    required=True,
)
_CHECKS = {"rank_from_1": "rank >= 1", "score_a_number": "NOT isnan(score) AND abs(score) < double('Infinity')"}

CANDIDATES = Table(
    name="candidates",
    grain="One item that one model offers one customer.",
    columns=(
        Column("model", "string", "als; rules: bought before the arrow, not yet after it; popular.", required=True),
        Column("customer_id", "string", "The customer.", required=True),
        Column("rank", "int", "1 is the best of the model and customer.", required=True),
        Column("item_id", "string", "The item.", required=True),
        Column("score", "double", "The model's score: it orders the items of one customer and model.", required=True),
        Column("reason", "string", "Why the model offers it, in a sentence.", required=True),
        _REASONS,
    ),
    key=("model", "customer_id", "rank"),
    subject="customer_id",
    retention=KEPT,
    checks=_CHECKS,
)

RECOMMENDATIONS = Table(
    name="recommendations",
    grain="One offered item of one customer.",
    columns=(
        Column("customer_id", "string", "The customer.", required=True),
        Column("rank", "int", "1 is the best.", required=True),
        Column("item_id", "string", "The item.", required=True),
        Column("score", "double", "The model's score: it orders the items of one customer and model.", required=True),
        Column("model", "string", "als, or popular for customers without history.", required=True),
        Column("reason", "string", "Why the item is offered, in a sentence.", required=True),
        _REASONS,
    ),
    key=("customer_id", "rank"),
    subject="customer_id",
    retention=KEPT,
    checks=_CHECKS,
)

TABLES = (CANDIDATES, RECOMMENDATIONS)
