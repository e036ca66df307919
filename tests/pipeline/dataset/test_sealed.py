"""A sealed file is intact only if its content is unchanged and it holds one checksum."""

from __future__ import annotations

import hashlib
import json

import pytest

from pipeline.dataset.sealed import FIELD, UNSEALED, is_intact, sealed_json


def test_a_sealed_file_is_intact_and_holds_its_values() -> None:
    content = sealed_json({"shard": 3, "größe": [1, 2]})
    assert is_intact(content)
    assert {key: value for key, value in json.loads(content).items() if key != FIELD} == {"shard": 3, "größe": [1, 2]}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"3", b"4", 1),
        lambda content: content + b" ",
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content.replace(FIELD.encode(), b"another"),
    ],
)
def test_any_change_is_found(change: object) -> None:
    assert not is_intact(change(sealed_json({"shard": 3})))  # type: ignore[operator]


def test_a_file_with_two_checksums_is_not_intact_even_if_both_fit() -> None:
    both = f'{{"{FIELD}": "{UNSEALED}", "shard": 3, "{FIELD}": "{UNSEALED}"}}'.encode()
    checksum = hashlib.sha256(both).hexdigest()
    assert not is_intact(both.replace(UNSEALED.encode(), checksum.encode()))
