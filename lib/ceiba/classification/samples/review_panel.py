"""The review as widgets of a notebook: map, series and chips of a point, and one key a class.

Widgets of a notebook hear no keys by themselves. A text box does: it is kept in focus, and each character that comes to its end
is an answer. It is never emptied while somebody types: the browser would then send a character twice. Whoever prefers the mouse
has a button a class.
"""

import time
from collections.abc import Callable

import ipywidgets as widgets
import pandas as pd
from ipyleaflet import CircleMarker, ImageOverlay, Map, ScaleControl, TileLayer

from ceiba import labels
from ceiba.classification.samples import review
from ceiba.classification.samples.review_pictures import Surroundings
from ceiba.errors import InputError
from ceiba.legends import Legend

ZOOM = 14
LONGEST_NAME = 24
SHORTEST_LOOK_S = 0.4


class ReviewPanel:
    """A review of points by one interpreter.

    Parameters
    ----------
    points
        From :func:`ceiba.classification.samples.review.draw_review_points`.
    answers
        File that each answer is written to at once; a review goes on after what the interpreter has answered there.
    legend
        Classes to choose from.
    interpreter
        Name or initials.
    picture
        From a row of ``points`` to a PNG of what is shown of it.
    surroundings
        From a row of ``points`` to the picture that the map shows, which needs no connection; none where it is None.
    background
        Layer of the map below that, such as one of ``ipyleaflet.basemaps``, which the browser fetches from its server.
    shortest_look_s
        Time [s] that a point must have been shown before a key counts: a key held down must not answer points unseen.
    """

    def __init__(
        self,
        points: pd.DataFrame,
        answers: review.AnswerFile,
        legend: Legend,
        interpreter: str,
        picture: Callable[[pd.Series], bytes],
        *,
        surroundings: Callable[[pd.Series], Surroundings] | None = None,
        background: TileLayer | None = None,
        shortest_look_s: float = SHORTEST_LOOK_S,
    ):
        if not interpreter.strip():
            raise InputError("a review needs the name or initials of its interpreter")
        self.points, self.answers, self.interpreter = points, answers, interpreter.strip()
        self.picture, self.surroundings, self.keys = picture, surroundings, review.assign_keys(legend)
        self.undone: list[str] = []
        self.typed, self.shown_at_s, self.shortest_look_s = "", 0.0, shortest_look_s
        self.message = widgets.HTML()
        self.box = widgets.Text(
            placeholder=labels.both("classification.review_keys"), continuous_update=True, layout={"width": "280px"}
        )
        self.box.observe(self._type, names="value")
        self.image = widgets.Image(format="png", layout={"width": "590px"})
        self.background = (background,) if background else ()
        self.map = Map(
            layers=self.background, zoom=ZOOM, scroll_wheel_zoom=True, layout={"width": "280px", "height": "330px"}
        )
        self.map.add(ScaleControl(position="bottomleft", imperial=False))
        self.marker = CircleMarker(radius=8, color="#ffb000", fill=False, weight=3)
        self.map.add(self.marker)
        self.buttons = self._make_buttons(legend)
        side = widgets.VBox([self.map, self.box, self.message])
        self.widget = widgets.VBox([widgets.HBox([self.image, side]), self.buttons])
        self.show_next()

    @property
    def pending(self) -> pd.DataFrame:
        """Points without an answer of this interpreter; those taken back come first."""
        pending = review.find_pending(self.points, self.answers.read(), self.interpreter)
        first = pending["sample_id"].isin(self.undone[-1:])
        return pd.concat([pending[first], pending[~first]], ignore_index=True)

    def show_next(self) -> None:
        """Show the next point, or that there is none left."""
        pending = self.pending
        done = len(self.points) - len(pending)
        self.message.value = f"<b>{done} / {len(self.points)}</b> {self.interpreter}"
        self.current = None if pending.empty else pending.iloc[0]
        if self.current is None:
            self.image.value = b""
            self.message.value += f" {labels.both('classification.review_done')}"
            return
        place = (float(self.current["latitude"]), float(self.current["longitude"]))
        self.map.center, self.marker.location = place, place
        if self.surroundings is not None:
            shown = self.surroundings(self.current)
            overlay = ImageOverlay(url=shown.url, bounds=shown.bounds)
            self.map.layers = (*self.background, overlay, self.marker)
        self.message.value += f" · {int(self.current['year'])}"
        self.image.value = self.picture(self.current)
        self.shown_at_s = time.monotonic()

    def press(self, key: str) -> None:
        """Answer by a key: a class, 0 for "cannot tell", - to take the last answer back; any other key is told to mean nothing."""
        if key == review.BACK_KEY:
            self._take_back()
        elif key in self.keys or key == review.UNSURE_KEY:
            if self.current is not None and time.monotonic() - self.shown_at_s < self.shortest_look_s:
                self.message.value = f"{labels.both('classification.review_too_quick')}: {key!r}"
            elif self.current is not None:
                code = self.keys.get(key, review.UNSURE)
                self.answers.append(self.current["sample_id"], self.interpreter, code)
                self.undone = [name for name in self.undone if name != self.current["sample_id"]]
                self.show_next()
        else:
            self.message.value = f"{labels.both('classification.review_no_key')}: {key!r}"
        self.box.focus()

    def _take_back(self) -> None:
        mine = self.answers.read()
        mine = mine[(mine["interpreter"] == self.interpreter) & mine["sample_id"].isin(self.points["sample_id"])]
        if len(mine):
            name = mine["sample_id"].iloc[-1]
            self.answers.append(name, self.interpreter, review.WITHDRAWN)
            self.undone.append(name)
            self.show_next()

    def _type(self, change) -> None:
        before, now = self.typed, change["new"]
        self.typed = now
        added = now.removeprefix(before) if now.startswith(before) else ""
        # Of several characters at once only the first was typed while this point was seen.
        if added.strip():
            self.press(added.strip()[0])

    def _make_buttons(self, legend: Legend) -> widgets.Widget:
        names = {code: f"{legend.names('es')[code]} | {legend.names('en')[code]}" for code in self.keys.values()}
        extra = {
            review.UNSURE_KEY: labels.both("classification.review_unsure"),
            review.BACK_KEY: labels.both("classification.review_back"),
        }
        buttons = []
        for key, text in ({key: names[code] for key, code in self.keys.items()} | extra).items():
            button = widgets.Button(
                description=f"{key}  {text}", tooltip=text, layout={"width": "32%", "height": "26px"}
            )
            button.style.font_size = "11px"
            if key in self.keys:
                button.layout.border_left = f"8px solid {legend.colors()[self.keys[key]]}"
            button.on_click(lambda _, key=key: self.press(key))
            buttons.append(button)
        return widgets.HBox(buttons, layout={"flex_flow": "row wrap", "width": "100%"})


def _shorten(text: str) -> str:
    """Both names cut so that a button shows the beginning of each; the whole stands in its tooltip."""
    return " | ".join(
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in text.split(" | ")
    )
