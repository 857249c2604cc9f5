// @ts-check
// What reaches a user who looks elsewhere: notifications on the desktop, and the number of servers that are
// down at the beginning of the title. One tab of the browser at a time reads `/live/notices` for all.

import { on } from "./app.js";
import { waitForApp } from "./connection.js";

// A hidden tab has no stream. It gets the number, and its link to the servers is as old as the rest of it.

const otherTabs = new BroadcastChannel("down-count");

function showDownCount() {
  const count = Number(document.getElementById("servers-link")?.dataset.down ?? 0);
  const title = (count ? `(${count} down) ` : "") + document.title.replace(/^\(\d+ down\) /, "");
  if (document.title !== title) document.title = title;
}
/** @param {string} count */
function setDownCount(count) {
  document.getElementById("servers-link")?.setAttribute("data-down", count);
  showDownCount();
}
otherTabs.onmessage = ({ data }) => setDownCount(data);
document.addEventListener("htmx:finally:swap", showDownCount);

// `<button role="switch" data-notifies hidden>` is shown where a page can notify on the desktop (on Android it
// can't, which only trying shows). It turns that on and off for this browser, which stores it.

const permission = () => globalThis.Notification?.permission;
const isOn = () => permission() === "granted" && localStorage.getItem("notifications") === "on";
const canNotify = () => { try { return Boolean(new Notification("")); } catch { return false; } };

function showSetting() {
  const button = document.querySelector("[data-notifies]");
  button?.toggleAttribute("hidden", !permission() || (permission() !== "granted" && !canNotify()));
  button?.setAttribute("aria-checked", String(isOn()));
  button?.setAttribute("aria-disabled", String(permission() === "denied"));
}
showSetting();
window.addEventListener("storage", showSetting);
navigator.permissions?.query({ name: "notifications" }).then((status) => (status.onchange = showSetting));
on("click", "[data-notifies]:not([aria-disabled=true])", (button) => {
  localStorage.setItem("notifications", button.ariaChecked === "true" ? "off" : "on");
  Notification.requestPermission().then(showSetting);
});

let delay = 1000;

function readNotices() {
  const source = new EventSource("/live/notices");
  source.addEventListener("down", ({ data }) => {
    otherTabs.postMessage(data);
    setDownCount(data);
  });
  source.onopen = () => (delay = 1000);
  source.onmessage = ({ data }) => {
    const { title, ...options } = JSON.parse(data);
    if (document.hidden && isOn()) new Notification(title, options).onclick = () => window.focus();
  };
  source.onerror = () => { // it would try again by itself, with the cookie, whoever has the port now
    source.close();
    setTimeout(() => waitForApp().then(readNotices), delay);
    delay = Math.min(2 * delay, 60_000); // a tab that isn't signed in is refused each time
  };
}
navigator.locks?.request("notices", () => new Promise(readNotices)); // until the tab is closed
