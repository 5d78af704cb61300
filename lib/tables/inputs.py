"""Contracts of the normalised inputs, which every source is mapped onto, and of what ingest says about them."""

from lib.tables.contract import Column, Table, not_negative, share

FOREVER = "until the source's own retention or an erasure"

EVENTS = Table(
    name="events",
    grain="One event of one customer, or one order line.",
    columns=(
        Column("event_id", "string", "As mapped, else sha256 of source and raw columns.", required=True),
        Column("source", "string", "Name of the source in the settings.", required=True),
        Column("event_type", "string", "view, search, click, add_to_cart, purchase, return, rating, …", required=True),
        Column("event_time", "timestamp", "When it happened, UTC; null where the source knows no time."),
        Column("customer_id", "string", "The source's id of the customer; null: anonymous."),
        Column("order_id", "string", "Order, invoice or basket the line belongs to."),
        Column("session_id", "string", "Visit the event belongs to."),
        Column("item_id", "string", "What was bought, watched, rated or offered."),
        Column("quantity", "double", "Units, never negative: event_type carries the direction."),
        Column("unit_price", "decimal(18,4)", "Price of one unit in `currency`."),
        Column("amount", "decimal(18,4)", "As mapped, else quantity × unit_price; never negative; in `currency`."),
        Column("currency", "string", "ISO 4217 code; where a base currency is set, the base of all that has a price."),
        Column("original_currency", "string", "Currency before conversion; null: nothing was converted."),
        Column("original_unit_price", "decimal(18,4)", "Price of one unit in `original_currency`."),
        Column("original_amount", "decimal(18,4)", "Amount in `original_currency`."),
        Column("rating", "double", "Explicit rating, in the source's own scale."),
        Column("channel", "string", "web, app, store, …"),
        Column("device", "string", "Kind of device."),
        Column("country", "string", "Country of the event."),
        Column("region", "string", "Region of the event."),
        Column("city", "string", "City of the event."),
        Column("properties", "map<string,string>", "Anything else the source knows of the event."),
        Column("revision", "bigint", "As mapped: of several contents of one event_id the highest holds."),
        Column("content", "bigint", "Hash of what is mapped: equal for the same event.", required=True),
        Column(
            "raw", "string", "JSON of the row as it came, where event_id is mapped: another content may set it aside."
        ),
        Column("ingested_at", "timestamp", "When the row was ingested.", required=True),
        Column("batch_id", "string", "The ingest batch that brought the row.", required=True),
    ),
    key=("event_id",),
    subject="customer_id",
    retention=FOREVER,
    writing="batches",
    when="event_time",
    change_feed=True,
    checks={
        "quantity_not_negative": not_negative("quantity"),
        "amount_not_negative": "amount IS NULL OR amount >= 0",
        "unit_price_not_negative": "unit_price IS NULL OR unit_price >= 0",
        "rating_a_number": "rating IS NULL OR NOT isnan(rating)",
    },
)

ITEMS = Table(
    name="items",
    grain="One thing that can be bought, watched or offered.",
    columns=(
        Column("item_id", "string", "The source's id of the item.", required=True),
        Column("title", "string", "What a customer sees."),
        Column("description", "string", "Longer text."),
        Column("category", "string", "Category, genre or department."),
        Column("brand", "string", "Brand, author or maker."),
        Column("price", "decimal(18,4)", "List price."),
        Column("currency", "string", "ISO 4217 code of the price."),
        Column("tags", "array<string>", "Labels."),
        Column("available_from", "timestamp", "Not offered before; null: always."),
        Column("available_until", "timestamp", "Not offered from then on; null: always."),
        Column("in_stock", "boolean", "False: not offered; null counts as true."),
        Column("attributes", "map<string,string>", "Anything else the source knows of the item."),
    ),
    key=("item_id",),
    subject=None,
    retention=FOREVER,
    writing="snapshot",
)

CUSTOMERS = Table(
    name="customers",
    grain="One customer.",
    columns=(
        Column("customer_id", "string", "The source's id of the customer.", required=True),
        Column("signup_time", "timestamp", "When the customer was first known, UTC."),
        Column("birth_year", "int", "Year of birth."),
        Column("gender", "string", "As the source says it."),
        Column("country", "string", "Country; where not mapped, the most frequent of the customer's events."),
        Column("region", "string", "Region; likewise."),
        Column("city", "string", "City; likewise."),
        Column("attributes", "map<string,string>", "Anything else the source knows of the customer."),
    ),
    key=("customer_id",),
    subject="customer_id",
    retention=FOREVER,
    writing="snapshot",
)

IDENTITIES = Table(
    name="identities",
    grain="One id of one source and one customer it is known to belong to.",
    columns=(
        Column("source", "string", "Name of the source in the settings.", required=True),
        Column("id_type", "string", "account, email_hash, loyalty_card, device, …", required=True),
        Column("source_id", "string", "The id.", required=True),
        Column("customer_id", "string", "A customer it belongs to: there may be several.", required=True),
    ),
    key=("source", "id_type", "source_id", "customer_id"),
    subject="customer_id",
    retention=FOREVER,
    writing="snapshot",
)

