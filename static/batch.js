// The new batch: what is in the drop zone, how many IMEIs were pasted, and what they would cost.
import { money, number } from "./app.js";

const zone = document.querySelector("[data-drop]");
const input = zone.querySelector("input");
const text = zone.querySelector("[data-drop-text]");
const estimate = document.querySelector("[data-estimate]");
const paste = document.querySelector("[data-paste]");
const nothing = [...text.childNodes].map((node) => node.cloneNode(true));
const select = document.querySelector("#service_id");
const customer = document.querySelector("#customer");
const hint = document.querySelector("[data-customer-service]");
let isDefault = false;
let isChosen = false;

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

// The default service of a customer is chosen with the customer, as long as nobody chose another one by hand.
function showDefault() {
  const name = customer.value.trim().toLowerCase();
  const known = [...customer.list.options].find((option) => option.value.toLowerCase() === name);
  const service = [...select.options].find((option) => option.value === known?.dataset.service && !option.disabled);
  hint.textContent = "";
  if (!service || isChosen) return;
  if (select.value !== service.value) {
    isDefault = true;
    select.value = service.value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    isDefault = false;
  }
  hint.textContent = `The default service of ${known.value} is chosen.`;
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
select.addEventListener("change", () => {
  if (!isDefault) isChosen = true;
  showEstimate();
});
if (customer.list) customer.addEventListener("input", showDefault);
addEventListener("pageshow", showEstimate);
showFile();
showEstimate();
