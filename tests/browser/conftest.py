"""A real server on a free port with a small prepared workspace, and a real Chromium that looks at it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from rim_core.jobs import Jobs
from rim_core.storage import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHOP = {"users": 240, "items": 30, "days": 90, "seed": 3}


@dataclass
class Server:
    """The dashboard as `make run` serves it, on a workspace of its own."""

    root: Path
    port: int
    log: Path
    seconds_to_healthy: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> Server:
        began = time.monotonic()
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "app/main.py", "--server.port", str(self.port)],
                cwd=ROOT,
                env={**os.environ, "RIM_WORKSPACE": str(self.root)},
                stdout=said,
                stderr=said,
            )
        while not self.healthy():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() - began < 60, self.log.read_text()
            time.sleep(0.1)
        self.seconds_to_healthy = time.monotonic() - began
        return self

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait(timeout=30)
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves a workspace with one dataset and one model (or a copy of the one that RIM_SHOWN names)."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt-get install chromium")
    root = tmp_path_factory.mktemp("workspace", numbered=False)
    shown = os.environ.get("RIM_SHOWN")
    if shown:  # for the pictures of the documentation: a copy of a workspace that is worth looking at
        if not (Path(shown) / "data" / "rim.duckdb").exists():
            pytest.exit(f"RIM_SHOWN={shown} is no workspace: make the demo in it with `rim demo --prepare`.", 2)
        for folder in ("data", "models"):
            shutil.copytree(Path(shown) / folder, root / folder, dirs_exist_ok=True)
        server = Server(root, free_port(), tmp_path_factory.mktemp("log") / "server.log").start()
        yield server
        server.stop()
        return
    yield from serving(tmp_path_factory, root, "shop", SHOP, horizon="14D", model="Popularity×HawkesPoisson")


def serving(
    folders: pytest.TempPathFactory, root: Path, name: str, shop: dict[str, int], *, horizon: str, model: str
) -> Iterator[Server]:
    """A server on a new workspace with one simulated shop and one model of it."""
    with Workspace(root, create=True) as workspace:
        workspace.add_dataset(name, "shop", options=shop)
        jobs = Jobs(workspace, threads=1)
        job = jobs.submit(name, split={"by": "time", "horizon": horizon}, models=[model])
        assert jobs.wait(job.id).state == "done"
    server = Server(root, free_port(), folders.mktemp("log") / "server.log").start()
    yield server
    server.stop()


@dataclass
class Windows:
    """Browser windows that share nothing with each other, and what they have complained of."""

    browser: Browser
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, theme: Literal["light", "dark"] = "light") -> Page:
        """A fresh browser: no cookies, no history, no session."""
        context = self.browser.new_context(
            viewport={"width": 1440, "height": 900}, accept_downloads=True, color_scheme=theme
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        window = context.new_page()
        window.set_default_timeout(90_000)
        window.on("request", lambda r: self.outside.append(r.url) if _leaves(r.url) else None)
        window.on("console", self._heard)
        window.on("pageerror", lambda error: self.errors.append(str(error)))
        return window

    def _heard(self, message: ConsoleMessage) -> None:
        """Errors of the page; not those of Streamlit looking for itself below the page's own path, or restarting."""
        where = message.location.get("url", "") if message.location else ""
        harmless = "/_stcore/" in where or "WebSocket" in message.text or "ERR_CONNECTION_REFUSED" in message.text
        if message.type == "error" and not harmless:
            self.errors.append(f"{message.text} ({where})")


@pytest.fixture
def browsers(server: Server) -> Iterator[Windows]:
    """Opens browsers; requests that leave this machine and errors on the console fail the test."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        windows = Windows(playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]))
        yield windows
        windows.browser.close()
    assert not windows.outside, f"the dashboard asked for things from elsewhere: {windows.outside}"
    assert not windows.errors, f"errors on the console: {windows.errors}"


@pytest.fixture
def page(browsers: Windows) -> Page:
    """One browser window."""
    return browsers.open()


def _leaves(url: str) -> bool:
    return url.startswith(("http:", "https:", "ws:", "wss:")) and "//localhost:" not in url
