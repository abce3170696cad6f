"""The review as widgets of a notebook: map, series and chips of a point, and one key a class.

Widgets of a notebook hear no keys by themselves. A text box does: it is kept in focus, each character typed into it is an
answer, and it is emptied again. Whoever prefers the mouse has a button a class.
"""

from collections.abc import Callable

import ipywidgets as widgets
import pandas as pd
from ipyleaflet import CircleMarker, Map, ScaleControl, TileLayer

from ceiba import labels
from ceiba.classification.samples import review
from ceiba.errors import InputError
from ceiba.legends import Legend

ZOOM = 15


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
    background
        Layer of the map below the point. None is an empty map, which needs no connection; any layer of ``ipyleaflet.basemaps``
        is fetched from its server by the browser.
    """

    def __init__(
        self,
        points: pd.DataFrame,
        answers: review.AnswerFile,
        legend: Legend,
        interpreter: str,
        picture: Callable[[pd.Series], bytes],
        *,
        background: TileLayer | None = None,
    ):
        if not interpreter.strip():
            raise InputError("a review needs the name or initials of its interpreter")
        self.points, self.answers, self.interpreter = points, answers, interpreter.strip()
        self.picture, self.keys = picture, review.assign_keys(legend)
        self.undone: list[str] = []
        self.message = widgets.HTML()
        self.box = widgets.Text(
            placeholder=labels.both("classification.review_keys"), continuous_update=True, layout={"width": "20em"}
        )
        self.box.observe(self._type, names="value")
        self.image = widgets.Image(format="png", layout={"width": "720px"})
        self.map = Map(
            layers=(background,) if background else (),
            zoom=ZOOM,
            scroll_wheel_zoom=True,
            layout={"width": "340px", "height": "340px"},
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
        self.message.value += f" · {int(self.current['year'])}"
        self.image.value = self.picture(self.current)

    def press(self, key: str) -> None:
        """Answer by a key: a class, 0 for "cannot tell", - to take the last answer back; any other key is told to mean nothing."""
        if key == review.BACK_KEY:
            self._take_back()
        elif key in self.keys or key == review.UNSURE_KEY:
            if self.current is not None:
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
        typed = change["new"].strip()
        if typed:
            self.box.value = ""
            for key in typed:
                self.press(key)

    def _make_buttons(self, legend: Legend) -> widgets.Widget:
        names = {code: f"{legend.names('es')[code]} | {legend.names('en')[code]}" for code in self.keys.values()}
        extra = {
            review.UNSURE_KEY: labels.both("classification.review_unsure"),
            review.BACK_KEY: labels.both("classification.review_back"),
        }
        buttons = []
        for key, text in ({key: names[code] for key, code in self.keys.items()} | extra).items():
            button = widgets.Button(
                description=f"{key}  {text}", tooltip=text, layout={"width": "265px", "height": "26px"}
            )
            button.style.font_size = "11px"
            if key in self.keys:
                button.layout.border_left = f"8px solid {legend.colors()[self.keys[key]]}"
            button.on_click(lambda _, key=key: self.press(key))
            buttons.append(button)
        return widgets.HBox(buttons, layout={"flex_flow": "row wrap", "width": "1100px"})
