"""No password of a URL reaches a terminal, a log or a file, however it is written and wherever it is given."""

from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from pipeline import cli, redaction
from pipeline.errors import PipelineError
from pipeline.redaction import redact, remember, without_credentials
from segmentation import cli as segmentation_cli
from segmentation.data.photo_samples import ShardDataset
from segmentation.errors import SegmentationError
from segmentation.training.settings import TrainingSettings
from tests.conftest import MakeDuts
from tests.pipeline.drawn_dataset import make_dataset

ROOT = Path(__file__).parents[2]
DUTS, OUT = "--input DUTS", "--output OUT"
PLAIN, WITH_AT, WITH_SLASH, ENCODED = "topSecret77", "top@Secret@77", "topSe/cret77", "top%40Secret77"
URLS = [f"s3://user:{PLAIN}@bucket/x", f"http://user:{WITH_AT}@127.0.0.1:9/x", f"ftp://user:{ENCODED}@127.0.0.1:9/x"]
URLS += [f"https://user:{WITH_SLASH}@127.0.0.1:9/x", f"github://user:{PLAIN}@main/x", f"memory://user:{PLAIN}@bucket/x"]
PIPELINE = [
    f"run --depth-model URL {DUTS} {OUT}",
    f"run --motion URL.toml {DUTS} {OUT}",
    f"run --config URL {OUT}",
    f"run --input URL {OUT}",
    f"run --images URL --masks URL {OUT}",
    f"run {DUTS} --output URL",
    "status URL",
    "verify URL",
    "publish URL copy",
    "import URL OUT",
]
SEGMENTATION = [
    "train --data URL --encoder mit-b0 --output OUT",
    "train --data photos.zarr --initialization URL --encoder mit-b0 --output runs",
    "train --data photos.zarr --encoder mit-b0 --initialization random --output URL",
    "train --videos davis16=DUTS:URL:2 --encoder mit-b0 --output runs",
    "fit-motion --photos OUT --videos davis16=DUTS:URL --output fitted.toml",
    "predict DUTS --checkpoint URL --output runs",
    "evaluate --dataset davis16=DUTS:URL --checkpoint URL --output runs",
    "flows --video URL --output OUT",
]


def forbidden(url: str) -> list[str]:
    """Return the pieces of the password that must not be seen."""
    return [word for word in ("topSecret77", "Secret", "cret77", "topSe", "Secret%4077") if word in url]


