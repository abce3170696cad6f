// The player: shows the chosen years one after the other, each only when it is whole, and goes on with those it has.

import { change, chosenPeriods, state, watch } from "./state.js";

const YEAR_MS = 1000;
const LAST_YEAR_MS = 1900;
const RETRY_MS = 5000;
const WAITING_MS = 350;
const AHEAD_PLAYING = 3;
const AHEAD_STILL = 1;

export class Player {
  constructor(frames, { onFailure, onFirstFrame }) {
    this.frames = frames;
    this.onFailure = onFailure;
    this.onFirstFrame = onFirstFrame;
    this.stop = null; // until the first restart()
    this.missing = new Set();
    watch(["layer", "first", "last"], () => { if (this.stop) this.restart(); });
    const again = () => { this.missing.clear(); if (this.stop) this.restart(); };
    addEventListener("online", again);
    document.addEventListener("visibilitychange", again);
    frames.map.on("moveend", () => this.missing.clear());
  }

  play() {
    if (chosenPeriods().length < 2) return;
    change({ playing: true });
    this.restart();
  }

  pause() {
    change({ playing: false });
    this.restart();
  }

  toggle() {
    if (state.playing) this.pause();
    else this.play();
  }

  /** Pause and show the year before or after. */
  step(by) {
    const periods = chosenPeriods();
    const at = (periods.indexOf(this.wanted ?? state.period) + by + periods.length) % periods.length;
    this.seek(periods[at]);
  }

  /** Pause and show a year. */
  seek(period) {
    change({ playing: false });
    this.wanted = period;
    this.restart();
  }

  /** Begin anew with what the state says now. */
  restart() {
    this.stop?.abort();
    this.stop = new AbortController();
    change({ waiting: false });
    if (document.visibilityState === "hidden" || !state.layer) return;
    this.run(this.stop.signal);
  }

  async run(signal) {
    const periods = chosenPeriods();
    if (state.playing && periods.length < 2) change({ playing: false });
    const now = periods.includes(this.wanted ?? state.period) ? this.wanted ?? state.period : periods[0];
    if (!(await this.bring(now, signal)) && !state.playing) await this.retry(now, signal);
    while (!signal.aborted && state.playing) {
      const present = state.period;
      const next = this.nextOf(periods, present);
      if (!next) {
        await pause(RETRY_MS, signal);
        this.missing.clear();
        continue;
      }
      this.fetchAhead(periods, next, signal);
      await this.bring(next, signal, { after: this.dwell(periods, present) });
    }
    if (!signal.aborted) this.fetchAhead(periods, state.period, signal);
  }

  /** Show a period as soon as it is whole, not before `after` ms; false where it did not come. */
  async bring(period, signal, { after = 0 } = {}) {
    const slow = setTimeout(() => { if (!signal.aborted) change({ waiting: true }); }, after + WAITING_MS);
    const { layer } = state;
    const enough = pause(after, signal);
    let outcome;
    do {
      outcome = await this.frames.prepare(layer, period, signal);
      await enough;
      // The map may have moved in the meantime, and its frames with it.
    } while (outcome === "ready" && !signal.aborted && !this.frames.show(layer, period));
    clearTimeout(slow);
    if (signal.aborted) return false;
    change({ waiting: false });
    if (outcome !== "ready") {
      this.missing.add(period);
      this.onFailure(period);
      return false;
    }
    this.missing.delete(period);
    this.wanted = null;
    change({ period });
    this.onFirstFrame?.();
    this.onFirstFrame = null;
    return true;
  }

  async retry(period, signal) {
    while (!signal.aborted) {
      await pause(RETRY_MS, signal);
      if (!signal.aborted && (await this.bring(period, signal))) return;
    }
  }

  dwell(periods, period) {
    return (period === periods.at(-1) ? LAST_YEAR_MS : YEAR_MS) / state.speed;
  }

  nextOf(periods, period) {
    const at = periods.indexOf(period);
    const order = [...periods.slice(at + 1), ...periods.slice(0, Math.max(at, 0))];
    return order.find((each) => !this.missing.has(each));
  }

  // One at a time, in the order in which they will be seen; a reader who saves data gets only what is asked for.
  async fetchAhead(periods, from, signal) {
    const count = navigator.connection?.saveData ? 0 : state.playing ? AHEAD_PLAYING : AHEAD_STILL;
    const at = periods.indexOf(from);
    const ahead = [...periods.slice(at + 1), ...periods.slice(0, at)].slice(0, count);
    const { layer } = state;
    for (const period of ahead) {
      if (signal.aborted || this.frames.isReady(layer, period) || this.missing.has(period)) continue;
      await this.frames.prepare(layer, from, signal);
      if ((await this.frames.prepare(layer, period, signal)) !== "ready") return;
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => { clearTimeout(timer); signal.removeEventListener("abort", end); resolve(); };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
