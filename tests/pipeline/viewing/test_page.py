"""The page of `pipeline view` as a browser shows it: it loads, scrolls, filters and can be used by keyboard alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.pipeline.viewing.conftest import PATIENCE_MS, OpenPage, Serve, Watched
from tests.pipeline.viewing.known_datasets import (
    HEIGHT,
    MOTIONS,
    add_shard,
    begin_dataset,
    flow_px,
    make_dataset,
    object_rows,
)

MANY = 10_000
FAILED = (3, 17)
IDS = [f"scene_{row:05d}" for row in range(40)]
HOSTILE = ["<script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>", "\"'&/..\\", "写真 🎞", "x" * 3000]

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "small.zarr"
    make_dataset(str(folder), IDS, samples_per_shard=16, failed=FAILED)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "many.zarr"
    make_dataset(str(folder), [f"scene_{row:05d}" for row in range(MANY)], samples_per_shard=2500)
    return folder


def names(page: Page) -> list[str]:
    """Return the ids on the tiles, in order."""
    return page.locator("#grid").evaluate(
        """grid => [...grid.querySelectorAll('.tile')].sort((a, b) => a.dataset.position - b.dataset.position)
        .map(tile => tile.querySelector('.name').textContent)"""
    )


def loaded(page: Page) -> None:
    """Wait until a picture is there."""
    expect(page.locator(".tile img").first).to_be_visible()


def test_it_shows_the_samples_and_why_some_failed(serve: Serve, open_page: OpenPage, small: Path) -> None:
    page = open_page(serve(small))
    loaded(page)
    expect(page).to_have_title("small.zarr – fakeflow")
    expect(page.locator("#facts")).to_contain_text(
        "38 usable samples · 2 failed · source drawn · depth drawn · motion davis, seed 1"
    )
    expect(page.get_by_role("status").first).to_have_text("40 samples")
    assert names(page)[:4] == IDS[:4]
    expect(page.locator(".tile").nth(3)).to_contain_text("failed: truncated")
    page.locator(".tile").nth(3).click()
    expect(page.locator("#stage .why")).to_have_text("scene_00003 ends early (truncated)")


def test_ten_thousand_samples_scroll_without_being_loaded(
    serve: Serve, open_page: OpenPage, many: Path, watched: Watched
) -> None:
    page = open_page(serve(many))
    loaded(page)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.get_by_text("scene_09999")).to_be_visible()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    expect(page.get_by_text("scene_05000")).to_be_visible()
    expect(page.locator(".tile img").first).to_be_visible()
    assert page.locator(".tile").count() < 100
    assert len([url for url in watched.requested if "/thumbnail/" in url]) < 250


def test_pictures_that_were_scrolled_away_are_given_up(
    serve: Serve, open_page: OpenPage, many: Path, watched: Watched
) -> None:
    page = open_page(serve(many))
    loaded(page)
    network = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 1000, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", slow)
    page.evaluate("scrollTo(0, 50000)")
    page.wait_for_timeout(300)
    page.evaluate("scrollTo(0, 100000)")
    page.wait_for_timeout(300)
    network.send("Network.emulateNetworkConditions", {**slow, "latency": 0})
    assert any("/thumbnail/" in url for url in watched.given_up)
    loaded(page)


def test_filters_by_id_state_and_motion(serve: Serve, open_page: OpenPage, small: Path) -> None:
    page = open_page(serve(small))
    loaded(page)
    count = page.locator("#count")
    page.get_by_label("Id contains").fill("SCENE_0001")
    expect(count).to_have_text("10 of 40 samples")
    page.get_by_label("State").select_option("failed")
    expect(count).to_have_text("1 of 40 samples")
    assert names(page) == ["scene_00017"]
    page.get_by_label("Id contains").fill("nothing like it")
    expect(page.get_by_text("No sample passes these filters.")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(count).to_have_text("40 samples")
    shot = MOTIONS[0].shot
    option = page.locator("[name=kind] option", has_text=f"shot {shot}, ")
    page.locator("[name=kind]").select_option(option.get_attribute("value"))
    wanted = [row for row in range(40) if row not in FAILED and MOTIONS[row % len(MOTIONS)].shot == shot]
    expect(count).to_have_text(f"{len(wanted)} of 40 samples")
    assert names(page) == [IDS[row] for row in wanted]


def test_filters_by_size_measure_first(serve: Serve, open_page: OpenPage, small: Path) -> None:
    page = open_page(serve(small))
    loaded(page)
    count = page.locator("#count")
    page.get_by_label("Mean flow of at least").fill("3")
    page.get_by_label("Mean flow of at most").fill("5.25")
    wanted = [row for row in range(40) if row not in FAILED and 3 <= flow_px(row) <= 5.25]
    expect(count).to_have_text(f"{len(wanted)} of 40 samples")
    page.get_by_label("Object of at least").fill("50")
    wanted = [row for row in wanted if object_rows(row) / HEIGHT >= 0.5]
    expect(count).to_have_text(f"{len(wanted)} of 40 samples")
    assert names(page) == [IDS[row] for row in wanted]
    share = f"{100 * object_rows(wanted[0]) / HEIGHT:.0f}"
    expect(page.locator(".tile").first).to_contain_text(f"flow {flow_px(wanted[0]):.1f} px · object {share} %")


def test_it_can_be_used_by_keyboard_alone(serve: Serve, open_page: OpenPage, small: Path) -> None:
    page = open_page(serve(small))
    loaded(page)
    keys, focused = page.keyboard, page.locator(":focus")
    expect(page.locator("#keys")).to_contain_text("move · Enter opens · / filters")
    keys.press("/")
    keys.type("scene_0000")
    expect(page.locator("#count")).to_have_text("10 of 40 samples")
    keys.press("Escape")
    expect(focused).to_contain_text("scene_00000")
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    expect(focused).to_contain_text("scene_00002")
    keys.press("ArrowDown")
    expect(focused).to_contain_text("scene_00009")
    keys.press("Home")
    keys.press("ArrowRight")
    keys.press("Enter")
    dialog = page.get_by_role("dialog", name="scene_00001")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("2 of 10")
    keys.press("ArrowRight")
    expect(page.get_by_role("dialog", name="scene_00002")).to_contain_text("size16 × 12 px")
    keys.press("3")
    expect(page.get_by_role("button", name="Flow")).to_have_attribute("aria-pressed", "true")
    keys.press("Shift+ArrowRight")
    expect(page.locator("#readout")).to_contain_text("column 9, row 6")
    keys.press("f")
    expect(page.locator("#caption")).to_contain_text("Frame 2 (rendered now from depth and motion)")
    expect(page.locator("#caption")).to_have_text("Frame 1, the photo")
    keys.press("f")
    keys.press("Escape")
    expect(page.locator("#sample")).not_to_be_visible()
    expect(focused).to_contain_text("scene_00002")


def test_arrows_reach_samples_far_below(serve: Serve, open_page: OpenPage, many: Path) -> None:
    page = open_page(serve(many))
    loaded(page)
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    expect(page.locator(":focus")).to_contain_text("scene_09999")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="scene_09992")).to_contain_text("9,993 of 10,000")


def test_the_vector_under_the_pointer_is_exact(serve: Serve, open_page: OpenPage, small: Path) -> None:
    page = open_page(f"{serve(small)}#row=13&picture=photo")
    expect(page.locator("#readout")).to_have_text("Point at the picture to read its flow.")
    stage = page.locator("#stage")
    box = stage.bounding_box()
    assert box is not None
    scale = min(box["width"] / 16, box["height"] / HEIGHT)
    left, top = (box["width"] - 16 * scale) / 2, (box["height"] - HEIGHT * scale) / 2
    stage.hover(position={"x": left + 2.5 * scale, "y": top + 7.5 * scale})
    expect(page.locator("#readout")).to_contain_text("column 2, row 7")
    expect(page.locator("#readout")).to_contain_text(f"u +{flow_px(13):.2f} pxv +0.00 px|f| {flow_px(13):.2f} px")
    line = page.locator("#vector line").last
    ends = [float(line.get_attribute(name) or "nan") for name in ("x1", "x2", "y1", "y2")]
    assert ends[1] > ends[0] > left
    assert ends[2] == ends[3]


def test_a_link_opens_the_same_sample_again(serve: Serve, open_page: OpenPage, small: Path) -> None:
    address = serve(small)
    page = open_page(address)
    loaded(page)
    page.get_by_text("scene_00011").click()
    page.get_by_role("button", name="Mask").click()
    expect(page.locator("#caption")).to_contain_text("darkened outside of its objects")
    again = open_page(page.url)
    expect(again.get_by_role("dialog", name="scene_00011")).to_be_visible()
    expect(again.get_by_role("button", name="Mask")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Close").click()
    expect(page).to_have_url(address)
    page.get_by_text("scene_00012").click()
    expect(page.get_by_role("dialog", name="scene_00012")).to_be_visible()
    page.go_back()
    expect(page.locator("#sample")).not_to_be_visible()
    expect(page.locator(":focus")).to_contain_text("scene_00012")


@pytest.mark.parametrize("fragment", ["row=4&picture=<b>&motion=99&step=-1", "row=-1", "row=1e9", "x", "row=%00"])
def test_a_wrong_link_does_no_harm(serve: Serve, open_page: OpenPage, small: Path, fragment: str) -> None:
    page = open_page(f"{serve(small)}#{fragment}")
    loaded(page)
    assert page.locator("#sample").is_visible() == fragment.startswith("row=4")


def test_hostile_ids_stay_text(serve: Serve, open_page: OpenPage, tmp_path: Path) -> None:
    make_dataset(str(tmp_path / "<b>x.zarr"), HOSTILE)
    page = open_page(serve(tmp_path / "<b>x.zarr"))
    loaded(page)
    assert names(page) == [*HOSTILE[:4], "x" * 300]
    page.locator(".tile").first.click()
    for name in HOSTILE:
        expect(page.locator("#sample-id")).to_have_text(name)
        page.keyboard.press("ArrowRight")
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_samples_appear_as_they_are_made(serve: Serve, open_page: OpenPage, tmp_path: Path) -> None:
    store = begin_dataset(str(tmp_path / "x.zarr"), 8, 4)
    page = open_page(serve(tmp_path / "x.zarr"))
    expect(page.get_by_text("No sample is made yet. They appear here as they are made.")).to_be_visible()
    add_shard(store, 1, IDS)
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.locator("#facts")).to_contain_text("4 usable samples · 4 not made yet")
    loaded(page)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1400, 900)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_phones_and_desktops_light_and_dark(
    serve: Serve, open_page: OpenPage, small: Path, width: int, height: int, scheme: str
) -> None:
    page = open_page(serve(small), width, height, color_scheme=scheme, has_touch=width < 500)
    loaded(page)
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) > 600) == (scheme == "light")
    if width < 500:
        assert not page.get_by_label("State").is_visible()
        page.get_by_role("button", name="More filters").tap()
        expect(page.get_by_label("State")).to_be_visible()
        assert page.evaluate(fits)
    page.locator(".tile").first.click()
    expect(page.locator("#about")).to_contain_text("camera turns")
    assert page.evaluate("document.querySelector('#sample').scrollWidth <= innerWidth")
    for button in page.get_by_role("dialog").get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_a_screen_reader_learns_the_order_and_the_names(serve: Serve, open_page: OpenPage, small: Path) -> None:
    page = open_page(serve(small))
    loaded(page)
    first = page.get_by_role("list", name="Samples").get_by_role("listitem").first
    assert (first.get_attribute("aria-posinset"), first.get_attribute("aria-setsize")) == ("1", "40")
    assert page.locator(".tile[tabindex='0']").count() == 1
    page.locator(".tile").first.click()
    expect(page.get_by_role("img", name="Photo of scene_00000")).to_be_visible()
    nameless = "[...document.querySelectorAll('button, input, select')].filter(one => one.offsetParent && !"
    nameless += "(one.ariaLabel || one.textContent.trim() || one.labels?.length)).length"
    assert page.evaluate(nameless) == 0
