"""``panel serve dashboards/*.py``: Panel's own server, for those who embed the pages there."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from sysconfig import get_path

import pytest
from tornado.websocket import websocket_connect
from waiting import wait

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


async def drawn(port: int) -> str:
    """What a browser that opens the page is sent by its socket."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/sparse-ot", timeout=60).read().decode()
    token = re.search(r'"token": ?"([^"]+)"', page)[1]
    place = f"ws://127.0.0.1:{port}/sparse-ot/ws"
    connection = await websocket_connect(place, subprotocols=["bokeh", token], max_message_size=2**26)
    for awaited, answer in (("ACK", "PULL-DOC-REQ"), ("PULL-DOC-REPLY", None)):
        while f'"{awaited}"' not in await connection.read_message():
            pass
        await connection.read_message()
        content = await connection.read_message()
        for part in ({"msgid": "1", "msgtype": answer}, {}, {}) if answer else ():
            await connection.write_message(json.dumps(part))
    return content


def listens(process: subprocess.Popen, port: int) -> bool:
    assert process.poll() is None
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(("words", "several"), [([], False), (["--num-procs", "2"], True)])
def test_pages_come_from_one_process(words, several, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [f"{get_path('scripts')}/panel", "serve", "dashboards/sparse-ot.py", "--port", str(port), *words]
    command += ["--allow-websocket-origin", f"127.0.0.1:{port}"]
    env = os.environ | {"LAB_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        wait(lambda: listens(process, port))
        said = asyncio.run(drawn(port))
        assert ("by several processes, since" in said) is several
        assert ("maximum number of sources per target" in said) is not several
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
