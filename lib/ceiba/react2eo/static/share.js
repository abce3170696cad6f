// Sharing: the link to what is seen, and the snippet for other pages.

import { copyText, icon, make, openDialog } from "./elements.js";
import { embedSnippet, fullAddress } from "./link.js";
import { state } from "./state.js";
import { pick, say } from "./words.js";

export function followShare({ map }) {
  for (const id of ["share", "open-share"]) document.getElementById(id).addEventListener("click", () => openShare(map));
}

function openShare(map) {
  const address = fullAddress(map);
  const title = `${pick(state.layer.title)} · ${pick(state.region.title)}`;
  const link = make("input", { id: "link", type: "text", readonly: true, value: address, "aria-label": say("link") });
  const copy = make("button", { id: "copy-link", type: "button", class: "primary", text: say("copy_link") });
  const send = make("button", { id: "send-link", type: "button", class: "secondary" }, icon("share"), say("send_link"));
  const snippet = make("textarea", { id: "snippet", readonly: true, rows: "4", "aria-label": say("embed") });
  const copySnippet = make("button", { id: "copy-embed", type: "button", class: "secondary", text: say("copy_code") });
  snippet.value = embedSnippet(map, title);
  for (const field of [link, snippet]) field.addEventListener("focus", () => field.select());
  copy.addEventListener("click", () => copyText(address, copy, say("copied")));
  copySnippet.addEventListener("click", () => copyText(snippet.value, copySnippet, say("copied")));
  send.addEventListener("click", () => navigator.share({ title, url: address }).catch(() => { /* closed by the reader */ }));
  const buttons = make("div", { class: "buttons" }, copy, navigator.share ? send : null);
  openDialog("share-box", {
    title: say("share"), close: say("close"),
    content: [
      make("p", { text: say("link_explained") }), link, buttons,
      make("details", { class: "fold" }, make("summary", { text: say("embed") }), make("p", { text: say("embed_explained") }), snippet, copySnippet),
    ],
  });
}
