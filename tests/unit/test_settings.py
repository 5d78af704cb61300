"""Settings: the order of the layers, what each problem says, and the checks on sources and exclusions."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from lib.settings import BASE, SAMPLE, Settings, SettingsError, Source, features, load, sections
from lib.settings.section import Section

HOME = Path(__file__).resolve().parents[2]
EVENTS = {"event_type": "'purchase'", "event_time": "t", "customer_id": "c"}


@pytest.fixture
def write(tmp_path):
    """A settings file of the test's own; returns its path."""

    def to_file(text: str, name: str = "shop.toml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return to_file


def problems(*assignments, files=(), environment=None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(files, assignments, environment, HOME)
    return caught.value.problems


def only_problem(*assignments, files=(), environment=None) -> str:
    (problem,) = problems(*assignments, files=files, environment=environment)
    return problem


def fields(model: type[BaseModel], above: str = "") -> set[str]:
    """Dotted names of all settings; what holds names of the user's own (rules, weights, sources) is one."""
    names = set()
    for name, field in model.model_fields.items():
        nested = inspect.isclass(field.annotation) and issubclass(field.annotation, Section)
        names |= fields(field.annotation, f"{above}{name}.") if nested else {above + name}
    return names


def section_classes() -> list[type[Section]]:
    return [
        m
        for module in (sections, features)
        for _, m in inspect.getmembers(module, inspect.isclass)
        if issubclass(m, Section)
    ]


def keys(tree: dict, known: set[str], above: str = "") -> set[str]:
    names = set()
    for name, value in tree.items():
        deeper = isinstance(value, dict) and above + name not in known
        names |= keys(value, known, f"{above}{name}.") if deeper else {above + name}
    return names


# --- layers


def test_each_layer_lies_over_the_one_before(write):
    first = write("[rules]\nmin_support = 0.1\nmin_confidence = 0.1\nmax_length = 4\n[als]\nrank = 5\n", "first.toml")
    second = write("[rules]\nmin_support = 0.2\nmin_confidence = 0.2\nmax_length = 5\n", "second.toml")
    environment = {"CLIENTELING__RULES__MIN_SUPPORT": "0.3", "CLIENTELING__RULES__MIN_CONFIDENCE": "0.3"}
    settings = load([first, second], ["rules.min_support=0.4"], environment, HOME)
    assert settings.rules.min_support == 0.4
    assert settings.rules.min_confidence == 0.3
    assert settings.rules.max_length == 5
    assert settings.als.rank == 5
    assert settings.als.iterations == tomllib.loads((HOME / BASE).read_text())["als"]["iterations"]


def test_the_shipped_sample_is_used_where_no_file_is_given(write):
    assert list(load(home=HOME).sources) == ["online_retail"]
    assert load([SAMPLE], home=HOME) == load(home=HOME)
    assert load([write("")], home=HOME).sources == {}


def test_a_list_of_a_later_layer_replaces_the_earlier_and_a_table_is_merged(write):
    file = write('[features]\norder_types = ["rental"]\n[recommend.weights]\nrental = 2.0\n')
    settings = load([file], home=HOME)
    assert settings.features.order_types == ["rental"]
    assert (settings.recommend.weights["rental"], settings.recommend.weights["purchase"]) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [("/data/house", "/data/house"), ('"s3://a/b"', "s3://a/b"), ("a=b", "a=b"), ('"3"', "3")],
)
def test_a_value_that_is_no_toml_is_a_string(text, value):
    assert load([], [f"warehouse.path={text}"], home=HOME).warehouse.path == value


def test_other_environment_variables_are_no_settings():
    assert load([], [], {"CLIENTELING_TRACEBACK": "1", "RULES__MIN_SUPPORT": "7"}, HOME) == load(home=HOME)


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load(home=HOME).rules.min_support = 0.5


# --- what a problem says


def test_a_problem_names_the_file_the_key_and_the_value(write):
    file = write("[rules]\nmin_support = 2\n")
    assert only_problem(files=[file]).startswith(f"{file}: rules.min_support = 2: input should be less than or equal")


def test_a_problem_names_the_layer_that_won(write):
    file = write("[rules]\nmin_support = 2\n")
    assert only_problem("rules.min_support=3", files=[file]).startswith("--set rules.min_support=3: rules.min_support")
    environment = {"CLIENTELING__RULES__MIN_SUPPORT": "4"}
    assert only_problem(files=[file], environment=environment).startswith("environment: rules.min_support = 4")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("rules.min_suport", "min_support"),
        ("segmnts.x", "segments"),
        ("segments.kmeans.k_mni", "k_min"),
        ("sources.online_retail.formt", "format"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(key, meant):
    problem = only_problem(f"{key}=1")
    assert f"is not a setting; did you mean {meant}?" in problem
    assert BASE in problem


def test_an_unknown_key_like_no_other_is_refused_with_those_there_are():
    assert "is not a setting; here are rank, regularisation" in only_problem("als.zzz=1")


@pytest.mark.parametrize(
    "assignment",
    [
        "als.rank=1.5",
        "als.rank=true",
        'als.rank="8"',
        "recommend.exclude_bought=1",
        "warehouse.path=7",
        "features.order_types=purchase",
        "rules=5",
        "session.log_level=loud",
        "checks.future_tolerance=soon",
        "checks.earliest_time=yesterday",
    ],
)
def test_a_wrong_type_is_refused(assignment):
    key = assignment.partition("=")[0]
    assert only_problem(assignment).startswith(f"--set {assignment}: {key} = ")


@pytest.mark.parametrize(
    "assignment",
    [
        "warehouse.keep_releases=1",
        "warehouse.lease_seconds=0",
        "fit.partitions=0",
        "rules.min_support=0",
        "rules.min_support=1.01",
        "rules.min_support=nan",
        "rules.min_confidence=-0.1",
        "rules.max_length=1",
        "recommend.top_n=0",
        "als.regularisation=-1",
        "als.regularisation=inf",
        "als.confidence=nan",
        "recommend.other_weight=nan",
        "recommend.weights.view=inf",
        "segments.vectors.log_above_skewness=nan",
        "segments.kmeans.k_max=101",
        "checks.max_id_length=0",
        "checks.earliest_time=2024-13-45",
        'features.rfm.cut_points="deciles"',
        "factors.percentile=100",
        "interests.relevance=1.1",
        "segments.trees.max_depth=0",
        "segments.trees.held_out=0",
        "segments.trees.min_share=0.5",
    ],
)
def test_a_value_out_of_range_is_refused(assignment):
    assert only_problem(assignment).startswith(f"--set {assignment}: {assignment.partition('=')[0]} = ")


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("segments.kmeans.k_min=9", "k_min must not be above k_max"),
        ("segments.vectors.lower_quantile=0.99", "lower_quantile must be below upper_quantile"),
        ('segments.vectors.features=["frequency", "frequency"]', "names one feature twice"),
        ("segments.vectors.features=[]", "at least 1 item"),
        (
            "features.rfm.fixed.frequency=[1, 2, 2, 4]",
            "features.rfm.fixed.frequency: takes four numbers, each above the one before",
        ),
        (
            "features.rfm.fixed.recency_days=[1, 2, 3]",
            "features.rfm.fixed.recency_days: list should have at least 4 items",
        ),
        ("checks.rules.cheap.unknown=1", "lacks checks.rules.cheap.reject"),
        ("segments.targets.leaves.unknown=1", "lacks segments.targets.leaves.condition"),
        ('segments.targets.leaves.features=["items", "items"]', "names one feature twice"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(assignment, said):
    assert any(said in problem for problem in problems(assignment))


def test_all_problems_are_told_at_once(write):
    file = write('[rules]\nmin_suport = 0.1\nmin_confidence = 7\n[als]\nrank = "many"\n')
    found = problems("fit.partitions=0", files=[file], environment={"CLIENTELING__RECOMMEND__TOP_N": "0"})
    assert sorted(re.search(r": ([\w.]+)( =|: is not)", problem)[1] for problem in found) == [
        "als.rank", "fit.partitions", "recommend.top_n", "rules.min_confidence", "rules.min_suport",
    ]  # fmt: skip
    assert all("\n" not in problem for problem in found)


@pytest.mark.parametrize("assignment", ["rules.min_support", "=3", "rules..min_support=1", "rules.=1"])
def test_an_assignment_without_key_or_value_says_how_to_write_it(assignment):
    assert "write --set section.key=value" in only_problem(assignment)


def test_an_environment_variable_inside_another_is_refused():
    environment = {"CLIENTELING__RULES": "3", "CLIENTELING__RULES__MIN_SUPPORT": "0.1"}
    assert only_problem(environment=environment).startswith("CLIENTELING__RULES__MIN_SUPPORT: rules has a value")


def test_broken_toml_names_the_file_and_the_line(write):
    file = write("[rules]\nmin_support = \n")
    assert re.match(rf"{re.escape(file)}: is not valid TOML: .*line 2", only_problem(files=[file]))


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "shop.toml").write_bytes(b"\xff\xfe\x00")
    assert only_problem(files=[str(tmp_path / "shop.toml")]).startswith(f"{tmp_path / 'shop.toml'}: can't be read")
    assert only_problem(files=[str(tmp_path)]).startswith(f"{tmp_path}: can't be read")


def test_a_missing_file_is_named():
    assert "conf/none.toml: no such settings file" in only_problem(files=["conf/none.toml"])


# --- sources


def source(**overrides) -> Source:
    return Source.model_validate({"path": "x", "events": EVENTS, **overrides})


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"table": "a.b"}, "exactly one of path and table"),
        ({"path": None}, "exactly one of path and table"),
        ({"events": None}, "maps nothing"),
        ({"events": {**EVENTS, "custmer": "c"}}, "events.custmer is no column of events, which has event_id"),
        ({"events": {**EVENTS, "batch_id": "b"}}, "events.batch_id is no column"),
        ({"items": {"title": "t"}}, "items.item_id is missing"),
        ({"identities": {"source_id": "s"}}, "identities.id_type is missing"),
        ({"events": {**EVENTS, "amount": {"a": "b"}}}, "events.amount takes one SQL expression"),
        ({"time_zone": "Mars/North"}, "is no time zone; write one such as Europe/London"),
        ({"format": "xlsx"}, "'parquet', 'csv', 'json' or 'delta'"),
        ({"where": "  "}, "is empty"),
        ({"where": "reflect('java.lang.System', 'exit', 1)"}, "reflect may not be called"),
        ({"where": "`reflect`('java.lang.System', 'exit', 1)"}, "reflect may not be called"),
        ({"where": "REFLECT/**/('java.lang.System', 'exit', 1)"}, "may not be called"),
        ({"events": {**EVENTS, "city": "java_method ('java.lang.System')"}}, "java_method may not be called"),
        ({"events": {**EVENTS, "properties": {"a": "try_reflect('a', 'b')"}}}, "try_reflect may not be called"),
    ],
)
def test_a_source_that_cannot_be_mapped_is_refused(overrides, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        source(**overrides)


def test_an_event_needs_no_id_type_or_time():
    assert source(events={"item_id": "basket_line"}).mappings == {"events": {"item_id": "basket_line"}}


def test_a_consent_needs_every_column_that_has_no_default():
    mapping = {"customer_id": "c", "purpose": "'marketing'", "decided_at": "t"}
    with pytest.raises(ValueError, match=r"consents\.granted is missing"):
        source(consents=mapping)


def test_every_problem_of_a_source_is_told():
    with pytest.raises(ValueError) as caught:
        source(table="t", events={**EVENTS, "colour": "c"}, items={"title": "t"})
    said = str(caught.value)
    assert all(part in said for part in ("exactly one of", "events.colour is no column", "items.item_id is missing"))


def test_a_map_column_takes_an_expression_per_key():
    mapping = source(events={**EVENTS, "properties": {"page": "url", "ref": "lower(ref)"}}).mappings["events"]
    assert mapping["properties"] == {"page": "url", "ref": "lower(ref)"}


def test_a_column_whose_name_holds_a_refused_word_is_allowed():
    assert source(where="reflection > 1 AND reflect = 2").where == "reflection > 1 AND reflect = 2"


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("sources.online_retail.events.city=\"reflect('a')\"", "reflect may not be called from settings"),
        ("items.exclude=\"java_method('a')\"", "java_method may not be called from settings"),
        ('items.exclude=""', "is empty"),
        ("segments.targets.leaves.condition=\"java_method('a')\"", "java_method may not be called from settings"),
    ],
)
def test_a_refused_expression_is_told_in_one_line(assignment, said):
    assert said in only_problem(assignment)


