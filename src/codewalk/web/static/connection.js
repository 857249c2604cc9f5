// @ts-check
// Whether the page reaches CodeWalk. If not, `#connection` (a live region) has the content of
// `<template data-connection="stopped">`, all that needs CodeWalk has `aria-disabled`, and the style
// sheet greys states by `data-stopped`. Fields stay: what was typed is kept. `refused` is for a page
// that CodeWalk doesn't answer, such as one that is no longer signed in; there it may answer others.

/** @typedef {"" | "stopped" | "refused"} State */

const NEEDS_APP = "a[href^='/'], button:not([type=button]), .grip, .more, #switch-server";
const SENDS_AT_ONCE = "form[hx-trigger*='change'] select";
const PROBE = /** @type {const} */ ({ credentials: "omit", cache: "no-store" });

/** @type {State} */
let state = "";
/** @type {(() => void)[]} give back what is disabled */
let enable = [];
const region = document.getElementById("connection");

/** Says what is the matter, also again: a live region is read out when its content is put there. */
function showMessage() {
  const template = document.querySelector(`template[data-connection="${state}"]`);
  region?.replaceChildren(...(template instanceof HTMLTemplateElement ? [template.content.cloneNode(true)] : []));
}

function disable() {
  for (const element of document.querySelectorAll(`:is(${NEEDS_APP}):not([aria-disabled])`)) {
    element.ariaDisabled = "true";
    enable.push(() => (element.ariaDisabled = null));
  }
  for (const select of /** @type {NodeListOf<HTMLSelectElement>} */ (document.querySelectorAll(SENDS_AT_ONCE))) {
    select.disabled = true;
    enable.push(() => (select.disabled = false));
  }
}

/** @param {State} next */
export function setConnection(next) {
  if (next === state) return;
  state = next;
  document.body.toggleAttribute("data-stopped", state === "stopped");
  enable.forEach((undo) => undo());
  enable = [];
  if (state === "stopped") disable();
  showMessage();
}

/** Waits until CodeWalk answers, without credentials: anybody may have taken its port.
 * @param {() => void} [onSilence] is called whenever it doesn't */
export async function waitForApp(onSilence) {
  for (let delay = 250; !(await answers()); delay = Math.min(2 * delay, 4000)) {
    onSilence?.();
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}

async function answers() {
  try {
    const response = await fetch("/api/v1/healthz", { ...PROBE, signal: AbortSignal.timeout(3000) });
    return response.ok && (await response.json()).ok === true;
  } catch {
    return false;
  }
}

/** @param {Event} event is dropped, and the user is reminded why */
function refuse(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
  showMessage();
  region?.firstElementChild?.animate({ opacity: [0.3, 1] }, 400);
}

/** @type {(event: Event, selector: string) => boolean} */
const isAt = ({ target }, selector) => target instanceof Element && target.closest(selector) !== null;
/** @type {{ [type: string]: (event: any) => boolean }} the events that need CodeWalk */
const GUARDED = {
  click: (event) => isAt(event, NEEDS_APP),
  submit: () => true,
  pointerdown: (event) => isAt(event, ".grip"),
  keydown: (/** @type {KeyboardEvent} */ event) =>
    ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") ||
    (event.key.startsWith("Arrow") && isAt(event, ".grip")),
};
// On the window, before all other listeners, which are on the document.
for (const [type, needsApp] of Object.entries(GUARDED))
  window.addEventListener(type, (event) => { if (state === "stopped" && needsApp(event)) refuse(event); }, true);
document.addEventListener("htmx:before:request", (event) => state === "stopped" && event.preventDefault());
