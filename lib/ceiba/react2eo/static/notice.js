// Short messages over the map, also read by screen readers.

let timer = 0;

/** Say something; `action` {text, run} adds a button, `lasts_ms` is how long it stays, `stay` keeps it until the next message. */
export function notify(text, { action = null, stay = false, lasts_ms = action ? 9000 : 5000 } = {}) {
  const box = document.getElementById("notice");
  clearTimeout(timer);
  if (!stay) timer = setTimeout(() => notify(""), lasts_ms);
  // The same again would be read out again.
  if (text && !action && box.firstChild?.textContent === text && !box.querySelector("button")) return;
  box.replaceChildren();
  box.classList.toggle("is-there", Boolean(text));
  if (!text) {
    clearTimeout(timer);
    return;
  }
  const words = document.createElement("span");
  words.textContent = text;
  box.append(words);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.text;
    button.addEventListener("click", () => { notify(""); action.run(); });
    box.append(button);
  }
}
