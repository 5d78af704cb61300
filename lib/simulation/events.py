"""Events of the simulated shop: each visit's lines, and what happens to each line. No shuffle, no join."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lib.methods.frames import pick
from lib.settings.simulation import Simulation
from lib.simulation import world
from lib.simulation.catalogue import in_contract_form, item_id, item_level, item_price, item_topic
from lib.simulation.draws import Draws
from lib.simulation.people import account_id, moment
from lib.simulation.visits import BROWSE, OFFER, ORDER, SIGN_UP, place_name

TYPES = (
    "signup", "login", "search", "view", "click", "like", "add_to_cart", "purchase", "rating", "return",
    "offer_sent", "impression", "offer_redeemed",
)  # fmt: skip
"""Types of events. Their places here are a part of event ids."""

(_SIGNUP, _LOGIN, _SEARCH, _VIEW, _CLICK, _LIKE, _CART, _PURCHASE, _RATING, _RETURN, _SENT, _SEEN, _REDEEMED) = range(
    13
)

_DAY = 86_400.0


def make_events(visits: DataFrame, settings: Simulation) -> DataFrame:
    """Rows of the contract `events`, all of them valid, without what happens after the end."""
    known = visits.transform(with_logins, settings)
    lines = known.select("*", F.posexplode(F.concat(F.array(F.lit(None).cast("int")), "items")).alias("line", "item"))
    happened = lines.select("*", F.explode(_what_happens(settings)).alias("type")).drop("items")
    timed = happened.withColumn("time", F.col("day") + _delay(settings) / _DAY)
    return _describe(timed.where(F.col("time") < settings.days), settings)


def with_logins(visits: DataFrame, settings: Simulation) -> DataFrame:
    """Add on_screen, logs_in, session_id (null in a store) and anonymous: who it is isn't known before the login, if ever."""
    draw, keys = Draws(settings.seed), (F.col("person"), F.col("visit"))
    kind = F.col("kind")
    on_screen = kind.isin(ORDER, BROWSE) & (F.col("channel") != world.STORE)
    session = F.concat(F.lit("s"), F.lower(F.hex(_visit_number())))
    logs_in = F.col("on_screen") & draw.happens(world.LOGIN_SHARE, "login", *keys)
    before = F.col("logs_in") & draw.happens(world.ANONYMOUS_SHARE, "anonymous", *keys)
    throughout = (kind == BROWSE) & ~F.col("logs_in") & draw.happens(world.UNKNOWN_SHARE, "unknown", *keys)
    return (
        visits.withColumns({"on_screen": on_screen, "session_id": F.when(on_screen, session)})
        .withColumn("logs_in", logs_in)
        .withColumn("anonymous", before | throughout)
    )


def _visit_number() -> Column:
    return F.shiftleft("person", 16).bitwiseOR(F.col("visit").cast("bigint"))


def _keys() -> tuple[Column, Column, Column]:
    return F.col("person"), F.col("visit"), F.col("line")


def _what_happens(settings: Simulation) -> Column:
    """The types of one line's events; line 0 is about the visit as such."""
    draw, keys = Draws(settings.seed), _keys()
    kind, screen = F.col("kind"), F.col("on_screen")

    def often(share: float, event: int) -> Column:
        return draw.happens(share, f"happens/{event}", *keys)

    def listed(conditions: Mapping[int, Column]) -> Column:
        return F.array_compact(F.array(*(F.when(holds, F.lit(event)) for event, holds in conditions.items())))

    visit = {
        _SIGNUP: kind == SIGN_UP,
        _SENT: kind == OFFER,
        _SEEN: (kind == OFFER) & often(world.IMPRESSION_SHARE, _SEEN),
        _SEARCH: screen & often(world.SEARCH_SHARE, _SEARCH),
        _LOGIN: F.col("logs_in"),
        _REDEEMED: (kind == ORDER) & F.col("campaign").isNotNull(),
    }
    bought = {
        _VIEW: screen & often(world.VIEW_SHARE, _VIEW),
        _CART: screen & often(world.CART_SHARE, _CART),
        _PURCHASE: F.lit(True),
        _RATING: often(settings.rating_share, _RATING),
        _RETURN: often(settings.return_share, _RETURN),
    }
    looked = {
        _VIEW: F.lit(True),
        _CLICK: often(world.CLICK_SHARE, _CLICK),
        _LIKE: often(world.LIKE_SHARE, _LIKE) & ~F.col("anonymous"),
    }
    return F.when(F.col("line") == 0, listed(visit)).when(kind == ORDER, listed(bought)).otherwise(listed(looked))


