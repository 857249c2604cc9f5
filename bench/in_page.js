// @ts-check
// What `make bench` has a page measure of itself; runs in it before anything of the page does.
// Times are milliseconds; those that outlive a page are since the epoch, but finer than Date's.
(() => {
  /** @typedef {{ ours: string, others: string, clicked: number }} Switch */

  /** Paint timing's own word on when something of the content first showed. */
  function firstPaint() {
    return new Promise((done) => {
      const told = new PerformanceObserver((list) => {
        for (const entry of list.getEntriesByName("first-contentful-paint")) done(entry.startTime);
      });
      told.observe({ type: "paint", buffered: true });
    });
  }

  /**
   * When what the page holds now is on the screen. A first frame's callback runs before that frame
   * is painted, so it is the second one's that tells: up to one frame too late, never too early.
   * @returns {Promise<number>}
   */
  function painted() {
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))));
  }

  /**
   * The element in `main` that holds just this text. Text by text, since it is looked for while the
   * page is at work: an XPath that does the same takes 15 ms of a page with 200 servers.
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

  // A switch may end on another page: what is awaited is kept where that one finds it.

  const KEPT = "bench";
  /** @type {Switch | null} */
  let expected = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");

  /** @param {Switch | null} value */
  function keep(value) {
    expected = value;
    if (value) sessionStorage.setItem(KEPT, JSON.stringify(value));
    else sessionStorage.removeItem(KEPT);
  }

  /**
   * Has the binding `benchShown` told when the sessions of one server, and none of another, are
   * painted, and when the click was that led there.
   * @param {string} ours in the title of each session that is to be seen
   * @param {string} others in the title of each session that isn't
   */
  function expect(ours, others) {
    keep({ ours, others, clicked: 0 });
  }

  async function look() {
    const text = expected?.clicked ? document.querySelector("main")?.textContent : null;
    if (!expected || !text?.includes(expected.ours) || text.includes(expected.others)) return;
    const { clicked } = expected;
    keep(null);
    const shown = performance.timeOrigin + (await painted());
    // @ts-expect-error: a binding of the benchmark
    window.benchShown(clicked, shown);
  }

  document.addEventListener("click", (event) => {
    // Not all of them: a click that opens the switcher is followed by the one that counts.
    if (expected) keep({ ...expected, clicked: performance.timeOrigin + event.timeStamp });
  }, true);
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });

  /**
   * Types into a search field as soon as it is there, again and again until the list answers.
   * @param {string} name the field's
   * @param {string} kept an element's text, which is typed and has to stay
   * @param {string} gone another element's text, which has to go
   * @returns {Promise<number>} when the answer was painted
   */
  async function answered(name, kept, gone) {
    while (document.readyState === "loading") await turn();
    for (;;) {
      const [field, one, other] = [fieldNamed(name), elementWith(kept), elementWith(gone)];
      if (field && one && other) {
        while (!(one.checkVisibility() && !other.checkVisibility())) {
          field.value = kept;
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

  /** When the page has nothing left to do, once its scripts have run. */
  function idle() {
    return new Promise((done) => {
      const wait = () => requestIdleCallback(() => done(performance.now()));
      if (document.readyState === "loading") addEventListener("DOMContentLoaded", wait);
      else wait();
    });
  }

  const BEAT = 5;
  let watching = false;
  const found = {
    /** @type {number[]} */ tasks: [],
    /** @type {number[]} */ stalls: [],
    /** @type {number[]} */ keys: [],
  };

  /**
   * Watches how busy the page is, until `endWatch`. `tasks` are the browser's own long tasks, which
   * are those of 50 ms and more. `stalls` are the times of 10 ms and more in which a timer that was
   * due didn't get its turn: also where a task is short, and what follows it (microtasks, a frame)
   * is long. `keys` tells how long after each key its effect was painted, as the browser itself
   * measured it: rounded to 8 ms, and only where it was 16 or more.
   */
  function beginWatch() {
    watching = true;
    told("longtask", (entry) => found.tasks.push(entry.duration));
    told("event", (entry) => entry.name.startsWith("key") && found.keys.push(entry.duration));
    let last = performance.now();
    const beat = () => {
      const now = performance.now();
      if (now - last - BEAT >= 10) found.stalls.push(now - last - BEAT);
      last = now;
      if (watching) setTimeout(beat, BEAT);
    };
    setTimeout(beat, BEAT);
  }

  /** @param {string} type @param {(entry: PerformanceEntry) => void} take */
  function told(type, take) {
    const observer = new PerformanceObserver((list) => {
      if (watching) list.getEntries().forEach(take);
    });
    observer.observe({ type, durationThreshold: 16 });
  }

  function endWatch() {
    watching = false;
    return found;
  }

  // @ts-expect-error: the page's one new name
  window.bench = { firstPaint, expect, answered, idle, beginWatch, endWatch };
})();
