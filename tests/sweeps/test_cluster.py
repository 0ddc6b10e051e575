"""Jobs of a queue and schedulers elsewhere: real Dask processes, and a SLURM of this machine that starts them."""

import copy
import os
import signal
import subprocess
import sys
from pathlib import Path

import dask
import dask_jobqueue  # noqa: F401  has its defaults in dask.config from now on
import distributed
import pytest
from slurm import Slurm
from toy import Slow, Toy, agree

from lab.sweeps import Plan, sweep
from lab.sweeps import plan as planning
from lab.sweeps.cluster import versions
from lab.sweeps.executors import executor

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    monkeypatch.setattr(planning, "_TASK", 0.0)  # a task for each cell
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{HERE.parents[1]}")
    monkeypatch.chdir(tmp_path)
    before = copy.deepcopy(dask.config.config)
    yield
    assert dask.config.config == before


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    slurm = Slurm(tmp_path / "slurm")
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    yield slurm
    try:
        assert slurm.gone()
    finally:
        slurm.end()


def said(call):
    with pytest.raises(ValueError) as problem:  # noqa: PT011  its text is what is looked at
        call()
    assert "\n" not in str(problem.value)
    return str(problem.value)


# ---- what is asked for ------------------------------------------------------------------------------------------------


def script(kind="slurm", **jobs):
    return executor(kind, jobs).script


def test_the_users_configuration_wins_over_the_labs_defaults(slurm):
    mine = {
        "cores": 8,
        "memory": "24GB",
        "walltime": "03:00:00",
        "processes": 2,
        "account": "ours",
        "job-script-prologue": ["hi"],
    }
    plain = script()
    assert "--cpus-per-task=1\n" in plain
    assert "--mem=4G\n" in plain
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in mine.items()}):
        asked = script()
        for part in ("--cpus-per-task=8\n", "--mem=23G\n", "-t 03:00:00\n", "-A ours\n", "\nhi\n", " --nworkers 2 "):
            assert part in asked, part
        assert "--cpus-per-task=3\n" in script(cores=3)
        assert "-A theirs\n" in script(account="theirs")
    with dask.config.set({"jobqueue.slurm.worker-extra-args": ["--resources", "GPU=1"]}):
        asked = script(interface="lo")
        assert "--nthreads 1 --resources GPU=1" in asked  # one task at a time


def test_options_are_those_of_dask_jobqueue(slurm):
    asked = script(
        job_extra_directives=["--gres=gpu:1", "--exclusive"], job_script_prologue="module load cuda", account="01e2"
    )
    assert "#SBATCH --gres=gpu:1\n#SBATCH --exclusive\n" in asked
    assert "\nmodule load cuda\n" in asked
    assert "-A 01e2\n" in asked
    assert "\n#SBATCH -n 1\n" in script(scheduler_options="{'host': '127.0.0.1'}", security="False")
    assert said(lambda: script(acount="ours")) == "'acount' is no setting of a slurm job: did you mean account?"
    assert "is no setting of a slurm job: there are account, config_name, cores," in said(lambda: script(zzz=1))
    assert said(lambda: script(account=["a", "b"])) == "account was given 2 times: a job has one"
    assert "dask-jobqueue takes no such slurm jobs" in said(lambda: script(memory="much"))
    for name, value in {
        "cores": "many",
        "processes": 0,
        "job_extra_directives": 3,
        "scheduler_options": "host",
    }.items():
        assert f"{name} = {value!r} is not allowed" in said(lambda name=name, value=value: script(**{name: value}))


