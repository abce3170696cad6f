"""What holds in every state of the page: it fits, every control can be hit with a thumb, and axe-core finds nothing serious."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

LEAST_PX = 44
GRAVE = {"serious", "critical"}
LAYOUT_FAULTS = Path(__file__).with_name("layout_faults.js").read_text("utf-8").partition("\n")[2]


def find_layout_faults(page) -> list[str]:
    """What is too wide, too small for a thumb, covered, or has its text cut."""
    return page.evaluate(LAYOUT_FAULTS, LEAST_PX)


def find_barriers(page, axe) -> list[str]:
    """What axe-core calls serious or critical."""
    found = [each for each in axe.run(page).response["violations"] if each["impact"] in GRAVE]
    nodes = [(each, node) for each in found for node in each["nodes"]]
    return [f"{each['id']} ({each['impact']}): {node['html'][:160]} | {node.get('failureSummary', '')[:300]}" for each, node in nodes]


def check_state(page, axe, name: str, faults: dict[str, list[str]]) -> None:
    """Note under a name what is wrong with the page as it is now."""
    page.wait_for_timeout(350)  # the sheet and the dialogs move for a quarter of a second
    if found := find_layout_faults(page) + (find_barriers(page, axe) if axe else []):
        faults[name] = found


def read_picture(shot: bytes) -> np.ndarray:
    """Red, green and blue of a screenshot, dims ``(y, x, 3)``."""
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