def test_the_name_of_a_source_is_a_word_and_a_wrong_one_names_its_layer():
    assignments = [f'sources."a-b".{line}' for line in ("path=x", "items.item_id=i")]
    assignments = [assignment.replace('"', "") for assignment in assignments]
    problem = only_problem(*assignments)
    assert "sources.a-b: a source's name takes letters, digits and _" in problem
    assert problem.startswith("--set sources.a-b.")


# --- what is no goods


def test_excluded_ids_become_one_pattern_with_stars():
    settings = load([], ['items.exclude=["POST", "gift_*", "C2"]'], home=HOME)
    pattern = re.fullmatch(r"NOT \(item_id RLIKE r'(.*)'\)", settings.items.is_goods)[1]
    refused = [item for item in ("POST", "gift_1", "gift_", "C2", "C22", "xPOST", "post") if re.match(pattern, item)]
    assert refused == ["POST", "gift_1", "gift_", "C2"]


def test_an_excluded_id_stands_for_itself_whatever_its_characters():
    ids = ["a.c", "50% off", "it's", "(x)", "back\\slash", 'say "so"', "ünï", "a|b", "$^"]
    is_goods = sections.Items(exclude=ids).is_goods
    inner = is_goods.removeprefix("NOT (item_id RLIKE r'").removesuffix("')")
    assert "'" not in inner, "the raw SQL string would end there"
    pattern = re.sub(
        r"\\x\{([0-9a-f]+)\}", lambda found: f"\\U{int(found[1], 16):08x}", inner
    )  # Java's \x{h} in Python
    assert all(re.match(pattern, item) for item in ids)
    assert not any(re.match(pattern, item) for item in ("abc", "50", "x", "a", "b", "back/slash"))


