"""What a refresh has to run: the order of jobs, the reasons, and the identity of a refresh. Needs no Spark."""

from __future__ import annotations

import re
from datetime import date

import pytest

from lib.runtime import plan as planning
from lib.runtime.job import Job
from lib.runtime.plan import Held, Plan, make_plan, order, writers_of
from lib.runtime.release import Release
from lib.settings import load

AS_OF = date(2024, 2, 1)
VERSIONS = {"events": 3, "items": 5}


def job(name: str, reads: tuple[str, ...], writes: tuple[str, ...], settings: tuple[str, ...] = (), **more) -> Job:
    return Job(name, f"{name}.", reads, writes, settings, transform=lambda *_: {}, **more)


INGEST = job("ingest", (), ("events", "items"), ("sources",), reads_sources=True)
MEASURE = job("measure", ("events",), ("rfm_cut_points",), ("features",))
GROUP = job("group", ("rfm_cut_points",), ("segment_centres",), ("segments",))
MINE = job("mine", ("events", "items"), ("association_rules",), ("rules",))
JOBS = [INGEST, MEASURE, GROUP, MINE]
PUBLISHING = [MEASURE, GROUP, MINE]


@pytest.fixture
def plan():
    """A plan for the four jobs, of which all or the chosen publishing ones run."""

    def make(held=None, chosen=PUBLISHING, assign=(), as_of=AS_OF, versions=VERSIONS, base=None, jobs=JOBS) -> Plan:
        return make_plan(jobs, chosen, load(assignments=assign), as_of, versions, held or {}, base)

    return make


def published(*plans: Plan) -> dict[str, Held]:
    """What the release holds after these plans ran one after the other."""
    return {
        step.job.name: Held(
            made.refresh_id, step.fingerprint, made.as_of, step.settings_hash, planning.code_version(), step.inputs
        )
        for made in plans
        for step in made.steps
        if step.stale
    }


def reasons(made: Plan) -> dict[str, tuple[str, ...]]:
    return {step.job.name: step.reasons for step in made.steps}


# --- order


def test_a_job_follows_the_writers_of_what_it_reads():
    assert order([GROUP, MINE, MEASURE, INGEST]) == [INGEST, MINE, MEASURE, GROUP]


def test_jobs_that_do_not_depend_on_each_other_keep_their_places():
    assert order([MINE, MEASURE]) == [MINE, MEASURE]
    assert order([MEASURE, MINE]) == [MEASURE, MINE]


def test_a_job_may_read_what_it_writes():
    own = job("own", ("events",), ("events",))
    assert order([own]) == [own]


def test_jobs_that_wait_for_each_other_are_named():
    first, second = job("first", ("items",), ("events",)), job("second", ("events",), ("items",))
    with pytest.raises(ValueError, match="wait for each other: first, second"):
        order([first, second, MINE])


def test_two_writers_of_a_table_are_named():
    with pytest.raises(ValueError, match="association_rules is written by mine and other"):
        writers_of([MINE, job("other", (), ("association_rules",))])


# --- reasons


def test_nothing_published_yet_runs_everything(plan):
    assert reasons(plan()) == dict.fromkeys(("measure", "mine", "group"), ("not published yet",))


def test_ingest_is_no_step_of_a_plan(plan):
    assert "ingest" not in reasons(plan(chosen=JOBS))


def test_what_is_published_is_up_to_date(plan):
    again = plan(published(plan()))
    assert reasons(again) == {"measure": (), "group": (), "mine": ()}
    assert again.stale == ()


def test_changed_settings_run_the_jobs_that_use_them(plan):
    changed = plan(published(plan()), assign=["rules.min_support=0.5"])
    assert reasons(changed) == {"measure": (), "group": (), "mine": ("its settings changed",)}


def test_settings_that_no_job_uses_run_nothing(plan):
    assert plan(published(plan()), assign=["warehouse.keep_releases=7", "als.rank=3"]).stale == ()


def test_the_settings_of_fits_belong_to_every_job(plan):
    changed = plan(published(plan()), assign=["fit.seed=7"])
    assert all("its settings changed" in why for why in reasons(changed).values())


def test_another_as_of_runs_everything(plan):
    moved = plan(published(plan()), as_of=date(2024, 3, 1))
    assert all(why[0] == "as-of moves from 2024-02-01 to 2024-03-01" for why in reasons(moved).values())
    assert moved.refresh_id.startswith("2024-03-01-")


def test_a_recomputed_table_runs_its_readers(plan):
    changed = plan(published(plan()), assign=['features.order_types=["rental"]'])
    assert reasons(changed) == {
        "measure": ("its settings changed",),
        "group": ("rfm_cut_points is recomputed",),
        "mine": (),
    }


