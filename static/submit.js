// Each IMEI is checked while it is typed; the server checks again.
const box = document.querySelector("#imei");
const list = document.querySelector("[data-luhn]");

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
  if (!/^\d+$/.test(digits)) return ["warn", "not only digits"];
  if (digits.length < 15) return ["wait", `${digits.length} of 15 digits`];
  if (digits.length > 16) return ["warn", `${digits.length} digits are too many`];
  if (digits.length === 16) return ["wait", "16 digits: read as IMEISV"];
  return luhn(digits) ? ["good", "the check digit fits"] : ["warn", "the check digit is wrong, probably mistyped"];
}

function show() {
  const lines = box.value.split(/[\n,;]+/).map((line) => line.trim()).filter(Boolean).slice(0, 20);
  list.replaceChildren(...lines.map((line) => {
    const item = document.createElement("li");
    const [kind, words] = judge(line);
    item.className = kind;
    const code = document.createElement("code");
    code.textContent = line.slice(0, 24);
    item.append(code, " ", words);
    return item;
  }));
}

box.addEventListener("input", show);
show();
