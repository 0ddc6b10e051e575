"""Where the lab keeps its things, and what every entry point turns on first."""

import gc
import os
import threading
from pathlib import Path

_MOST = 1 << 30  # bytes of compiled programs, of which the first go where there are more
_PROGRAMS = (".ready", ".program", "-cache")  # endings of the names of their files; the last is JAX's own

_ready: list[Path | None] = []  # where programs are kept ready to run, once an entry point has said whether they are
_taken = threading.local()  # the content of the file of JAX's cache that was read last
_imports: list[bool] = []  # whether no garbage is looked for among them


def leave_imports() -> None:
    """Look for no garbage before ``start``: what a command imports stays, and to look through it takes a third of a second."""
    gc.disable()
    _imports.append(True)


def home() -> Path:
    """The folder ``LAB_HOME``; by default the platform's user data folder."""
    from platformdirs import user_data_path

    return Path(os.environ.get("LAB_HOME") or user_data_path("transport-lab"))


def cache() -> Path:
    """The folder for what can be made again: compiled programs, thumbnails, verdicts."""
    folder = home() / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def ready() -> Path | None:
    """The folder for programs that are ready to run (``lab.numerics.ready``); None where none are kept."""
    return _ready[0] if _ready else None


def taken() -> bytes:
    """The compiled program that this thread took last from JAX's cache, as XLA had written it."""
    from jax._src.compilation_cache import decompress_executable, extract_executable_and_time

    return extract_executable_and_time(decompress_executable(_taken.file))[0]


def start(ready: bool = False) -> None:
    """Turn on float64 and the cache of compiled programs: for entry points only, before the first array.

    Args:
        ready: keep programs ready to run too (``lab.numerics.ready``). For entry points of the lab alone: programs are found by
            the code of the lab as it is written, and code beside it could change it as it runs. The first call decides.
    """
    import jax

    if _imports:
        _imports.clear()
        gc.freeze()
        gc.enable()
    jax.config.update("jax_enable_x64", True)
    _calm_blas()
    _unroll_no_loops()
    if not _ready:
        _ready.append(_folder("ready") if ready else None)
    if jax.config.jax_compilation_cache_dir:  # the user has one, by JAX_COMPILATION_CACHE_DIR
        return
    folder = _folder("xla")
    if folder is None:
        return
    _keep_programs_whole()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _folder(name: str) -> Path | None:
    """A folder of the cache, at most so large; None where the home is read-only, which costs time and nothing else."""
    from lab.disk import cache as kept

    try:
        folder = cache() / name
        folder.mkdir(mode=0o700, exist_ok=True)  # what is in it is run
    except OSError:
        return None
    for each in (folder.parent, folder):
        kept.close(each)
    kept.trim(folder, _MOST, _PROGRAMS)
    return folder


def _keep_programs_whole() -> None:
    """Compiled programs are kept as the lab's other caches are. JAX's own files are torn by a kill, and then never made
    again but warned of at each start; with zstd, a changed bit in one would be run."""
    from lab.disk import cache

    class Programs:
        def __init__(self, folder: str):
            self._path = Path(folder)

        def get(self, key: str) -> bytes | None:
            place = self._path / f"{key}.program"
            _taken.file = cache.read(place) if cache.own(place) else None  # it is machine code, and run
            return _taken.file

        def put(self, key: str, value: bytes) -> None:
            cache.write(self._path / f"{key}.program", value)

    try:
        from jax._src import compilation_cache

        _ = compilation_cache.get_file_cache
        compilation_cache.get_file_cache = lambda path: (Programs(path), path)  # pyright: ignore
    except (ImportError, AttributeError):  # of another version: its own files will do
        return


def _unroll_no_loops() -> None:
    """XLA spends a tenth of its time on a processor with it, and no run of a study is slower without."""
    given = os.environ.get("XLA_FLAGS", "")
    if "xla_backend_extra_options" not in given:
        os.environ["XLA_FLAGS"] = f"{given} --xla_backend_extra_options=xla_cpu_disable_loop_unrolling".strip()


def _calm_blas() -> None:
    """Leave the cores to XLA: a factorization calls SciPy's BLAS, whose threads spin between the calls.

    On two cores a Cholesky factor of size 100 to 1000 takes longer with two threads than with one, and the cores are
    taken from whatever runs beside it.
    """
    import scipy.linalg  # noqa: F401  the library that jaxlib calls
    from threadpoolctl import ThreadpoolController

    for library in ThreadpoolController().lib_controllers:
        if library.user_api == "blas" and "scipy" in Path(library.filepath).parent.name:
            library.set_num_threads(1)
