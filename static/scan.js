// Scan mode: the field takes a scan, empties itself at once and takes the next one while answers are awaited.
const form = document.querySelector("[data-scan-form]");
const field = form.querySelector("[data-scan-field]");
const select = form.querySelector("select");
const list = document.querySelector("[data-scans]");
const totals = document.querySelector("[data-totals]");
const mute = document.querySelector("[data-mute]");
const announce = document.querySelector("[data-scan-announce]");

const MOST_CARDS = 50;
const ANSWER_WITHIN = 30000;
//: Milliseconds between two looks for results: soon after a scan often, later seldom.
const LOOKS = [[10000, 120], [60000, 1000], [Infinity, 5000]];
//: What each card sounds like: [hertz, seconds, shape of the wave] one after the other.
const SOUNDS = {
  pass: [[880, 0.09, "sine"], [1320, 0.14, "sine"]],
  checked: [[880, 0.14, "sine"]],
  review: [[590, 0.13, "triangle"], [0, 0.05, "sine"], [590, 0.13, "triangle"]],
  fail: [[240, 0.16, "square"], [170, 0.3, "square"]],
  problem: [[150, 0.12, "sawtooth"], [0, 0.06, "sine"], [150, 0.12, "sawtooth"], [0, 0.06, "sine"], [150, 0.12, "sawtooth"]],
};
const VIBRATIONS = { pass: [60], checked: [60], review: [60, 60, 60], fail: [350], problem: [100, 60, 100, 60, 100] };

const sending = new Set(); // what is on the way, by its digits
let audio = null;
let lastScan = 0;
let timer = 0;

// Sound and vibration

let isMuted = localStorage.getItem("scan-mute") === "1";

function showMute() {
  mute.hidden = false;
  mute.setAttribute("aria-pressed", String(isMuted));
}

mute.addEventListener("click", () => {
  isMuted = !isMuted;
  localStorage.setItem("scan-mute", isMuted ? "1" : "0");
  showMute();
  field.focus();
});

function signal(tone) {
  if (!navigator.userActivation?.hasBeenActive) return; // browsers refuse both before the first key or touch
  navigator.vibrate?.(VIBRATIONS[tone] ?? []);
  if (isMuted || !SOUNDS[tone]) return;
  audio ??= new AudioContext();
  let at = audio.currentTime + 0.01;
  for (const [hertz, seconds, shape] of SOUNDS[tone]) {
    if (hertz) {
      const [source, volume] = [audio.createOscillator(), audio.createGain()];
      source.type = shape;
      source.frequency.value = hertz;
      volume.gain.setValueAtTime(0.2, at);
      volume.gain.exponentialRampToValueAtTime(0.001, at + seconds);
      source.connect(volume).connect(audio.destination);
      source.start(at);
      source.stop(at + seconds);
    }
    at += seconds;
  }
}

// Cards

function cardOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

function ready(name, text) {
  const card = document.querySelector(name).content.firstElementChild.cloneNode(true);
  card.querySelector("[data-text]").textContent = text;
  return card;
}

function tell(card, { tone, word }) {
  signal(tone);
  announce.textContent = `${word}. ${card.querySelector(".scan-model").textContent}`;
}

function show(place, data) {
  const card = cardOf(data.card.html);
  for (const twin of list.querySelectorAll(`[data-scan="${data.card.id}"]`)) if (twin !== place) twin.remove();
  place.replaceWith(card);
  totals.textContent = data.totals;
  if (!data.card.is_open) tell(card, data.card);
  look();
}

// A scan that got no answer keeps its token: sent again, it is still one order.
function fail(place, fields, why) {
  const card = ready("#scan-failed", fields.get("imei"));
  card.querySelector("[data-why]").textContent = why;
  card.querySelector("[data-send-again]").addEventListener("click", () => { send(fields, card); field.focus(); });
  place.replaceWith(card);
  tell(card, { tone: "problem", word: "No answer" });
}

async function send(fields, place) {
  const text = fields.get("imei");
  const key = text.replace(/\D/g, "") || text;
  const before = [...list.children].find((card) => card.dataset.key === key);
  if (sending.has(key)) return before && list.prepend(before);
  const card = ready("#scan-sending", text);
  card.dataset.key = key;
  place?.remove();
  list.prepend(card);
  while (list.children.length > MOST_CARDS) list.lastElementChild.remove();
  sending.add(key);
  lastScan = Date.now();
  try {
    const answer = await fetch(form.dataset.check, { method: "POST", body: fields, signal: AbortSignal.timeout(ANSWER_WITHIN) });
    const data = await answer.json();
    if (answer.ok) show(card, data);
    else fail(card, fields, `${data.error} It may not have been sent.`);
  } catch {
    fail(card, fields, "No connection to the app. Send it again: it is ordered at most once.");
  } finally {
    sending.delete(key);
  }
}

const newToken = () => [...crypto.getRandomValues(new Uint8Array(18))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form));
  const service = select.selectedOptions[0];
  fields.set("prices", `${service.value}:${service.dataset.price}`);
  fields.set("token", newToken());
  field.value = "";
  field.focus();
  if (fields.get("imei").trim()) send(fields);
});

list.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-scan-again]")) return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(event.target));
  fields.set("session", form.elements.session.value);
  send(fields, event.target.closest(".scan"));
  field.focus();
});

addEventListener("online", () => list.querySelectorAll("[data-send-again]").forEach((button) => button.click()));

// Results

function look() {
  clearTimeout(timer);
  if (!list.querySelector("[data-scan][data-open]")) return;
  const age = Date.now() - lastScan;
  timer = setTimeout(ask, LOOKS.find(([until]) => age < until)[1]);
}

async function ask() {
  const open = [...list.querySelectorAll("[data-scan][data-open]")];
  const wanted = new URLSearchParams([["session", form.elements.session.value], ...open.map((card) => ["id", card.dataset.scan])]);
  try {
    const answer = await fetch(`${form.dataset.cards}?${wanted}`);
    if (answer.ok) take(await answer.json());
  } catch { /* the next turn asks again */ }
  look();
}

function take(data) {
  totals.textContent = data.totals;
  for (const found of data.cards) {
    const old = list.querySelector(`[data-scan="${found.id}"][data-open]`);
    const card = cardOf(found.html);
    if (!old || (found.is_open && old.textContent === card.textContent)) continue;
    old.replaceWith(card);
    if (!found.is_open) tell(card, found);
  }
}

// The focus: keys go to the field unless somebody types elsewhere. A scan into the service search is a scan too.

const takesKeys = (element) => element.matches("input, select, textarea");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" && event.target.matches("[role=combobox]") && /\d{14}/.test(event.target.value)) {
    event.preventDefault();
    event.stopPropagation();
    field.value = event.target.value;
    field.focus();
    form.requestSubmit();
  } else if (event.key.length === 1 && event.key !== " " && !takesKeys(event.target)) {
    field.focus();
  }
}, { capture: true });
document.addEventListener("click", (event) => { if (!event.target.closest("a, button, input, select, textarea, label, li[role]")) field.focus(); });
select.addEventListener("change", () => field.focus());
addEventListener("focus", () => { if (document.activeElement === document.body) field.focus(); });

showMute();
field.focus();
look();