def test_an_sql_exclusion_keeps_the_items_for_which_it_is_unknown():
    settings = load([], ['items.exclude="price < 1"'], home=HOME)
    assert settings.items.is_goods == "NOT coalesce(price < 1, false)"


def test_nothing_is_excluded_by_an_empty_list():
    assert sections.Items(exclude=[]).is_goods == "true"


# --- defaults and their one place


def test_every_setting_has_its_default_in_base_toml_and_nothing_else_is_there():
    expected = fields(Settings) - {"sources"}
    assert keys(tomllib.loads((HOME / BASE).read_text(encoding="utf-8")), expected) == expected


def test_every_key_of_base_toml_is_explained():
    for line in (HOME / BASE).read_text(encoding="utf-8").splitlines():
        inside_weights = re.match(r"\w+ = -?[\d.]+$", line)
        assert not line or "#" in line or line.startswith("[") or inside_weights, line


def test_no_class_of_a_section_has_a_default():
    models = section_classes()
    assert len(models) > 10
    assert not [f"{m.__name__}.{name}" for m in models for name, f in m.model_fields.items() if not f.is_required()]


def test_every_section_is_frozen_strict_and_closed():
    models = section_classes()
    for model in (*models, Source, Settings):
        assert (model.model_config["frozen"], model.model_config["strict"]) == (True, True)
        assert model.model_config["extra"] == "forbid"


# --- identity


def test_a_digest_changes_with_the_named_sections_alone():
    before = load(home=HOME)
    after = load([], ["rules.min_support=0.5"], home=HOME)
    assert before.digest(["rules", "als"]) != after.digest(["rules", "als"])
    assert before.digest(["als", "fit"]) == after.digest(["als", "fit"])


def test_a_digest_does_not_depend_on_the_order_of_the_names():
    settings = load(home=HOME)
    assert settings.digest(["rules", "als"]) == settings.digest(["als", "rules"])
    assert settings.digest(["rules"]) != settings.digest(["rules", "als"])
