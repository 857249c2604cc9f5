// @ts-check
// `<li data-id aria-label="NAME">` is moved within its list by its `<button class="grip">`: dragged,
// also by touch (which HTML's own dragging can't), or with the arrow keys. It has `data-moving`
// meanwhile, `#moved` (a live region) reads its place, and the place where it is left is posted.

import { on } from "./app.js";

/** @type {HTMLElement | null} the row that is moved */
let row = null;

const visibleRows = () => [...document.querySelectorAll("[data-id]:not([data-out])")];

/** @param {Element | undefined} other the row whose place the moved one takes */
function moveTo(other) {
  if (!row || !other) return;
  const index = visibleRows().indexOf(other);
  other[index < visibleRows().indexOf(row) ? "before" : "after"](row);
  row.toggleAttribute("data-moving", true);
  /** @type {HTMLElement | null} */ (row.querySelector(".grip"))?.focus();
  const output = document.getElementById("moved");
  if (output) output.textContent = `${row.ariaLabel}, ${index + 1} of ${visibleRows().length}`;
}

function drop() {
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
  moveTo(row ? visibleRows()[visibleRows().indexOf(row) + step] : undefined);
});
on("pointerdown", ".grip", (grip, event) => void (row = event.button ? null : grip.closest("li")));
on("pointermove", "html", (_, event) => {
  const over = row && document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-id]");
  if (!row || !over || over === row) return;
  const { top, bottom } = over.getBoundingClientRect();
  const up = over.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
  // Only if the row is under the pointer then: else two rows of different heights would swap for ever.
  if (up ? event.clientY < top + row.clientHeight : event.clientY > bottom - row.clientHeight) moveTo(over);
});
for (const end of ["pointerup", "pointercancel", "keyup"]) document.addEventListener(end, drop);
