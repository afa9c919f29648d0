// Each IMEI is checked while it is typed, and the button names the total; the server checks again.
import { money, number } from "./app.js";

const box = document.querySelector("#imei");
const list = document.querySelector("[data-luhn]");
const TYPING_PAUSE = 350;
const button = document.querySelector("[data-order]");
const select = document.querySelector("#service_id");
let pause = 0;

function luhn(digits) {
  let sum = 0;
  [...digits].reverse().forEach((digit, place) => {
    const value = Number(digit) * (place % 2 ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  });
  return sum % 10 === 0;
}

function judge(line) {
  const digits = line.replace(/[\s./-]/g, "");
  if (!/^\d+$/.test(digits)) return ["warn", "contains characters that are not digits"];
  if (digits.length < 15) return ["wait", `${digits.length} of 15 digits`];
  if (digits.length > 16) return ["warn", `${digits.length} digits, too many`];
  if (digits.length === 16) return ["wait", "16 digits: read as IMEISV"];
  return luhn(digits) ? ["good", "check digit is correct"] : ["warn", "wrong check digit, probably mistyped"];
}

function show() {
  const lines = box.value.split(/[\n,;]+/).map((line) => line.trim()).filter(Boolean).slice(0, 20);
  list.replaceChildren(...lines.map((line) => {
    const item = document.createElement("li");
    const [kind, words] = judge(line);
    item.className = kind;
    item.dataset.imei = line.replace(/[\s./-]/g, "");
    const code = document.createElement("code");
    code.textContent = line.slice(0, 24);
    item.append(code, " ", words);
    return item;
  }));
  showTotal();
  clearTimeout(pause);
  pause = setTimeout(showKnown, TYPING_PAUSE);
}

// What is ordered, and for how much: without phones that have an order of this service, unless they are checked again.
function showTotal() {
  const again = document.querySelector("[name=recheck]")?.checked;
  const isNew = (item) => again || !item.dataset.services?.split(" ").includes(select.value);
  const count = new Set([...list.querySelectorAll(".good")].filter(isNew).map((item) => item.dataset.imei)).size;
  const price = Number(select.selectedOptions[0]?.dataset.price);
  button.textContent = count && price >= 0 ? `Order ${number(count)} · ${money(count * price)}` : "Order IMEIs";
}

function note(item, ...parts) {
  const line = document.createElement("span");
  line.className = "sub";
  line.append(...parts);
  item.append(line);
}

function link(words, url) {
  const made = document.createElement(url ? "a" : "span");
  if (url) made.href = url;
  made.textContent = words;
  return made;
}

function warning(words) {
  const made = document.createElement("strong");
  made.className = "warn";
  made.textContent = words;
  return made;
}

// The earlier result of each whole IMEI with its age, and its model, stand under it.
async function showKnown() {
  const whole = [...list.querySelectorAll(".good")];
  if (!whole.length) return;
  const asked = new URLSearchParams([["service_id", select.value], ...whole.map((item) => ["imei", item.dataset.imei])]);
  try {
    const answer = await fetch(`${list.dataset.known}?${asked}`);
    for (const known of await answer.json()) {
      const item = whole.find((one) => one.dataset.imei === known.imei);
      if (!item?.isConnected) continue;
      item.querySelectorAll(".sub").forEach((line) => line.remove());
      item.dataset.services = known.services ?? "";
      if (known.says) {
        note(item, known.second_of && `IMEI 2 of ${known.second_of}. `, `Checked ${known.age}: `, link(known.says, known.url),
          known.service ? ` (${known.service})` : "");
      }
      if (known.model) note(item, `${known.model} `, known.warning && warning(known.warning));
    }
    showTotal();
  } catch { /* without it the page still orders */ }
}

box.addEventListener("input", show);
box.form.addEventListener("change", (event) => { showTotal(); if (event.target === select) showKnown(); });
addEventListener("pageshow", show);
show();
