// Keys: space plays, arrows go through the years (with shift they move the map), L and D react, Escape lowers the sheet (dialogs close by themselves).

const TYPING = "input:not([type=radio]), textarea, select, [contenteditable]";

export function followKeys({ player, sheet }) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.defaultPrevented) return;
    if (event.target.closest?.(`${TYPING}, dialog[open]`)) return;
    const onControl = event.target.closest?.("button, a, [role=slider], [role=tab], input, label");
    const act = {
      " ": () => !onControl && player.toggle(),
      ArrowLeft: () => !onControl && player.step(-1),
      ArrowRight: () => !onControl && player.step(1),
      l: () => document.getElementById("like").click(),
      d: () => document.getElementById("dislike").click(),
      Escape: () => sheet.set("peek"),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || act() === false) return;
    event.preventDefault();
    event.stopPropagation();
  }, { capture: true });
}
