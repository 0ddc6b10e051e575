"""The state of a page, without a browser: what is set, refused, moved into range, abandoned, stopped."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from visitor import opened, settled, state
from waiting import LIMIT, wait

from lab import datasets
from lab.app import calm, controls, runner
from lab.app.session import Session
from lab.numerics import Progress
from lab.store import Store
from lab.studies import Live, Whole, find, load_file
from lab.studies.contract import as_text

Gradual = load_file(Path(__file__).with_name("gradual.py"))[0]


@pytest.fixture(scope="module")
def compiled():
    opened(Gradual)


@pytest.fixture
def session(compiled):
    made = opened(Gradual)
    yield made
    made.close()


def test_a_value_that_was_shown_is_shown_again_without_a_run(session, monkeypatch):
    first = session.result
    session.set(gamma=2.0)
    assert settled(session).result is not first

    def execute(*args):
        raise AssertionError("a run")

    monkeypatch.setattr(Gradual, "execute", execute)
    session.set(gamma=1.0)
    assert settled(session).result is first
    assert (session.error, session.fresh, session.study.gamma) == ("", True, 1.0)
    session.open(session.study)  # asked for explicitly: computed, or read where another test has kept it
    assert "a run" in settled(session).error or session.from_store


@pytest.mark.slow
def test_a_long_run_of_a_file_of_ones_own_is_computed_in_the_background_process(session, background):
    session.set(gamma=2.5)
    settled(session)
    assert background.process is not None
    assert session.error == ""
    assert float(session.result.total) == pytest.approx(2.5, abs=1e-5)


@pytest.fixture
def jobs(monkeypatch):
    """Jobs submitted since the test began that have not ended, as ``jobs()``."""
    submit, leave, submitted, ended = runner.Runner.submit, runner.Lane.leave, [], {}
    monkeypatch.setattr(runner.Runner, "submit", lambda *job, **calls: submitted.append(job) or submit(*job, **calls))
    monkeypatch.setattr(runner.Lane, "leave", lambda lane, turn: leave(lane, turn) or ended.update({id(turn): turn}))
    return lambda: len(submitted) - len(ended)


def test_nothing_runs_before_start():
    made = Session(Gradual)
    made.set(gamma=2.0)
    assert (made.busy, made.result, made.study.gamma) == (False, None, 2.0)


def test_for_a_browser_that_is_on_its_way_nothing_is_computed_but_what_is_held_is_shown(
    compiled, jobs, monkeypatch, tmp_path
):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    made = Session(Gradual)
    made.prepare()
    wait(lambda: not jobs())  # the run has ended, and waits for a browser
    assert made.busy
    assert made.result is None
    made.start()
    settled(made)
    assert not made.from_store
    made.keep()
    wait(lambda: made.kept == "kept")
    made.close()
    other = Session(Gradual)
    other.prepare()
    settled(other)
    assert other.from_store
    other.set(gamma=2.0)
    wait(lambda: not jobs())
    assert other.busy
    assert float(other.result.total) == pytest.approx(1.0, abs=1e-5)
    other.start()
    settled(other)
    assert float(other.result.total) == pytest.approx(2.0, abs=1e-5)
    left = Session(Gradual)
    left.prepare()
    left.set(gamma=2.5)
    left.close()
    wait(lambda: not jobs())
    assert left.result is None or float(left.result.total) == pytest.approx(1.0, abs=1e-5)


def test_each_change_is_a_new_study_and_a_new_result(session):
    before = session.study
    session.set(gamma=3.0)
    settled(session)
    assert before.gamma == 1.0
    assert session.study is not before
    assert session.fresh
    assert float(session.result.total) == pytest.approx(3.0, abs=1e-5)
    session.set(gamma=2.0)  # the first change is the first run that begins from a neighbour's end
    settled(session)
    assert session.result.attrs["warm_start"] == 1
    if session.result.attrs["programs_compiled"]:  # where memory is short, programs of earlier runs are released
        session.set(gamma=1.5)
        settled(session)
    assert session.result.attrs["programs_compiled"] == 0


def test_a_refused_value_leaves_everything_and_says_why(session):
    study, result = session.study, session.result
    session.set(rate=2.0)
    assert session.error == "ρ = 2.0 is not allowed: it must be a number above 0 and up to 1"
    session.set(gamma=-1.0)  # by its symbol, as the page has it
    assert session.error.startswith("γ = -1.0 is not allowed")
    session.set_text("k", "many")
    assert session.error.startswith("k = 'many' is not allowed: it must be a whole number")
    session.set(k=33)
    assert "from 1 to 32, the data have 32 sources" in session.error
    assert session.study is study
    assert session.result is result
    session.set(k=3)
    assert session.error == ""


def test_a_typed_number_is_taken_exactly(session):
    session.set_text("gamma", " 0.123456789 ")
    assert session.study.gamma == 0.123456789


def test_other_data_move_parameters_into_range_with_a_notice(session):
    session.set(k=30)
    session.set_data("gaussians-2d")
    assert session.study.k == 20
    assert session.notices == ["k was 30, the data allow 1 to 20: set to 20"]


def test_data_that_are_not_there_are_refused_and_the_page_goes_on(session):
    session.set_data("no-such-data")
    assert "no-such-data" in session.error
    settled(session)
    assert session.data.name == "bump-to-bump"
    session.set(gamma=2.0)
    assert float(settled(session).result.total) == pytest.approx(2.0, abs=1e-5)


def test_presets_are_known_by_their_values(session):
    session.set(gamma=50.0)
    assert session.preset == "strong"
    session.set(k=5)
    assert session.preset == ""
    session.apply_preset("plane")
    settled(session)
    assert (session.preset, session.study.gamma, session.data.name) == ("plane", 1.0, "gaussians-2d")


def test_a_link_restores_the_state(session):
    session.set(gamma=0.25, k=7, regularizer="k-sparse", slow=False, rate=0.75)
    other = Session(Gradual)
    other.from_query(session.to_query())
    other.start()
    assert settled(other).study.values() == session.study.values()
    assert other.notices == []


def test_a_link_out_of_range_is_clamped_with_a_notice():
    made = Session(Gradual)
    made.from_query({"k": "99", "gamma": "1e9", "rate": "0", "regularizer": "magic", "tolerance": "nan", "utm": "x"})
    made.start()
    settled(made)
    assert (made.study.k, made.study.gamma, made.study.rate) == (32, 1e4, 0.5)
    assert "k was 99, the data allow 1 to 32: set to 32" in made.notices
    assert "gamma was 1e+09, the method allows 0.0001 to 10000: set to 10000" in made.notices
    assert sum("left as it was" in notice for notice in made.notices) == 3


def test_a_link_names_no_files(tmp_path):
    np.savez(tmp_path / "mine.npz", cost=np.ones((2, 2)), a=np.ones(2) / 2, b=np.ones(2) / 2)
    made = Session(Gradual)
    made.from_query({"data": str(tmp_path / "mine.npz")})
    assert made.study.data == "bump-to-bump"
    assert "is no data set that this page has" in made.notices[0]


def test_dragged_points_are_data_of_their_own(session):
    session.apply_preset("plane")
    x = settled(session).data.arrays["x"] + 1.0
    session.edit_points("x", x)
    settled(session)
    assert session.data.title.endswith("edited")
    np.testing.assert_array_equal(session.result.x, x)
    session.edit_points("x", np.zeros((3, 2)))  # a drag of points that are no longer there
    np.testing.assert_array_equal(session.data.arrays["x"], x)
    assert "data" not in session.to_query()
    assert isinstance(session.study.data, datasets.Data)


def test_stop_keeps_the_best_so_far(session):
    session.set(rate=0.001, gamma=5.0, slow=True)
    wait(lambda: session.progress is not None)
    at = session.progress.iteration
    session.stop()
    settled(session)
    assert int(session.result.iterations) <= at + 4  # each takes 0.05 s
    assert session.result.attrs["reason"] == "stopped"
    assert session.fresh
    assert 0.0 < float(session.result.total) < 5.0  # on its way to the limit


def test_what_was_stopped_or_has_failed_can_be_run_again(session):
    def stopped():
        wait(lambda: session.progress is not None)
        session.stop()
        settled(session)
        return float(session.result.total)

    assert not session.unfinished
    session.set(rate=0.01, gamma=5.0, slow=True)
    first = stopped()
    assert session.unfinished
    session.again()
    assert (session.busy, session.unfinished) == (True, False)
    assert first < stopped() < 5.0  # from where it was stopped
    session.set(rate=0.5, slow=False)
    settled(session)
    assert not session.unfinished
    session.set(fail=True)
    settled(session)
    assert session.unfinished


def test_the_latest_wins(session):
    results = []

    def told(event):
        if not session.rough:  # a run that is abandoned later may have shown its sketch
            results.append(float(event.new.attrs["seed"]))

    session.param.watch(told, "result")
    for seed in range(1, 9):
        session.set(rate=0.01, slow=True, seed=seed, gamma=1.0 + seed)
    session.set(slow=False)
    settled(session)
    assert results == [8.0]


def test_a_fault_is_told_in_a_sentence_and_the_last_result_stays(session):
    result = session.result
    session.set(fail=True)
    settled(session)
    assert session.error == "something went wrong in the computation: RuntimeError: broken on purpose"
    assert session.result is result
    assert not session.fresh
    session.set(fail=False)
    assert settled(session).error == ""


def test_sweeps_are_computed_once_and_do_not_depend_on_what_they_sweep(session):
    picture, got = Gradual.pictures.against_gamma, []
    calls = {"progress": lambda p: None, "done": got.append, "failed": got.append}
    assert session.sweep(picture, wait=0.0, calls=calls) is None
    wait(lambda: got)
    np.testing.assert_allclose(got[0].total, [0.1, 1.0, 10.0], rtol=1e-4)
    session.set(gamma=7.0)
    settled(session)
    known = session.sweep(picture, wait=0.0, calls=calls)
    assert known is not None
    assert '"gamma": 7.0' in known.attrs["parameters"]
    session.set(rate=0.25)
    settled(session)
    assert session.sweep(picture, wait=0.0, calls=calls) is None


def swept(session):
    """The sweep of a card, waited for."""
    got = []
    calls = {"progress": lambda at: None, "done": got.append, "failed": got.append}
    known = session.sweep(Gradual.pictures.against_gamma, wait=0.0, calls=calls)
    wait(lambda: known is not None or got)
    return got[0] if known is None else known


def test_another_page_takes_a_sweep_from_the_store(session, monkeypatch):
    session.set(rate=0.3125)
    first = swept(settled(session))
    monkeypatch.setattr(Gradual, "compute", lambda *_: pytest.fail("computed again"))
    other = opened(Gradual, rate=0.3125)
    np.testing.assert_array_equal(swept(other).total, first.total)
    other.close()


def test_a_sweep_on_points_that_were_dragged_is_not_kept(session):
    held = lambda: session.store.held([Store.key(session.study.but(gamma=10.0).recipe())])  # noqa: E731
    session.apply_preset("plane")
    swept(settled(session))
    assert held()
    session.edit_points("x", session.data.arrays["x"] + 0.5)
    np.testing.assert_allclose(swept(settled(session)).total, [0.1, 1.0, 10.0], rtol=1e-4)
    assert not held()


def test_what_may_be_kept_is_looked_for_and_not_said_to_compile(session, gate, monkeypatch):
    held, compute = session.store.held, Gradual.compute
    monkeypatch.setattr(session.store, "held", lambda keys: gate.wait(20) and held(keys))
    computing = threading.Event()
    monkeypatch.setattr(
        Gradual,
        "compute",
        staticmethod(lambda *given, **named: computing.wait(LIMIT) and compute(*given, **named)),
    )
    session.open(session.study.but(gamma=3.0))
    assert (session.busy, session.stage) == (True, "reading")
    assert controls.words(session) == "Looking for what is kept"
    gate.set()
    wait(lambda: session.stage in ("running", "compiling"))
    computing.set()
    settled(session)
    assert session.fresh


def test_the_part_of_a_run_that_has_several_is_said():
    given = SimpleNamespace(busy=True, stage="running", progress=Progress(3, 20, {}, None, 0.0, part=2))
    assert controls.words(given) == "Running · part 2 · iteration 3 of at most 20"
    given.progress = given.progress._replace(part=1)
    assert controls.words(given) == "Running · iteration 3 of at most 20"


# ---- what compiles --------------------------------------------------------------------------------------------------


def test_the_page_says_that_it_compiles_and_stop_works_meanwhile(compiled, gate):
    begun = threading.Event()

    class New(Gradual):
        """Its programs are not known."""

        @staticmethod
        def compute(inputs, p, loop, warm=None):
            if p.regularizer == "quadratic":
                begun.set()
                assert gate.wait(20)
            return Gradual.compute(inputs, p, loop, warm)

    session = opened(New)
    result = session.result
    session.set(regularizer="quadratic")
    assert controls.words(session).startswith("Compiling")
    assert begun.wait(10)
    assert session.stage == "compiling"
    assert calm.hurried(0.0)
    session.stage = "queued"
    assert controls.words(session) == "Waiting to compile: what was asked for before goes first"
    session.stop()
    assert (session.busy, session.stage) == (False, "")
    assert session.error == "stopped before there was an answer"
    assert session.result is result
    session.set(regularizer="entropic", gamma=4.0)  # at once, beside what nobody wants any more
    settled(session)
    assert float(session.result.total) == pytest.approx(4.0, abs=1e-5)
    assert not gate.is_set()
    session.close()


def test_values_that_are_traced_need_no_other_programs(session):
    programs = session.study.programs(session.data)
    assert runner.knows(programs)
    assert session.study.but(gamma=3.0, k=5, seed=7).programs(session.data) == programs
    assert session.study.but(regularizer="quadratic").programs(session.data) != programs
    assert session.study.programs(session.data, session.study.execute().warm) != programs
    assert session.study.programs(datasets.resolve("gaussians-2d", kind="transport")) != programs


# ---- controls ------------------------------------------------------------------------------------------------------


def items(session):
    return {item["name"]: item for group in controls.groups(session.study, session.data) for item in group["items"]}


def test_a_refusal_stands_at_its_control_and_calls_it_as_the_page_does(session):
    drawn = controls.Controls(session)
    assert json.loads(drawn.state)["at"] == ""
    session.set_text("gamma", "-1e-9")
    told = json.loads(drawn.state)
    assert (told["at"], told["refused"].split()[:3]) == ("gamma", ["γ", "=", "−10⁻⁹"])
    session.set(gamma=2.0)
    assert json.loads(drawn.state)["at"] == ""
    assert session.named("gamma was 1e+09, the method allows 0 to 1: set to 1").startswith("γ was 1e+09")
    assert session.named("data that are not there") == "data that are not there"
    assert session.named("k = 3 is too much with gamma = 2: lower gamma = 'gamma =") == (
        "k = 3 is too much with γ = 2: lower γ = 'gamma ="
    )
    assert Session(find("sparse-ot")).named("max_iterations = 0 is not allowed").startswith("max iterations = 0")


def test_of_two_parameters_with_one_symbol_the_right_one_is_refused():
    session = Session(find("inverse-problems"))
    session.set_text("reddiff", "-1")
    assert session.error.startswith("λ = -1.0 is not allowed")
    assert session.at_fault == "reddiff"
    session.set_text("red", "-1")
    assert session.at_fault == "red"
    session.error = "stopped before there was an answer"
    assert session.at_fault == ""


def test_controls_follow_from_the_declaration(session):
    found = items(session)
    assert list(found) == ["k", "gamma", "regularizer", "rate", "tolerance", "slow", "fail", "seed"]
    assert {name: item["kind"] for name, item in found.items()} == {
        "k": "number",
        "gamma": "number",
        "regularizer": "segmented",
        "rate": "number",
        "tolerance": "number",
        "slow": "switch",
        "fail": "switch",
        "seed": "number",
    }
    assert (found["k"]["low"], found["k"]["high"], found["k"]["whole"]) == (1, 32, True)
    assert (found["gamma"]["low"], found["gamma"]["high"], found["gamma"]["log"]) == (1e-2, 1e2, True)
    assert found["gamma"]["title"] == "γ"


def test_the_data_narrow_the_sliders(session):
    session.set_data("gaussians-2d")
    assert items(session)["k"]["high"] == 20


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-7, 5, True, "k-sparse"])
def test_the_text_of_a_control_is_read_back(value):
    name = {float: "gamma", int: "k", bool: "slow", str: "regularizer"}[type(value)]
    read = Gradual.parameters()[name].parse(as_text(value))
    assert read == pytest.approx(value, rel=1e-11) if isinstance(value, float) else read == value
    assert Whole(None, allow_None=True).parse(as_text(None)) is None


def test_long_docs_are_cut_at_the_first_clause():
    assert (
        controls.brief("most sources that a target may have; rows otherwise") == "most sources that a target may have"
    )
    assert controls.brief("seed of all that is random") == "seed of all that is random"


def test_a_notebook_gets_the_same_page_without_a_shell(compiled):
    page = Gradual(gamma=2.0).panel()
    assert "Column" in type(page).__name__
    assert page.get_root() is not None


def test_a_change_while_data_are_loaded_keeps_the_data_that_were_asked_for(session, monkeypatch):
    session.live = True
    load, gate = Gradual.load, threading.Event()

    def held(study):
        gate.wait(5)
        return load(study)

    monkeypatch.setattr(Gradual, "load", held)
    session.set_data("gaussians-2d")
    assert session.stage == "loading"
    session.set(gamma=2.0)
    gate.set()
    settled(session)
    assert (session.data.name, session.study.gamma) == ("gaussians-2d", 2.0)


def test_a_link_beyond_an_open_end_is_refused_in_one_notice():
    session = Session(find("sparse-ot"))
    session.from_query({"gamma": "-3"})
    assert session.study.gamma == type(session.study).parameters()["gamma"].default
    assert session.notices == ["gamma = -3.0 is not allowed: it must be a number greater than 0; left as it was"]


def test_a_run_that_takes_longer_shows_a_sketch_and_ends_as_it_would_have(compiled, monkeypatch, tmp_path):
    monkeypatch.setenv(
        "LAB_HOME", str(tmp_path)
    )  # what the store holds comes without a state to start the next one from
    monkeypatch.setattr("lab.studies.contract.study._SKETCH", 0.0)
    made, seen = opened(Gradual), []
    warm = made.study.execute().warm
    made.param.watch(lambda event: seen.append((made.rough, made.busy, float(made.result.gap))), "result")
    made.set(gamma=3.0, rate=0.01)
    settled(made)
    sketches = [gap for rough, busy, gap in seen if rough and busy]
    assert sketches
    assert not made.rough
    whole = made.study.execute(None, warm).result
    assert sketches[-1] > 10 * float(whole.gap)
    np.testing.assert_array_equal(made.result["values"], whole["values"])
    assert int(made.result.iterations) == int(whole.iterations)
    made.close()


def test_a_ghost_that_is_asked_for_of_a_sketch_is_the_run_that_it_is_a_sketch_of(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr("lab.studies.contract.study._SKETCH", 0.0)
    made, asked = opened(Gradual), []

    def press(event):
        if made.rough and not asked:
            asked.append(float(made.result.gap))
            made.haunt()

    made.param.watch(press, "result")
    made.set(gamma=3.0, rate=0.01)
    settled(made)
    assert asked
    assert made.ghost is made.result
    assert float(made.ghost.gap) < asked[0]
    made.haunt()
    made.rough = True
    made.haunt()
    made.set(gamma=4.0)  # another one, before that has ended
    settled(made)
    assert made.ghost is None
    made.close()


def test_a_sketch_of_an_earlier_request_is_not_shown(session, monkeypatch):
    sketches, execute = [], Gradual.execute

    def kept(study, report, warm, sketch):
        sketches.append(sketch)
        return execute(study, report, warm, sketch)

    monkeypatch.setattr(Gradual, "execute", kept)
    session.set(gamma=6.5)
    result = settled(session).result
    session.busy = True  # with another one
    session.study = session.study.but(gamma=7.0)
    sketches[0](result.assign(total=0.0))
    assert session.result is result
    assert not session.rough
    session.busy = False


def test_curves_of_a_run_are_those_that_the_study_declares():
    trace = {
        "loss of SGD": np.array([1.0, 0.1, 0.01]),
        "loss of GD": np.array([1.0, np.nan, 100.0]),
        "half": np.array([4.0, 2.0, 1.0]),
    }
    progress = Progress(3, 10, trace, None, 1.0)
    first, half = controls.curves(
        (Live("loss", {"SGD": "loss of SGD", "GD": "loss of GD", "none": "absent"}), Live("half", {"": "half"}, 0.5)),
        progress,
    )
    assert first["lines"] == [[0.5, 0.25, 0.0], [0.5, None, 1.0]]
    assert first["last"] == ["SGD 0.01", "GD 100"]
    assert first["level"] is None
    assert half["lines"] == [[1.0, 0.667, 0.333]]
    assert half["level"] == 0.0
    assert [curve["measure"] for curve in controls.curves((), progress)] == ["loss of SGD"]
    assert controls.curves((), None) == []
    trained = progress._replace(trace={"ess": np.ones(3), "loss": np.array([4.0, 2.0, 1.0])})
    assert [(curve["measure"], curve["last"]) for curve in controls.curves((), trained)] == [("loss", ["1"])]
    assert controls.curves((Live("nothing", {"": "absent"}),), progress) == []


def test_the_data_say_where_they_are_from_and_under_which_licence():
    made = opened(Gradual)
    told = state(controls.DataCard(made))["origin"]
    assert told == f"source: {made.data.source} · licence: {made.data.licence}"
    made.close()


def test_a_link_names_data_that_fit():
    made = Session(Gradual)
    made.from_query({"data": "two-moons"})  # samples, and no transport
    assert made.study.data == "bump-to-bump"
    assert "'two-moons' is no data set that this page has" in made.notices[0]
