// @ts-check
// What neither HTML nor htmx does: times that count on, a word when the connection is lost, the
// keys of menus and of the switcher, and filters. Everything works without it, but for those.

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

const panel = document.getElementById("switcher");
const field = /** @type {HTMLInputElement | null} */ (document.getElementById("switch-filter"));

/** The servers that the filter leaves, in the order that is seen. */
function picks() {
  const all = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#picks > :not([data-out]) > .go"));
  return [...all];
}

/** @param {KeyboardEvent} event */
function openSwitcher(event) {
  if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  if (event.key.toLowerCase() !== "k") return;
  const button = document.getElementById("switch-server");
  if (!button || !panel) return;
  event.preventDefault();
  // As if it had been pressed: the focus comes back to it.
  if (!panel.matches(":popover-open")) button.focus();
  button.click();
}

/** @param {KeyboardEvent} event */
function moveInSwitcher(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (!field || !panel?.contains(target) || event.isComposing) return;
  const items = picks();
  const here = items.findIndex((item) => item.parentElement?.contains(target));
  if (event.key === "Enter" && target === field) {
    event.preventDefault();
    // One that is down isn't taken: there it says why.
    if (items[0]?.ariaDisabled) items[0].focus();
    else items[0]?.click();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const ring = [field, ...items];
    ring[(here + 1 + (event.key === "ArrowDown" ? 1 : ring.length - 1)) % ring.length].focus();
  } else if (event.key.length === 1 && event.key !== " " && target !== field) {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) field.focus(); // and it is typed there
  }
}

/** @param {Event} event */
function closeSwitcher(event) {
  const button = /** @type {Element} */ (event.target).closest("#switcher .go, #switcher [data-closes]");
  if (button && !button.ariaDisabled) panel?.hidePopover();
}

/** @param {Event} event */
function clearSwitcher(event) {
  if (event.target !== panel || !field || /** @type {ToggleEvent} */ (event).newState !== "closed") return;
  field.value = "";
  filter(field);
}

/**
 * Takes out of a list what doesn't have each of the words typed.
 * @param {HTMLInputElement} input
 */
function filter(input) {
  const words = input.value.toLowerCase().split(/\s+/);
  const items = document.querySelectorAll(`#${input.dataset.filters} > li`);
  let left = 0;
  for (const item of items) {
    const text = [...item.querySelectorAll(".name, .url")].map((part) => part.textContent).join(" ").toLowerCase();
    const out = !words.every((word) => text.includes(word));
    // Not `hidden`: what the server sends next would bring it back.
    if (item.hasAttribute("data-out") !== out) item.toggleAttribute("data-out", out);
    if (!out) left += 1;
  }
  const count = document.querySelector(`output[for="${input.id}"]`);
  const told = input.value.trim() ? `${left || "None"} of ${items.length} servers` : "";
  if (count && count.textContent !== told) count.textContent = told;
}

function filterAgain() {
  for (const input of document.querySelectorAll("input[data-filters]")) {
    if (/** @type {HTMLInputElement} */ (input).value) filter(/** @type {HTMLInputElement} */ (input));
  }
}

/** @param {Event} event */
function filterTyped(event) {
  const input = /** @type {HTMLInputElement} */ (event.target);
  if (input.dataset.filters) filter(input);
}

document.addEventListener("keydown", openSwitcher);
document.addEventListener("keydown", moveInSwitcher);
document.addEventListener("click", closeSwitcher);
document.addEventListener("toggle", clearSwitcher, true);
document.addEventListener("input", filterTyped);
document.addEventListener("htmx:after:swap", filterAgain);
document.addEventListener("keydown", moveInMenu);
document.addEventListener("toggle", openMenu, true);
document.addEventListener("click", closeMenu);
document.addEventListener("htmx:sse:error", () => tellConnection(true));
document.addEventListener("htmx:sse:after:connection", () => tellConnection(false));
setInterval(countOn, 1000);
