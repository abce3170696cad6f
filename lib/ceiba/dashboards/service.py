"""The dashboard of the service itself: how fast it answers, how often it fails or refuses, and what it has to do right now."""

import html
import math
from collections import deque
from collections.abc import Callable

import panel as pn
import param

from ceiba import labels
from ceiba.dashboards.page import FIGURES, PRESSED, group_digits, html_table, link_line, make_page
from ceiba.dashboards.service_figures import Sample, quantile, read_sample, subtract

REFRESH_MS = 5000
RECENT_SAMPLES = 61
"""What is called recent: five minutes of samples."""
SECONDS, REQUESTS, REFUSED = "ceiba_request_seconds", "ceiba_requests_total", "ceiba_refused_total"
MIB = 2**20


class Service(pn.viewable.Viewer):
    """Figures of the server, read again every few seconds while somebody looks.

    Parameters
    ----------
    read
        Gives the figures of this process in the text format of Prometheus.
    """

    language = param.Selector(default="es", objects=list(labels.LANGUAGES))
    span = param.Selector(default="start", objects=["start", "recent"])
    samples = param.Parameter()

    def __init__(self, read: Callable[[], str], *, language: str = "es"):
        self.read = read
        super().__init__(language=language if language in labels.LANGUAGES else "es", samples=deque(maxlen=RECENT_SAMPLES))
        self.update()

    def words(self, name: str) -> str:
        """The label ``dashboards.service_<name>`` in the chosen language."""
        return labels.text(f"dashboards.service_{name}", self.language)

    def update(self) -> None:
        """Read the figures again."""
        self.samples.append(read_sample(self.read()))
        self.param.trigger("samples")

    @property
    def counted(self) -> Sample:
        """What was counted since the server's start, or recently."""
        return self.samples[-1] if self.span == "start" else subtract(self.samples[-1], self.samples[0])

    def __panel__(self) -> pn.viewable.Viewable:
        """Choices, cards and tables."""
        pn.state.onload(lambda: pn.state.add_periodic_callback(self.update, period=REFRESH_MS))
        return pn.Column(self.controls, self.figures, sizing_mode="stretch_width", styles={"overflow-x": "hidden"})

    @param.depends("language")
    def controls(self) -> pn.viewable.Viewable:
        """Links, language and span."""
        ways = {labels.text("dashboards.link_app", self.language): f"/?language={self.language}"}
        ways |= {labels.text("dashboards.link_maps", self.language): f"/dashboards?language={self.language}"}
        language = pn.widgets.RadioButtonGroup.from_param(
            self.param.language, options={"Español": "es", "English": "en"}, name="Idioma | Language", button_type="success",
            button_style="outline", width=180, stylesheets=[PRESSED],
        )  # fmt: skip
        span = pn.widgets.RadioButtonGroup.from_param(
            self.param.span, options={self.words("since_start"): "start", self.words("recent"): "recent"}, name=self.words("span"),
            button_type="success", button_style="outline", width=300, stylesheets=[PRESSED],
        )  # fmt: skip
        return pn.Column(link_line(ways), pn.FlexBox(span, language, gap="10px"), sizing_mode="stretch_width")

    @param.depends("language", "span", "samples")
    def figures(self) -> pn.viewable.Viewable:
        """Cards, times by kind, and refusals."""
        parts = [cards(self.describe()), f"<h3>{html.escape(self.words('times'))}</h3>", self.time_table()]
        parts += [f"<h3>{html.escape(self.words('refused'))}</h3>", self.refusal_table()]
        parts.append(f"<p><small>{html.escape(self.words('text'))}</small></p>")
        return pn.pane.HTML("".join(parts), stylesheets=[FIGURES], sizing_mode="stretch_width", margin=(0, 8))

    def describe(self) -> dict[str, str]:
        """Words and values of the cards."""
        now, counted = self.samples[-1], self.counted
        answers, errors = counted.total(REQUESTS), counted.total(REQUESTS, status="5xx")
        running_s = now.total("ceiba_uptime_seconds")
        lasted_s = running_s if self.span == "start" else counted.moment_s
        tiles = counted.total(f"{SECONDS}_count", kind="tiles")
        hits = counted.total("ceiba_cache_requests_total", result="hit")
        lookups = counted.total("ceiba_cache_requests_total")
        values = {
            "uptime": duration(running_s),
            "answers": group_digits(round(answers)),
            "errors": share(errors, answers),
            "refused": group_digits(round(counted.total(REFUSED))),
            "tiles_a_second": f"{tiles / lasted_s:.1f}" if lasted_s else "–",
            "running": group_digits(round(now.total("ceiba_running"))),
            "cache": share(hits, lookups),
            "reactions": group_digits(round(counted.total("ceiba_reactions_acknowledged_total"))),
            "waiting": group_digits(round(now.total("ceiba_reactions_waiting"))),
            "memory": f"{now.total('process_resident_memory_bytes') / MIB:.0f} MiB",
            "snapshot": duration(now.total("ceiba_snapshot_age_seconds")),
        }
        return {self.words(name): value for name, value in values.items()}

    def time_table(self) -> str:
        """Answers and times of each kind of request."""
        counted, rows = self.counted, []
        for kind in counted.kinds(f"{SECONDS}_count", "kind"):
            count = counted.total(f"{SECONDS}_count", kind=kind)
            buckets = counted.buckets(SECONDS, kind=kind)
            times = [milliseconds(quantile(buckets, part)) for part in (0.5, 0.95)]
            rows.append([self.words(f"kind_{kind}"), group_digits(round(count)), *times])
        heads = [self.words("kind"), self.words("answers"), "p50 [ms]", "p95 [ms]"]
        return html_table(heads, rows, numbers=3)

    def refusal_table(self) -> str:
        """Refusals by kind of request and reason."""
        counted, rows = self.counted, []
        for kind in counted.kinds(REFUSED, "kind"):
            for reason in counted.kinds(REFUSED, "reason"):
                count = counted.total(REFUSED, kind=kind, reason=reason)
                if count:
                    rows.append([self.words(f"kind_{kind}"), self.words(f"reason_{reason}"), group_digits(round(count))])
        if not rows:
            return f"<p>{html.escape(self.words('none_refused'))}</p>"
        return html_table([self.words("kind"), self.words("reason"), self.words("refused")], rows, numbers=1)


def cards(values: dict[str, str]) -> str:
    """Cards of values under their words."""
    parts = [f"<div><b>{html.escape(value)}</b>{html.escape(word)}</div>" for word, value in values.items()]
    return f'<div class="cards">{"".join(parts)}</div>'


def share(part: float, whole: float) -> str:
    """A part of a whole in percent, a dash where there is no whole."""
    return f"{part / whole:.2%}".replace("%", " %") if whole else "–"


def milliseconds(seconds: float) -> str:
    """A time, a dash where there is none."""
    return "–" if math.isnan(seconds) else f"{seconds * 1000:.0f}"


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    if math.isnan(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((position for position, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2])


def build_service(read: Callable[[], str], *, language: str = "es") -> pn.template.BootstrapTemplate:
    """The page, for one visitor."""
    page = make_page("Ceiba")
    page.main.append(Service(read, language=language))
    return page
