"""Every state of the page on small and large screens, light and dark, in both languages; by keyboard alone; with little motion."""

import pytest
from page_checks import check_state
from watched_pages import wait_until

SCREENS = {  # width: height, colors, language, whether axe-core looks at it
    320: (640, "light", "es-MX", True),
    390: (844, "dark", "en-US", False),
    768: (1024, "light", "en-US", False),
    1280: (800, "dark", "es-MX", True),
}

LONGEST_MS = "() => Math.max(0, ...document.getAnimations().map(each => each.effect.getComputedTiming().duration))"


def open_whole(profile, address: str = "/#region=land&layer=land_cover&years=2016..2020"):
    page = profile.open(address)
    page.wait_for_function("() => window.react2eo?.ready && document.documentElement.dataset.whole")
    return page


@pytest.mark.parametrize("width", SCREENS)
def test_every_state_fits_and_can_be_used_by_all(open_profile, axe, width):
    height, colors, language, looked_at = SCREENS[width]
    profile = open_profile(width=width, height=height, color_scheme=colors, locale=language)
    page = open_whole(profile)
    rules = axe if looked_at else None
    faults: dict[str, list[str]] = {}
    check_state(page, rules, "first", faults)
    if page.locator("#handle").is_visible():
        for name in ("half", "full"):
            page.locator("#handle").click()
            check_state(page, rules, name, faults)
        page.locator("#handle").click()
    for button, name in (("#place", "places"), ("#share", "share")):
        page.locator(button).click()
        check_state(page, rules, name, faults)
        page.keyboard.press("Escape")
    page.locator("#make").click()
    page.locator("#send").wait_for()
    page.locator("#export [data-reaction=like]").click()
    check_state(page, rules, "export", faults)
    page.keyboard.press("Escape")
    page.locator("#dislike").click()
    page.locator("#notice.is-there").wait_for()
    check_state(page, rules, "thanks", faults)
    page.locator("#feelings").click()
    page.locator("#feelings-empty, #feelings-legend").wait_for()
    check_state(page, rules, "feelings", faults)
    assert faults == {}
    profile.verify()


def test_by_keyboard_alone(open_profile):
    profile = open_profile(width=1280, height=800)
    page = open_whole(profile)

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                assert page.evaluate("() => document.activeElement.matches(':focus-visible')")
                return
        pytest.fail(f"{selector} cannot be reached with the Tab key")

    tab_to("#play")
    page.keyboard.press("Enter")
    page.wait_for_function("() => !react2eo.state.playing")
    tab_to("[role=slider]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => react2eo.state.first === '2017'")
    tab_to("[role=tab]")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.activeElement.dataset.layer === 'ndvi'")
    page.keyboard.press("Enter")
    page.wait_for_function("() => react2eo.state.layer.name === 'ndvi'")
    tab_to("#like")
    page.keyboard.press("Enter")
    page.locator("#like[aria-pressed=true]").wait_for()
    tab_to("#make")
    page.keyboard.press("Enter")
    page.locator("#send").wait_for()
    assert page.evaluate("() => document.querySelector('#export').contains(document.activeElement)")
    tab_to("#send")
    with page.expect_download():
        page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.locator("#export").wait_for(state="hidden")
    assert page.evaluate("() => document.activeElement.id") == "make", "the focus goes back to where it was"
    period = page.evaluate("react2eo.state.period")
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("before => react2eo.state.period !== before", arg=period)
    profile.verify()


def test_little_motion_where_it_is_asked_for(open_profile):
    profile = open_profile(reduced_motion="reduce")
    page = open_whole(profile)
    assert not page.evaluate("react2eo.state.playing"), "nothing moves before it is asked to"
    assert page.evaluate(LONGEST_MS) <= 10
    page.locator("#handle").click()
    assert page.evaluate(LONGEST_MS) <= 10
    page.locator("#play").click()
    shown = page.evaluate("react2eo.shown")
    wait_until(page, "shown => react2eo.shown > shown", shown)
    profile.verify()
