// @ts-check
// What neither HTML nor htmx does, by what a part asks of the markup. The rest needs none of it.

/** Listens once for all elements that the selector finds, also for those that come later.
 * @type {<T extends keyof DocumentEventMap>(type: T, selector: string,
 *   then: (found: HTMLElement, event: DocumentEventMap[T]) => void) => void} */
export const on = (type, selector, then) => {
  const listener = (/** @type {DocumentEventMap[typeof type]} */ event) => {
    const found = event.target instanceof Element ? event.target.closest(selector) : null;
    if (found instanceof HTMLElement) then(found, event);
  };
  document.addEventListener(type, listener, true); // captured, for what doesn't bubble: `toggle`
};

// `<noscript>` in a list holds what is further down. It goes in when htmx has been through the page,
// for which there is nothing in it, and before the event stream can tell anything of it.
const goOn = () => document.querySelectorAll("ul > noscript").forEach((rest) => (rest.outerHTML = rest.innerHTML));
if (document.querySelector("[data-htmx-powered]")) goOn();
else document.addEventListener("htmx:after:process", goOn, { once: true });

// `<input id placeholder data-filters="LIST">` leaves the items of that list whose `.name` and
// `.url` have all words typed; `<output for>` tells how many. A popover that closes empties it. An
// item that is out has `data-out`, not `hidden`, which the server's next words would take away.
// `<button type="button" data-reveals="FIELD" aria-pressed="false">` shows a password, or hides it.

/** @param {Element} element */
function filter(element) {
  const input = /** @type {HTMLInputElement} */ (element);
  const words = input.value.toLowerCase().split(/\s+/);
  const items = [...document.querySelectorAll(`#${input.dataset.filters} > li`)];
  const left = items.filter((item) => {
    const text = [".name", ".url"].map((part) => item.querySelector(part)?.textContent).join(" ").toLowerCase();
    return !item.toggleAttribute("data-out", !words.every((word) => text.includes(word)));
  }).length;
  const told = document.querySelector(`output[for="${input.id}"]`);
  const count = input.value.trim() && `${left || "None"} of ${items.length} servers`;
  if (told && told.textContent !== count) told.textContent = count;
}

on("input", "input[data-filters]", filter);
on("beforetoggle", "[popover]", (panel, { target, newState }) => // `toggle` is left out where it opens again at once
  target === panel && newState === "closed" &&
  panel.querySelectorAll("input[data-filters]").forEach((input) => filter(Object.assign(input, { value: "" }))));
let due = 0;
const again = () => document.querySelectorAll("input[data-filters]:not(:placeholder-shown)").forEach(filter);
document.addEventListener("htmx:after:swap", ({ detail }) =>
  detail.ctx.text?.includes("<li") && (clearTimeout(due), (due = setTimeout(again))));
on("click", "[data-reveals]", (button) => {
  const shown = button.ariaPressed === "false";
  document.getElementById(button.dataset.reveals ?? "")?.setAttribute("type", shown ? "text" : "password");
  button.ariaPressed = String(shown);
});
on("click", "[name=theme]", (button) => // at once; the next page comes with it
  document.documentElement.setAttribute("data-theme", button.getAttribute("value") ?? ""));

// The keys of a `role="menu"` (its items are had from `data-items` when it opens), of the last checks
// (`.strip`; its `.cells` are had when one comes there, from `data-cells`) and of `#switcher` (a filter,
// a `.go` an item), which Ctrl or Cmd with K opens. A click on an item or `[data-closes]` closes it.

const ITEMS = "[role=menuitem], input[data-filters], li:not([data-out]) > .go, .strip, .cells > a";

on("keydown", "html", (_, event) => {
  const button = document.getElementById("switch-server");
  const keys = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase();
  if (!button || keys !== "k") return;
  event.preventDefault();
  button.focus(); // as if it had been pressed: the focus comes back to it
  button.click();
});
on("keydown", "[role=menu], #switcher, .cells, .facts", (list, event) => {
  if (event.isComposing) return;
  const field = list.querySelector("input[data-filters]");
  const items = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(ITEMS)]);
  const here = items.findIndex((item) => item.matches(":focus, li:focus-within > .go"));
  const along = !field && { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: -1 };
  const to = { ArrowDown: here + 1, ArrowUp: here - 1, ...along }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    items.at(to % items.length)?.focus();
  } else if (event.key === "Enter" && event.target === field) {
    event.preventDefault();
    // One that is down isn't taken: there it says why.
    if (items[1]?.ariaDisabled) items[1].focus();
    else items[1]?.click();
  } else if (field && /^\S$/u.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    items[0]?.focus(); // the field, and it is typed there
  }
});
on("toggle", "[role=menu]", async (menu, event) => {
  if (event.newState !== "open") return;
  await htmx.ajax("GET", menu.dataset.items ?? "", { source: menu, target: menu, swap: "innerHTML" });
  const first = /** @type {HTMLElement | null} */ (menu.querySelector("[role=menuitem]"));
  first ? first.focus() : menu.hidePopover(); // its server is gone
});
for (const type of /** @type {const} */ (["pointerover", "focusin"]))
  on(type, ".facts [data-cells]", (part, { relatedTarget }) => {
    const { cells = "" } = part.dataset;
    const there = relatedTarget instanceof Element && relatedTarget.closest(`[data-cells="${cells}"]`);
    if (!there) htmx.ajax("GET", cells, { source: part, swap: "none" });
  });
