// Lists of orders and of disputes: rows are selected by click, by shift and click and by key, copied, and sent.
import { number, plural } from "./app.js";

const form = document.querySelector("[data-selecting]");
const bar = form.querySelector("[data-selection]");
const page = form.querySelector("[data-page]");
const all = form.querySelector("[data-all]");
const boxes = () => [...form.querySelectorAll("[name=row]")];
const isAll = () => Boolean(all?.querySelector("input").checked);
let last = null;

// The choice of everything that matches is offered when the page is selected.
function show() {
  const shown = boxes();
  const count = shown.filter((box) => box.checked).length;
  page.checked = count > 0 && count === shown.length;
  page.indeterminate = count > 0 && count < shown.length;
  if (all) {
    if (!page.checked) all.querySelector("input").checked = false;
    all.hidden = !page.checked;
  }
  bar.hidden = !count;
  bar.querySelector("[data-selected]").textContent = isAll() ? all.textContent.trim() : `${number(count)} selected`;
  for (const one of bar.querySelectorAll("[data-copy-rows], [data-rows-only]")) one.hidden = isAll();
}

function check(some, checked) {
  for (const box of some) box.checked = checked;
  show();
}

function clicked(event) {
  const box = event.target.closest("[name=row]");
  if (!box) return;
  const shown = boxes();
  const [from, to] = [shown.indexOf(last), shown.indexOf(box)].sort((one, other) => one - other);
  if (event.shiftKey && from >= 0) check(shown.slice(from, to + 1), box.checked);
  last = box;
}

// A click beside the box of a row, with shift held, would select text.
function pressed(event) {
  if (event.shiftKey && event.target.closest(".pick")) event.preventDefault();
}

// Copying: a table for spreadsheets, and its text. Digits stay digits, and no text becomes a formula.
const plain = (cell) => cell.querySelector("time")?.dateTime.replace("T", " ").replace("Z", "") ?? cell.textContent.replace(/\s+/g, " ").trim();
const safe = (text) => (/^[=+\-@＝＋－＠]/.test(text) ? `'${text}` : text);

function tableOf(rows) {
  const heads = [...form.querySelectorAll("thead th:not(.pick)")].map((head) => head.textContent.trim());
  const lines = rows.map((row) => [...row.querySelectorAll("td:not(.pick)")].map((cell) => safe(plain(cell)).replace(/^–$/, "")));
  return [heads, ...lines];
}

function asHtml(lines) {
  const table = document.createElement("table");
  for (const line of lines) {
    const row = table.insertRow();
    for (const text of line) {
      const cell = row.insertCell();
      cell.textContent = text;
      if (/^\d{9,}$/.test(text)) cell.dataset.text = "";
    }
  }
  // Excel keeps such a cell as text; another number of 15 digits would become 3.5E+14.
  return table.outerHTML.replaceAll(' data-text=""', ` style='mso-number-format:"\\@"'`);
}

async function copy() {
  const lines = tableOf(boxes().filter((box) => box.checked).map((box) => box.closest("tr")));
  const flavours = { "text/html": asHtml(lines), "text/plain": lines.map((line) => line.join("\t")).join("\n") };
  const words = bar.querySelector("[data-selected]");
  try {
    await put(flavours);
    words.textContent = `${plural(lines.length - 1, form.dataset.selecting || "order")} copied`;
  } catch {
    words.textContent = "The browser does not allow this page to copy.";
  }
}

// By the event of copying, which keeps the whole style and needs no HTTPS.
function put(flavours) {
  return new Promise((done, failed) => {
    const fill = (event) => {
      event.preventDefault();
      for (const [type, text] of Object.entries(flavours)) event.clipboardData.setData(type, text);
    };
    document.addEventListener("copy", fill, { once: true });
    if (document.execCommand("copy")) return done();
    document.removeEventListener("copy", fill);
    failed();
  });
}

// j and k go from row to row, x selects one; arrows do while a row has the focus.
const STEPS = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };

function keyed(event) {
  const focused = document.activeElement;
  const isTyping = focused.matches("input:not([type=checkbox]), select, textarea");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("shortcuts-off") === "1") return;
  if (document.querySelector("dialog[open]")) return;
  const shown = boxes();
  const place = shown.indexOf(focused.closest("tr")?.querySelector("[name=row]"));
  const step = STEPS[event.key];
  if (step && (place >= 0 || event.key.length === 1)) {
    event.preventDefault();
    const box = shown[Math.min(Math.max(place + step, 0), shown.length - 1)];
    if (event.shiftKey && place >= 0) check([box], true);
    box?.focus();
    last = box;
  } else if (event.key === "x" && place >= 0) {
    event.preventDefault();
    shown[place].click();
  }
}

page.closest("label").hidden = false;
bar.dataset.ready = "";
bar.querySelector("[data-unselect]").hidden = false;
form.addEventListener("change", (event) => (event.target === page ? check(boxes(), page.checked) : show()));
form.addEventListener("click", clicked);
form.addEventListener("mousedown", pressed);
bar.querySelector("[data-unselect]").addEventListener("click", () => { check(boxes(), false); page.focus(); });
bar.querySelector("[data-copy-rows]").addEventListener("click", copy);
document.addEventListener("keydown", keyed);
addEventListener("pageshow", show);
show();
