// Elements of the page from code.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `given` are properties (class, text, on: {event: listener}) and attributes. */
export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (key === "class") element.className = value;
    else if (key === "text") element.textContent = value;
    else if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** One of the page's icons, by its name without "i-". */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(use);
  return drawing;
}

/** Open a dialog of the page with a title and this content; a tap outside it closes it. */
export function openDialog(id, { title, close, content }) {
  const dialog = document.getElementById(id);
  const heading = make("h2", { id: `${id}-title`, text: title, tabindex: "-1" });
  const closing = make("button", { type: "button", class: "close", "aria-label": close, title: close, on: { click: () => dialog.close() } }, icon("close"));
  dialog.setAttribute("aria-labelledby", heading.id);
  dialog.replaceChildren(make("header", {}, heading, closing), ...content);
  if (!dialog.dataset.ready) {
    dialog.dataset.ready = "yes";
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  }
  if (!dialog.open) dialog.showModal();
  heading.focus();
  return dialog;
}

/** Copy a text and say so on the button that was pressed. */
export async function copyText(text, button, copied) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard without HTTPS, or none allowed: the old way works from a selected field.
    const field = make("textarea", { readonly: true, class: "visually-hidden", "aria-hidden": "true" });
    field.value = text;
    button.after(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = copied;
  setTimeout(() => { button.textContent = before; }, 2000);
}