def test_a_new_version_of_an_input_runs_its_readers(plan):
    changed = plan(published(plan()), versions={"events": 3, "items": 6})
    assert reasons(changed) == {"measure": (), "group": (), "mine": ("items changed",)}


def test_changed_code_runs_everything(plan, monkeypatch):
    before = published(plan())
    monkeypatch.setattr(planning, "code_version", lambda: "another")
    assert all("the code changed" in why for why in reasons(plan(before)).values())


def test_every_reason_is_told(plan):
    changed = plan(
        published(plan()), assign=["rules.min_support=0.5"], as_of=date(2024, 3, 1), versions={"events": 4, "items": 5}
    )
    assert reasons(changed)["mine"] == (
        "as-of moves from 2024-02-01 to 2024-03-01",
        "its settings changed",
        "events changed",
    )


def test_another_base_runs_the_jobs_that_read_it(plan):
    tracking = job("group", ("rfm_cut_points",), ("segment_centres",), ("segments",), reads_base=("segment_centres",))
    jobs = [INGEST, MEASURE, tracking, MINE]
    chosen = [MEASURE, tracking, MINE]
    before = published(plan(jobs=jobs, chosen=chosen))
    base = Release(1, "2024-01-01-x", "refresh", date(2024, 1, 1), {}, {})
    changed = plan(before, jobs=jobs, chosen=chosen, base=base)
    assert reasons(changed) == {
        "measure": (),
        "group": ("the release it started from changed",),
        "mine": (),
    }


# --- identity


def test_a_refresh_is_named_by_its_as_of_and_its_identity(plan):
    assert re.fullmatch(r"2024-02-01-[0-9a-f]{12}", plan().refresh_id)


def test_an_equal_identity_is_the_same_refresh(plan):
    assert plan().refresh_id == plan().refresh_id
    assert plan().refresh_id == plan(published(plan())).refresh_id, "a repeat"
    assert plan().refresh_id == plan(jobs=JOBS[::-1], chosen=PUBLISHING[::-1]).refresh_id, "in another order"


def test_what_was_published_before_does_not_change_the_identity_of_a_whole_refresh(plan):
    before = published(plan(assign=["rules.min_support=0.5"]))
    assert plan(before).refresh_id == plan().refresh_id


@pytest.mark.parametrize(
    "different",
    [
        {"as_of": date(2024, 2, 2)},
        {"versions": {"events": 4, "items": 5}},
        {"assign": ["rules.min_support=0.5"]},
        {"assign": ["fit.seed=1"]},
    ],
    ids=str,
)
def test_another_identity_is_another_refresh(plan, different):
    assert plan(**different).refresh_id != plan().refresh_id


def test_another_code_is_another_refresh(plan, monkeypatch):
    before = plan().refresh_id
    monkeypatch.setattr(planning, "code_version", lambda: "another")
    assert plan().refresh_id != before


# --- a job alone


def test_a_job_alone_names_its_inputs_that_are_out_of_date(plan):
    alone = plan(published(plan()), chosen=[GROUP], assign=['features.order_types=["rental"]'])
    assert alone.stale_inputs == ("rfm_cut_points",)
    assert reasons(alone) == {"group": ()}, "it reads the published rows, and those have not changed"


def test_a_job_alone_on_current_inputs_has_none_out_of_date(plan):
    alone = plan(published(plan()), chosen=[GROUP], assign=["segments.kmeans.k_max=4"])
    assert alone.stale_inputs == ()
    assert reasons(alone) == {"group": ("its settings changed",)}


def test_a_whole_refresh_reads_nothing_out_of_date(plan):
    assert plan(published(plan()), assign=['features.order_types=["rental"]']).stale_inputs == ()


def test_a_job_alone_is_another_refresh_than_the_one_it_starts_from(plan):
    whole = plan()
    alone = plan(published(whole), chosen=[MINE], assign=["rules.min_support=0.5"])
    assert alone.refresh_id != whole.refresh_id


def test_jobs_alone_one_after_the_other_are_the_whole_refresh(plan):
    changes = ["rules.min_support=0.5", 'features.order_types=["rental"]']
    first = plan()
    mined = plan(published(first), chosen=[MINE], assign=changes)
    measured = plan(published(first, mined), chosen=[MEASURE], assign=changes)
    grouped = plan(published(first, mined, measured), chosen=[GROUP], assign=changes)
    assert reasons(grouped) == {"group": ("rfm_cut_points changed",)}
    assert plan(published(first, mined, measured, grouped), assign=changes).stale == ()
    assert grouped.refresh_id == plan(assign=changes).refresh_id
