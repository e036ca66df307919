"""`pipeline publish hf://...` with the hub's real client against a stand-in of the hub's API."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub import __version__ as version_of_hub

from pipeline.dataset.sharded_store import COPYING
from tests.conftest import ROOT
from tests.pipeline.drawn_dataset import contents, make_dataset
from tests.pipeline.hub_standin import REPOSITORY, hub_standin


def pipeline(endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_nobodystoken", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_files_are_committed_many_at_a_time_and_the_mark_last(tmp_path: Path) -> None:
    dataset = make_dataset(str(tmp_path / "x.zarr"), samples=12)
    place = f"hf://{REPOSITORY}"
    with hub_standin() as (hub, endpoint):
        done = pipeline(endpoint, "publish", dataset.url, place)
        assert done.returncode == 0, done.stderr
        assert not hub.unknown
        assert len(contents(tmp_path / "x.zarr")) > 60
        assert len(hub.commits) < 10
        begun, *_, whole, finished = hub.commits
        assert (begun, whole, finished) == (([COPYING], []), (["zarr.json"], []), ([], [COPYING]))
        assert not any("zarr.json" in added for added, _ in hub.commits[:-2])
        for key in contents(tmp_path / "x.zarr"):
            assert hub.files[key] == (tmp_path / "x.zarr" / key).read_bytes()

        checked = pipeline(endpoint, "verify", place)
        assert "intact" in checked.stdout, checked.stderr

        del hub.files["flow/c/0/0/0/0/0"]
        again = pipeline(endpoint, "publish", dataset.url, place)
        assert "2 copied now" in again.stdout, again.stderr
        mended = [([], ["zarr.json"]), (["flow/c/0/0/0/0/0"], []), (["zarr.json"], [])]
        assert hub.commits[-5:] == [([COPYING], []), *mended, ([], [COPYING])]


def test_no_commit_follows_one_of_somebody_else(tmp_path: Path) -> None:
    dataset = make_dataset(str(tmp_path / "x.zarr"), samples=12)
    with hub_standin() as (hub, endpoint):
        hub.disturbed_at = 2
        stopped = pipeline(endpoint, "publish", dataset.url, f"hf://{REPOSITORY}")
        assert stopped.returncode == 1
        assert "error: Another run has written to someone/triplets meanwhile" in stopped.stderr
        assert "Traceback" not in stopped.stderr
        assert hub.commits[2:] == [(["theirs"], [])]
        assert pipeline(endpoint, "publish", dataset.url, f"hf://{REPOSITORY}").returncode == 0


@pytest.mark.skipif(int(version_of_hub.split(".")[0]) < 2, reason="earlier versions make one commit")
def test_the_upload_of_the_library_does_not_notice_somebody_elses_commit(tmp_path: Path) -> None:
    """This is why `pipeline.files.hub` makes its own commits; if this test fails, use `upload_folder` there."""
    for number in range(300):
        (tmp_path / f"{number}.txt").write_text(str(number))
    with hub_standin() as (hub, endpoint):
        hub.disturbed_at = 1
        api = HfApi(endpoint=endpoint, token="hf_nobodystoken")
        api.upload_folder(repo_id="someone/triplets", repo_type="dataset", folder_path=tmp_path, parent_commit=hub.sha)
        first, theirs, second = (added for added, _ in hub.commits)
        assert (theirs, len(first) + len(second)) == (["theirs"], 300)


def test_a_repository_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    dataset = make_dataset(str(tmp_path / "x.zarr"), samples=2)
    with hub_standin() as (_, endpoint):
        done = pipeline(endpoint, "publish", dataset.url, "hf://datasets/someone/absent")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: hf://datasets/someone/absent: cannot write" in done.stderr
