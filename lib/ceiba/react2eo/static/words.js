// Words of the page in the language of the reader, from /api/words: Spanish unless the browser or the reader asks for English.

const STORED = "react2eo.language";
const LANGUAGES = ["es", "en"];
let words = {};

export const language = { now: "es" };

/** Load the words of both languages; `wished` (of a link) comes before the reader's own choice and the browser's. */
export async function loadWords(wished) {
  const answer = await fetch("/api/words");
  if (!answer.ok) throw new Error(`words: ${answer.status}`);
  words = await answer.json();
  use([wished, recall(), ...(navigator.languages ?? [])].map((each) => each?.slice(0, 2)).find((each) => LANGUAGES.includes(each)) ?? "es");
}

/** Change the language and remember it on this device. */
export function chooseLanguage(name) {
  try { localStorage.setItem(STORED, name); } catch { /* blocked storage: the choice lasts until the page closes */ }
  use(name);
}

function recall() {
  try { return localStorage.getItem(STORED); } catch { return null; }
}

function use(name) {
  language.now = name;
  document.documentElement.lang = name;
  fillIn(document);
}

/** Text of a key with its {places} filled in. */
export function say(key, values = {}) {
  const text = words[language.now]?.[key];
  if (text === undefined) return key;
  return text.replace(/{(\w+)}/g, (_, name) => values[name] ?? "");
}

/** Text of an object {es, en}, as the catalogue gives it. */
export function pick(texts) {
  return texts?.[language.now] ?? texts?.es ?? "";
}

export function number(value, digits = 0) {
  return value.toLocaleString(language.now === "es" ? "es-MX" : "en", { maximumFractionDigits: digits });
}

/** Put the words into elements with data-word (text), data-label (aria-label and tooltip) and data-hint (placeholder). */
export function fillIn(root) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  for (const link of root.querySelectorAll('a[href^="/about"]')) link.href = aboutAddress();
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
    if (element.matches("button, a")) element.title = say(element.dataset.label);
  }
}

/** Address of the page that tells how reactions are kept, in the same language. */
export function aboutAddress() {
  return `/about?language=${language.now}`;
}

/** Text of a period: "2018", or "2016 – 2020" for "2016--2020". */
export function periodText(period) {
  return period.replace("--", " – ");
}