def _delay(settings: Simulation) -> Column:
    """Seconds from the visit's moment, which is that of its order."""
    spread = Draws(settings.seed).uniform("delay", *_keys())
    line, kind = F.col("line"), F.col("type")
    return (
        F.when(kind == _SEARCH, F.lit(-1300.0))
        .when(kind == _VIEW, line * 10.0 - 1290)
        .when(kind.isin(_CLICK, _LIKE), line * 10.0 - 1285)
        .when(kind == _LOGIN, F.lit(-180.0))
        .when(kind == _CART, line * 1.0 - 170)
        .when(kind == _SEEN, spread * _DAY)
        .when(kind == _RATING, (1 + 9 * spread) * _DAY)
        .when(kind == _RETURN, (2 + 18 * spread) * _DAY)
        .otherwise(0.0)
    )


def _describe(events: DataFrame, settings: Simulation) -> DataFrame:
    """The contract's columns of each event."""
    draw, keys, kind = Draws(settings.seed), _keys(), F.col("type")
    sold = kind.isin(_PURCHASE, _RETURN)
    bought = draw.geometric(1.3, "quantity", *keys)
    back = F.when(draw.happens(0.5, "part", *keys), 1).otherwise(bought)
    quantity = F.when(kind == _PURCHASE, bought).when(kind == _RETURN, back).cast("double")
    unknown = F.col("anonymous") & kind.isin(_VIEW, _SEARCH, _CLICK)
    described = events.withColumns(
        {"quantity": quantity, "unit_price": F.when(sold, item_price(F.col("item"), settings))}
    )
    number = F.shiftleft(_visit_number(), 12).bitwiseOR((F.col("line") * 16 + kind).cast("bigint"))
    in_order = (F.col("kind") == ORDER) & (sold | kind.isin(_RATING, _REDEEMED))
    known = {
        "event_id": F.concat(F.lit("e"), F.lower(F.hex(number))),
        "source": F.lit(world.SOURCE),
        "event_type": pick(TYPES, kind),
        "event_time": moment(F.col("time"), settings),
        "customer_id": F.when(~unknown, account_id(F.col("person"), F.col("second"), settings)),
        "order_id": F.when(in_order, F.concat(F.lit("o"), F.lower(F.hex(_visit_number())))),
        "session_id": F.when(~kind.isin(_RATING, _RETURN), F.col("session_id")),
        "item_id": item_id(F.col("item")),
        "quantity": F.col("quantity"),
        "unit_price": F.col("unit_price"),
        "amount": (F.col("quantity").cast("decimal(9,0)") * F.col("unit_price")),
        "currency": F.when(sold, F.lit(world.CURRENCY)),
        "rating": F.when(kind == _RATING, _rate(settings)),
        "channel": pick(world.CHANNELS, F.col("channel")),
        "device": F.col("device"),
        **{name: place_name(part, F.col("place")) for part, name in enumerate(("country", "region", "city"))},
        "properties": _properties(settings),
        "ingested_at": moment(F.lit(float(settings.days)), settings),
        "batch_id": F.lit(world.SOURCE),
    }
    return in_contract_form(described, known, "events")


def _rate(settings: Simulation) -> Column:
    """1 to 5, after how well the item matches the customer's topic and price level."""
    match = F.when(item_topic(F.col("item")) == F.col("taste"), world.TOPIC_MATCH).otherwise(0.0) + F.when(
        item_level(F.col("item")) == F.col("price_level"), 1 - world.TOPIC_MATCH
    ).otherwise(0.0)
    noise = world.RATING_SPREAD * Draws(settings.seed).normal("rating", *_keys())
    rating = F.round(world.RATING_BIAS + world.RATING_TASTE * match + noise)
    return F.least(F.greatest(rating, F.lit(1.0)), F.lit(5.0))


def _properties(settings: Simulation) -> Column:
    """A search's words, an offer's campaign; else an empty map."""
    words = F.split(pick(tuple(world.WORDS.values()), F.col("taste")), " ")
    word = F.get(words, Draws(settings.seed).integer(12, "query", *_keys()))
    campaign = campaign_name(F.col("campaign"))
    told = (
        F.when(F.col("type") == _SEARCH, F.create_map(F.lit("query"), word))
        .when(F.col("type").isin(_SENT, _SEEN, _REDEEMED), F.create_map(F.lit("campaign"), campaign))
        .otherwise(F.create_map())
    )
    return told.cast("map<string,string>")


def campaign_name(campaign: Column) -> Column:
    """The name of a campaign's number."""
    return F.concat(F.lit("campaign-"), campaign + 1)
