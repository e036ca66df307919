// Numbers and times in words, and small pieces of the page.

export const byId = (id) => document.getElementById(id);

// Makes an element; text goes in as text, never as HTML.
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export const counted = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

// A number with a sign and two decimals, as wide as others.
export function signed(value) {
  const digits = Math.abs(value).toFixed(2);
  return (value < 0 && Number(digits) !== 0 ? "−" : "+") + digits;
}

// A length or share with about two digits.
export const rounded = (value) => value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0);

export async function fetchJson(path, options) {
  const answer = await fetch(path, options);
  const content = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(content.error);
  return content;
}