on("click", "[role=menuitem], .go:not([aria-disabled]), [data-closes]", (found) => {
  /** @type {HTMLElement | null} */ (found.closest("[popover]"))?.hidePopover();
});

// `<time datetime data-age>` counts on, in the words of `words.age`. `#connection` is shown while
// `#live` has no stream, `data-over` if it won't return by itself. A `.toast` goes when its animation
// `leave` ends, which the style sheet holds back for 10 s, and while it is pointed at or focused.

/** @type {[seconds: number, word: string][]} */
const UNITS = [[86_400, "day"], [3600, "h"], [60, "min"], [1, "s"]];

const age = (/** @type {number} */ seconds) => {
  const [unit, word] = UNITS.find(([unit]) => seconds >= unit) ?? [1, "s"];
  const count = Math.floor(seconds / unit);
  return seconds < 3 ? "just now" : `${count} ${word}${word === "day" && count > 1 ? "s" : ""} ago`;
};
setInterval(() => {
  for (const time of document.querySelectorAll("time[data-age]")) {
    const seconds = (Date.now() - Date.parse(time.getAttribute("datetime") ?? "")) / 1000;
    // What is older is a date, and stays one.
    if (seconds < 30 * 86_400 && time.textContent !== age(seconds)) time.textContent = age(seconds);
  }
}, 1000);

const [connection, live] = ["connection", "live"].map((id) => document.getElementById(id));
for (const type of /** @type {const} */ (["htmx:sse:error", "htmx:error", "htmx:response:error"]))
  live?.addEventListener(type, ({ detail }) => {
    connection?.toggleAttribute("data-over", type !== "htmx:sse:error" || Object(detail).status === 401);
    connection?.removeAttribute("hidden");
  });
live?.addEventListener("htmx:sse:after:connection", () => connection?.setAttribute("hidden", ""));
on("animationend", ".toast", (toast, event) => event.animationName === "leave" && toast.remove());

// `<button data-notifies hidden>` is shown where this browser can be asked to allow notices, and asks.
// Then one tab for all holds `/live/news`, and has the desktop show it while it is hidden. A page on
// Android can't make any, which trying tells; nobody sees one that isn't allowed yet.
const follow = () => new Promise(() => (new EventSource("/live/news").onmessage = ({ data }) => {
  const { title, ...rest } = JSON.parse(data);
  if (document.hidden) new Notification(title, rest).onclick = () => window.focus();
}));
const canTell = () => { try { return Boolean(new Notification("")); } catch { return false; } };
function begin() {
  const permission = globalThis.Notification?.permission;
  document.querySelector("[data-notifies]")?.toggleAttribute("hidden", permission !== "default" || !canTell());
  if (permission === "granted") navigator.locks.request("news", follow);
}
begin();
on("click", "[data-notifies]", () => Notification.requestPermission().then(begin));

// The stream's event `active` names the active server before `#active` has its id as `data-active`.
// All tabs but the one that asked for it say so in `#toasts`; one that shows a `.home` follows. An
// answer of a generation before the newest that was heard of comes too late, and is dropped.
let [asked, newest] = ["", 0];

/** @param {DocumentEventMap["htmx:before:request"]} event */
const wanted = ({ detail }) => /^\/servers\/([^/?]+)\/use/.exec(detail.ctx.request.action)?.[1];

document.addEventListener("htmx:before:request", (event) => (asked = wanted(event) ?? asked));
document.addEventListener("htmx:finally:request", (event) => (asked = wanted(event) ? "" : asked));
document.addEventListener("htmx:before:response", (event) => {
  const generation = Number(event.detail.ctx.hx?.generation ?? newest);
  if (generation < newest) event.preventDefault();
  else newest = generation;
});
document.addEventListener("active", (event) => {
  const { generation, id, name, url } = JSON.parse(event.detail.data);
  newest = generation;
  if (document.getElementById("active")?.dataset.active === (id ?? "") || asked === id) return;
  const told = { className: "toast", textContent: `${name ?? "No server"} is the active server now.` };
  document.getElementById("toasts")?.append(Object.assign(document.createElement("li"), told));
  if (document.querySelector(".home")) htmx.ajax("GET", url, { source: "#live", swap: "none" });
});
