// The answers on the page: a card a picture, a sentence for who listens, a line that says what went wrong.

import { Refused } from "./server.js";
import { onLanguage, word } from "./words.js";

const SPEAK_AFTER = 600; // ms of quiet, so that a drawing in the making is not read out at every stroke
const find = (id) => document.getElementById(id);
let shown = null;
let speaking = 0;
let current = null;

export function percent(probability) {
  return new Intl.NumberFormat(document.documentElement.lang, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(probability);
}

// Show what `predict` gave. `order`: class names whose bars stay in this order; without it the likeliest come first.
// `names`: whether pictures are told apart by name.
export function showAnswers(result, { order = null, names = false } = {}) {
  shown = { result, order, names };
  complain(null);
  paint();
}

export function showNothing() {
  shown = null;
  complain(null);
  paint();
}

// Say what went wrong: an Error of a call, or a sentence; null takes it back.
export function complain(problem) {
  const place = find("message");
  current = problem;
  place.hidden = problem === null;
  if (problem === null) place.textContent = "";
  else if (typeof problem === "string") place.textContent = problem;
  else place.textContent = problem instanceof Refused ? explained(problem.status, problem.message) : word("noAnswer");
}

// In the page's own words where it has some, since the server speaks English.
function explained(status, detail) {
  return word("refused")[status] ?? `${word("failed", status)} ${detail}`;
}

function paint() {
  const cards = find("cards");
  if (!shown) {
    cards.replaceChildren(made("p", "quiet", word("nothingYet")));
    find("latency").textContent = "";
    say("");
    return;
  }
  const { result, order, names } = shown;
  const before = cards.querySelectorAll(".card");
  if (order && before.length === 1 && before[0].querySelector("ol")) refresh(before[0], result.predictions[0], order);
  else cards.replaceChildren(...result.predictions.map((prediction) => card(prediction, order, names)));
  find("latency").textContent = word("latency", Math.round(result.roundTrip), Math.round(result.milliseconds));
  say(result.predictions.map((p) => (names ? `${p.name}: ` : "") + (p.error ? word("unreadable") : word("said", p.label, percent(p.probability)))).join("; "));
}

function card(prediction, order, names) {
  const place = made("article", "card");
  if (names) place.append(made("h3", "", prediction.name));
  if (prediction.error) {
    place.append(made("p", "message", explained(prediction.error.status, prediction.error.detail)));
    place.lastChild.style.gridColumn = "1 / -1";
    return place;
  }
  const figure = made("figure");
  figure.append(made("img"), made("figcaption"));
  const right = made("div");
  const bars = made("ol", order ? "bars" : "bars named");
  bars.append(...prediction.classes.map(bar));
  right.append(made("p", "best"), bars);
  place.append(figure, right);
  refresh(place, prediction, order);
  return place;
}

function bar() {
  const row = made("li");
  const track = made("div", "track");
  track.setAttribute("aria-hidden", "true");
  track.append(made("div", "fill"));
  row.append(made("span", "name"), track, made("span", "value"));
  return row;
}

// Put new figures into a card that is there: bars then grow and shrink instead of being new.
function refresh(place, prediction, order) {
  const picture = place.querySelector("img");
  picture.src = prediction.seen;
  picture.alt = place.querySelector("figcaption").textContent = word("seen");
  const best = place.querySelector(".best");
  best.replaceChildren(prediction.label, " ", made("span", "", percent(prediction.probability)));
  const byName = new Map(prediction.classes.map((each) => [each.name, each]));
  const classes = order ? order.map((name) => byName.get(name)) : prediction.classes;
  [...place.querySelectorAll("li")].forEach((row, index) => {
    const { name, probability } = classes[index];
    row.classList.toggle("top", name === prediction.label);
    row.querySelector(".name").textContent = name;
    row.querySelector(".value").textContent = percent(probability);
    row.querySelector(".fill").style.setProperty("--part", probability);
  });
}

function say(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => { find("spoken").textContent = text; }, SPEAK_AFTER);
}

function made(kind, classes = "", text = "") {
  const element = document.createElement(kind);
  if (classes) element.className = classes;
  element.textContent = text;
  return element;
}

onLanguage(() => { paint(); complain(current); });
