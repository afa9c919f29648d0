// What every page does: local times, copy buttons, the status bar, the service picker, forms that send themselves.

export const number = (value) => new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 }).format(value);
export const money = (value) =>
  "$" + new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 4 }).format(value);
export const plural = (count, one, many = one + "s") => `${number(count)} ${count === 1 ? one : many}`;

const STATUS_INTERVAL = 15000;
const STATUS_WHILE_RUNNING = 3000;

function localTimes(root = document) {
  const short = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const thisYear = new Intl.DateTimeFormat(undefined, short);
  const otherYear = new Intl.DateTimeFormat(undefined, { ...short, year: "numeric" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.textContent = (moment.getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(moment);
  }
}

function copyButtons() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("button.copy")) button.hidden = false;
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1200);
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
    const running = status.running.length;
    bar.querySelector('[data-part="running"]').textContent = running
      ? `${plural(running, "batch", "batches")}, ${plural(status.waiting, "IMEI")} to go`
      : "Nothing is running";
    for (const batch of status.running) showRunning(batch);
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
  setInterval(ask, document.querySelector("[data-running], [data-live]:not([data-state=finished])") ? STATUS_WHILE_RUNNING : STATUS_INTERVAL);
  document.addEventListener("visibilitychange", ask);
}

function showRunning(batch) {
  const line = document.querySelector(`[data-running] [data-batch="${batch.batch_id}"]`);
  if (!line) return;
  line.querySelector("progress").value = batch.done;
  line.querySelector("[data-done]").textContent = number(batch.done);
}

function picker(root) {
  const select = root.querySelector("select");
  const search = root.querySelector("[data-picker-search]");
  const picked = root.querySelector("[data-picked]");
  const all = [...select.options];
  const describe = () => {
    const option = select.selectedOptions[0];
    picked.textContent = option?.value
      ? `${money(Number(option.dataset.price))} an IMEI${option.dataset.delivery ? ", " + option.dataset.delivery : ""}`
      : "";
    document.dispatchEvent(new CustomEvent("service", { detail: option?.value ? Number(option.dataset.price) : null }));
  };
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = select.value;
    const fits = all.filter((option) => {
      const text = `${option.value} ${option.text} ${option.dataset.category}`.toLowerCase();
      return option.value && words.every((word) => text.includes(word));
    });
    select.replaceChildren(...(words.length ? fits : all));
    select.size = words.length ? Math.min(Math.max(fits.length, 2), 8) : 1;
    select.value = fits.some((option) => option.value === chosen) || !words.length ? chosen : "";
    if (words.length && fits.filter((option) => !option.disabled).length === 1) select.value = fits.find((option) => !option.disabled).value;
    describe();
  };
  search.hidden = false;
  search.addEventListener("input", filter);
  search.addEventListener("change", (event) => event.stopPropagation());
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") { event.preventDefault(); select.focus(); if (!select.value && select.options.length) select.selectedIndex = 0; describe(); }
    if (event.key === "Enter") event.preventDefault();
  });
  select.addEventListener("change", describe);
  describe();
}

function selfSendingForms() {
  for (const form of document.querySelectorAll("form[data-auto-submit]")) {
    form.addEventListener("change", (event) => {
      if (event.target.matches("select") && !event.target.value && event.target.name === "service_id") return;
      form.requestSubmit();
    });
  }
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", () => {
      const button = form.querySelector("button[type=submit]");
      setTimeout(() => { button.disabled = true; });
      addEventListener("pageshow", () => { button.disabled = false; });
    });
  }
  for (const form of document.querySelectorAll("form[data-confirm]")) {
    form.addEventListener("submit", (event) => { if (!confirm(form.dataset.confirm)) event.preventDefault(); });
  }
}

localTimes();
copyButtons();
statusBar();
selfSendingForms();
document.querySelectorAll("[data-picker]").forEach(picker);
