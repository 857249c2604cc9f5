// @ts-check
// What neither HTML nor htmx does, by what the markup asks for. Each part works for later elements too.

/** Listens for an event on all elements that the selector matches, also on those that come later.
 * @type {<T extends keyof DocumentEventMap>(type: T, selector: string,
 *   then: (element: HTMLElement, event: DocumentEventMap[T]) => void) => void} */
export const on = (type, selector, then) => {
  const listener = (/** @type {DocumentEventMap[typeof type]} */ event) => {
    const element = event.target instanceof Element ? event.target.closest(selector) : null;
    if (element instanceof HTMLElement) then(element, event);
  };
  document.addEventListener(type, listener, true); // captures, for events that don't bubble: `toggle`
};

// `<noscript>` in a list holds its rest. It is inserted when htmx has processed the page, which finds
// nothing in it, and before the event stream can update any of it.
const insertRest = () => document.querySelectorAll("ul > noscript").forEach((rest) => (rest.outerHTML = rest.innerHTML));
if (document.querySelector("[data-htmx-powered]")) insertRest();
else document.addEventListener("htmx:after:process", insertRest, { once: true });

// `<input id placeholder data-filters="LIST">` hides the items of that list whose `.name` and `.url`
// lack a word that was typed; `<output for>` counts the others. A popover that closes empties it. A
// hidden item has `data-out`, not `hidden`, which the next update by the server would remove.
// `<button type="button" data-reveals="FIELD" aria-pressed="false">` shows a password, or hides it.

/** @param {Element} element */
function filter(element) {
  const input = /** @type {HTMLInputElement} */ (element);
  const words = input.value.toLowerCase().split(/\s+/);
  const items = [...document.querySelectorAll(`#${input.dataset.filters} > li`)];
  const matches = items.filter((item) => {
    const text = [".name", ".url"].map((part) => item.querySelector(part)?.textContent).join(" ").toLowerCase();
    return !item.toggleAttribute("data-out", !words.every((word) => text.includes(word)));
  }).length;
  const output = document.querySelector(`output[for="${input.id}"]`);
  const count = input.value.trim() && `${matches || "None"} of ${items.length} servers`;
  if (output && output.textContent !== count) output.textContent = count;
}

on("input", "input[data-filters]", filter);
on("beforetoggle", "[popover]", (panel, { target, newState }) => // no `toggle` comes if it opens again at once
  target === panel && newState === "closed" &&
  panel.querySelectorAll("input[data-filters]").forEach((input) => filter(Object.assign(input, { value: "" }))));
let filterTimer = 0;
const filterAgain = () => document.querySelectorAll("input[data-filters]:not(:placeholder-shown)").forEach(filter);
document.addEventListener("htmx:after:swap", ({ detail }) =>
  detail.ctx.text?.includes("<li") && (clearTimeout(filterTimer), (filterTimer = setTimeout(filterAgain))));
on("click", "[data-reveals]", (button) => {
  const reveal = button.ariaPressed === "false";
  document.getElementById(button.dataset.reveals ?? "")?.setAttribute("type", reveal ? "text" : "password");
  button.ariaPressed = String(reveal);
});
on("click", "[name=theme]", (button) => // at once; the next page is rendered with it
  document.documentElement.setAttribute("data-theme", button.getAttribute("value") ?? ""));

// Keys in a `role="menu"` (whose items are fetched from `data-items` when it opens), in the last checks
// (`.check-bar`, whose `.cells` are fetched from `data-cells` on hover or focus) and in `#switcher` (a
// filter, a `.choice` an item), which Ctrl or Cmd with K opens. An item or `[data-closes]` closes it.

const ITEMS = "[role=menuitem], input[data-filters], li:not([data-out]) > .choice, .check-bar, .cells > a";

on("keydown", "html", (_, event) => {
  const button = document.getElementById("switch-server");
  const key = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase();
  if (!button || key !== "k") return;
  event.preventDefault();
  button.focus(); // as if it was clicked: the focus returns to it
  button.click();
});
on("keydown", "[role=menu], #switcher, .cells, .facts", (list, event) => {
  if (event.isComposing) return;
  const field = /** @type {HTMLInputElement | null} */ (list.querySelector("input[data-filters]"));
  const items = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(ITEMS)]);
  const current = items.findIndex((item) => item.matches(":focus, li:focus-within > .choice"));
  const horizontal = !field && { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: -1 };
  const target = { ArrowDown: current + 1, ArrowUp: current - 1, ...horizontal }[event.key];
  if (target !== undefined) {
    event.preventDefault();
    items.at(target % items.length)?.focus();
  } else if (event.key === "Enter" && event.target === field) {
    event.preventDefault();
    // The previous server, or the first match, but not the active server unless it is the only one.
    const { active, previous } = document.getElementById("active")?.dataset ?? {};
    const others = items.slice(1).filter((item) => item.parentElement?.id !== `switcher-${active}`);
    const before = field?.value ? undefined : others.find((item) => item.parentElement?.id === `switcher-${previous}`);
    (before ?? others[0] ?? items[1])?.click();
  } else if (field && /^\S$/u.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    items[0]?.focus(); // the field, which gets the character
  }
});
// In the open switcher each item stays in its place: a click never meets another server than the one
// that was there a moment before. When it closes, the items get the server's order.

