// What the page says, in both languages. Elements with data-word take their text from here.

const WORDS = {
  en: {
    draw: "Draw a digit",
    drawHelp: "Use a finger, pen or mouse. On the keyboard, the arrow keys move the pen, and space puts it down or lifts it.",
    pad: "Drawing pad",
    undo: "Undo",
    clear: "Clear",
    choose: "Choose pictures",
    pick: "Choose …",
    chooseHelp: (most) => `Or drop them here, or paste one. Up to ${most} at once.`,
    answer: "Answer",
    nothingYet: "Nothing yet.",
    seen: "What the network sees",
    latency: (all, server) => `${all} ms, including ${server} ms in the server`,
    model: (classes, height, width, colour) => `${classes} classes · ${height} × ${width} pixels, ${colour}`,
    gray: "gray",
    colour: "color",
    said: (label, percent) => `${label}, ${percent}`,
    unreadable: "unreadable",
    noAnswer: "The server does not respond. Is it still running?",
    tooMany: (most) => `At most ${most} pictures at once; only the first ${most} are used.`,
    noPicture: "You dropped or pasted something that is not a picture.",
    refused: {
      413: "Too large for this server.",
      415: "This type of file is not supported.",
      422: "This is not a readable picture.",
      429: "The server is busy. Try again in a moment.",
      503: "The server is not available. Try again in a moment.",
    },
    failed: (status) => `The server refused this (${status}).`,
    private: "Pictures are classified and then deleted; nothing is stored.",
    api: "API documentation",
    other: "中文",
  },
  zh: {
    draw: "写一个数字",
    drawHelp: "可用手指、触控笔或鼠标。键盘：方向键移动笔尖，空格键落笔或抬笔。",
    pad: "画板",
    undo: "撤销",
    clear: "清除",
    choose: "选择图片",
    pick: "选择…",
    chooseHelp: (most) => `也可以拖到这里，或直接粘贴。一次最多\u00a0${most}\u00a0张。`,
    answer: "结果",
    nothingYet: "还没有内容。",
    seen: "网络看到的图像",
    latency: (all, server) => `${all} 毫秒，其中服务器 ${server} 毫秒`,
    model: (classes, height, width, colour) => `${classes} 个类别 · ${height} × ${width} 像素，${colour}`,
    gray: "灰度",
    colour: "彩色",
    said: (label, percent) => `${label}，${percent}`,
    unreadable: "无法读取",
    noAnswer: "服务器没有回应。它还在运行吗？",
    tooMany: (most) => `一次最多 ${most} 张，已取前 ${most} 张。`,
    noPicture: "拖入或粘贴的内容里没有图片。",
    refused: {
      413: "超过了服务器允许的大小。",
      415: "不支持这种文件。",
      422: "无法作为图片读取。",
      429: "服务器正忙，请稍后再试。",
      503: "服务器暂时不可用，请稍后再试。",
    },
    failed: (status) => `服务器拒绝了请求（${status}）。`,
    private: "图片只用于回答，不会保存。",
    api: "接口说明",
    other: "English",
  },
};

const KEPT = "sightline-language";
const listeners = [];
let language = first();

function first() {
  try {
    const kept = localStorage.getItem(KEPT);
    if (kept in WORDS) return kept;
  } catch { /* a browser that keeps nothing */ }
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

// A word, or for one that has parts the text made of them.
export function word(name, ...parts) {
  const found = WORDS[language][name];
  return typeof found === "function" ? found(...parts) : found;
}

// Call `show` now and whenever the language changes.
export function onLanguage(show) {
  listeners.push(show);
  show();
}

function showAll() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  const button = document.getElementById("language");
  button.textContent = word("other");
  button.lang = language === "zh" ? "en" : "zh-CN";
}

document.getElementById("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  try {
    localStorage.setItem(KEPT, language);
  } catch { /* then it is asked anew next time */ }
  for (const show of listeners) show();
});
onLanguage(showAll);
