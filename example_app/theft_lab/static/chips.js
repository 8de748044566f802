// Tokens as small coloured labels. The same token has the same colour everywhere.

export function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// A, B, C … go round the circle of colours in steps that keep neighbours apart.
export function chip(name) {
  const label = element("b", "chip", name);
  label.style.setProperty("--hue", ((name.charCodeAt(0) - 65) * 137 + 280) % 360);
  return label;
}

// A sentence in which [A] stands for a chip.
export function sentence(text, className = "") {
  const parts = text.split(/\[([A-Z]\d*)\]/);
  return element("p", className, ...parts.map((part, place) => (place % 2 ? chip(part) : part)));
}