CONSENTS = Table(
    name="consents",
    grain="One decision of one customer on one purpose.",
    columns=(
        Column("customer_id", "string", "The customer who decided.", required=True),
        Column("purpose", "string", "What the decision is about: marketing, profiling, …", required=True),
        Column("decided_at", "timestamp", "When, UTC.", required=True),
        Column("granted", "boolean", "True: agreed; false: refused or withdrawn.", required=True),
    ),
    key=("customer_id", "purpose", "decided_at"),
    subject="customer_id",
    retention=FOREVER,
    writing="snapshot",
)

CURRENCY_RATES = Table(
    name="currency_rates",
    grain="One rate of exchange from one day on.",
    columns=(
        Column("currency", "string", "ISO 4217 code.", required=True),
        Column("valid_from", "date", "First day the rate holds.", required=True),
        Column("rate", "decimal(19,10)", "What one unit is worth in the base currency.", required=True),
    ),
    key=("currency", "valid_from"),
    subject=None,
    retention=FOREVER,
    writing="snapshot",
    checks={"rate_positive": "rate > 0"},
)

EVENTS_QUARANTINE = Table(
    name="events_quarantine",
    grain="One input row that breaks a rule, as it came.",
    columns=(
        Column("source", "string", "Name of the source in the settings.", required=True),
        Column("raw", "string", "JSON of the row as it came.", required=True),
        Column("reasons", "array<string>", "Every rule the row breaks.", required=True),
        Column("event_id", "string", "Of a valid row that is late or in conflict; null: the row itself is wrong."),
        Column("revision", "bigint", "The event's revision, likewise."),
        Column("content", "bigint", "Hash of the event, or of the wrong row and its reasons.", required=True),
        Column("batch_id", "string", "The ingest batch that brought the row.", required=True),
        Column("quarantined_at", "timestamp", "When it was set aside.", required=True),
    ),
    key=(),
    subject="raw",
    retention=FOREVER,
    writing="batches",
    checks={"has_a_reason": "size(reasons) > 0"},
    located_by=("source", "content"),
)

INGEST_BATCHES = Table(
    name="ingest_batches",
    grain="What one ingest read anew of one source: rows_read = rows_accepted + rows_duplicate + rows_quarantined.",
    columns=(
        Column("batch_id", "string", "Hash of source, mapping, number and input.", required=True),
        Column("number", "bigint", "Number of the ingest: they count up.", required=True),
        Column("source", "string", "Name of the source in the settings.", required=True),
        Column("mapping", "string", "Hash of the settings that shaped the rows.", required=True),
        Column("maps_events", "boolean", "Whether the accepted rows are events.", required=True),
        Column(
            "anew",
            "boolean",
            "Whether what the source brought before was taken back and all read again.",
            required=True,
        ),
        Column("rows_read", "bigint", "Rows the source gave.", required=True),
        Column("rows_accepted", "bigint", "Rows that were new and valid.", required=True),
        Column("rows_duplicate", "bigint", "Rows seen before, in this batch or an earlier one.", required=True),
        Column("rows_quarantined", "bigint", "Rows set aside with their reasons.", required=True),
        Column("rows_withdrawn", "bigint", "Events of earlier batches that this one took back.", required=True),
        Column(
            "input",
            "struct<files:array<struct<path:string,size:bigint,modified:timestamp>>,delta_version:bigint>",
            "The files that were read, or the version of the Delta table.",
            required=True,
        ),
        Column("schema", "string", "The raw columns and their types, in Spark's JSON.", required=True),
        Column("finished_at", "timestamp", "When the batch was complete.", required=True),
    ),
    key=("batch_id",),
    subject=None,
    retention=FOREVER,
    writing="batches",
    checks={"counts_close": "rows_read = rows_accepted + rows_duplicate + rows_quarantined"},
)

DATA_QUALITY = Table(
    name="data_quality",
    grain="One check of one batch: what was found, and what is usual for the source.",
    columns=(
        Column("batch_id", "string", "The ingest batch.", required=True),
        Column(
            "check", "string", "Name of the check; a broken rule's is its reason in events_quarantine.", required=True
        ),
        Column("source", "string", "Name of the source in the settings.", required=True),
        Column("dimension", "string", "completeness, validity, uniqueness, freshness or volume.", required=True),
        Column("severity", "string", "report, quarantine or stop.", required=True),
        Column("rows", "bigint", "Rows that were found: of volume all, of freshness the accepted ones.", required=True),
        Column("share", "double", "rows as a share of the rows read; null where none was."),
        Column(
            "value",
            "double",
            "What is compared: the share; rows for volume; for freshness the newest event's age in hours.",
        ),
        Column("usual", "double", "Median value of the source's earlier batches; null in the first."),
        Column("unusual", "boolean", "Whether value is far from usual; null where too few batches say what is usual."),
        Column("checked_at", "timestamp", "When the batch was checked.", required=True),
    ),
    key=("batch_id", "check"),
    subject=None,
    retention=FOREVER,
    writing="batches",
    checks={
        "known_dimension": "dimension IN ('completeness', 'validity', 'uniqueness', 'freshness', 'volume')",
        "known_severity": "severity IN ('report', 'quarantine', 'stop')",
        "rows_not_negative": "rows >= 0",
        "share_a_share": share("share"),
    },
)

TABLES = (
    EVENTS,
    ITEMS,
    CUSTOMERS,
    IDENTITIES,
    CONSENTS,
    CURRENCY_RATES,
    EVENTS_QUARANTINE,
    INGEST_BATCHES,
    DATA_QUALITY,
)
