// One batch as it goes: server-sent events, and questions every two seconds where a stream cannot be had.
import { copyButtons, money, number, plural } from "./app.js";

const root = document.querySelector("[data-live]");
const OUTCOMES = { ordered: "Ordered", waiting: "Waiting", duplicate: "Duplicate", refused: "Refused", in_doubt: "In doubt", cancelled: "Cancelled" };
const CHUNKS = { p: "planned", s: "sending", a: "answered", d: "in_doubt", c: "cancelled" };
const CHUNK_WORDS = { planned: "planned", sending: "sending", answered: "answered", in_doubt: "in doubt", cancelled: "cancelled" };
const TURN = 2000;
const POLL_RESULTS = 10000;
// Turns without a stream after which one is tried again; milliseconds between two turns that mean the machine slept;
// and milliseconds of silence after which a stream is not believed any more (the server speaks when something changes).
const TURNS_TO_STREAM = 10;
const SLEPT = 15000;
const SILENCE = 45000;
const title = document.title.replace(/^\d+% · /, "");
let spoken = Math.floor(Number(root.querySelector('[data-field="percent"]').textContent) / 10);

const find = (selector) => root.querySelector(selector);
const at = (data, path) => path.split(".").reduce((value, key) => value?.[key], data);

function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function show(data) {
  for (const element of root.querySelectorAll("[data-field]")) {
    const value = at(data, element.dataset.field);
    if (typeof value === "number") element.textContent = number(value);
  }
  for (const element of root.querySelectorAll("[data-money]")) element.textContent = money(data[element.dataset.money]);
  for (const element of root.querySelectorAll("[data-outcome]")) element.classList.toggle("zero", !data.outcomes[element.dataset.outcome]);
  showState(data);
  showPace(data);
  showMap(data.map);
  if (data.latest) showDetails(data);
}

function showState(data) {
  const badge = find('[data-field="state"]');
  badge.textContent = data.state_label;
  badge.className = `badge ${data.state_class}`;
  root.toggleAttribute("data-stopped", data.stopped);
  find("[data-stop]").textContent = data.stop;
  for (const form of root.querySelectorAll("[data-when]")) form.hidden = !form.dataset.when.split(" ").includes(data.state);
  if (data.state === "finished") find("dialog").close();
  say("[data-notice]", data.notice);
  find("[data-price]").value = data.price;
  find("[data-higher]").hidden = data.price <= data.unit_price;
  find("[data-doubt]").hidden = !data.outcomes.in_doubt;
  const again = data.outcomes.refused + data.outcomes.cancelled;
  find("[data-again]").hidden = !again;
  find("[data-again-count]").textContent = number(again);
  if (root.dataset.state !== data.state) notify(data);
  root.dataset.state = data.state;
  document.title = data.state === "finished" ? title : `${data.percent}% · ${title}`;
  const tenth = Math.floor(data.percent / 10);
  if (tenth > spoken || data.state === "finished") {
    const words = data.state === "finished" ? `${data.state_label}: ${plural(data.outcomes.ordered, "IMEI")} ordered.` : `${data.percent} percent done.`;
    if (find("[data-announce]").textContent !== words) find("[data-announce]").textContent = words;
  }
  spoken = tenth;
}

function showPace(data) {
  const bar = find("[data-bar]");
  bar.max = data.total || 1;
  bar.value = data.total ? data.done : 1;
  find("[data-rate]").textContent = data.rate ? `${data.rate < 10 ? data.rate.toFixed(1) : number(data.rate)} per second` : "–";
  find("[data-rate-words]").textContent = data.state === "finished" ? "Average rate" : "Rate";
  find("[data-eta]").textContent = data.stopped ? "stopped" : data.state === "finished" ? "done" : data.eta === null ? "–" : `about ${duration(data.eta)}`;
  find("[data-chunk-words]").textContent = Object.entries(data.chunks).filter(([, count]) => count).map(([name, count]) => `${number(count)} ${CHUNK_WORDS[name]}`).join(", ");
}

