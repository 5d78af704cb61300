"""Channels brought together and taken apart again, with their returns, through whole refreshes."""

from __future__ import annotations

SHOPS = """
[sources.web]
path = "{folder}/web.csv"
format = "csv"
[sources.web.events]
customer_id = "who"
event_time = "day"
event_type = "kind"
session_id = "visit"
item_id = "thing"
unit_price = "10"
[sources.store]
path = "{folder}/store.csv"
format = "csv"
namespace = "store"
[sources.store.events]
customer_id = "who"
event_time = "day"
event_type = "kind"
item_id = "thing"
unit_price = "10"
[sources.cards]
path = "{folder}/cards.csv"
format = "csv"
[sources.cards.identities]
id_type = "'loyalty_card'"
source_id = "card"
customer_id = "customer"
"""

JOBS = "ingest_events resolve_identities match_returns build_features"


def measures(shop):
    return shop.rows("customer_features", "customer_id", "orders", "monetary", "events")


def test_a_card_makes_two_channels_one_customer_until_it_is_taken_back(shop):
    shop.write(
        "web.csv",
        "who,day,kind,visit,thing\n7,2024-03-01,purchase,v1,cup\n,2024-03-01,view,v1,mug\n8,2024-03-02,purchase,v2,cup\n",
    )
    shop.write("store.csv", "who,day,kind,thing\n7,2024-03-03,purchase,mug\n5,2024-03-04,return,cup\n")
    # customer 7 of the store is another than customer 7 of the web, who is customer 5 of the store
    shop.write("cards.csv", "card,customer\nK1,7\nK1,store:5\nK2,store:7\n")
    shop.refresh(SHOPS, only=JOBS)
    assert [tuple(map(str, row)) for row in measures(shop)] == [
        ("7", "1", "0.0000", "3"), ("8", "1", "10.0000", "1"), ("store:7", "1", "10.0000", "1"),
    ]  # fmt: skip
    assert shop.rows("matched_returns", "customer_id", "method", "quantity", "days_between") == [
        ("7", "latest", 1.0, 3)
    ]

    shop.write("cards.csv", "card,customer\nK1,7\nK2,store:7\n")
    shop.refresh(SHOPS, only=JOBS.replace("match_returns ", ""))
    assert [tuple(map(str, row)) for row in measures(shop)] == [
        ("7", "1", "10.0000", "2"), ("8", "1", "10.0000", "1"),
        ("store:5", "0", "-10.0000", "1"), ("store:7", "1", "10.0000", "1"),
    ]  # fmt: skip
