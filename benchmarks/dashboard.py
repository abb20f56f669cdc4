"""How long the dashboard makes people wait: first paint of every view, and a rerun with ten sessions at work.

Every session is a headless client that speaks the browser's own protocol with a real server: it opens the plan page and
moves a slider every few seconds. Measured is the time from the move to the end of the rerun that answers it (not the
certified plan, which follows), as the browser would see it, without drawing.

    python benchmarks/dashboard.py --workspace DIR [--sessions 10] [--seconds 60] [--json FILE]

The workspace is copied; without one, a simulated shop is made and a model trained on it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[1]
VIEWS = ("", "data", "models", "plan", "compare", "delivery", "campaign", "audiences")
PATIENCE = 300.0
OVER = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)
"""Ends of a run. Runs follow each other, and the word that a page was done is not sent when a part of it runs at once
after it: the end of the part says it too."""


class Session:
    """One browser without a screen."""

    def __init__(self, port: int, page: str) -> None:
        self.port, self.page = port, page
        self.widgets: dict[str, float] = {}
        self.ranges: dict[str, tuple[float, float, float]] = {}
        self.begun, self.done = False, asyncio.Event()
        self.socket: ClientConnection | None = None
        self.page_hash = self.address = ""
        self.timers: dict[str, tuple[float, asyncio.Task[None]]] = {}

    async def open(self) -> float:
        """Seconds from connecting to the end of the first run."""
        began = time.monotonic()
        self.socket = await connect(
            f"ws://localhost:{self.port}/_stcore/stream",
            subprotocols=["streamlit"],
            max_size=None,
            origin=f"http://localhost:{self.port}",
        )
        self.reader = asyncio.create_task(self._read())
        await self._rerun(page_name=self.page)
        await asyncio.wait_for(self.done.wait(), PATIENCE)
        return time.monotonic() - began

    async def move(self, label: str, step: int) -> float:
        """Move a slider by some of its steps; seconds to the end of the rerun."""
        identity = next(i for i in self.ranges if i.endswith(label))
        low, high, by = self.ranges[identity]
        value = self.widgets[identity] + step * by
        self.widgets[identity] = min(max(value, low), high)
        began = time.monotonic()
        await self._rerun()
        await asyncio.wait_for(self.done.wait(), PATIENCE)
        return time.monotonic() - began

    async def _rerun(self, page_name: str = "", fragment: str = "") -> None:
        message = BackMsg()
        message.rerun_script.query_string = self.address
        if fragment:
            message.rerun_script.fragment_id, message.rerun_script.is_auto_rerun = fragment, True
        else:
            self.begun = False
            self.done.clear()
        if page_name:
            message.rerun_script.page_name = page_name
        else:
            message.rerun_script.page_script_hash = self.page_hash
        for identity, value in self.widgets.items():
            state = message.rerun_script.widget_states.widgets.add()
            state.id = identity
            state.double_array_value.data.append(value)
        assert self.socket is not None
        await self.socket.send(message.SerializeToString())

    async def _read(self) -> None:
        assert self.socket is not None
        async for raw in self.socket:
            message = ForwardMsg()
            message.ParseFromString(raw if isinstance(raw, bytes) else raw.encode())
            kind = message.WhichOneof("type")
            if kind == "navigation":
                self.page_hash, self.begun = message.navigation.page_script_hash, True
            elif kind == "page_info_changed":
                self.address = message.page_info_changed.query_string
            elif kind == "auto_rerun":
                self._look_again(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            elif kind == "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._look_no_more(fragment)
            elif kind == "delta" and message.delta.new_element.HasField("slider"):
                slider = message.delta.new_element.slider
                if slider.set_value or slider.default:  # what is not set stays as it was moved
                    said = slider.value if slider.set_value else [self.widgets.get(slider.id, slider.default[0])]
                    self.widgets[slider.id] = float(said[0])
                    self.ranges[slider.id] = (slider.min, slider.max, slider.step)
            elif kind == "script_finished" and self.begun and message.script_finished in OVER:
                self.done.set()

    def _look_again(self, fragment: str, interval: float) -> None:
        """Run a part of the page now and then, as the browser does when the page asks for it."""

        async def now_and_then() -> None:
            while True:
                await asyncio.sleep(interval)
                await self._rerun(fragment=fragment)

        if fragment not in self.timers or self.timers[fragment][0] != interval:
            self._look_no_more(fragment)
            self.timers[fragment] = interval, asyncio.create_task(now_and_then())

    def _look_no_more(self, fragment: str) -> None:
        if fragment in self.timers:
            self.timers.pop(fragment)[1].cancel()

    async def close(self) -> None:
        """Leave."""
        self.reader.cancel()
        for fragment in list(self.timers):
            self._look_no_more(fragment)
        if self.socket is not None:
            await self.socket.close()


async def first_paints(port: int) -> dict[str, float]:
    """Seconds to the end of the first run of every view, in a fresh session, when the app is warm."""
    found = {}
    for view in VIEWS:
        for _ in range(2):  # the second is warm
            session = Session(port, view)
            found[view or "start"] = await session.open()
            await session.close()
    return found


async def at_once(port: int, sessions: int, seconds: float, every: float) -> list[float]:
    """Waiting times of several sessions, each moving a slider every few seconds."""
    people = [Session(port, "plan") for _ in range(sessions)]
    await asyncio.gather(*(p.open() for p in people))
    waits: list[float] = []
    end = time.monotonic() + seconds

    async def work(person: Session, seed: int) -> None:
        draw = np.random.default_rng(seed)
        await asyncio.sleep(float(draw.uniform(0, every)))
        while time.monotonic() < end:
            began = time.monotonic()
            waits.append(await person.move("plan-least", int(draw.choice([-2, -1, 1, 2]))))
            await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))

    await asyncio.gather(*(work(p, i) for i, p in enumerate(people)))
    for person in people:
        await person.close()
    return waits


def serve(root: Path, port: int) -> subprocess.Popen[bytes]:
    """The dashboard on a workspace, once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(port)],
        cwd=ROOT,
        env={**os.environ, "RIM_WORKSPACE": str(root), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        assert process.poll() is None, "the dashboard did not start"
        try:
            urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=2)
            return process
        except OSError:
            time.sleep(0.2)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepare(root: Path) -> None:
    """A shop to look at, when no workspace is given."""
    from rim_core.jobs import Jobs
    from rim_core.storage import Workspace

    with Workspace(root, create=True) as workspace:
        workspace.add_dataset("shop", "shop", options={"users": 2_000, "items": 300, "days": 120, "seed": 0})
        jobs = Jobs(workspace)
        job = jobs.submit("shop", split={"by": "time", "horizon": "14D"}, models=["Popularity×HawkesPoisson"])
        assert jobs.wait(job.id).state == "done"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        if arguments.workspace:
            shutil.copytree(arguments.workspace, root)
        else:
            prepare(root)
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = int(probe.getsockname()[1])
        server = serve(root, port)
        try:
            paints = asyncio.run(first_paints(port))
            asyncio.run(at_once(port, 1, 2 * arguments.every, arguments.every))  # kernels are loaded once
            before, began = cpu_seconds(server.pid), time.monotonic()
            waits = asyncio.run(at_once(port, arguments.sessions, arguments.seconds, arguments.every))
            used, wall = cpu_seconds(server.pid) - before, time.monotonic() - began
        finally:
            server.terminate()
            server.wait()
    report = {
        "first_paint_seconds": paints,
        "sessions": arguments.sessions,
        "reruns": len(waits),
        "rerun_median": float(np.median(waits)),
        "rerun_p95": float(np.quantile(waits, 0.95)),
        "rerun_longest": float(max(waits)),
        "server_cpu_seconds": used,
        "wall_seconds": wall,
        "load_average": os.getloadavg()[0],
    }
    for view, seconds in paints.items():
        print(f"{view:<12} first paint {seconds:6.2f} s")
    print(
        f"{arguments.sessions} sessions, {len(waits)} reruns: median {report['rerun_median']:.2f} s, "
        f"p95 {report['rerun_p95']:.2f} s, longest {report['rerun_longest']:.2f} s; the server used {used:.0f} CPU s "
        f"in {wall:.0f} s, {used / len(waits):.2f} a move (load average of the machine {report['load_average']:.1f})"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
