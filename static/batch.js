// The new batch: what is in the drop zone, how many IMEIs were pasted, and what they would cost.
import { money, number, plural } from "./app.js";

const zone = document.querySelector("[data-drop]");
const input = zone.querySelector("input");
const text = zone.querySelector("[data-drop-text]");
const paste = document.querySelector("#imeis");
const count = document.querySelector("[data-paste-count]");
const estimate = document.querySelector("[data-estimate]");
const nothing = [...text.childNodes].map((node) => node.cloneNode(true));
let price = null;
let pasted = 0;

function size(bytes) {
  return bytes < 1e6 ? `${number(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function showFile() {
  const file = input.files[0];
  zone.classList.toggle("filled", Boolean(file));
  if (!file) return text.replaceChildren(...nothing.map((node) => node.cloneNode(true)));
  const name = document.createElement("strong");
  name.textContent = file.name;
  text.replaceChildren(name, ` ${size(file.size)}`);
}

function showPaste() {
  const lines = paste.value.split(/[\n,;\t]+/).filter((line) => line.trim());
  pasted = new Set(paste.value.match(/(?<!\d)\d{14,16}(?!\d)/g) ?? []).size;
  count.textContent = lines.length ? `${plural(pasted, "IMEI")} in ${plural(lines.length, "entry", "entries")}` : "";
  showEstimate();
}

function showEstimate() {
  estimate.textContent = price !== null && pasted ? `about ${money(price * pasted)}` : "";
}

for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, () => zone.classList.add("over"));
for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
input.addEventListener("change", showFile);
paste.addEventListener("input", showPaste);
document.addEventListener("service", (event) => { price = event.detail; showEstimate(); });
const selected = document.querySelector("#service_id")?.selectedOptions[0];
price = selected?.value ? Number(selected.dataset.price) : null;
showFile();
showPaste();
