// One batch as it goes: server-sent events, and questions every two seconds where a stream cannot be had.
import { copyButtons, isHeld, money, number, plural } from "./app.js";

const root = document.querySelector("[data-live]");
const OUTCOMES = { ordered: "Ordered", waiting: "Waiting", duplicate: "Duplicate", refused: "Refused", in_doubt: "In doubt", cancelled: "Cancelled" };
const CHUNKS = { p: "planned", s: "sending", a: "answered", d: "in_doubt", c: "cancelled" };
const CHUNK_WORDS = { planned: "planned", sending: "sending", answered: "answered", in_doubt: "in doubt", cancelled: "cancelled" };
const TURN = 2000;
// Milliseconds between two questions while nothing happens, and between two refreshes of the results table.
const POLL_QUIET = 15000;
const TABLE_EVERY = 4000;
// Turns without a stream after which one is tried again; milliseconds between two turns that mean the machine slept;
// and milliseconds of silence after which a stream is not believed any more (the server speaks when something changes).
const TURNS_TO_STREAM = 10;
const SLEPT = 15000;
const SILENCE = 45000;
let spoken = "";

const find = (selector) => root.querySelector(selector);
const at = (data, path) => path.split(".").reduce((value, key) => value?.[key], data);

function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

// As web/format.py says it.
function percent(part, whole) {
  if (!part || !whole) return "0 %";
  return 100 * part < whole ? "<1 %" : `${Math.floor(100 * part / whole)} %`;
}

function show(data) {
  for (const element of root.querySelectorAll("[data-field]")) {
    const value = at(data, element.dataset.field);
    if (typeof value === "number") element.textContent = number(value);
  }
  for (const element of root.querySelectorAll("[data-money]")) element.textContent = money(data[element.dataset.money]);
  for (const element of root.querySelectorAll("[data-outcome]")) element.classList.toggle("zero", !data.outcomes[element.dataset.outcome]);
  showState(data);
  showProgress(data);
  showMap(data.map);
  if (data.errors) showDetails(data);
}

function showState(data) {
  const badge = find('[data-field="stage"]');
  badge.textContent = data.stage_label;
  badge.className = `badge stage-${data.stage}`;
  if (find("[data-stop]")) showActions(data);
  say("[data-notice]", data.notice);
  find("[data-doubt]").hidden = !data.outcomes.in_doubt;
  notify(data);
  root.dataset.state = data.state;
  root.dataset.stage = data.stage;
  root.toggleAttribute("data-over", data.is_settled);
  document.title = `${data.title} · HAMMER`;
  announce(data);
}

// Buttons of those who may order; a viewer has none.
function showActions(data) {
  find("[data-stop]").textContent = data.stop;
  for (const form of root.querySelectorAll("[data-when]")) form.hidden = !form.dataset.when.split(" ").includes(data.state);
  if (data.state === "finished") find("dialog").close();
  find("[data-price]").value = data.price;
  find("[data-higher]").hidden = data.price <= data.unit_price;
  const again = data.outcomes.refused + data.outcomes.cancelled;
  find("[data-again]").hidden = !again;
  find("[data-again-count]").textContent = number(again);
  find("[data-refresh]").hidden = !data.verdicts.pending;
}

// A screen reader hears each tenth once, and each stage.
function announce(data) {
  const tenth = (percent) => 10 * Math.floor(percent / 10);
  const tenths = { sending: `${tenth(data.percent)} percent ordered.`, waiting: `${tenth(data.result_percent)} percent of results.` };
  const words = tenths[data.stage] ?? `${data.stage_label}: ${plural(data.results, "result")}.`;
  if (spoken && words !== spoken) find("[data-announce]").textContent = words;
  spoken = words;
}

function fill(selector, done, all) {
  const bar = find(selector);
  bar.max = all || 1;
  bar.value = all ? done : 1;
}

function showProgress(data) {
  fill("[data-bar]", data.done, data.total);
  fill("[data-result-bar]", data.results, data.expected);
  find("[data-rate]").textContent = data.rate ? `${data.rate < 10 ? data.rate.toFixed(1) : number(data.rate)} per second` : "–";
  find("[data-rate-words]").textContent = data.state === "finished" ? "Average rate" : "Rate";
  find("[data-eta]").textContent = data.eta === null ? "" : `about ${duration(data.eta)} left`;
  find("[data-chunk-words]").textContent = Object.entries(data.chunks).filter(([, count]) => count).map(([name, count]) => `${number(count)} ${CHUNK_WORDS[name]}`).join(", ");
  for (const tile of root.querySelectorAll("[data-verdict]")) {
    const count = data.verdicts[tile.dataset.verdict];
    tile.querySelector("[data-count]").textContent = number(count);
    tile.querySelector("[data-share]").textContent = percent(count, data.orders);
  }
}

