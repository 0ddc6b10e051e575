"""What is written is there whole or not at all, and only what may go is replaced."""

import errno
import os
import shutil
import signal
import stat
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from waiting import wait

from lab import disk
from lab.disk import cache, processes, whole
from lab.inputs import SENTENCE, cut

linux = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="elsewhere it is not known whether a process lives"
)


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
    assert [Path(name).name for name in done] == ["content", "replace", tmp_path.name]
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


def unfinished(folder: Path, process: str, content: bytes | None = b"half") -> Path:
    """What a killed process of that name leaves."""
    left = folder / f".lab-{process}-0123abcd"
    left.mkdir(0o700, parents=True)
    (left / whole._MARKER).write_bytes(whole._mark(left.name, left.stat()))
    if content is not None:
        (left / "content").write_bytes(content)
    return left


def process(pid: int | None = None, birth: str | None = None) -> str:
    """This process as the lab names it, or another one of this host."""
    host, mine, begun = processes.me().split("-")
    return f"{host}-{pid or mine}-{birth or begun}"


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@linux
def test_what_a_killed_process_left_goes(tmp_path):
    left = unfinished(tmp_path, process(birth="1"))  # its id was given to this process
    (left / "content").unlink()
    folder_of("half")(left / "content")
    (left / "content" / "deep").mkdir()
    outside = tmp_path / "outside"
    folder_of("mine")(outside)
    (left / "content" / "deep" / "link").symlink_to(outside)
    unfinished(tmp_path, process(birth="2"), None)
    (unfinished(tmp_path, process(birth="3"), None) / whole._MARKER).write_bytes(
        b""
    )  # killed before it wrote the marker
    (tmp_path / f".lab-{process(birth='4')}-0123abcd").mkdir()  # and before it made one
    disk.write(tmp_path / "x", b"x")
    assert hidden(tmp_path) == []
    assert (outside / "a").read_text() == "mine"


@linux
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_real_killed_process_is_recognized(tmp_path):
    def forever(part: Path) -> None:
        part.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    if not (child := os.fork()):
        disk.write(tmp_path / "x", forever)
        os._exit(0)
    wait(lambda: os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG))
    assert len(hidden(tmp_path)) == 1
    disk.write(tmp_path / "y", b"y")  # the killed one is a zombie yet
    assert hidden(tmp_path) == []
    os.waitpid(child, 0)


@pytest.mark.parametrize("age", ["new", "old"])
def test_files_and_folders_of_the_user_stay(tmp_path, age):
    """Names like those of unfinished writes: of a user, of the lab on another host, of an earlier version."""
    dead = process(birth="1")
    names = (
        "notes",
        "notes-2024-01-05",
        "my-host-12-34-a",
        "-",
        "----",
        "elsewhere-1-1-c",
        f"{dead}-0123abcd",
        f"{dead}-",
    )
    for name in names:
        mine = tmp_path / f".lab-{name}"
        mine.mkdir()
        (mine / "thesis.tex").write_text("mine")
        (mine / "content").mkdir()
        (mine / "content" / "chapter.tex").write_text("mine")
        (tmp_path / f".lab-{name}.txt").write_text("mine")
        (tmp_path / f".lab-{name}.txt").chmod(0o600)
    (tmp_path / f".lab-{dead}-file").write_text("mine")
    (tmp_path / f".lab-{dead}-link").symlink_to(tmp_path / ".lab-notes")
    os.mkfifo(tmp_path / f".lab-{dead}-pipe")
    if age == "old":
        for path in tmp_path.rglob("*"):
            os.utime(path, (0, 0), follow_symlinks=False)
    before = sorted(tmp_path.rglob("*"))
    disk.write(tmp_path / "x", b"x")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "x"])


@linux
def test_unfinished_writes_of_others_stay(tmp_path):
    """Of running processes, and of other hosts, however old: a folder may be shared over a network."""
    left = [unfinished(tmp_path, each) for each in (process(), "elsewhere-1-1", "0123456789ab-99999999-1", "a-b-1-1")]
    for each in left:
        os.utime(each, (0, 0))
        os.utime(each / "content", (0, 0))
    disk.write(tmp_path / "x", b"x")
    assert all((each / "content").read_bytes() == b"half" for each in left)


def copied(left: Path, folder: Path) -> Path:
    copy = folder / "copy" / left.name
    shutil.copytree(left, copy, copy_function=shutil.copy2)
    return copy


def renamed(left: Path, folder: Path) -> Path:
    return left.rename(left.with_name(f"{left.name}-kept"))


def added(left: Path, folder: Path) -> Path:
    (left / "notes.txt").write_text("mine")
    return left


def marked_elsewhere(left: Path, folder: Path) -> Path:
    other = unfinished(folder, process(birth="7"))
    shutil.copy2(left / whole._MARKER, other / whole._MARKER)
    return other


def linked_marker(left: Path, folder: Path) -> Path:
    (left / whole._MARKER).rename(folder / "marker")
    (left / whole._MARKER).symlink_to(folder / "marker")
    return left


def unmarked(left: Path, folder: Path) -> Path:
    (left / whole._MARKER).unlink()
    return left


def emptied_marker(left: Path, folder: Path) -> Path:
    (left / whole._MARKER).write_bytes(b"")
    return left


def longer_marker(left: Path, folder: Path) -> Path:
    (left / whole._MARKER).write_bytes((left / whole._MARKER).read_bytes() + b"more")
    return left


def open_to_others(left: Path, folder: Path) -> Path:
    left.chmod(0o777)
    return left


def marker_open_to_others(left: Path, folder: Path) -> Path:
    (left / whole._MARKER).chmod(0o666)
    return left


def marker_is_a_pipe(left: Path, folder: Path) -> Path:
    (left / whole._MARKER).unlink()
    os.mkfifo(left / whole._MARKER)
    return left


def of_another_user(left: Path, folder: Path) -> Path:
    if os.geteuid():
        pytest.skip("only root gives files away")
    os.chown(left, 12345, -1)
    return left


def linked(left: Path, folder: Path) -> Path:
    (folder / "deeper").mkdir()
    moved = left.rename(folder / "deeper" / left.name)
    left.symlink_to(moved)
    return left


@linux
@pytest.mark.parametrize(
    "forge",
    [
        copied,
        renamed,
        added,
        marked_elsewhere,
        linked_marker,
        unmarked,
        emptied_marker,
        longer_marker,
        open_to_others,
        marker_open_to_others,
        marker_is_a_pipe,
        of_another_user,
        linked,
    ],
)
def test_without_a_valid_marker_nothing_is_deleted(tmp_path, forge):
    kept = forge(unfinished(tmp_path, process(birth="1")), tmp_path)
    disk.write(kept.parent / "x", b"x")
    disk.write(tmp_path / "x", b"x")
    assert (kept / "content").read_bytes() == b"half"


@linux
def test_processes_that_a_system_hides_live(monkeypatch):
    """Of another user, by ``hidepid``: their files in ``/proc`` are not there."""

    def denied(pid: int, number: int) -> None:
        raise PermissionError

    gone = process(pid=2**22 + 1)
    assert processes.lives(gone) is False
    monkeypatch.setattr(os, "kill", denied)
    assert processes.lives(gone) is None


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
