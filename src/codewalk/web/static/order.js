// @ts-check
// `<li data-id aria-label="NAME">` is moved within its list by its `<button class="grip">`: dragged,
// also by touch (which HTML's own dragging can't), or by its arrow keys. It has `data-moving` on its
// way, `#moved` (a live region) tells its place, and where it is left is posted.

import { on } from "./app.js";

/** @type {HTMLElement | null} the row that is held */
let row = null;

const rows = () => [...document.querySelectorAll("[data-id]:not([data-out])")]; // that are seen

/** @param {Element | undefined} other the row whose place it takes */
function place(other) {
  if (!row || !other) return;
  const to = rows().indexOf(other);
  other[to < rows().indexOf(row) ? "before" : "after"](row);
  row.toggleAttribute("data-moving", true);
  /** @type {HTMLElement | null} */ (row.querySelector(".grip"))?.focus();
  const told = document.getElementById("moved");
  if (told) told.textContent = `${row.ariaLabel}, ${to + 1} of ${rows().length}`;
}

function leave() {
  if (row?.hasAttribute("data-moving")) {
    row.toggleAttribute("data-moving", false);
    const before = /** @type {HTMLElement | null} */ (row.nextElementSibling)?.dataset.id ?? "";
    htmx.ajax("POST", `/servers/${row.dataset.id}/move`, { source: "#act", values: { before }, swap: "none" });
  }
  row = null;
}

on("keydown", ".grip", (grip, event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  row = grip.closest("li");
  place(row ? rows()[rows().indexOf(row) + step] : undefined);
});
on("pointerdown", ".grip", (grip, event) => void (row = event.button ? null : grip.closest("li")));
on("pointermove", "html", (_, event) => {
  const over = row && document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-id]");
  if (!row || !over || over === row) return;
  const { top, bottom } = over.getBoundingClientRect();
  const up = over.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
  // Only if it is under the pointer then: else rows of two heights would change places for ever.
  if (up ? event.clientY < top + row.clientHeight : event.clientY > bottom - row.clientHeight) place(over);
});
for (const end of ["pointerup", "pointercancel", "keyup"]) document.addEventListener(end, leave);
