// The service picker: a combobox over a select. It shows the choice of the select and changes nothing else, so that
// what is shown is what is sent. ARIA Authoring Practices Guide, "Combobox with list autocomplete".
import { money } from "./app.js";
import { ServiceIndex } from "./services.js";

//: Options in the list at once; a search finds the others.
const SHOWN = 60;

function part(name, className, text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

class Picker {
  constructor(root) {
    this.root = root;
    this.select = root.querySelector("select");
    this.hint = root.querySelector("[data-picked]");
    this.options = [...this.select.options].filter((option) => option.value);
    this.index = null; // made when the list is first opened
    this.rows = new Map(); // option → its row
    this.found = [];
    this.active = -1;
    this.build();
    this.listen();
    this.showChoice();
  }

  build() {
    const { id } = this.select;
    this.input = part("input", "combo-input");
    Object.assign(this.input, { id: `${id}-search`, type: "text", autocomplete: "off", spellcheck: false });
    this.list = part("ul", "combo-list");
    Object.assign(this.list, { id: `${id}-list`, hidden: true });
    const given = { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-haspopup": "listbox" };
    for (const [name, value] of Object.entries(given)) this.input.setAttribute(name, value);
    this.input.setAttribute("aria-controls", this.list.id);
    this.input.dataset.pickerSearch = "";
    this.input.placeholder = `Search ${this.options.length.toLocaleString("en-US")} services`;
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Services");
    const combo = part("div", "combo");
    combo.append(this.input, this.list);
    this.select.before(combo);
    this.select.classList.add("visually-hidden");
    this.select.tabIndex = -1;
    this.select.setAttribute("aria-hidden", "true");
    this.root.querySelector("label").htmlFor = this.input.id;
  }

  listen() {
    this.select.addEventListener("change", () => this.showChoice());
    this.select.addEventListener("invalid", (event) => {
      event.preventDefault();
      this.input.focus();
      this.hint.textContent = "Choose a service.";
    });
    this.input.addEventListener("input", () => this.open(this.input.value));
    this.input.addEventListener("change", (event) => event.stopPropagation());
    this.input.addEventListener("focus", () => this.input.select());
    this.input.addEventListener("click", () => this.list.hidden && this.open(""));
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.key(event));
    // A press on a row must not take the focus from the field: its blur would close the list before the click.
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.choose(this.found[[...this.list.children].indexOf(row)]);
    });
    addEventListener("pageshow", () => this.showChoice());
  }

  key(event) {
    const isOpen = !this.list.hidden;
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    if (event.key in moves) {
      event.preventDefault();
      if (isOpen) this.move(this.active + moves[event.key]);
      else this.open("");
    } else if (isOpen && ["Home", "End"].includes(event.key)) {
      event.preventDefault();
      this.move(event.key === "Home" ? 0 : this.found.length - 1);
    } else if (event.key === "Enter") {
      event.preventDefault(); // it chooses, and never sends the form
      if (isOpen) this.choose(this.found[this.active]);
      else this.open("");
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      this.close();
    }
  }

  open(query) {
    this.index ??= new ServiceIndex(
      this.options.map((option) => `${option.value} ${option.text} ${option.dataset.category ?? ""} ${option.dataset.delivery}`),
      JSON.parse(this.root.dataset.synonyms),
    );
    const places = query.trim() ? this.index.search(query) : [...this.options.keys()];
    this.found = places.slice(0, SHOWN).map((place) => this.options[place]);
    const rows = this.found.map((option) => this.row(option));
    const more = places.length - this.found.length;
    if (!rows.length) rows.push(this.remark("No matching service"));
    if (more) rows.push(this.remark(`${more.toLocaleString("en-US")} more: type to find them`));
    const wasHidden = this.list.hidden;
    if (!wasHidden) this.list.scrollTop = 0;
    this.list.replaceChildren(...rows);
    this.list.hidden = false;
    if (wasHidden) this.list.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-expanded", "true");
    this.move(query.trim() ? 0 : Math.max(0, this.found.indexOf(this.select.selectedOptions[0])), false);
    if (!this.found.length) this.hint.textContent = "No matching service";
    else this.describe();
  }

  row(option) {
    if (!this.rows.has(option)) {
      const row = part("li", "combo-row");
      row.id = `${this.list.id}-${option.value}`;
      row.setAttribute("role", "option");
      if (option.disabled) row.setAttribute("aria-disabled", "true");
      const name = part("span", "combo-name", this.title(option));
      if (option.dataset.mark) {
        const mark = part("span", "combo-mark", option.dataset.mark === "favourite" ? "★" : "recent");
        if (option.dataset.mark === "favourite") mark.setAttribute("aria-label", "favourite");
        if (option.dataset.mark === "favourite") mark.setAttribute("role", "img");
        name.append(" ", mark);
      }
      if (option.disabled) name.append(" ", part("span", "combo-mark", option.text.slice(option.text.lastIndexOf("("))));
      if (option.dataset.hint) name.append(" ", part("span", "combo-mark", option.dataset.hint));
      row.append(name, " ", part("span", "num", money(Number(option.dataset.price))), " ", part("span", "combo-when", option.dataset.delivery));
      this.rows.set(option, row);
    }
    const row = this.rows.get(option);
    row.setAttribute("aria-selected", String(option.selected));
    row.classList.remove("active");
    return row;
  }

  remark(words) {
    const row = part("li", "combo-remark", words);
    row.setAttribute("role", "option");
    row.setAttribute("aria-disabled", "true");
    row.setAttribute("aria-selected", "false");
    return row;
  }

  // wasOpen: the list may be scrolled. To scroll makes the browser lay it out at once, which takes time while typing.
  move(to, wasOpen = true) {
    this.list.children[this.active]?.classList.remove("active");
    this.active = this.found.length ? Math.max(0, Math.min(to, this.found.length - 1)) : -1;
    const row = this.found.length ? this.list.children[this.active] : null;
    row?.classList.add("active");
    if (wasOpen || this.active) row?.scrollIntoView({ block: "nearest" });
    if (row) this.input.setAttribute("aria-activedescendant", row.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  choose(option) {
    if (!option || option.disabled) return;
    option.selected = true;
    this.close();
    this.select.dispatchEvent(new Event("change", { bubbles: true }));
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.showChoice();
  }

  title(option) {
    return option.text.slice(0, option.text.lastIndexOf(" · "));
  }

  showChoice() {
    const option = this.select.selectedOptions[0];
    this.input.value = option?.value ? this.title(option) : "";
    this.input.title = this.input.value;
    this.describe();
  }

  describe() {
    const option = this.select.selectedOptions[0];
    const { price, delivery } = option?.dataset ?? {};
    this.hint.textContent = option?.value ? `${money(Number(price))} per IMEI${delivery ? `, ${delivery}` : ""}` : "";
  }
}

for (const root of document.querySelectorAll("[data-picker]")) new Picker(root);
