// What is too wide for the screen, too small for a thumb, covered, or has its text cut, in what is open now; one text each.
(least) => {
  const CONTROLS = "button, a[href], input, select, textarea, summary, [role=tab], [role=slider], [role=switch]";
  const PARTS = "#panel, #sheet, #top, #actions, #notice.is-there, dialog[open], dialog[open] > *";
  const faults = [];
  const visible = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true });
  const name = (element) => `${element.tagName}#${element.id}.${element.className} "${element.textContent.trim().slice(0, 30)}"`;

  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} px wide`);
  for (const part of document.querySelectorAll(PARTS)) {
    if (!visible(part) || part.matches("input, textarea")) continue;
    const box = part.getBoundingClientRect();
    if (box.left < -1 || box.right > innerWidth + 1) faults.push(`${name(part)} reaches from ${box.left} to ${box.right}`);
    const clips = part.id === "notice" || getComputedStyle(part).overflowX !== "visible";
    if (clips && part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 1) {
      faults.push(`${name(part)} scrolls sideways: ${part.scrollWidth} > ${part.clientWidth}`);
    }
  }

  // A control may be hit beside its own box: on its label, or where its drawn part is smaller than what takes the tap. So what is
  // not large enough as a box is tried with taps around its middle.
  const open = document.querySelector("dialog[open]") ?? document;
  for (const control of open.querySelectorAll(CONTROLS)) {
    const own = control.matches("input[type=radio], input[type=checkbox]") ? control.closest("label") ?? control : control;
    if (!visible(own) || control.disabled || own.closest("[inert], [aria-hidden=true]")) continue;
    own.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    const box = own.getBoundingClientRect();
    if (box.width <= 1 || box.height <= 1) continue;
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const hits = (dx, dy) => {
      const top = document.elementFromPoint(x + dx, y + dy);
      return top !== null && (own.contains(top) || top.closest("label")?.control === control);
    };
    const reach = least / 2 - 1;
    const wide = box.width >= least - 0.5 || (hits(-reach, 0) && hits(reach, 0));
    const high = box.height >= least - 0.5 || (hits(0, -reach) && hits(0, reach));
    if (!wide || !high) faults.push(`${name(own)} is small: ${box.width} x ${box.height} px`);
    else if (!hits(0, 0)) faults.push(`${name(own)} is covered by ${document.elementFromPoint(x, y)?.outerHTML.slice(0, 80)}`);
  }

  for (const element of open.querySelectorAll("button, label, h1, h2, #badge")) {
    const cut = element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1;
    if (cut && visible(element) && getComputedStyle(element).textOverflow !== "ellipsis") faults.push(`the text of ${name(element)} is cut`);
  }
  return faults;
}
