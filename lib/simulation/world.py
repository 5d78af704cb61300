"""What the simulated shop is made of: segments, topics, places, channels, rules. Constants of the shop, no Spark."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lib.settings.simulation import Simulation

SOURCE = "simulated"
CURRENCY = "EUR"


@dataclass(frozen=True)
class Segment:
    """Customers of one planted kind.

    `gap_days` is the inverse of the mean rate of orders: the rate is Gamma(RATE_SHAPE) over the segment's customers.
    `dropout_b`: the probability to drop out after an order is Beta(1, b); 0: never orders.
    """

    name: str
    share: float
    gap_days: float
    dropout_b: float


RATE_SHAPE = 4
"""Shape of the gamma distribution of order rates within a segment."""
MAX_REPEATS = 9_999
"""Most orders after the first, before a dropout and again after it."""

SEGMENTS = (
    Segment("loyal", 0.15, 14, 60),
    Segment("regular", 0.25, 30, 30),
    Segment("occasional", 0.25, 75, 10),
    Segment("bargain", 0.20, 110, 2),
    Segment("prospect", 0.15, 365, 0),
)

WORDS = {
    "garden": "rose watering seed terracotta trellis hedge lawn compost bulb pruning greenhouse lavender",
    "kitchen": "skillet whisk ceramic baking espresso chopping saucepan spice kettle enamel apron carafe",
    "books": "novel atlas poetry biography paperback mystery chronicle essay anthology memoir saga fable",
    "sport": "running yoga cycling dumbbell racket trail swimming climbing jersey kayak hockey fitness",
    "beauty": "serum lipstick shampoo perfume balm mascara cream soap lotion manicure rosewater toner",
    "electronics": "headphones charger keyboard speaker tablet camera router monitor battery drone lens cable",
    "toys": "puzzle blocks dinosaur doll marble robot plush kite domino railway carousel crayon",
    "pets": "leash kibble aquarium scratching birdcage collar terrier hamster litter catnip kennel saddle",
}
"""Topic → the words of its items' texts. A topic is a category of the catalogue."""

TOPICS = tuple(WORDS)
BASE_PRICES = (12.0, 18.0, 9.0, 35.0, 15.0, 60.0, 20.0, 14.0)
"""Median price of each topic's items of the middle level."""

COMMON_WORDS = ("classic", "small", "large", "gift", "everyday", "set", "new", "original", "light", "strong")
PRICE_LEVELS = ("budget", "middle", "premium")
PRICE_FACTORS = (0.5, 1.0, 2.5)
PRICE_SPREAD = 0.2
"""Standard deviation of the logarithm of prices within a topic and level."""
LEVEL_SHARE = 0.7
"""Share of the items chosen from the customer's own price level."""
OUT_OF_STOCK_SHARE = 0.03

PLACES = (
    ("Germany", "Bavaria", "Munich"), ("Germany", "Bavaria", "Nuremberg"),
    ("Germany", "Saxony", "Leipzig"), ("Germany", "Saxony", "Dresden"),
    ("France", "Occitanie", "Toulouse"), ("France", "Brittany", "Rennes"),
    ("Italy", "Lombardy", "Milan"), ("Italy", "Sicily", "Palermo"),
    ("Spain", "Catalonia", "Barcelona"), ("Spain", "Andalusia", "Seville"),
)  # fmt: skip
PLACE_WEIGHTS = (10, 6, 5, 4, 6, 4, 6, 3, 4, 2)
HOME_SHARE = 0.92
"""Share of the visits from the customer's own place."""

CHANNELS = ("web", "app", "store")
CHANNEL_WEIGHTS = (5, 3, 2)
CHANNEL_SHARE = 0.8
"""Share of the visits through the customer's own channel; the others go through any."""
STORE = CHANNELS.index("store")
DEVICES = (("desktop", "tablet"), ("phone", "phone"), ("till", "till"))
"""Per channel, the device of customers of device kind 0 and of kind 1."""

HOURS = (9.0, 13.0, 20.0)
HOUR_WEIGHTS = (3, 3, 4)
HOUR_SPREAD = 1.5
"""Standard deviation of the hour around the customer's own, in hours."""
WEEKDAY_WEIGHTS = (2, 2, 2, 2, 3, 5, 4)
"""Monday to Sunday."""
WEEKDAY_SHARE = 0.6
"""Share of the orders moved to the customer's own weekday, within their week."""
YEAR = 365.25
BUSIEST_DAY = 334
"""Day of the year with the most orders, from 0: 1 December."""

SIGNUP_SHARE = 0.8
"""Part of the simulated time, from its start, in which people sign up."""
SIGNUP_LEAD = 7
"""Least days from the sign-up to the first order, so that an order moved within its week stays behind it."""
SECOND_ACCOUNT_VISITS = 0.3
"""Share of the visits with the second account, of who has one."""
CONSENT_SHARES = {"marketing": 0.7, "profiling": 0.85}
WITHDRAWN_SHARE = 0.1

VIEW_SHARE, CART_SHARE, CLICK_SHARE, LIKE_SHARE = 0.7, 0.5, 0.2, 0.08
"""Share of the ordered lines viewed and put into the cart before; share of the lines only looked at that are clicked and liked."""
LOGIN_SHARE, SEARCH_SHARE, ANONYMOUS_SHARE, UNKNOWN_SHARE = 0.6, 0.3, 0.5, 0.3
"""Share of the visits on a screen with a login, with a search; of those with a login, anonymous until then; of those that only
look and don't log in, anonymous throughout."""
IMPRESSION_SHARE = 0.6
"""Share of the offers sent that are seen."""

RATING_BIAS, RATING_TASTE, RATING_SPREAD = 1.8, 2.6, 0.8
"""A rating is the bias, plus taste times the match (0 to 1), plus noise; rounded, within 1 to 5."""
TOPIC_MATCH = 0.7
"""Part of the match that is the topic's; the rest is the price level's."""


@dataclass(frozen=True)
class Rule:
    """An order with item number `antecedent` gets `consequent` as well, with the settings' probability."""

    antecedent: int
    consequent: int


def groups(settings: Simulation) -> int:
    """Items per topic and price level. What is left over of the catalogue is never chosen: items nobody knows yet."""
    return settings.items // (len(TOPICS) * len(PRICE_LEVELS))


def item_number(topic: int, level: int, group: int) -> int:
    """The place of an item in the catalogue: the lower the group, the more popular."""
    return (group * len(PRICE_LEVELS) + level) * len(TOPICS) + topic


def planted_rules(settings: Simulation) -> list[Rule]:
    """From the most popular item of a topic and level to the least popular of a topic far off, so that chance rarely joins them."""
    last, half = groups(settings) - 1, len(TOPICS) // 2
    pairs = [(number % len(TOPICS), number // len(TOPICS)) for number in range(settings.rules)]
    return [Rule(item_number(t, level, 0), item_number((t + half) % len(TOPICS), level, last)) for t, level in pairs]


def campaign_starts(settings: Simulation) -> list[int]:
    """The day that each campaign begins, counted from the start."""
    return [settings.days * (number + 1) // (settings.campaigns + 1) for number in range(settings.campaigns)]


def season_shift(settings: Simulation) -> float:
    """Amplitude, in days, of the warp of time that makes the yearly season."""
    return settings.season_strength * YEAR / (2 * math.pi)
