"""Contracts of what is offered to whom."""

from lib.tables.contract import Column, Table
from lib.tables.features import KEPT

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
        Column(
            "reasons",
            "array<struct<kind:string,item_id:string,rule:string,weight:double,text:string>>",
            "What the offer comes from.",
            required=True,
        ),
    ),
    key=("customer_id", "rank"),
    subject="customer_id",
    retention=KEPT,
    checks={"rank_from_1": "rank >= 1", "score_a_number": "NOT isnan(score) AND abs(score) < double('Infinity')"},
)

TABLES = (RECOMMENDATIONS,)
