// @ts-check
// What neither HTML nor htmx does: times that count on, a word when the connection is lost, and
// the keys of menus. Everything works without it, but for those.

/** @typedef {[limit: number, unit: number, word: string]} Step */
/** @type {Step[]} */
const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"]];

/**
 * How long ago, with the same words as the server's.
 * @param {number} seconds
 * @returns {string | null} null where it is a date, which stays as it is
 */
function age(seconds) {
  if (seconds < 3) return "just now";
  for (const [limit, unit, word] of STEPS) {
    if (seconds < limit) return `${Math.floor(seconds / unit)} ${word} ago`;
  }
  const days = Math.floor(seconds / 86400);
  return days < 30 ? `${days} day${days > 1 ? "s" : ""} ago` : null;
}

function countOn() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-age]")) {
    const text = age((now - Date.parse(/** @type {HTMLTimeElement} */ (time).dateTime)) / 1000);
    if (text && time.textContent !== text) time.textContent = text;
  }
}

/** @param {boolean} lost */
function tellConnection(lost) {
  const word = document.getElementById("connection");
  if (word) word.hidden = !lost;
}

/**
 * The keys of a menu button, as WAI-ARIA's authoring practices have them.
 * @param {KeyboardEvent} event
 */
function moveInMenu(event) {
  const target = /** @type {Element} */ (event.target);
  const menu = target.closest("[role=menu]");
  if (!menu) return;
  const items = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("[role=menuitem]")]);
  const here = items.indexOf(/** @type {HTMLElement} */ (target));
  const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  items[(to + items.length) % items.length].focus();
}

/** @param {Event} event */
function openMenu(event) {
  const menu = /** @type {HTMLElement} */ (event.target);
  if (menu.role !== "menu") return;
  if (/** @type {ToggleEvent} */ (event).newState === "open") {
    /** @type {HTMLElement | null} */ (menu.querySelector("[role=menuitem]"))?.focus();
  }
}

/** @param {Event} event */
function closeMenu(event) {
  const item = /** @type {Element} */ (event.target).closest("[role=menuitem]");
  /** @type {HTMLElement | null} */ (item?.closest("[popover]") ?? null)?.hidePopover();
}

document.addEventListener("keydown", moveInMenu);
document.addEventListener("toggle", openMenu, true);
document.addEventListener("click", closeMenu);
document.addEventListener("htmx:sse:error", () => tellConnection(true));
document.addEventListener("htmx:sse:after:connection", () => tellConnection(false));
setInterval(countOn, 1000);