function showDetails(data) {
  find("[data-results]").textContent = Object.entries(data.results).map(([word, count]) => `${number(count)} ${word}`).join(" · ");
  find("[data-refresh]").hidden = !data.awaited;
  if (data.latest.length) {
    find("[data-latest]").replaceChildren(...data.latest.map(orderRow));
    copyButtons(find("[data-latest]"));
  }
  say("[data-balance]", data.balance.words);
  find("[data-settled]").textContent = data.settled;
  find("[data-settled-note]").hidden = !data.settled;
  say("[data-balance-warning]", data.balance.warning);
  const groups = data.errors.map((error) => element("li", {}, element("p", {},
    element("strong", { className: "num" }, number(error.imeis)), " ",
    element("span", { className: `badge outcome-${error.outcome}` }, OUTCOMES[error.outcome]), " ", error.message)));
  if (groups.length) find("[data-errors]").replaceChildren(...groups);
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

function orderRow(order) {
  const link = element("a", { href: root.dataset.orderUrl.replace("ORDER", encodeURIComponent(order.order_id)) }, order.order_id);
  const status = element("span", { className: `badge status-${(order.status || "unknown").toLowerCase().replaceAll(" ", "-")}` }, order.status);
  const device = [order.model, order.carrier, order.simlock].filter(Boolean).join(" · ");
  const imei = element("span", { className: "imei" }, element("code", {}, order.imei));
  imei.dataset.copy = "";
  return element("tr", {}, element("td", {}, imei), element("td", {}, link), element("td", {}, status), element("td", {}, device));
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
  if (!("Notification" in window) || root.dataset.state === "finished") return;
  bell.hidden = false;
  bell.addEventListener("click", async () => {
    notified = (await Notification.requestPermission()) === "granted";
    bell.disabled = true;
    bell.querySelector("span").textContent = notified ? "You will be notified" : "Notifications are blocked";
  });
}

function notify(data) {
  if (data.state === "running") return;
  if (data.state === "finished") bell.hidden = true;
  if (!notified) return;
  notified = false;
  const body = data.state === "finished" ? `${plural(data.outcomes.ordered, "IMEI")} ordered, ${money(data.spent)} spent.` : data.notice;
  new Notification(`${data.label}: ${data.state_label.toLowerCase()}`, { body, tag: `batch-${data.batch_id}` });
}

// The stream. A hidden tab gives its connection back and asks instead; after sleep, after silence and when the
// network is back a new stream begins, whose first event is the whole snapshot.
let source = null;
let last = null;
let heard = Date.now();
let turned = Date.now();
let turnsWithout = 0;
let ended = false;

function open() {
  close();
  if (ended) return;
  heard = Date.now();
  turnsWithout = 0;
  source = new EventSource(root.dataset.events);
  source.addEventListener("progress", (event) => take(JSON.parse(event.data)));
  source.addEventListener("end", end);
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

function end() {
  ended = true;
  close();
  followResults();
}

async function ask() {
  const answer = await fetch(root.dataset.progress, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.statusText);
  take(await answer.json());
  if (last.state === "finished" && !ended) end();
}

async function turn() {
  const now = Date.now();
  const slept = now - turned > SLEPT;
  turned = now;
  if (ended) return;
  try {
    if (document.hidden) { close(); await ask(); }
    else if (slept || (source && now - heard > SILENCE)) open();
    else if (!source && ++turnsWithout >= TURNS_TO_STREAM) open();
    else if (!source) await ask();
  } catch { /* the next turn asks again */ }
}

// After the end the results still come in; an open page shows them without being reloaded.
async function followResults() {
  while (ended && (last.awaited || last.outcomes.in_doubt)) {
    await new Promise((done) => setTimeout(done, POLL_RESULTS));
    try { if (!document.hidden) await ask(); } catch { /* the next turn asks again */ }
    if (last.state !== "finished") {
      ended = false;
      open();
    }
  }
}

offerNotification();
open();
setInterval(turn, TURN);
addEventListener("online", open);
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => { if (event.persisted) open(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) open(); });
