"""What is written is there whole or not at all, and only what may go is replaced."""

import errno
import os
import signal
import stat
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab import disk
from lab.disk import cache, processes, whole
from lab.inputs import SENTENCE, cut


def folder_of(content: str):
    def make(part: Path) -> None:
        part.mkdir()
        (part / "a").write_text(content)

    return make


def anything(_: Path) -> bool:
    return True


def killed(work, at: int) -> bool:
    """``work`` in a process that dies before its action number ``at`` on the disk; False where it came to its end."""
    child = os.fork()
    if not child:
        left = at

        def count(event, arguments):
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork")  # of a process with threads: the child takes none of their locks
@pytest.mark.parametrize("kind", ["file", "folder", "folder by two names"])
def test_killed_at_every_step(tmp_path, kind, monkeypatch):
    if kind == "folder by two names":  # of a system that can't swap
        monkeypatch.setattr(whole.ctypes, "CDLL", lambda *_, **__: None)
    target = tmp_path / "out"
    old, new = (b"old", b"new" * 1000) if kind == "file" else (folder_of("old"), folder_of("new" * 1000))
    read = (lambda: target.read_text()) if kind == "file" else (lambda: (target / "a").read_text())
    disk.write(target, old)
    at = 0
    while killed(lambda: disk.write(target, new, replaces=anything), at):
        at += 1
        if kind == "folder by two names" and not target.exists():
            (earlier,) = tmp_path.glob("earlier-*")  # under a name that is seen
            assert (earlier / "a").read_text() in ("old", "new" * 1000)
            earlier.rename(target)
        assert read() in ("old", "new" * 1000)
    assert at > 5
    assert read() == "new" * 1000
    disk.write(target, old, replaces=anything)
    assert read() == "old"
    assert [path.name for path in tmp_path.glob(".*")] == []  # what the killed ones left is gone


def test_a_failure_leaves_the_old(tmp_path):
    target = tmp_path / "out.nc"
    disk.write(target, b"old")

    def full(part: Path) -> None:
        part.write_bytes(b"ne")
        raise OSError(errno.ENOSPC, "a page of HDF5\nand more")

    with pytest.raises(OSError, match=r"out\.nc can't be written: No space left on device; free space there") as caught:
        disk.write(target, full)
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(ValueError, match="no number"):
        disk.write(target, lambda part: (part.write_bytes(b"n"), float("no number")))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out.nc", b"old")]


def test_forced_to_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda opened: done.append(os.readlink(f"/proc/self/fd/{opened}")))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    disk.write(tmp_path / "out", b"x")
    assert [Path(name).name.split("-")[0] for name in done] == [".lab", "replace", tmp_path.name.split("-")[0]]
    done.clear()
    disk.write(tmp_path / "out", b"x", durable=False)
    assert done == ["replace"]


def test_modes_and_links(tmp_path):
    before = os.umask(0o027)
    try:
        disk.write(tmp_path / "new", b"x")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        (tmp_path / "new").chmod(0o604)
        disk.write(tmp_path / "new", b"y")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    finally:
        os.umask(before)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub/there")  # first to nothing
    for content in (b"1", b"2"):
        disk.write(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "sub" / "there").read_bytes() == content


@pytest.mark.parametrize("what", ["fifo", "device", "loop", "folder", "foreign file", "foreign folder", "nowhere"])
def test_what_is_refused(tmp_path, what):
    target, replaces, says = tmp_path / "x", Path.is_file, "a pipe, a device or a broken link"
    if what == "fifo":
        os.mkfifo(target)
    elif what == "device":
        target.symlink_to("/dev/null")
    elif what == "loop":
        target.symlink_to(target)
    elif what in ("folder", "foreign folder"):
        target.mkdir()
        (target / "mine").write_text("mine")
        says, replaces = "no result of the lab", replaces if what == "folder" else lambda path: False
    elif what == "foreign file":
        target.write_text("mine")
        says, replaces = "no result of the lab", lambda path: False
    else:
        target, says = tmp_path / "no" / "x", "No such file or directory"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match=says) as caught:
        disk.write(target, folder_of("new") if what == "foreign folder" else b"new", replaces=replaces)
    assert str(caught.value).startswith(f"{cut(target)} can't be written: ")
    assert len(str(caught.value)) <= SENTENCE
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    if "folder" in what:
        assert (target / "mine").read_text() == "mine"


def test_what_is_protected_is_refused():
    with TemporaryDirectory() as folder:
        target = Path(folder, "x")
        target.touch(0o400)

        def attempt():
            with pytest.raises(OSError, match="protected") as caught:
                disk.write(target, b"new", replaces=Path.is_file)
            return str(caught.value)

        if not os.geteuid():
            os.chown(folder, 65534, 65534)
        assert unprivileged(attempt).startswith(f"{cut(target)} can't be written: ")
        assert os.listdir(folder) == ["x"]


def unprivileged(attempt):
    """What ``attempt`` returns where it is not root that makes it: from root nothing is protected."""
    if os.geteuid():
        return attempt()
    reader, writer = os.pipe()
    if not (child := os.fork()):
        try:
            os.setgid(65534)
            os.setuid(65534)
            os.write(writer, attempt().encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return told.read()


def test_an_empty_file_may_go(tmp_path):
    (tmp_path / "x").touch()
    disk.write(tmp_path / "x", b"new", replaces=lambda path: False)
    assert (tmp_path / "x").read_bytes() == b"new"


def test_parts_of_the_living_stay(tmp_path):
    host, pid, birth = processes.me().split("-")
    here, gone = tmp_path / f".lab-{host}-{pid}-{birth}-a", tmp_path / f".lab-{host}-{pid}-1-b"
    elsewhere, old = tmp_path / ".lab-elsewhere-1-1-c", tmp_path / ".lab-elsewhere-1-1-d"
    for part in (here, gone, elsewhere, old, tmp_path / ".lab-notes", tmp_path / ".labels"):
        part.write_text("")
    os.utime(old, (0, 0))
    disk.write(tmp_path / "x", b"x")
    assert {path.name for path in tmp_path.iterdir()} == {here.name, elsewhere.name, ".lab-notes", ".labels", "x"}


def test_a_spoilt_cache_is_none(tmp_path):
    path = tmp_path / "kept"
    assert cache.read(path) is None
    cache.write(path, b"content")
    whole_file = path.read_bytes()
    assert cache.read(path) == b"content"
    for at in range(len(whole_file)):
        path.write_bytes(whole_file[:at] + bytes([whole_file[at] ^ 4]) + whole_file[at + 1 :])
        assert cache.read(path) is None
        path.write_bytes(whole_file[:at])
        assert cache.read(path) is None
    cache.write(tmp_path / "no" / "x", b"x")  # costs only the time to make it again
