"""The dashboard of the service itself: its numbers, and its page in a real browser."""

import math
import shutil
from pathlib import Path

import pytest

from ceiba.dashboards.service_figures import quantile, read_sample, subtract

CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
TEXT = """
# TYPE ceiba_request_seconds histogram
ceiba_request_seconds_bucket{kind="tiles",le="0.1"} 50
ceiba_request_seconds_bucket{kind="tiles",le="0.25"} 90
ceiba_request_seconds_bucket{kind="tiles",le="+Inf"} 100
ceiba_request_seconds_count{kind="tiles"} 100
ceiba_request_seconds_sum{kind="tiles"} 12
# TYPE ceiba_requests counter
ceiba_requests_total{route="/a",method="GET",status="2xx"} 99
ceiba_requests_total{route="/b",method="GET",status="5xx"} 1
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 104857600
"""


def test_quantiles_are_those_of_prometheus():
    # Worked by hand: 30 of the 40 between 0.1 and 0.25 are 0.1 + 0.15 * 30 / 40.
    buckets = [(0.1, 50.0), (0.25, 90.0), (math.inf, 100.0)]
    assert quantile(buckets, 0.5) == pytest.approx(0.1)
    assert quantile(buckets, 0.8) == pytest.approx(0.2125)
    assert quantile(buckets, 0.25) == pytest.approx(0.05)
    assert quantile(buckets, 0.95) == 0.25, "the last bucket has no end"
    assert math.isnan(quantile([(0.1, 0.0), (math.inf, 0.0)], 0.5)) and math.isnan(quantile([], 0.5))


def test_figures_are_summed_and_subtracted():
    earlier, later = read_sample(TEXT), read_sample(TEXT.replace("} 99", "} 199").replace("} 90", "} 140").replace("} 100\n", "} 150\n"))
    assert earlier.total("ceiba_requests_total") == 100 and earlier.total("ceiba_requests_total", status="5xx") == 1
    assert earlier.buckets("ceiba_request_seconds", kind="tiles") == [(0.1, 50), (0.25, 90), (math.inf, 100)]
    counted = subtract(later, earlier)
    assert counted.total("ceiba_requests_total") == 100 and counted.total("ceiba_requests_total", status="5xx") == 0
    assert counted.buckets("ceiba_request_seconds") == [(0.1, 0), (0.25, 50), (math.inf, 50)]


def test_cards_and_tables_tell_them_in_both_languages():
    from ceiba.dashboards.service import Service, duration

    texts = [TEXT, TEXT + '# TYPE ceiba_refused counter\nceiba_refused_total{kind="tiles",reason="too_many"} 7\n']
    page = Service(lambda: texts.pop(0))
    assert page.describe()["errores nuestros (5xx)"] == "1.00 %" and page.describe()["memoria"] == "100 MiB"
    assert "Teselas" in page.time_table() and ">100<" in page.time_table() and "Nada se ha rechazado" in page.refusal_table()
    page.update()
    page.language, page.span = "en", "recent"
    assert page.describe()["errors of ours (5xx)"] == "–", "nothing was answered meanwhile"
    assert "too many requests" in page.refusal_table() and ">7<" in page.refusal_table()
    assert [duration(each) for each in (5, 65, 7325, 90000, math.nan)] == ["5 s", "1 min 5 s", "2 h 2 min", "1 d 1 h", "–"]


def test_every_kind_and_reason_has_words():
    import re

    from ceiba import labels
    from ceiba.config import project_root
    from ceiba.react2eo.settings import LIMITS

    kinds = set(LIMITS) - {"device", "body_kb"}
    code = (project_root() / "lib" / "ceiba" / "react2eo" / "protection" / "limits.py").read_text("utf-8")
    reasons = set(re.findall(r'Refusal\(\d+(?: if error.own else \d+)?, "(\w+)"', code)) | {"busy", "too_many_of_device"}
    assert len(reasons) >= 7
    for language in labels.LANGUAGES:
        known = labels.load_labels(language)
        wanted = {f"dashboards.service_kind_{kind}" for kind in kinds} | {f"dashboards.service_reason_{each}" for each in reasons}
        assert wanted <= set(known)


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"Chromium is not installed ({CHROMIUM} does not exist)")
def test_the_page_tells_how_the_server_does(server_url):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        for width in (390, 1280):
            page, errors, outside = browser.new_page(viewport={"width": width, "height": 900}), [], []
            page.set_default_timeout(120_000)
            page.on("console", lambda message, errors=errors: errors.append(message.text) if message.type == "error" else None)
            page.on("request", lambda request, outside=outside: outside.append(request.url))
            page.goto(f"{server_url}/dashboards/service")
            page.get_by_text("Tiempos de respuesta").wait_for()
            assert page.get_by_text("Páginas y consultas").is_visible() and page.get_by_text("memoria").is_visible()
            page.get_by_text("English", exact=True).click()
            page.get_by_text("Times of answers").wait_for()
            assert errors == [] and [each for each in outside if not each.startswith((server_url, "data:", "blob:"))] == []
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{wide} px wider than the screen"
            page.close()
        browser.close()
