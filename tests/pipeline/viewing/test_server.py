"""`pipeline view` as a command: its address, its end, and one sentence for everything that keeps it from starting."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pipeline.conftest import Command
from tests.pipeline.viewing.known_datasets import make_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server") / "x.zarr"
    make_dataset(str(folder), ["a", "b", "c"])
    return folder


@contextmanager
def running(dataset: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the command in a process of its own; yield it and its port."""
    command = [sys.executable, "-m", "pipeline.cli", "view", str(dataset), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:(\d+)/", told)
            assert address, told
            yield process, int(address[1])
        finally:
            process.kill()


def test_it_answers_on_loopback_and_ends_quietly(dataset: Path) -> None:
    with running(dataset) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert b'<script type="module" src="/page/main.js">' in answer.read()
        connection.request("POST", "/api/measure")  # on the same connection, which stays open
        assert connection.getresponse().read() == b"{}"
        for other in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
            if not str(other).startswith("127."):
                with socket.socket() as outside:
                    assert outside.connect_ex((str(other), port)) != 0
        process.send_signal(signal.SIGINT)
        more, errors = process.communicate(timeout=60)
        connection.close()
        assert (process.returncode, more, errors) == (0, "", "")


def test_a_port_in_use_is_one_sentence(pipeline: Command, dataset: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = pipeline("view", dataset, "--port", port)
    sentence = (
        f"Port {port} of this machine is in use. Choose another one with --port, or --port 0 for any that is free."
    )
    assert (done.returncode, done.said) == (1, f"error: {sentence}\n")


def test_a_port_that_does_not_exist_is_one_sentence(pipeline: Command, dataset: Path) -> None:
    done = pipeline("view", dataset, "--port", 70000)
    assert done.returncode == 1
    assert re.fullmatch(r"error: Port 70000 of this machine cannot be used \(.*0-65535.*\)\. Choose .*\n", done.said)
    assert pipeline("view", dataset, "--port", -1).said == "error: --port is -1; expected at least 0.\n"


def test_a_missing_framework_names_the_installation_if_the_rest_is_right(
    pipeline: Command, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uvicorn", "starlette"):
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed
    assert "there is no dataset here" in pipeline("view", dataset.parent / "absent.zarr").said
    assert "Port 70000" in pipeline("view", dataset, "--port", 70000).said
    done = pipeline("view", dataset, "--port", 0)
    assert done.returncode == 1
    assert done.said == (
        "error: `pipeline view` needs starlette and uvicorn, which this installation lacks. "
        "Run `pip install '.[view]'` in your clone of fakeflow.\n"
    )


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("{folder}/absent.zarr", "absent.zarr: there is no dataset here. Make one with `pipeline run"),
        ("{folder}", "is a folder with other files in it (x.zarr). Expected what `pipeline run"),
        ("http://127.0.0.1:9/x.zarr", "http://127.0.0.1:9/x.zarr: cannot read (Cannot connect to host 127.0.0.1:9 "),
        ("gopher://x", "gopher://x cannot be opened (Protocol not known: gopher"),
        ("", "An empty path is given"),
    ],
)
def test_a_place_without_a_dataset_is_one_sentence(pipeline: Command, dataset: Path, place: str, sentence: str) -> None:
    done = pipeline("view", place.format(folder=dataset.parent), "--port", 0)
    assert done.returncode == 1
    assert done.said.startswith("error: ")
    assert done.said.count("\n") == 1
    assert sentence in done.said
    assert "Traceback" not in done.said
