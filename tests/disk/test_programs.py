"""Compiled programs are kept whole, and taken from nobody else."""

import os
import subprocess
import sys

import pytest

from lab.disk import cache

CODE = """
import warnings
warnings.simplefilter("error")
from lab.home import start
start()
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(float(jax.jit(lambda x: (x * x).sum())(jax.numpy.arange(5.0))))
"""


@pytest.mark.slow
def test_a_spoilt_program_is_compiled_again_without_a_word(tmp_path):
    """JAX itself would warn of it at each start."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    env |= {"LAB_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    contents = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, timeout=120)
        assert (done.stdout, done.returncode) == ("30.0\n", 0), done.stderr
        (program, *_) = sorted((tmp_path / "cache" / "xla").glob("*jit__lambda*.program"))
        contents.append(program.read_bytes())
        if len(contents) == 1:
            program.write_bytes(contents[0][:100] + b"x" + contents[0][101:])
    assert len(contents[1]) == len(contents[0])
    assert contents[1][100:101] != b"x"
    assert contents[2] == contents[1]  # and read, not made, the third time


def test_a_kept_file_under_another_name_is_not_taken(tmp_path):
    """As the program of another function it would give a wrong number without a word."""
    cache.write(tmp_path / "one.program", b"one")
    cache.write(tmp_path / "two.program", b"two")
    (tmp_path / "two.program").write_bytes((tmp_path / "one.program").read_bytes())
    assert cache.read(tmp_path / "one.program") == b"one"
    assert cache.read(tmp_path / "two.program") is None


def test_what_was_written_first_goes_where_there_is_too_much(tmp_path):
    for age, name in enumerate(("notes.txt", "d.ready", "b.ready", "c.ready", "a.ready")):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (age, age))
    (tmp_path / "folder.ready").mkdir()
    outside = tmp_path.parent / "outside"
    outside.write_bytes(bytes(1000))
    (tmp_path / "link.ready").symlink_to(outside)
    cache.trim(tmp_path, 250, (".ready",))
    others = ["folder.ready", "link.ready", "notes.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ready", "c.ready", *others]
    cache.trim(tmp_path, 0, (".ready",))
    assert sorted(path.name for path in tmp_path.iterdir()) == others
    assert outside.exists()
    cache.trim(tmp_path / "nowhere", 0, (".ready",))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="of POSIX")
def test_programs_that_others_may_have_written_are_not_taken(tmp_path, monkeypatch):
    folder = tmp_path / "xla"
    folder.mkdir(0o755)
    kept = folder / "one.program"
    before = os.umask(0o002)  # the group of a user may write, by default
    try:
        cache.write(kept, b"one")
        assert cache.own(kept)
        kept.chmod(0o664)  # as earlier versions wrote it
        cache.write(kept, b"one")
        assert cache.own(kept)
    finally:
        os.umask(before)
    assert not cache.own(folder / "none.program")
    modes = (0o666, 0o664, 0o646), (0o777, 0o775), (0o777, 0o775)
    for place, mode in (
        (place, mode) for place, each in zip((kept, folder, tmp_path), modes, strict=True) for mode in each
    ):
        before = place.stat().st_mode
        place.chmod(mode)
        assert not cache.own(kept)
        place.chmod(before)
    folder.chmod(0o775)
    cache.close(folder)
    assert cache.own(kept)
    if not os.geteuid():
        os.chown(kept, 12345, -1)
        assert not cache.own(kept)
        os.chown(kept, 0, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert cache.own(kept)  # root's
    else:
        monkeypatch.setattr(os, "geteuid", lambda: kept.stat().st_uid + 1)
        assert not cache.own(kept)
