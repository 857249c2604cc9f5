// @ts-check
// Measurements that `make bench` makes inside a page; it runs before the page's own scripts.
// Times are milliseconds; those that outlive a page are since the epoch, but finer than Date's.
(() => {
  /** @typedef {{ expected: string, unexpected: string, clicked: number }} Switch */

  /** When the first content was painted, according to the browser's paint timing. */
  function firstPaint() {
    return new Promise((done) => {
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntriesByName("first-contentful-paint")) done(entry.startTime);
      });
      observer.observe({ type: "paint", buffered: true });
    });
  }

  /**
   * When the page's present content is painted. The callback of the first frame runs before that
   * frame is painted, so the second one's counts: up to one frame too late, never too early.
   * @returns {Promise<number>}
   */
  function painted() {
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))));
  }

  /**
   * The element in `main` with exactly this text. It walks the text nodes, since the page is busy
   * meanwhile: an XPath expression for the same takes 15 ms in a page with 200 servers.
   * @param {string} text
   */
  function elementWith(text) {
    const main = document.querySelector("main");
    const texts = main && document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
    while (texts?.nextNode()) {
      if (texts.currentNode.textContent?.trim() === text) return texts.currentNode.parentElement;
    }
    return null;
  }

  /** @param {string} name */
  function fieldNamed(name) {
    const named = (/** @type {HTMLInputElement} */ field) => (field.ariaLabel ?? field.labels?.[0]?.textContent ?? "").trim();
    return [...document.querySelectorAll("input")].find((field) => named(field) === name);
  }

  // A switch may end on another page, which finds the expectation in the session storage.

  const STORAGE_KEY = "bench";
  /** @type {Switch | null} */
  let pending = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? "null");

  /** @param {Switch | null} value */
  function store(value) {
    pending = value;
    if (value) sessionStorage.setItem(STORAGE_KEY, JSON.stringify(value));
    else sessionStorage.removeItem(STORAGE_KEY);
  }

  /**
   * Call the binding `benchPainted` once the sessions of one server, and none of another, are
   * painted, with the times of the click that led there and of the paint.
   * @param {string} expected in the title of each session that has to be visible
   * @param {string} unexpected in the title of each session that must not be
   */
  function expect(expected, unexpected) {
    store({ expected, unexpected, clicked: 0 });
  }

  async function checkPending() {
    const text = pending?.clicked ? document.querySelector("main")?.textContent : null;
    if (!pending || !text?.includes(pending.expected) || text.includes(pending.unexpected)) return;
    const { clicked } = pending;
    store(null);
    const paintedAt = performance.timeOrigin + (await painted());
    // @ts-expect-error: a binding of the benchmark
    window.benchPainted(clicked, paintedAt);
  }

  document.addEventListener("click", (event) => {
    // The last click counts: one opens the switcher, and another one switches.
    if (pending) store({ ...pending, clicked: performance.timeOrigin + event.timeStamp });
  }, true);
  new MutationObserver(checkPending).observe(document, { subtree: true, childList: true, characterData: true });

  /**
   * Type into a search field as soon as it exists, repeatedly until the list is filtered.
   * @param {string} name the name of the field
   * @param {string} match the text of an element, which is typed and has to stay visible
   * @param {string} other the text of another element, which has to disappear
   * @returns {Promise<number>} when the filtered list was painted
   */
  async function answered(name, match, other) {
    while (document.readyState === "loading") await turn();
    for (;;) {
      const [field, matching, another] = [fieldNamed(name), elementWith(match), elementWith(other)];
      if (field && matching && another) {
        while (!(matching.checkVisibility() && !another.checkVisibility())) {
          field.value = match;
          field.dispatchEvent(new InputEvent("input", { bubbles: true }));
          await turn();
        }
        return painted();
      }
      await turn();
    }
  }

  function turn() {
    return new Promise((next) => setTimeout(next, 4));
  }

  /** When the page is idle, once its scripts have run. */
  function idle() {
    return new Promise((done) => {
      const wait = () => requestIdleCallback(() => done(performance.now()));
      if (document.readyState === "loading") addEventListener("DOMContentLoaded", wait);
      else wait();
    });
  }

  const TIMER_INTERVAL = 5;
  let watching = false;
  const measured = {
    /** @type {number[]} */ tasks: [],
    /** @type {number[]} */ stalls: [],
    /** @type {number[]} */ keys: [],
  };

  /**
   * Measure how busy the page is, until `endWatch`. `tasks` are the long tasks that the browser
   * reports, those of 50 ms and more. `stalls` are delays of 10 ms and more of a timer, which also
   * show a short task that is followed by long work (microtasks, a frame). `keys` are the times from
   * a key to the paint of its effect, as the browser reports them: rounded to 8 ms, and only those
   * of 16 ms and more.
   */
  function beginWatch() {
    watching = true;
    observe("longtask", (entry) => measured.tasks.push(entry.duration));
    observe("event", (entry) => entry.name.startsWith("key") && measured.keys.push(entry.duration));
    let last = performance.now();
    const check = () => {
      const now = performance.now();
      if (now - last - TIMER_INTERVAL >= 10) measured.stalls.push(now - last - TIMER_INTERVAL);
      last = now;
      if (watching) setTimeout(check, TIMER_INTERVAL);
    };
    setTimeout(check, TIMER_INTERVAL);
  }

  /** @param {string} type @param {(entry: PerformanceEntry) => void} handle */
  function observe(type, handle) {
    const observer = new PerformanceObserver((list) => {
      if (watching) list.getEntries().forEach(handle);
    });
    observer.observe({ type, durationThreshold: 16 });
  }

  function endWatch() {
    watching = false;
    return measured;
  }

  // @ts-expect-error: the one name that is added to the page
  window.bench = { firstPaint, expect, answered, idle, beginWatch, endWatch };
})();
