"""Draw the icons of the app from icon.svg, in the sizes that systems ask for; Chromium draws them.

    python environments/store_packages/draw_icons.py
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parents[2] / "lib" / "ceiba" / "react2eo" / "static" / "icons"
SAFE = 0.86
"""Scale of the drawing on a plate that systems cut to a circle, a square or a drop: all of it lies within 40 % of the middle."""
ICONS = {
    "icon-192.png": (192, False),
    "icon-512.png": (512, False),
    "maskable-512.png": (512, True),
    "apple-touch-icon.png": (180, True),
}


def fill_plate(drawing: str, size: float) -> str:
    """The drawing on a plate without round corners, smaller by the factor ``size``."""
    offset = 256 * (1 - size)
    drawing = drawing.replace(' rx="112"', "")
    wrapped = drawing.replace('<g id="drawing"', f'<g transform="translate({offset:g} {offset:g}) scale({size:g})"><g id="drawing"')
    return wrapped.replace("</svg>", "</g></svg>")


def main() -> None:
    """Write each icon beside the drawing."""
    drawing = (FOLDER / "icon.svg").read_text("utf-8")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for name, (pixels, plate) in ICONS.items():
            page = browser.new_page(viewport={"width": pixels, "height": pixels})
            picture = fill_plate(drawing, SAFE if name.startswith("maskable") else 0.95) if plate else drawing
            page.set_content(f'<style>*{{margin:0}}svg{{display:block;width:{pixels}px}}</style>{picture}')
            shot = Image.open(io.BytesIO(page.screenshot(omit_background=True)))
            (shot.convert("RGB") if plate else shot).save(FOLDER / name, optimize=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
