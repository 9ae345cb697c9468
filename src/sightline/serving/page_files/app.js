// The page: what is served decides whether there is a pad to draw on.

import { complain, showAnswers, showNothing } from "./answers.js";
import { normalise, toPng } from "./normalise.js";
import { Pad } from "./pad.js";
import { modelFacts, predict } from "./server.js";
import { onLanguage, word } from "./words.js";

const SHOWN = 5;
const PAUSE = 60; // ms at least between two calls while someone draws
const find = (id) => document.getElementById(id);

// Give `ask` the newest of what it is told of: one call at a time, and whatever came meanwhile is left out but the last.
// The answers are marked busy until the one to the newest stands.
function latest(ask) {
  let waiting = null;
  let busy = false;
  return async (job) => {
    waiting = job;
    if (busy) return;
    busy = true;
    find("cards").setAttribute("aria-busy", "true");
    try {
      while (waiting !== null) {
        const next = waiting;
        waiting = null;
        await ask(next, () => waiting === null);
        await new Promise((done) => setTimeout(done, PAUSE));
      }
    } finally {
      busy = false;
      find("cards").removeAttribute("aria-busy");
    }
  };
}

function startPad(facts) {
  const size = facts.size.height;
  const ask = latest(async ({ strokes }, isLast) => {
    const levels = normalise(strokes, size);
    if (levels === null) {
      showNothing();
      return;
    }
    try {
      const result = await predict([await toPng(levels, size)], { top: facts.class_names.length });
      if (pad.strokes.length > 0) showAnswers(result, { order: facts.class_names });
    } catch (error) {
      if (isLast()) complain(error);
    }
  });
  const pad = new Pad(find("pad"), () => {
    find("undo").disabled = find("clear").disabled = pad.strokes.length === 0;
    ask({ strokes: pad.strokes.map((stroke) => [...stroke]) });
  });
  find("undo").addEventListener("click", () => pad.undo());
  find("clear").addEventListener("click", () => { pad.clear(); find("pad").focus(); });
  find("draw").hidden = false;
  find("answer").after(find("choose")); // on a narrow screen the bars belong right below the pad
  pad.draw();
}

function startChoice(facts) {
  const most = facts.limits.max_images;
  const ask = latest(async ({ files }, isLast) => {
    const few = files.slice(0, most);
    try {
      const result = await predict(few, { top: Math.min(SHOWN, facts.class_names.length) });
      showAnswers(result, { names: true });
      if (files.length > most) complain(word("tooMany", most));
    } catch (error) {
      if (isLast()) complain(error);
    }
  });
  const take = (files) => {
    if (files.length) ask({ files });
    else complain(word("noPicture"));
  };
  onLanguage(() => { find("choose-help").textContent = word("chooseHelp", most); });
  find("files").addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = ""; // so that the same file can be chosen again
    if (files.length) take(files);
  });
  const drop = find("drop");
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  addEventListener("dragover", () => drop.classList.add("over"));
  for (const kind of ["dragleave", "drop"]) addEventListener(kind, () => drop.classList.remove("over"));
  addEventListener("drop", (event) => take([...event.dataTransfer.files]));
  addEventListener("paste", (event) => take([...event.clipboardData.files]));
  find("choose").hidden = false;
}

async function start() {
  let facts;
  try {
    facts = await modelFacts();
  } catch (error) {
    complain(error);
    return;
  }
  const { height, width, channels } = facts.size;
  onLanguage(() => {
    find("model").textContent = word("model", facts.class_names.length, height, width, word(channels === 1 ? "gray" : "colour"));
  });
  const digits = facts.class_names.length === 10 && facts.class_names.every((name, index) => name === String(index));
  if (digits && channels === 1 && height === width) startPad(facts);
  startChoice(facts);
}

start();
