// The new batch: what is in the drop zone, how many IMEIs were pasted, and what they would cost.
import { money, number } from "./app.js";

const zone = document.querySelector("[data-drop]");
const input = zone.querySelector("input");
const text = zone.querySelector("[data-drop-text]");
const estimate = document.querySelector("[data-estimate]");
const paste = document.querySelector("[data-paste]");
const nothing = [...text.childNodes].map((node) => node.cloneNode(true));
const select = document.querySelector("#service_id");

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

function showEstimate() {
  const pasted = Number(paste.dataset.paste);
  const { price } = select.selectedOptions[0]?.dataset ?? {};
  estimate.textContent = price && pasted ? `about ${money(price * pasted)}` : "";
}

// A file that is dropped beside the zone is taken too: the browser would open it instead of this page.
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (!holdsFiles(event)) return;
    zone.classList.add("over");
    if (!zone.contains(event.target)) event.preventDefault();
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  zone.classList.remove("over");
  if (!holdsFiles(event) || zone.contains(event.target)) return;
  event.preventDefault();
  input.files = event.dataTransfer.files;
  showFile();
  input.focus();
});
zone.classList.add("scripted");
input.addEventListener("change", showFile);
paste.addEventListener("pasted", showEstimate);
select.addEventListener("change", showEstimate);
addEventListener("pageshow", showEstimate);
showFile();
showEstimate();
