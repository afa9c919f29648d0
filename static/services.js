// Find services by words. The rules are those of web/service_search.py, which also gives the synonyms. Pure: no page.

const ONE_ERROR = 4;
const TWO_ERRORS = 8;

export function foldedWords(text) {
  return text.normalize("NFKD").toLowerCase().replace(/\p{M}/gu, "").match(/[\p{L}\p{N}]+/gu) ?? [];
}

// The edit distance of two words, where two swapped neighbours are one error.
export function distance(one, other) {
  let [older, before, row] = [[], [], [...Array(other.length + 1).keys()]];
  for (let i = 1; i <= one.length; i++) {
    [older, before, row] = [before, row, [i]];
    for (let j = 1; j <= other.length; j++) {
      row[j] = Math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1));
      const isSwap = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      if (isSwap) row[j] = Math.min(row[j], older[j - 2] + 1);
    }
  }
  return row[other.length];
}

// How far a query word is from a term: 0 the same, 1 its beginning, 2 a part of it; Infinity if unlike.
function unlikeness(word, term) {
  if (word === term) return 0;
  if (term.startsWith(word)) return 1;
  return word.length > 2 && term.includes(word) ? 2 : Infinity;
}

// Whether a query word is a term, or its beginning, with typing errors.
function isMistyped(word, term) {
  const errors = (word.length >= ONE_ERROR) + (word.length >= TWO_ERRORS);
  const lengths = new Set([Math.min(term.length, word.length + errors), word.length, word.length + 1]);
  return errors > 0 && term.length >= word.length - errors && [...lengths].some((length) => distance(word, term.slice(0, length)) <= errors);
}

export class ServiceIndex {
  // services: texts in the order of the list; synonyms: groups of names, the first of which replaces the others.
  constructor(services, synonyms) {
    this.names = new Map(synonyms.flatMap((group) => group.map((name) => [name, group[0]])));
    this.longest = Math.max(1, ...[...this.names.keys()].map((name) => name.split(" ").length));
    this.count = services.length;
    this.places = new Map(); // term → the places of the services that hold it
    services.forEach((text, place) => {
      for (const term of this.terms(text)) {
        if (!this.places.has(term)) this.places.set(term, []);
        this.places.get(term).push(place);
      }
    });
  }

  // What a query word may match: the words, two neighbours written as one, and synonyms.
  terms(text) {
    const words = foldedWords(text);
    const found = new Set(words);
    words.forEach((word, at) => {
      if (at + 1 < words.length) found.add(word + words[at + 1]);
      for (let length = 1; length <= this.longest; length++) {
        const name = this.names.get(words.slice(at, at + length).join(" "));
        if (name) found.add(name);
      }
    });
    return found;
  }

  // The words of a query, each as it is written and with the synonym that is looked for instead.
  queryWords(query) {
    const words = foldedWords(query);
    const found = [];
    while (words.length) {
      let length = Math.min(this.longest, words.length);
      while (length && !this.names.has(words.slice(0, length).join(" "))) length--;
      const written = words.splice(0, length || 1);
      found.push({ word: length ? this.names.get(written.join(" ")) : written[0], literal: written.join("") });
    }
    return found;
  }

  // How far each service is from a query word. Typing errors are looked for only where nothing is written like that.
  farness({ word, literal }) {
    const far = new Float32Array(this.count).fill(Infinity);
    const note = (term, value) => { for (const place of this.places.get(term)) far[place] = Math.min(far[place], value); };
    const synonymous = word === literal ? 0 : 0.5;
    let isFound = false;
    for (const term of this.places.keys()) {
      const value = unlikeness(word, term);
      if (value < Infinity) { isFound = true; note(term, value + synonymous); }
    }
    if (synonymous && this.places.has(literal)) note(literal, 0);
    if (!isFound && !/^\d+$/.test(word)) {
      for (const term of this.places.keys()) if (isMistyped(word, term)) note(term, 3);
    }
    return far;
  }

  // The places in the list of the services that hold every word of the query, the best first.
  search(query) {
    const words = this.queryWords(query).map((word) => this.farness(word));
    const found = [];
    for (let place = 0; place < this.count; place++) {
      const sum = words.reduce((all, far) => all + far[place], 0);
      if (sum < Infinity) found.push([sum, place]);
    }
    return found.sort((one, other) => one[0] - other[0] || one[1] - other[1]).map(([, place]) => place);
  }
}