@pytest.fixture
def place(make_duts: MakeDuts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_duts(2)
    make_dataset(str(tmp_path / "photos.zarr"))
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "ACCESS_KEY_ID": "AKIA",
        "SECRET_ACCESS_KEY": "x",
        "ENDPOINT_URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return tmp_path


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("command", "url"),
    [
        *((command, URLS[number % len(URLS)]) for number, command in enumerate([*PIPELINE, *SEGMENTATION])),
        *((command, url) for url in URLS for command in ("status URL", "run --config URL --output OUT")),
        *(("predict DUTS --checkpoint URL --output runs", url) for url in URLS),
    ],
)
def test_a_password_on_a_command_line_is_never_shown(
    command: str,
    url: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    main = cli.main if command in PIPELINE else segmentation_cli.main
    monkeypatch.setattr(redaction, "_remembered", set())
    monkeypatch.setattr(sys, "argv", ["program", *command.replace("URL", url).split()])
    with pytest.raises(SystemExit) as ended:
        main()
    print(ended.value.code, file=sys.stderr)  # what the interpreter does
    captured = capfd.readouterr()
    assert "error" in captured.err.lower()
    for piece in forbidden(url):
        assert piece not in captured.out + captured.err
    for path in (path for path in place.rglob("*") if path.is_file()):
        assert not any(piece.encode() in path.read_bytes() for piece in forbidden(url)), path


def test_warnings_logs_and_tracebacks_pass_the_same_filter() -> None:
    code = (
        "import logging, sys, threading, warnings\n"
        "from pipeline.redaction import redact_output\n"
        "redact_output(sys.argv[1:])\n"
        "said = sys.argv[1].split(':')[2].partition('@bucket')[0]\n"
        "print('out', said)\n"
        "warnings.warn(f'warned {said}')\n"
        "logging.getLogger('botocore').warning('logged %s', said)\n"
        "sys.stderr.write('in '); sys.stderr.write(said[:4]); sys.stderr.write(said[4:] + '\\n')\n"
        "thread = threading.Thread(target=lambda: {}[said]); thread.start(); thread.join()\n"
        "raise ValueError(said)\n"
    )
    url = f"s3://user:{WITH_AT}@bucket/x"
    done = subprocess.run([sys.executable, "-c", code, url], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "out ***\n"
    assert "warned ***" in done.stderr
    assert "logged ***" in done.stderr
    assert "in ***" in done.stderr
    assert "KeyError: '***'" in done.stderr
    assert "ValueError: ***" in done.stderr
    assert "Secret" not in done.stderr


@pytest.mark.parametrize("url", URLS, ids=["plain", "at", "encoded", "slash", "github", "memory"])
def test_a_library_error_shows_no_password(url: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())
    with pytest.raises((SegmentationError, PipelineError)) as raised:
        ShardDataset(f"{url}.zarr")
    said = "".join(traceback.format_exception(raised.value))
    assert not any(piece in said for piece in forbidden(url))


def test_the_settings_of_a_training_hold_no_password() -> None:
    settings = TrainingSettings(
        output="run",
        data=(f"s3://user:{WITH_AT}@bucket/x.zarr:2", "local.zarr"),
        videos=(f"davis16=DAVIS:s3://user:{WITH_SLASH}@bucket/flows.zarr:1",),
        initialization=f"s3://user:{PLAIN}@bucket/net",
    )
    kept = settings.content()
    assert kept["data"] == ["s3://***@bucket/x.zarr:2", "local.zarr"]
    assert kept["videos"] == ["davis16=DAVIS:s3://***@bucket/flows.zarr:1"]
    assert kept["initialization"] == "s3://***@bucket/net"


def test_the_reason_of_a_failure_is_kept_without_password(tmp_path: Path) -> None:
    from pipeline.dataset.commits import Failure

    store = make_dataset(str(tmp_path / "x.zarr"))
    record = store.commits.read(0)
    failure = Failure(0, "a", "unreadable", f"http://user:{WITH_AT}@h/a.png: 404")
    store.commits.write(0, record["objects"], [failure], record["fingerprint"], "float32")
    kept = store.failures()[0]
    assert kept.message == "http://***@h/a.png: 404"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://me:hunter2@host/x", "ftp://***@host/x"),
        ("ftp://me:hun@ter2@host/x@2", "ftp://***@host/x@2"),
        ("ftp://me:hun/ter2@host/x", "ftp://***@host/x"),
        ("http:/me:hunter2@host/x", "http:/***@host/x"),
        ("simplecache::s3://me:hunter2@bucket/x", "simplecache::s3://***@bucket/x"),
        ("zip://a.zip::s3://me:hunter2@bucket/x", "zip://a.zip::s3://***@bucket/x"),
        ("https://token@host/x?a=1&sig=def", "https://***@host/x?a=1&sig=***"),
        ("http://localhost:8000/x@2", "http://localhost:8000/x@2"),
        ("hf://datasets/me/name@main", "hf://datasets/me/name@main"),
        ("/data/a@b", "/data/a@b"),
    ],
)
def test_a_url_is_named_without_its_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


@pytest.mark.parametrize(
    "writing",
    ["pä ss'%w\"rd", "p%C3%A4%20ss%27%25w%22rd", "p%c3%a4+ss'%25w%22rd", "pä ss\\'%w\\\"rd", "p\\u00e4 ss'%w\\\"rd"],
)
def test_a_remembered_password_is_hidden_in_every_writing(writing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())
    remember("s3://me:pä ss'%w\"rd@bucket/x")
    assert redact(f"no <{writing}> here") == "no <***> here"


def test_a_short_password_is_hidden_where_it_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_remembered", set())
    remember("s3://me:run@bucket/x")
    assert redact("running run") == "running ***"


def test_text_without_credentials_stays_as_it_is() -> None:
    text = "photos at http://localhost:8000/a@b, hf://datasets/me/x@main; mail a@b.c, 12:30 x/y@z"
    assert redact(text) == text
