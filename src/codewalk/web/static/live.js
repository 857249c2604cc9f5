// @ts-check
// Keeps the page up to date with the messages at `#live[data-stream]`: HTML is swapped in by htmx, events
// are triggered on `#live`, which has `data-connected` meanwhile. A browser allows six connections to one
// origin. So a hidden window has none, and of the visible ones three hold theirs open: those with one
// of the locks SLOTS, which the browser frees when a window closes or crashes. A window that gets the
// focus takes one over. The others ask each second. All continue with the id of the last message.
// Without locks (neither HTTPS nor this machine) the window with the focus holds its connection open.

import { setConnection, waitForApp } from "./connection.js";

const SLOTS = ["stream-1", "stream-2", "stream-3"];
const POLL_DELAY = 1000;
const RECONNECT_DELAY = 200;
const MAX_DELAY = 4000;
/** Milliseconds; CodeWalk sends something each 15 s. */
const MAX_SILENCE = 40_000;
const SILENT = "silent";
/** Instead of an HTTP status: nobody answered, or the connection broke. */
const LOST = 0;

const live = document.getElementById("live");
const locks = /** @type {LockManager | undefined} */ (navigator.locks); // in secure contexts only
let lastId = "";
let isHeld = false;
let wantsSlot = document.hasFocus();
let connection = new AbortController();

const sleep = (/** @type {number} */ delay) => new Promise((resolve) => setTimeout(resolve, delay));

/** Handles one message: an event for scripts, or HTML.
 * @param {string} message */
async function handle(message) {
  const fields = message.split("\n").map((line) => /^(\w+): ?(.*)$/s.exec(line) ?? []);
  const read = (/** @type {string} */ name) => fields.filter((field) => field[1] === name).map((field) => field[2]);
  const [event] = read("event");
  const data = read("data").join("\n");
  if (!live?.isConnected) return;
  if (event) htmx.trigger(live, event, { data });
  else if (data) await htmx.swap({ text: data, sourceElement: live, swap: "none" });
  lastId = read("id")[0] ?? lastId;
}

/** @param {ReadableStream<Uint8Array<ArrayBuffer>>} body @param {() => void} onNews */
async function handleAll(body, onNews) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    onNews();
    const messages = (rest + value).split("\n\n");
    rest = messages.pop() ?? "";
    for (const message of messages) await handle(message).catch(reportError);
  }
}

/** Receives messages until the response ends, with `hold` not before it breaks or this window ends it.
 * @param {boolean} hold
 * @returns {Promise<number>} the HTTP status, or LOST */
async function receive(hold) {
  isHeld = hold;
  const { signal } = (connection = new AbortController());
  let timer = 0;
  const expectNews = () => {
    clearTimeout(timer);
    timer = setTimeout(() => connection.abort(SILENT), MAX_SILENCE);
  };
  try {
    expectNews();
    const headers = lastId ? { "Last-Event-ID": lastId } : {};
    const response = await fetch(`${live?.dataset.stream}&hold=${hold}`, { headers, signal, cache: "no-store" });
    lastId ||= "unknown"; // the page as it was rendered counts for the first answer only
    if (!response.ok || !response.body) return response.status;
    setConnection("");
    live?.setAttribute("data-connected", hold ? "stream" : "poll");
    await handleAll(response.body, expectNews);
    return response.status;
  } catch {
    return signal.aborted && signal.reason !== SILENT ? 200 : LOST;
  } finally {
    clearTimeout(timer);
  }
}

/** Receives messages while this window holds a slot: for long, or once where there is none. */
async function receiveInTurn() {
  if (!locks) return receive(document.hasFocus());
  /** @param {string} slot @param {LockOptions} options @returns {Promise<number | null>} */
  const hold = (slot, options) => locks.request(slot, options, (lock) => (lock ? receive(true) : null)).catch(() => {
    connection.abort(); // another window took the slot over
    return 200;
  });
  for (const slot of SLOTS) {
    const status = await hold(slot, { ifAvailable: true });
    if (status !== null) return status;
  }
  if (!wantsSlot) return receive(false);
  wantsSlot = false;
  const slot = SLOTS[Math.floor(Math.random() * SLOTS.length)] ?? "";
  return (await hold(slot, { steal: true })) ?? LOST;
}

async function follow() {
  for (let failures = 0; ; ) {
    while (document.hidden)
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    const status = await receiveInTurn();
    failures = status === 200 ? 0 : failures + 1;
    if (status !== 200 || isHeld) live?.removeAttribute("data-connected");
    if (status === LOST) await waitForApp(() => setConnection("stopped"));
    if (status >= 400 || failures > 2) setConnection("refused");
    const delay = isHeld ? RECONNECT_DELAY * 2 ** failures : POLL_DELAY;
    await sleep(Math.min(delay, MAX_DELAY));
  }
}

document.addEventListener("visibilitychange", () => document.hidden && connection.abort());
window.addEventListener("focus", () => (wantsSlot = true));
window.addEventListener("blur", () => { if (!locks) connection.abort(); });
// Once htmx has processed the page, and app.js has completed its lists.
if (document.querySelector("[data-htmx-powered]")) follow();
else document.addEventListener("htmx:after:process", () => void follow(), { once: true });