@pytest.mark.parametrize(("kind", "command"), [("slurm", "sbatch"), ("pbs", "qsub"), ("lsf", "bsub")])
def test_what_submits_is_looked_for_before_anything_is_started(kind, command, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert f"on = {kind} submits jobs by {command}, which is not on the PATH here" in said(lambda: executor(kind))


def test_what_is_no_number_of_jobs_and_what_has_none(slurm, monkeypatch):
    for workers in (0, -1, 1.5, "4", True):
        assert f"workers = {workers!r} is not allowed" in said(
            lambda workers=workers: executor("slurm", {"workers": workers})
        )
    assert "is for on = slurm, pbs or lsf" in said(lambda: executor("local:2", {"queue": "gpu"}))
    for module, on in (("dask_jobqueue", "slurm"), ("distributed", "tcp://127.0.0.1:8786")):
        monkeypatch.setitem(sys.modules, module, None)
        assert "needs the extra cluster: pip install 'transport-lab[cluster]'" in said(lambda on=on: executor(on))


# ---- a sweep on a queue -----------------------------------------------------------------------------------------------


def test_a_sweep_on_a_queue(store, slurm, tmp_path):
    Plan(Slow, {"power": range(1, 31)}, store=store).way(0)  # measured here, before anything kills
    (tmp_path / "kill-3").write_text("once")
    told = []
    jobs = {"workers": 2, "job_script_prologue": [f"touch {tmp_path}/prologue-$SLURM_JOB_ID"]}
    swept = sweep(
        Slow, report=lambda filling: told.append(filling.waiting), store=store, on="slurm", jobs=jobs, power=range(1, 9)
    )
    agree(swept, sweep(Slow, store=False, power=range(1, 9)), exactly=True)
    assert not (tmp_path / "kill-3").exists()
    assert "2 jobs asked for" in "".join(told)
    assert told[-1] == ""  # nothing is waited for while there is a worker
    assert {path.name for path in tmp_path.glob("prologue-*")} == {"prologue-101", "prologue-102"}
    assert slurm.cancelled == slurm.jobs == ["101", "102"]


def test_stop_while_waiting_takes_the_jobs_out_of_the_queue(store, slurm):
    (slurm.folder / "hold").touch()
    told = []

    def report(filling):
        told.append(filling.waiting)
        return "2 pending" in filling.waiting

    assert "stopped before its first cell" in said(
        lambda: sweep(Toy, report=report, store=store, on="slurm", jobs={"workers": 2}, power=range(1, 9))
    )
    assert told[-1].endswith("s: 2 jobs asked for, 2 pending (Resources)")
    assert slurm.cancelled == ["101", "102"]


def test_what_sbatch_says_is_told_and_no_job_stays(store, slurm):
    (slurm.folder / "refuse").write_text("sbatch: error: QOSMaxSubmitJobPerUserLimit\n")
    assert said(lambda: sweep(Toy, store=store, on="slurm", jobs={"workers": 3}, power=range(1, 9))) == (
        "sbatch refused a job: sbatch: error: QOSMaxSubmitJobPerUserLimit"
    )
    assert slurm.cancelled == slurm.jobs == ["101"]


def test_a_job_that_ends_before_its_worker_comes(store, slurm, monkeypatch):
    monkeypatch.chdir(slurm.folder)
    jobs = {"workers": 2, "job_script_prologue": "echo no such module: cuda; exit 1"}
    assert said(lambda: sweep(Toy, store=store, on="slurm", jobs=jobs, power=range(1, 9))) == (
        "no worker came: of 2 jobs asked for none is in the queue any more (101, 102); "
        "slurm-101.out ends with: no such module: cuda"
    )


def test_jobs_whose_time_is_over_are_asked_for_again(store, slurm, monkeypatch):
    Plan(Slow, {"power": range(1, 31)}, store=store).way(0)
    monkeypatch.setenv("TOY_WORK", "20")
    ended = []

    def report(filling):
        if filling.done >= 2 and not ended:
            ended.append(slurm.processes())
            slurm.end()

    swept = sweep(Slow, report=report, store=store, on="slurm", jobs={"workers": 1}, power=range(1, 7))
    assert ended
    assert "cell_error" not in swept
    assert slurm.jobs == ["101", "102"]


# ---- a scheduler elsewhere --------------------------------------------------------------------------------------------


def started(*words, env=None):
    return subprocess.Popen([sys.executable, "-m", *words], env=os.environ | (env or {}), stderr=subprocess.DEVNULL)


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler of its own process, and its address."""
    place = tmp_path / "scheduler.json"
    process = started("distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(place))
    try:
        with distributed.Client(scheduler_file=str(place), timeout=60, set_as_default=False) as client:
            address = client.scheduler.address
        yield process, address
    finally:
        process.kill()
        process.wait()


def test_workers_of_other_versions_are_refused(store, scheduler, tmp_path):
    _, address = scheduler
    info = tmp_path / "site" / "numpy-9.9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 9.9.9\n")
    env = {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{os.environ['PYTHONPATH']}"}
    worker = started("distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard", "--nthreads", "1", env=env)
    told = []
    try:
        refusal = said(
            lambda: sweep(Toy, report=lambda f: told.append(f.waiting), store=store, on=address, power=range(1, 9))
        )
    finally:
        worker.kill()
        worker.wait()
    assert f"has numpy 9.9.9 and not {versions()['numpy']}: give it the environment here" in refusal
    assert any(f"the Dask scheduler at {address} has none" in each for each in told)


def test_workers_without_the_lab_are_refused(store, scheduler, tmp_path):
    _, address = scheduler
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "lab.py").write_text("raise ModuleNotFoundError('lab')")
    env = {"PYTHONPATH": str(tmp_path / "site")}
    worker = started("distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard", "--nthreads", "1", env=env)
    try:
        refusal = said(lambda: sweep(Toy, store=store, on=address, power=range(1, 9)))
    finally:
        worker.kill()
        worker.wait()
    assert "can't run the lab (" in refusal
    assert "ModuleNotFoundError" in refusal
    assert "): give it the environment here, python 3." in refusal
    assert f"lab {versions()['lab']}, jax {versions()['jax']}" in refusal


def test_a_scheduler_that_is_gone_is_told(store, scheduler, monkeypatch):
    process, address = scheduler
    Plan(Slow, {"power": range(1, 31)}, store=store).way(0)
    monkeypatch.setenv("TOY_WORK", "10")
    worker = started("distributed.cli.dask_worker", address, "--nanny", "--no-dashboard", "--nthreads", "1")

    def report(filling):
        if filling.done == 3:
            process.kill()

    try:
        refusal = said(lambda: sweep(Slow, report=report, store=store, on=address, power=range(1, 31)))
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
    assert refusal.startswith(f"the Dask scheduler at {address} is gone: what was computed is kept")


def test_nobody_at_an_address():
    assert "there is no Dask scheduler at tcp://127.0.0.1:1:" in said(lambda: executor("tcp://127.0.0.1:1").__enter__())
    for address in ("tcp://nobody", "tcp://127.0.0.1:many", "gopher://x:1", "tcp://"):
        refusal = said(lambda address=address: executor(address))
        assert refusal.startswith(f"{address} is no address of a Dask scheduler: it must be like tcp://host:8786")
