/** Patterns for model ids, buckets and the labels of hosts, as operators write them: `*` stands for any characters, everything else for itself. */

/** Each literal part is looked for once from left to right, so no pattern can take long. */
export function matchesGlob(pattern: string, text: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return pattern === text;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  let position = first.length;
  for (const part of rest) {
    const at = text.indexOf(part, position);
    if (at < 0) return false;
    position = at + part.length;
  }
  return position <= text.length - last.length;
}