/** @type {string[]} the ids of the items in the server's order */
let serverOrder = [];
const itemIds = (/** @type {Element} */ list) => [...list.children].map((item) => item.id);
const arrange = (/** @type {Element} */ list, /** @type {string[]} */ ids) => {
  const place = (/** @type {Element} */ item) => (ids.includes(item.id) ? ids.indexOf(item.id) : ids.length);
  list.append(...[...list.children].sort((one, other) => place(one) - place(other)));
};
document.addEventListener("htmx:before:swap", ({ detail }) => {
  const news = detail.tasks.map((task) => task.fragment.querySelector("#switcher-list")).find(Boolean);
  if (!news) return;
  serverOrder = itemIds(news);
  const list = document.querySelector("#switcher:popover-open #switcher-list");
  if (list) arrange(news, itemIds(list));
});
on("toggle", "#switcher", (panel, event) => {
  const list = panel.querySelector("#switcher-list");
  if (list && serverOrder.length && event.newState === "closed") arrange(list, serverOrder);
});
on("toggle", "[role=menu]", async (menu, event) => {
  if (event.newState !== "open") return;
  await htmx.ajax("GET", menu.dataset.items ?? "", { source: menu, target: menu, swap: "innerHTML" });
  const first = /** @type {HTMLElement | null} */ (menu.querySelector("[role=menuitem]"));
  first ? first.focus() : menu.hidePopover(); // its server was removed
});
for (const type of /** @type {const} */ (["pointerover", "focusin"]))
  on(type, ".facts [data-cells]", (part, { relatedTarget }) => {
    const { cells = "" } = part.dataset;
    const wasThere = relatedTarget instanceof Element && relatedTarget.closest(`[data-cells="${cells}"]`);
    if (!wasThere) htmx.ajax("GET", cells, { source: part, swap: "none" });
  });
// One that is down isn't chosen, but focused (a click alone doesn't focus it everywhere): it shows what can be done.
on("click", ".choice[aria-disabled]", (choice) => choice.focus());
on("click", "[role=menuitem], .choice:not([aria-disabled]), [data-closes]", (element) => {
  /** @type {HTMLElement | null} */ (element.closest("[popover]"))?.hidePopover();
});

// `<time datetime data-age>` counts on, in the format of `format_age` in times.py. A `.toast` or a `.notice`
// goes when its animation `leave` ends, which the style sheet delays by 10 s, and longer on hover or
// focus. `<button data-empties="LIST">` removes all at once.

/** @type {[seconds: number, name: string][]} */
const UNITS = [[86_400, "day"], [3600, "h"], [60, "min"], [1, "s"]];

const formatAge = (/** @type {number} */ seconds) => {
  const [unit, name] = UNITS.find(([unit]) => seconds >= unit) ?? [1, "s"];
  const count = Math.floor(seconds / unit);
  return seconds < 3 ? "just now" : `${count} ${name}${name === "day" && count > 1 ? "s" : ""} ago`;
};
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-age]")) {
    const seconds = (Date.now() - Date.parse(time.getAttribute("datetime") ?? "")) / 1000;
    // An older one is shown as a date, and stays one.
    if (seconds < 30 * 86_400 && time.textContent !== formatAge(seconds)) time.textContent = formatAge(seconds);
  }
}, 1000);

on("animationend", ".toast, .notice", (toast, event) => event.animationName === "leave" && toast.remove());
on("click", "[data-empties]", (button) => {
  document.getElementById(button.dataset.empties ?? "")?.replaceChildren();
  document.getElementById("main")?.focus({ preventScroll: true }); // the button is hidden then
});

// The stream's event `active` names the active server before `#active` has its id in `data-active`. All
// tabs but the one that asked for the switch say so in `#notice-lines`, and a tab with a `.home` follows. A
// response of an older generation than the newest one seen comes too late, and is dropped.
let [requestedId, newestGeneration] = ["", 0];

/** @param {DocumentEventMap["htmx:before:request"]} event */
const switchTarget = ({ detail }) => /^\/servers\/([^/?]+)\/use/.exec(detail.ctx.request.action)?.[1];

document.addEventListener("htmx:before:request", (event) => (requestedId = switchTarget(event) ?? requestedId));
document.addEventListener("htmx:finally:request", (event) => (requestedId = switchTarget(event) ? "" : requestedId));
document.addEventListener("htmx:before:response", (event) => {
  const generation = Number(event.detail.ctx.hx?.generation ?? newestGeneration);
  if (generation < newestGeneration) event.preventDefault();
  else newestGeneration = generation;
});
document.addEventListener("active", (event) => {
  const { generation, id, name, url } = JSON.parse(event.detail.data);
  newestGeneration = generation;
  if (document.getElementById("active")?.dataset.active === (id ?? "") || requestedId === id) return;
  document.getElementById("switch-notice")?.remove();
  const notice = { id: "switch-notice", className: "notice", textContent: `${name ?? "No server"} is the active server now.` };
  document.getElementById("notice-lines")?.append(Object.assign(document.createElement("li"), notice));
  if (document.querySelector(".home")) htmx.ajax("GET", url, { source: "#live", swap: "none" });
});
