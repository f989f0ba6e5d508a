// Small helpers that all parts of the page use.
export const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2"]; // Okabe and Ito

export function colour(trackId) {
  return COLOURS[trackId % COLOURS.length];
}

export function make(tag, kind = "", text = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  if (text) element.textContent = text;
  return element;
}

export function say(element, text) { // a text that stays as it is costs nothing
  if (element.textContent !== text) element.textContent = text;
}

export function button(text, label, press) {
  const made = make("button", "", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", press);
  return made;
}
