"""Fingerprints of settings, and what is shown where settings differ."""

from __future__ import annotations

from pipeline.making.config import differences, fingerprint


def test_a_fingerprint_depends_on_every_value_and_not_on_the_order() -> None:
    settings = {"seed": 1, "depth": {"model": "a", "sha256": "b"}}
    turned = {"depth": {"sha256": "b", "model": "a"}, "seed": 1}
    assert fingerprint(settings) == fingerprint(turned)
    assert fingerprint({**settings, "seed": 2}) != fingerprint(settings)
    assert fingerprint({**settings, "depth": {"model": "a", "sha256": "c"}}) != fingerprint(settings)
    assert fingerprint({**settings, "limit": None}) != fingerprint(settings)


def test_differences_are_named_with_the_table_that_they_are_in() -> None:
    stored = {"seed": 1, "depth": {"model": "a", "resize": "square"}, "limit": None}
    wanted = {"seed": 1, "depth": {"model": "b", "resize": "square"}, "motions": 2, "limit": None}
    assert differences(stored, wanted) == ["depth.model: a -> b", "motions: None -> 2"]
    assert differences(stored, stored) == []
