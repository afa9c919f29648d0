// What every page does: local times, copy buttons, the status bar, shortcuts, forms that are sent once.

export const number = (value) => new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 }).format(value);
export const money = (value) =>
  "$" + new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 4 }).format(value);
export const plural = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;

const STATUS_INTERVAL = 15000;
const STATUS_WHILE_RUNNING = 3000;
const RENEW_AFTER = 2000;
//: Milliseconds in which a key follows "g".
const G_LASTS = 1500;
//: Fields of the preview that change neither what is ordered nor what it costs.
const FREE_FIELDS = ["typed", "name", "customer", "note"];

export function localTimes(root = document) {
  const short = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const thisYear = new Intl.DateTimeFormat(undefined, short);
  const otherYear = new Intl.DateTimeFormat(undefined, { ...short, year: "numeric" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.textContent = (moment.getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(moment);
  }
}

// Each [data-copy] gets a button that copies its text, or that of the element it names. A place is kept for it.
export function copyButtons(root = document) {
  if (!navigator.clipboard) return;
  const made = document.querySelector("#copy-button").content.firstElementChild;
  for (const place of root.querySelectorAll("[data-copy]")) {
    const button = made.cloneNode(true);
    const source = place.dataset.copy ? document.querySelector(place.dataset.copy) : place;
    const words = place.dataset.copyWords ?? source.textContent.trim();
    button.setAttribute("aria-label", `Copy ${words}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), 1200);
    });
    place.append(button);
  }
}

// By the focus or by a selection: such a part of the page is changed later.
export function isHeld(part) {
  const selection = getSelection();
  const focused = document.activeElement;
  return (part.contains(focused) && !focused.matches(".table-wrap")) || (!selection.isCollapsed && selection.containsNode(part, true));
}

// A menu closes by Escape and by a click beside it.
function menus() {
  const opened = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("click", (event) => opened().forEach((menu) => { menu.open = menu.contains(event.target.closest("summary")); }));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    opened().forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });
}

function statusBar() {
  const bar = document.querySelector("[data-status-bar]");
  if (!bar) return;
  const show = (status) => {
    for (const part of ["provider", "database", "runner"]) {
      const element = bar.querySelector(`[data-part="${part}"]`);
      element.dataset.state = status[part];
      element.querySelector("b").textContent = status[part];
    }
    bar.querySelector('[data-part="running"]').textContent = status.running_words;
    for (const batch of status.running) showRunning(batch);
    showBalance(status);
  };
  const ask = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(bar.dataset.url, { headers: { Accept: "application/json" } });
      if (answer.ok) show(await answer.json());
    } catch {
      const database = bar.querySelector('[data-part="database"]');
      database.dataset.state = "failed";
      database.querySelector("b").textContent = "no connection";
    }
  };
  setInterval(ask, document.querySelector("[data-running], [data-live]:not([data-over])") ? STATUS_WHILE_RUNNING : STATUS_INTERVAL);
  document.addEventListener("visibilitychange", ask);
}

function ago(seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
}

// The balance of the dashboard as it is known now, and its age, which grows while the page is open.
function showBalance(status) {
  const figure = document.querySelector("[data-balance-figure]");
  if (!figure || !status.balance_at) return;
  if (typeof status.balance === "number") figure.textContent = money(status.balance);
  const age = ago(Date.now() / 1000 - status.balance_at);
  document.querySelector("[data-balance-age]").textContent = status.balance_outdated ? `${age}, before the newest orders` : age;
}

function showRunning(batch) {
  const line = document.querySelector(`[data-running] [data-batch="${batch.batch_id}"]`);
  if (!line) return;
  const badge = line.querySelector(".badge");
  badge.textContent = batch.stage_label;
  badge.className = `badge stage-${batch.stage}`;
  for (const bar of line.querySelectorAll("[data-bar]")) {
    const [done, all] = bar.dataset.bar === "results" ? [batch.results, batch.expected] : [batch.done, batch.total];
    bar.querySelector("progress").max = all || 1;
    bar.querySelector("progress").value = all ? done : 1;
    bar.querySelector("[data-done]").textContent = number(done);
    bar.querySelector("[data-all]").textContent = number(all);
  }
}

// A box for many IMEIs says while it is filled how many it holds; the server reads it again, and knows more.
function pasteBox(box) {
  const count = document.querySelector("[data-paste-count]");
  const idle = count.textContent;
  const show = () => {
    const entries = box.value.split(/[\n,;\t]+/).filter((entry) => entry.trim()).length;
    const imeis = new Set(box.value.match(/(?<!\d)\d{14,16}(?!\d)/g) ?? []).size;
    count.textContent = entries ? `${plural(imeis, "IMEI")} in ${plural(entries, "entry", "entries")}` : idle;
    box.dataset.paste = imeis;
    box.dispatchEvent(new CustomEvent("pasted"));
  };
  box.addEventListener("input", show);
  show();
}

// The preview: what was changed and not updated yet cannot be confirmed. The server refuses it too.
function optionsForm(form) {
  const outdated = document.querySelector("[data-outdated]");
  const confirm = document.querySelector("[data-confirm]");
  const state = () => new URLSearchParams([...new FormData(form)].filter(([name]) => !FREE_FIELDS.includes(name))).toString();
  const shown = state();
  const check = () => {
    const changed = state() !== shown;
    outdated.hidden = !changed;
    if (confirm) confirm.hidden = changed;
  };
  form.addEventListener("change", check);
  document.querySelector("#typed")?.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); form.requestSubmit(confirm.querySelector("button")); }
  });
}

function formsSentOnce() {
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      const button = event.submitter ?? form.querySelector("button[type=submit]");
      const words = [...button.childNodes];
      setTimeout(() => {
        button.disabled = true;
        if (button.dataset.busy) button.replaceChildren(button.dataset.busy);
      });
      addEventListener("pageshow", () => { button.disabled = false; button.replaceChildren(...words); });
    });
  }
}

// A link to a page that asks for a yes opens that question here. Escape, and what the dialog offers, close it.
function dialogs() {
  for (const link of document.querySelectorAll("[data-dialog]")) {
    const dialog = document.querySelector(link.dataset.dialog);
    link.setAttribute("role", "button");
    link.setAttribute("aria-haspopup", "dialog");
    link.addEventListener("click", (event) => { event.preventDefault(); dialog.showModal(); });
    link.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); link.click(); } });
    for (const form of dialog.querySelectorAll("[data-closes]")) form.method = "dialog";
  }
}

// A form with a question is sent when the question is answered with its button.
function confirmations() {
  const dialog = document.querySelector("#confirm");
  let asked = null;
  document.addEventListener("submit", (event) => {
    if (!event.target.dataset.confirm) return;
    event.preventDefault();
    asked = event.target;
    dialog.returnValue = "";
    dialog.querySelector("p").textContent = asked.dataset.confirm;
    dialog.querySelector("[value=yes]").textContent = event.submitter.textContent.trim();
    dialog.showModal();
  });
  dialog.addEventListener("close", () => { if (dialog.returnValue === "yes") asked.submit(); });
}

// A part of the page that takes a while, such as an answer of the provider, comes when the rest stands.
async function loadPart(part) {
  const fallback = [...part.childNodes];
  part.textContent = "Asking…";
  try {
    const answer = await fetch(part.dataset.load);
    if (!answer.ok) throw new Error(answer.statusText);
    part.innerHTML = await answer.text();
    localTimes(part);
    copyButtons(part);
  } catch {
    part.replaceChildren(...fallback);
  }
}

// Says when a number that the page shows has changed; what a person is typing stays.
function watch(note) {
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      const data = await (await fetch(note.dataset.watch, { headers: { Accept: "application/json" } })).json();
      const value = note.dataset.watched.split(".").reduce((found, key) => found[key], data);
      if (String(value) === note.dataset.was) return;
      note.querySelector("[data-watch-words]").textContent = number(value);
      note.hidden = false;
      clearInterval(timer);
    } catch { /* the next turn asks again */ }
  }, STATUS_WHILE_RUNNING);
}

// A page about work that goes on shows by itself how far it is.
function renew() {
  setTimeout(async () => {
    try {
      const answer = await fetch(location.href);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = page.title;
      document.querySelector("#main").replaceChildren(...page.querySelector("#main").childNodes);
    } catch { /* the next turn asks again */ }
    if (document.querySelector("[data-renew]")) renew();
    else document.querySelector("[data-ready] a[download]")?.click(); // the visitor has waited for this file
  }, RENEW_AFTER);
}

// A key, or "g" and then a key, opens a page, unless somebody types, holds another key, or has switched the shortcuts
// off on the help page.
function shortcuts() {
  const OFF = "shortcuts-off";
  const box = document.querySelector("[data-shortcuts]");
  if (box) {
    box.checked = localStorage.getItem(OFF) !== "1";
    box.closest("[hidden]").hidden = false;
    box.addEventListener("change", () => localStorage.setItem(OFF, box.checked ? "0" : "1"));
  }
  let pressedG = -Infinity;
  document.addEventListener("keydown", (event) => {
    const isTyping = document.activeElement.matches("input:not([type=checkbox], [type=file]), select, textarea");
    if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
    if (document.querySelector("dialog[open]") || localStorage.getItem(OFF) === "1") return;
    const search = event.key === "/" && document.querySelector("[data-find]");
    const key = event.timeStamp - pressedG < G_LASTS ? `g ${event.key}` : event.key;
    pressedG = event.key === "g" ? event.timeStamp : -Infinity;
    const link = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    if (!search && !link) return;
    event.preventDefault();
    if (search) search.select();
    else link.click();
  });
}

localTimes();
copyButtons();
shortcuts();
document.querySelector(".side [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
if (document.querySelector("[data-renew]")) renew();
document.querySelectorAll("[data-load]").forEach(loadPart);
document.querySelectorAll("[data-watch]").forEach(watch);
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
statusBar();
formsSentOnce();
document.querySelectorAll("[data-options]").forEach(optionsForm);
dialogs();
confirmations();
menus();
if (document.querySelector("[data-picker]")) import("./picker.js");
if (document.querySelector("[data-selecting]")) import("./rows.js");
document.querySelectorAll("[data-paste]").forEach(pasteBox);
