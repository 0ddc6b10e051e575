"""A file of one's own: dropped or chosen, checked by size on both sides, read as data and never as a program."""

from typing import Any

from lab import datasets
from lab.datasets import Data

from . import limits, theme
from .runner import Runner
from .session import Session
from .view import View, source

_MOST = 2  # files of one upload: two pictures, or two clouds
_LIMIT = f"{datasets.UPLOAD_LIMIT / 2**20:.3g} MiB"


class Upload(View):
    """A place to drop files on; what they hold becomes the session's data."""

    _esm = source("upload.js")
    css = theme.asset("upload.css")

    def __init__(self, session: Session):
        super().__init__(self._receive)
        self._session = session
        self._runner = Runner(session.post)
        self._files: list[tuple[str, bytearray]] = []
        self._refused = ""
        self._begun = 0  # uploads of this page so far
        self.visitor = limits.visitor()
        limits.hold(self)
        self._say("")

    def held(self) -> int:
        """Bytes that are being received, and of data of one's own on the page."""
        data = self._session.study.data
        arrays = data.arrays.values() if isinstance(data, Data) else ()
        return sum(len(content) for _, content in self._files) + sum(array.nbytes for array in arrays)

    def take(self, files: dict[str, bytes]) -> None:
        """Read these files and make them the session's data, or say why not."""
        session, names = self._session, " and ".join(files)
        self._say(f"Reading {names} …")
        kind, seed = session.study_class.kind, session.study.seed

        def done(data: Data) -> None:
            self._say("")  # whatever comes of it
            session.set_data(data)
            refused = session.error if session.study.data is not data else ""
            self._say(refused or " ".join([f"Took {names}.", *data.notices]), wrong=bool(refused))

        self._runner.submit(
            lambda report: datasets.read_bytes(names, files, kind=kind, seed=seed),
            done=done,
            failed=lambda sentence: self._say(sentence, wrong=True),
            fault=(f"{names} can't be read", f"bring {datasets.kind_named(kind).takes}"),
        )

    def _receive(self, message: dict[str, Any]) -> None:
        """One message of the browser; the browser is not trusted to keep to the limits."""
        step = message.get("step")
        if step == "begin":
            self._files, self._refused = [], ""
            self._begun += 1
            self._foresee(message.get("size"))
            if not self._refused:
                self._say("Receiving …")
        elif step == "piece" and not self._refused:
            self._piece(message)
        elif step == "end":
            files, self._files = self._files, []
            if self._refused:
                self._say(self._refused, wrong=True)
            elif len({name for name, _ in files}) < len(files):
                self._say(f"Both files are called {files[0][0]}: rename one of them.", wrong=True)
            elif files:
                self.take({name: bytes(content) for name, content in files})

    def _foresee(self, size: Any) -> None:
        """Refuse what has no room before its pieces travel; a size that is not given or not true is found out by them."""
        if not isinstance(size, int):
            return
        if size > datasets.UPLOAD_LIMIT:
            self._refuse(f"{size / 2**20:.4g} MiB are too much: {self._too_large()}")
        elif full := limits.no_room(self.visitor, size):
            self._refuse(full)

    def _piece(self, message: dict[str, Any]) -> None:
        index, content = message.get("index"), message.get("content") or b""
        if not isinstance(content, bytes | bytearray | memoryview):  # bytes(n) would be n zeros
            raise ValueError("the page sent a piece of a file that is no bytes: load the page again")
        if index == len(self._files) < _MOST:
            self._files.append((str(message.get("name"))[-120:], bytearray()))
        if not isinstance(index, int) or not 0 <= index < len(self._files):
            self._refuse(f"An upload may have {_MOST} files at most.")
            return
        if sum(len(held) for _, held in self._files) + len(content) > datasets.UPLOAD_LIMIT:
            self._refuse(f"{self._files[index][0]} is too large: {self._too_large()}")
            return
        if full := limits.no_room(self.visitor, len(content)):
            self._refuse(full)
            return
        self._files[index][1].extend(content)

    def _refuse(self, sentence: str) -> None:
        self._files, self._refused = [], sentence
        self._say(sentence, wrong=True)

    def _too_large(self) -> str:
        own = f"lab run {self._session.study_class.slug} --data FILE"
        return f"an upload may have at most {_LIMIT}. Reduce the data, or run the study on your own machine: {own}"

    def _say(self, sentence: str, wrong: bool = False) -> None:
        kind = datasets.kind_named(self._session.study_class.kind)
        self.draw(
            says=sentence,
            wrong=wrong,
            limit=datasets.UPLOAD_LIMIT,
            most=_MOST,
            too_many=f"An upload may have {_MOST} files at most.",
            too_large=f"but {self._too_large()}",
            begun=self._begun,
            refused=bool(self._refused),
            formats=f"{kind.takes}; up to {_LIMIT}. Nothing in them is run.",
            clouds=kind.clouds,
        )
