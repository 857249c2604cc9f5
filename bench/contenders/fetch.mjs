// Node's fetch, all servers in parallel, round after round. node fetch.mjs URLS SECONDS
import { readFileSync } from "node:fs";

const urls = readFileSync(process.argv[2], "utf8").trim().split("\n");
const seconds = Number(process.argv[3]);

async function check(url) {
  const answer = await fetch(url + "/global/health");
  const body = await answer.json();
  if (answer.status !== 200 || body.healthy !== true || !body.version) throw new Error(url);
}

const round = () => Promise.all(urls.map(check));

await round();
await round();
console.log("begin");
const started = performance.now();
let done = 0;
let passed = 0;
while (passed < seconds * 1000) {
  await round();
  done += urls.length;
  passed = performance.now() - started;
}
// Rounds don't end exactly on time: the total is scaled to the given seconds.
console.log("end", Math.round((done * seconds * 1000) / passed));
// Wait until the benchmark has read what was used.
readFileSync(0);
process.exit(0);
