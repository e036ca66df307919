"""Photos from and datasets in an object store that fails: same bytes, one writer, no credentials anywhere."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from pipeline.checking.verify import verify
from pipeline.dataset.commits import COMMITS
from pipeline.dataset.run_log import RUNS
from pipeline.dataset.sharded_store import LOCK
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files import conditional
from pipeline.files.locks import lease
from pipeline.files.storage import Storage
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.photos.originals import changed, read_original
from pipeline.redaction import redact
from pipeline.sharing.publish import publish
from pipeline.showing.status import describe
from tests.conftest import draw_duts
from tests.pipeline.checking.damage import Silent
from tests.pipeline.drawn_dataset import contents, make_dataset
from tests.pipeline.faulty_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, TOKEN, Faults, faulty_s3
from tests.pipeline.making.test_run import Watcher
from tests.pipeline.sharing.test_publish import Meanwhile

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SETTINGS = {"depth_model": "tiny-dpt", "max_side": 96, "samples_per_shard": 2, "motion": "camera+object", "workers": 0}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    with faulty_s3(monkeypatch) as faults:
        yield faults


def config(source: str, output: str, **changes: object) -> RunConfig:
    return RunConfig(**{**SETTINGS, "input": source, "output": output, **changes})  # type: ignore[arg-type]


def upload(folder: Path, prefix: str) -> str:
    s3fs.S3FileSystem().put(str(folder), f"{BUCKET}/{prefix}", recursive=True)
    return f"s3://{BUCKET}/{prefix}"


def objects(prefix: str) -> dict[str, bytes]:
    filesystem = s3fs.S3FileSystem(use_listings_cache=False)
    root = f"{BUCKET}/{prefix}/"
    return {path.removeprefix(root): filesystem.cat_file(path) for path in filesystem.find(root)}


def dataset_objects(prefix: str) -> dict[str, bytes]:
    """Return what belongs to a dataset: all but the notes on runs."""
    return {key: content for key, content in objects(prefix).items() if not key.startswith(RUNS)}


def without_stamps(files: dict[str, bytes]) -> dict[str, object]:
    """Return the files of a dataset; in commit records, what a file system says of the photos is left out."""
    found: dict[str, object] = dict(files)
    for key in (key for key in files if key.startswith(COMMITS) and key.endswith(".json")):
        record = json.loads(files[key])
        del record["file_sha256"]
        for original in (original for each in record["originals"] for original in each.values()):
            del original["stamp"]
        found[key] = record
    return found


@pytest.mark.slow
@pytest.mark.ci
def test_five_percent_faults_change_no_byte_and_credentials_stay_secret(
    s3: Faults, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = draw_duts(tmp_path / "DUTS", 5)
    source, output = upload(folder, "DUTS"), f"s3://{BUCKET}/out/x.zarr"
    watcher = Watcher()
    caplog.set_level(logging.INFO)  # below it, botocore itself prints what it signs
    s3.share = 0.05
    run(config(source, output), watcher)
    first = dataset_objects("out/x.zarr")
    s3fs.S3FileSystem().rm_file(f"{BUCKET}/out/x.zarr/.fakeflow/commits/000001.json")
    assert run(config(source, output), watcher).photos_made_now == 2
    assert verify(output, Silent(), all_rows=True).is_whole
    s3.share = 0
    assert sum(count for kind, count in s3.injected.items() if kind) >= 8

    run(config(str(folder), str(tmp_path / "local.zarr")), Watcher())
    local = {key: (tmp_path / "local.zarr" / key).read_bytes() for key in contents(tmp_path / "local.zarr")}
    assert without_stamps(dataset_objects("out/x.zarr")) == without_stamps(local)
    assert first == dataset_objects("out/x.zarr")

    printed = capfd.readouterr()
    said = "\n".join([caplog.text, printed.out, printed.err, *watcher.sentences])
    for secret in (SECRET_KEY, TOKEN):
        assert secret not in said
    for secret in (ACCESS_KEY, SECRET_KEY, TOKEN):
        assert not any(secret.encode() in content for content in objects("out/x.zarr").values())


def test_publish_verify_and_info_there(s3: Faults, tmp_path: Path) -> None:
    dataset = make_dataset(str(tmp_path / "x.zarr"), samples=2)
    s3.share = 0.05
    target = f"s3://{BUCKET}/published"
    summary = publish(dataset.url, target, Silent())
    assert publish(dataset.url, target, Silent()).copied == 0
    assert verify(target, Silent(), all_rows=True).is_whole
    assert "yes, with a manifest" in describe(target)
    assert len(objects("published")) == summary.files


@pytest.mark.slow
def test_a_store_that_is_down_is_said_so_and_no_photo_is_blamed(
    s3: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = upload(draw_duts(tmp_path / "DUTS", 3), "DUTS")
    output = str(tmp_path / "x.zarr")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()

    class GoesDown(Watcher):
        def announce(self, sentence: str) -> None:
            if "running in this process" in sentence:
                s3.share, s3.kinds = 1.0, ("503", "500")

    with pytest.raises(PipelineError, match=r"s3://bucket/DUTS/.*png: the store keeps failing .*it resumes"):
        run(config(source, output), GoesDown())
    assert "the object store fails" in caplog.text
    s3.share = 0
    assert run(config(source, output), Watcher()).failures == ()


@pytest.mark.parametrize(
    ("environment", "output", "sentence"),
    [
        ({}, "s3://absent-bucket/x.zarr", r"s3://absent-bucket/x.zarr: cannot (write|list)"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://bucket/x.zarr", r"s3://bucket/x.zarr: cannot read"),
        ({}, "nosuch://bucket/x.zarr", r"nosuch://bucket/x.zarr cannot be opened"),
    ],
)
def test_what_users_get_wrong_is_one_sentence(
    s3: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], output: str, sentence: str
) -> None:
    for name, value in {"AWS_MAX_ATTEMPTS": "1", **environment}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(PipelineError, match=sentence):
        run(config(str(draw_duts(tmp_path / "DUTS", 1)), output), Watcher())


def test_a_living_run_is_not_disturbed_and_a_dead_one_is_continued(s3: Faults) -> None:
    storage, said = Storage(f"s3://{BUCKET}/x.zarr"), []
    with lease(storage, LOCK, said.append, beat_s=0.2, patience_s=5):
        with (
            pytest.raises(PipelineError, match=r"Another run on \S+ \(since .*\) is writing s3://bucket/x.zarr"),
            lease(storage, LOCK, said.append, beat_s=0.2, patience_s=5),
        ):
            pass
        left_by_a_dead_run = storage.read(LOCK)
    assert storage.read_if_there(LOCK) is None
    storage.write(LOCK, left_by_a_dead_run)
    with lease(storage, LOCK, said.append, beat_s=0.2, patience_s=1):
        assert storage.read(LOCK) != left_by_a_dead_run
    assert said[-1] == "no sign of life: continuing its work"


def test_a_run_whose_lease_was_taken_over_stops(s3: Faults) -> None:
    storage = Storage(f"s3://{BUCKET}/x.zarr")
    with lease(storage, LOCK, print, beat_s=0.1, patience_s=5) as held:
        held.check()

        def take_over() -> None:
            for _ in range(100):  # again, because this server of the tests compares and writes in two steps
                storage.write(LOCK, b'{"owner": "another"}')
                threading.Event().wait(0.2)
                held.check()

        with pytest.raises(PipelineError, match="Another run has taken over"):
            take_over()
    assert storage.read(LOCK) == b'{"owner": "another"}'


def test_of_two_that_take_over_at_once_one_wins(s3: Faults) -> None:
    storage = Storage(f"s3://{BUCKET}/x.zarr")
    storage.write(LOCK, b'{"owner": "a run that died", "beats": 3}')
    both_decided, first_done, release = threading.Barrier(2), threading.Event(), threading.Event()
    outcomes: list[str] = []

    def take_over(waits: bool) -> None:
        def announce(sentence: str) -> None:
            if "no sign of life" in sentence and not both_decided.broken:
                both_decided.wait(20)
                if waits:
                    first_done.wait(20)

        try:
            with lease(storage, LOCK, announce, beat_s=0.1, patience_s=0.5) as held:
                first_done.set()
                outcomes.append("held")
                release.wait(2)
                held.check()
        except PipelineError as refusal:
            outcomes.append(str(refusal))
            release.set()

    waiters = [threading.Thread(target=take_over, args=(waits,)) for waits in (False, True)]
    for thread in waiters:
        thread.start()
    for thread in waiters:
        thread.join()
    first, second = outcomes
    assert first == "held"
    assert second.startswith("Another run on ")
    assert storage.read_if_there(LOCK) is None


@pytest.mark.parametrize("place", [f"s3://{BUCKET}/x.zarr", "memory://x.zarr"])
def test_conditional_writes(s3: Faults, place: str) -> None:
    storage = Storage(place)
    assert conditional.version(storage, "a/b") is None
    assert conditional.create(storage, "a/b", b"1")
    assert not conditional.create(storage, "a/b", b"2")
    old = conditional.version(storage, "a/b")
    assert old is not None
    assert conditional.replace(storage, "a/b", b"3", old)
    assert storage.read("a/b") == b"3"
    if place.startswith("s3"):
        assert not conditional.replace(storage, "a/b", b"4", old)
        assert storage.read("a/b") == b"3"
    storage.delete("a/b")
    if place.startswith("s3"):
        assert not conditional.replace(storage, "a/b", b"5", old)
        assert storage.read_if_there("a/b") is None


@pytest.mark.slow
def test_two_publishes_to_one_place_at_once_do_not_mix(s3: Faults, tmp_path: Path) -> None:
    dataset = make_dataset(str(tmp_path / "x.zarr"), samples=4)
    other = make_dataset(str(tmp_path / "other.zarr"), samples=4, failed_row=2)
    target = f"s3://{BUCKET}/published"
    watcher = Meanwhile(Path(other.url), target)
    publish(dataset.url, target, watcher)
    assert "Another run on" in watcher.refusal
    assert "choose another place" in watcher.refusal
    assert verify(target, Silent(), all_rows=True).is_whole
    assert LOCK not in objects("published")


@pytest.mark.slow
def test_two_runs_of_other_settings_at_the_same_time_never_mix(s3: Faults, tmp_path: Path) -> None:
    source, output = str(draw_duts(tmp_path / "DUTS", 4)), f"s3://{BUCKET}/x.zarr"
    outcomes: dict[int, object] = {}

    def attempt(seed: int) -> None:
        try:
            outcomes[seed] = run(config(source, output, seed=seed), Watcher())
        except PipelineError as refusal:
            outcomes[seed] = refusal

    runs = [threading.Thread(target=attempt, args=(seed,)) for seed in (1, 2)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    (winner,) = [seed for seed, outcome in outcomes.items() if not isinstance(outcome, PipelineError)]
    assert DatasetStore.open(output).attributes["settings"]["seed"] == winner
    assert verify(output, Silent(), all_rows=True).is_whole
    assert any(words in str(outcomes[3 - winner]) for words in ("was begun with other settings", "Another run"))


def test_credentials_in_urls_and_errors_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    said = redact(f"ftp://me:hunter2@host/x https://h/x.png?a=1&X-Amz-Signature=abc&sig=def {SECRET_KEY}")
    assert said == "ftp://***@host/x https://h/x.png?a=1&X-Amz-Signature=***&sig=*** ***"


def test_an_object_that_changed_is_found_by_its_etag(s3: Faults) -> None:
    filesystem = s3fs.S3FileSystem()
    url, key = f"s3://{BUCKET}/originals/a.jpg", f"{BUCKET}/originals/a.jpg"
    filesystem.pipe_file(key, b"first")
    used = [(url, read_original(url).record)]
    compared: list[str] = []
    filesystem.pipe_file(key, b"first")
    assert changed(used, compared.append) == []
    assert not compared  # the ETag is of the content: nothing had to be read
    filesystem.pipe_file(key, b"other")
    assert changed(used, compared.append) == [url]
    filesystem.pipe_file(key, b"")
    assert read_original(url).content == b""
