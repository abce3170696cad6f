// What is on the screen as a file: made by the server, shown, then saved or shared by a second tap.
//
// An app on the home screen of an iPhone has no downloads: there the file goes through navigator.share, which must be called
// straight from a tap. So the file is here before the button for it is.

import { copyText, icon, make, openDialog } from "./elements.js";
import { fullAddress } from "./link.js";
import { makeFeelButtons } from "./reactions.js";
import { state } from "./state.js";
import { language, number, pick, say } from "./words.js";

const TYPES = { gif: "image/gif", webp: "image/webp", mp4: "video/mp4" };
const WIDTH_PX = 640;
const FRAME_MS = 1000;
let blob = "";

export function followExport(app) {
  document.getElementById("make").addEventListener("click", () => openExport(app));
}

function openExport(app) {
  const { playing } = state;
  app.player.pause();
  const view = app.viewOf(app.map);
  const address = fullAddress(app.map);
  const stage = make("div", { id: "preview" });
  const progress = make("div", { id: "progress", role: "status" });
  const size = make("p", { id: "result-size", class: "fine" });
  const send = make("div", { class: "buttons" });
  const formats = makeFormats((format) => run(format));
  const copy = make("button", { id: "copy-view", type: "button", class: "secondary", text: say("copy_link") });
  copy.addEventListener("click", () => copyText(address, copy, say("copied")));
  const feelings = make("div", { class: "feels" });
  const parts = { stage, progress, size, send };
  let stop = new AbortController();

  const run = async (format) => {
    stop.abort();
    stop = new AbortController();
    const { signal } = stop;
    showProgress(parts, format);
    try {
      const made = await create(view, format, signal);
      if (signal.aborted) return;
      showResult(parts, made, format);
      feelings.replaceChildren(make("h3", { text: say("how_feel") }), makeFeelButtons({ ...view, subject: made.subject }));
    } catch (error) {
      if (error.name === "AbortError") return;
      showFailure(parts, error, () => run(format));
    }
  };
  const dialog = openDialog("export", {
    title: say("export_title"), close: say("close"), content: [stage, make("div", { class: "result" }, progress, size), send, feelings, make("h3", { text: say("format") }), formats, copy],
  });
  dialog.addEventListener("close", () => { stop.abort(); forget(); if (playing) app.player.play(); }, { once: true });
  run("gif");
}

function makeFormats(choose) {
  const labels = Object.keys(TYPES).map((format) => make("label", {},
    make("input", { type: "radio", name: "format", value: format, checked: format === "gif" }), make("span", { text: say(`format_${format}`) })));
  const form = make("form", { id: "formats", class: "choice", "aria-label": say("format") }, ...labels);
  form.addEventListener("change", (event) => choose(event.target.value));
  return form;
}

// Answers { url, file, subject, … } with the file already here.
async function create(view, format, signal) {
  const asked = { ...view, width: WIDTH_PX, format, frame_ms: Math.round(FRAME_MS / state.speed), language: language.now };
  const answer = await fetch("/api/animations", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked), signal,
  });
  if (!answer.ok) throw Object.assign(new Error((await answer.json().catch(() => ({}))).detail ?? ""), { status: answer.status });
  const made = await answer.json();
  const content = await fetch(made.url, { signal });
  if (!content.ok) throw Object.assign(new Error(made.url), { status: content.status });
  const name = `react2eo_${view.region}_${view.layer}_${view.first.slice(0, 4)}-${view.last.slice(-4)}.${format}`;
  return { ...made, file: new File([await content.blob()], name, { type: TYPES[format] }) };
}

function showProgress({ stage, progress, size, send }, format) {
  forget();
  stage.replaceChildren(make("div", { class: "spinner" }));
  progress.textContent = say("making", { format: say(`format_${format}`) });
  size.textContent = "";
  send.replaceChildren();
}

function showResult({ stage, progress, size, send }, made, format) {
  const { file } = made;
  blob = URL.createObjectURL(file);
  const about = `${pick(state.layer.title)}, ${pick(state.region.title)}, ${made.periods[0]} – ${made.periods.at(-1)}`;
  const shape = { width: made.width, height: made.height };
  stage.replaceChildren(format === "mp4"
    ? make("video", { src: blob, autoplay: true, loop: true, muted: true, playsinline: true, controls: true, "aria-label": about, ...shape })
    : make("img", { src: blob, alt: about, ...shape }));
  progress.textContent = say("made");
  size.textContent = say("file_size", { format: format.toUpperCase(), kilobytes: number(file.size / 1000), years: made.periods.length });
  const canShare = Boolean(navigator.canShare?.({ files: [file] }));
  const share = make("button", { type: "button", on: { click: () => shareFile(file, about, progress) } }, icon("share"), say("share_file"));
  const save = make("a", { href: blob, download: file.name }, icon("save"), say("save_file"));
  if (navigator.standalone && !canShare) progress.textContent = say("press_long");
  const ordered = navigator.standalone ? [canShare ? share : null] : [save, canShare ? share : null];
  const shown = ordered.filter(Boolean);
  shown.forEach((button, at) => { button.className = at ? "secondary" : "primary"; });
  if (shown[0]) shown[0].id = "send";
  send.replaceChildren(...shown);
}

async function shareFile(file, title, progress) {
  try {
    await navigator.share({ files: [file], title });
  } catch (error) {
    // The reader changed their mind; anything else is worth a word.
    if (error.name !== "AbortError") progress.textContent = say("share_failed");
  }
}

function showFailure({ stage, progress }, error, again) {
  stage.replaceChildren();
  const reason = error.status === 429 || error.status === 503 ? "export_busy" : error.status === 422 ? "export_refused" : error.status ? "export_failed" : "needs_network";
  progress.textContent = say(reason);
  stage.append(make("button", { id: "create", type: "button", class: "primary", text: say("try_again"), on: { click: again } }));
}

function forget() {
  if (blob) URL.revokeObjectURL(blob);
  blob = "";
}
