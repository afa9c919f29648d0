// Orders whose result is awaited get it where they are shown: nothing is reloaded, and what a person holds stays.
import { copyButtons, isHeld, localTimes, plural } from "./app.js";

const EVERY = 5000;
const WHILE_ASKED = 1000;
const said = document.querySelector("[data-fresh]");
const line = document.querySelector("[data-sync]");
let timer = 0;
let asking = false;

const words = (element) => element.textContent.replace(/\s+/g, " ").trim();

// Put what is new into an order that is shown. Returns whether all of it could be.
function take(shown, found) {
  let whole = true;
  for (const part of found.querySelectorAll("[data-part]")) {
    const old = shown.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!old || words(old) === words(part)) continue; // the columns may have been changed elsewhere
    if (isHeld(old)) { whole = false; continue; }
    old.replaceChildren(...part.childNodes);
    if (part.title) old.title = part.title;
    copyButtons(old);
  }
  if (!whole) return false;
  if (found.dataset.seen) shown.dataset.seen = found.dataset.seen;
  else delete shown.dataset.seen;
  return true;
}

async function ask() {
  const shown = [...document.querySelectorAll("[data-seen]")];
  const seen = new URLSearchParams(shown.map((order) => ["seen", order.dataset.seen]));
  const answer = await fetch(`${said.dataset.fresh}?${seen}`);
  if (!answer.ok) throw new Error(answer.statusText);
  const fragment = document.createElement("template");
  fragment.innerHTML = await answer.text();
  localTimes(fragment.content);
  let changed = 0;
  for (const found of fragment.content.querySelectorAll("[data-order]")) {
    changed += take(document.querySelector(`[data-order="${found.dataset.order}"]`), found);
  }
  if (changed) said.textContent = `${plural(changed, "order")} changed.`;
}

async function turn() {
  if (asking || document.hidden || !document.querySelector("[data-seen]")) return;
  clearTimeout(timer);
  asking = true;
  try { await ask(); } catch { /* the next turn asks again */ }
  asking = false;
  timer = setTimeout(turn, EVERY);
}

// "Refresh results": what came of it is said on the page that asked.
async function follow() {
  try {
    const state = await (await fetch(line.dataset.sync, { headers: { Accept: "application/json" } })).json();
    if (line.textContent !== state.words) line.textContent = state.words;
    const button = document.querySelector("[data-sync-now]");
    button?.classList.toggle("away", !state.pending); // its place stays, so that nothing moves
    if (button && state.pending) button.hidden = false;
    if (!state.asking) return turn();
  } catch { /* the next turn asks again */ }
  setTimeout(follow, WHILE_ASKED);
}

document.querySelector("[data-sync-now]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  line.textContent = "Asking…";
  try {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "manual" });
    if (answer.type !== "opaqueredirect") throw new Error(answer.statusText);
    follow();
  } catch {
    form.submit();
  }
});

if (line && "asking" in line.dataset) follow();
document.addEventListener("visibilitychange", turn);
timer = setTimeout(turn, EVERY);
