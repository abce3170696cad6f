// The bottom sheet: three heights, by hand on its handle or by keyboard. On wide screens the same element is a side panel.

const HEIGHTS = ["peek", "half", "full"];
const FLICK_PX_PER_MS = 0.5;

export class Sheet {
  /** `onResize` hears of every new resting height. */
  constructor(element, handle, body, { onResize }) {
    Object.assign(this, { element, handle, body, onResize });
    this.panel = matchMedia("(min-width: 900px), (orientation: landscape) and (max-height: 560px) and (min-width: 560px)");
    this.panel.addEventListener("change", () => this.set(this.height));
    addEventListener("resize", () => this.set(this.height));
    handle.addEventListener("click", () => { if (!this.dragged) this.set(HEIGHTS[(HEIGHTS.indexOf(this.height) + 1) % HEIGHTS.length]); });
    handle.addEventListener("keydown", (event) => this.pressKey(event));
    handle.addEventListener("pointerdown", (event) => this.startDrag(event));
    this.height = "peek";
    const observer = new ResizeObserver(() => { if (!this.element.classList.contains("is-dragged")) this.set(this.height); });
    for (const child of element.children) if (child !== body) observer.observe(child);
  }

  get isPanel() { return this.panel.matches; }

  /** Go to a height: "peek", "half" or "full". */
  set(height) {
    this.height = height;
    this.element.dataset.height = height;
    this.handle.setAttribute("aria-expanded", String(height !== "peek"));
    this.body.inert = height === "peek" && !this.isPanel;
    // What the sheet lies on cannot be seen, so it takes no focus either.
    for (const id of ["side", "year"]) document.getElementById(id).inert = height === "full" && !this.isPanel;
    this.element.style.height = this.isPanel ? "" : `${this.pixels(height)}px`;
    this.onResize(this);
  }

  /** Part of the map that the sheet covers: { bottom } or { left } [px]; in full height as in half, or nothing would be left. */
  covers() {
    if (this.isPanel) return { left: this.element.getBoundingClientRect().right, bottom: 0 };
    return { left: 0, bottom: this.pixels(this.height === "full" ? "half" : this.height) };
  }

  pixels(height) {
    const share = { peek: 0, half: 0.56, full: 0.92 }[height];
    return Math.max(Math.round(innerHeight * share), this.least());
  }

  // What is always seen: all of the sheet but its body.
  least() {
    return [...this.element.children].filter((child) => child !== this.body).reduce((sum, child) => sum + child.offsetHeight + parseFloat(getComputedStyle(child).marginBottom), 0);
  }

  pressKey(event) {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    this.set(HEIGHTS[Math.min(Math.max(HEIGHTS.indexOf(this.height) + by, 0), 2)]);
  }

  startDrag(start) {
    if (this.isPanel) return;
    const from = this.element.offsetHeight;
    let last = { y: start.clientY, at: start.timeStamp, speed: 0 };
    this.dragged = false;
    this.handle.setPointerCapture(start.pointerId);
    const move = (event) => {
      const by = start.clientY - event.clientY;
      if (Math.abs(by) > 4) this.dragged = true;
      if (!this.dragged) return;
      this.element.classList.add("is-dragged");
      this.element.style.height = `${Math.min(Math.max(from + by, this.least()), innerHeight * 0.94)}px`;
      last = { y: event.clientY, at: event.timeStamp, speed: (last.y - event.clientY) / Math.max(event.timeStamp - last.at, 1) };
    };
    const end = () => {
      this.handle.removeEventListener("pointermove", move);
      this.element.classList.remove("is-dragged");
      if (!this.dragged) return;
      const rest = this.element.offsetHeight + (Math.abs(last.speed) > FLICK_PX_PER_MS ? Math.sign(last.speed) * innerHeight * 0.14 : 0);
      const nearest = HEIGHTS.reduce((best, each) => (Math.abs(this.pixels(each) - rest) < Math.abs(this.pixels(best) - rest) ? each : best));
      this.set(nearest);
      setTimeout(() => { this.dragged = false; }, 0);
    };
    this.handle.addEventListener("pointermove", move);
    this.handle.addEventListener("pointerup", end, { once: true });
    this.handle.addEventListener("pointercancel", end, { once: true });
  }
}