function showDetails(data) {
  say("[data-balance]", data.balance.words);
  find("[data-settled]").textContent = data.settled;
  find("[data-settled-note]").hidden = !data.settled;
  say("[data-balance-warning]", data.balance.warning);
  find("[data-errors]").replaceChildren(...data.errors.map((error) => element("li", {}, element("p", {},
    element("strong", { className: "num" }, number(error.imeis)), " ",
    element("span", { className: `badge outcome-${error.outcome}` }, OUTCOMES[error.outcome]), " ", error.message))));
  find("[data-withheld]").hidden = !data.withheld;
  find("[data-issues]").hidden = !data.errors.length && !data.withheld;
}

// The results table as the server makes it, when verdicts have changed; what a person holds stays.
const verdictsOf = (data) => Object.values(data.verdicts).join();
let tabled = [...root.querySelectorAll("[data-count]")].map((count) => count.textContent.replaceAll(",", "")).join();
let tableDue = 0;

async function refreshTable() {
  const state = verdictsOf(last);
  const shown = find("[data-rows]");
  if (state === tabled || Date.now() < tableDue || document.hidden || isHeld(shown) || shown.querySelector("tbody :checked")) return;
  tableDue = Date.now() + TABLE_EVERY;
  const answer = await fetch(location.href);
  if (!answer.ok) throw new Error(answer.statusText);
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-rows]");
  for (const part of ["tbody", ".pager"]) shown.querySelector(part).replaceWith(found.querySelector(part));
  copyButtons(shown.querySelector("tbody"));
  tabled = state;
}

function say(selector, words) {
  find(selector).hidden = !words;
  find(selector).textContent = words;
}

function showMap(letters) {
  const map = find("[data-map]");
  while (map.children.length > letters.length) map.lastElementChild.remove();
  while (map.children.length < letters.length) map.append(document.createElement("i"));
  [...letters].forEach((letter, place) => {
    const cell = map.children[place];
    if (cell.className !== CHUNKS[letter] || !cell.title) {
      cell.className = CHUNKS[letter];
      cell.title = `Call ${place + 1}: ${CHUNK_WORDS[CHUNKS[letter]]}`;
    }
  });
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// A system notification, only for those who asked for it with the button.
const bell = find("[data-notify]");
let notified = false;

function offerNotification() {
  if (!("Notification" in window) || "over" in root.dataset) return;
  bell.hidden = false;
  bell.addEventListener("click", async () => {
    notified = (await Notification.requestPermission()) === "granted";
    bell.disabled = true;
    bell.querySelector("span").textContent = notified ? "You will be notified" : "Notifications are blocked";
  });
}

function notify(data) {
  const needsYou = data.stage === "needs_you" && root.dataset.stage !== "needs_you";
  if (data.is_settled) bell.hidden = true;
  if (!notified || !(data.is_settled || needsYou)) return;
  notified = !data.is_settled;
  const { pass, review, fail } = data.verdicts;
  const body = needsYou ? data.reason : `${number(pass)} pass, ${number(review)} review, ${number(fail)} fail.`;
  const words = data.stage === "complete" ? "results are complete" : data.stage_label.toLowerCase();
  new Notification(`${data.label}: ${words}`, { body, tag: `batch-${data.batch_id}` });
}

// The stream. A hidden tab gives its connection back and asks instead; after sleep, after silence and when the
// network is back a new stream begins, whose first event is the whole snapshot. Where nothing happens for long the
// server ends the stream, and the page asks from time to time until something has changed.
let source = null;
let last = null;
let heard = Date.now();
let turned = Date.now();
let turnsWithout = 0;
let quiet = false;

function open() {
  close();
  if (last?.is_settled) return;
  heard = Date.now();
  turnsWithout = 0;
  quiet = false;
  source = new EventSource(root.dataset.events);
  source.addEventListener("progress", (event) => take(JSON.parse(event.data)));
  source.addEventListener("end", close);
  source.addEventListener("quiet", () => { close(); quiet = true; });
  source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) close(); });
}

function close() {
  source?.close();
  source = null;
}

function take(data) {
  heard = Date.now();
  last = { ...last, ...data };
  show(last);
}

async function ask() {
  const before = last?.revision;
  const answer = await fetch(root.dataset.progress, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.statusText);
  take(await answer.json());
  if (quiet && last.revision !== before) open();
}

async function turn() {
  const now = Date.now();
  const slept = now - turned > SLEPT;
  turned = now;
  if (last) refreshTable().catch(() => { /* the next turn asks again */ });
  if (last && !source && (quiet || last.is_settled) && !slept && now - heard < POLL_QUIET) return;
  try {
    if (last?.is_settled && !last.verdicts.pending) return;
    if (document.hidden || quiet || last?.is_settled) { close(); await ask(); }
    else if (slept || (source && now - heard > SILENCE)) open();
    else if (!source && ++turnsWithout >= TURNS_TO_STREAM) open();
    else if (!source) await ask();
  } catch { /* the next turn asks again */ }
}

offerNotification();
open();
setInterval(turn, TURN);
addEventListener("online", open);
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => { if (event.persisted) open(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) open(); });
