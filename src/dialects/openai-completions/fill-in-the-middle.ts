/**
 * Fill-in-the-middle for models that chat: the text around the cursor as an instruction, and the answer taken out of it.
 *
 * Editors ask with OpenAI's `suffix`, or with the special tokens of a family of code models inside the prompt; a chat model
 * knows neither. It gets one document with a mark at the cursor, and puts its answer between tags: so white space at the
 * ends survives, and what it says besides is told from the answer.
 */
import type { Transform } from "../../transform.ts";
import { heldBack } from "./stops.ts";

export interface Gap {
  /** Other files and the like, which some templates put before the document. */
  readonly context: string;
  readonly prefix: string;
  readonly suffix: string;
}

export interface Instruction {
  readonly system: string;
  readonly text: string;
}

/** What ends the answer: the one stop sequence that Bedrock is sent. */
export const CLOSING_TAG = "</middle>";

const OPENING_TAG = "<middle>";
const CURSOR = "<|cursor|>";
/** How much a model may say before the tag. What is longer is the answer itself, without tags. */
const MAX_PREAMBLE = 160;
/** No longer than a preamble, so that it is there whole when it is looked for. */
const FENCE = /^\s{0,40}```[^\n]{0,80}\n/;

const SYSTEM = [
  `You are the autocompletion of an editor. You are given a document in which ${CURSOR} marks the cursor.`,
  "Write the text that belongs at the cursor, so that the document is right and complete with it.",
  `Answer with ${OPENING_TAG}, that text, ${CLOSING_TAG}, and nothing else: no explanation and no Markdown fence.`,
  `What stands between the tags is inserted as it is, so begin directly after ${OPENING_TAG}, with the spaces, the`,
  "indentation and the line breaks that are needed there. When the cursor is inside a line or a word, go on right there.",
  "Never repeat text that is already before or after the cursor. Keep to the style and the language of the document.",
  `Stop where the statement, block or sentence is complete. When nothing is missing, answer ${OPENING_TAG}${CLOSING_TAG}.`,
].join("\n");

type Order = "prefix-suffix" | "suffix-prefix";
type Template = readonly [order: Order, first: string, second: string, end: string];

/** The first two tokens stand before the parts, the last one at the end; what has no token begins or ends with the prompt. */
const TEMPLATES: readonly Template[] = [
  // Qwen Coder, CodeGemma, Granite 4, and Mercury, which leaves the first one out
  ["prefix-suffix", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
  ["suffix-prefix", "<|fim_suffix|>", "<|fim_prefix|>", "<|fim_middle|>"],
  ["prefix-suffix", "", "<|fim_suffix|>", "<|fim_middle|>"],
  // StarCoder, Stable Code, Granite 3, SantaCoder
  ["prefix-suffix", "<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
  ["suffix-prefix", "<fim_suffix>", "<fim_prefix>", "<fim_middle>"],
  ["prefix-suffix", "<fim-prefix>", "<fim-suffix>", "<fim-middle>"],
  // Seed-Coder
  ["prefix-suffix", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"],
  ["suffix-prefix", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"],
  // DeepSeek Coder
  ["prefix-suffix", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"],
  // Code Llama, which has spaces around its parts
  ["prefix-suffix", "<PRE> ", " <SUF>", " <MID>"],
  // CodeGeeX
  ["suffix-prefix", "<|code_suffix|>", "<|code_prefix|>", "<|code_middle|>"],
  // Codestral
  ["suffix-prefix", "[SUFFIX]", "[PREFIX]", ""],
];

/** Marks of a chat around a template. */
const FRAMES = /<\|(?:user|assistant|endoftext)\|>|<｜begin▁of▁sentence｜>/g;
/** Marks of other files, which templates put before the document. */
const FILE_MARKS = /<\|file_sep\|>|<file_sep>|<filename>/g;
const REPOSITORY_MARKS = /<\|repo_name\|>|<repo_name>|<reponame>/g;

/** The gap that a prompt with the special tokens of a code model describes; undefined for any other prompt. */
export function readTemplate(prompt: string): Gap | undefined {
  for (const template of TEMPLATES) {
    const gap = split(prompt, template);
    if (gap !== undefined) return gap;
  }
  return undefined;
}

function split(prompt: string, [order, first, second, end]: Template): Gap | undefined {
  const stop = end === "" ? prompt.length : prompt.lastIndexOf(end);
  const middle = lastBefore(prompt, second, stop);
  const start = first === "" ? Math.min(middle, 0) : lastBefore(prompt, first, middle);
  if (start < 0) return undefined;
  // Codestral's marks are plain words: only a prompt that begins with one is meant so.
  if (end === "" && start > 0) return undefined;
  const one = prompt.slice(start + first.length, middle);
  const two = prompt.slice(middle + second.length, stop);
  const behind = prompt.slice(stop + end.length).replace(FRAMES, "");
  // StarCoder's other order has an empty prefix here, and the real one behind the end.
  const late = order === "prefix-suffix" && first !== "" && one === "";
  if (behind.trim() !== "" && !late) return undefined;
  const [prefix, suffix] = order === "prefix-suffix" ? [late ? behind : one, two] : [two, one];
  return { context: contextOf(prompt.slice(0, start)), prefix, suffix };
}

/** Where `token` begins for the last time so that it ends before `end`; -1 where it does not. */
function lastBefore(text: string, token: string, end: number): number {
  return end < token.length ? -1 : text.lastIndexOf(token, end - token.length);
}

function contextOf(text: string): string {
  return text.replace(FRAMES, "").replace(REPOSITORY_MARKS, "Repository: ").replace(FILE_MARKS, "\nFile: ").trim();
}

export function instruct({ context, prefix, suffix }: Gap): Instruction {
  const around = context === "" ? "" : `<context>\n${context}\n</context>\n\n`;
  return { system: SYSTEM, text: `${around}<document>\n${prefix}${CURSOR}${suffix}\n</document>` };
}

/** The text between the tags of an answer to `instruct`. An answer without them is taken as it is, without its fence. */
export function middleOf({ prefix, suffix }: Gap): Transform<string, string> {
  return insideTags({
    open: OPENING_TAG,
    close: CLOSING_TAG,
    preamble: MAX_PREAMBLE,
    indent: /(?:^|\n)([ \t]*)$/.exec(prefix)?.[1],
    ownBreakFollows: suffix === "" || /^\r?\n/.test(suffix),
  });
}

/**
 * An editor's own prompt for chat models ends with an open `<COMPLETION>`, and models tend to open it once more. Undefined
 * for any other prompt.
 */
export function completionOf(prompt: string): Transform<string, string> | undefined {
  if (!/<COMPLETION>\s*$/.test(prompt)) return undefined;
  const tags = { open: "<COMPLETION>", close: "</COMPLETION>" };
  return insideTags({ ...tags, preamble: 0, indent: undefined, ownBreakFollows: false });
}

interface Tags {
  readonly open: string;
  readonly close: string;
  /** How many characters of talk may come before the opening tag. */
  readonly preamble: number;
  /** Of the cursor's line, when nothing else is on it: there a line break behind the opening tag is mere neatness. */
  readonly indent: string | undefined;
  /** The document goes on with a line break: one before the closing tag is mere neatness. */
  readonly ownBreakFollows: boolean;
}

/** Holds back what may still turn out to be talk, a tag or neatness. */
function insideTags({ open, close, preamble, indent, ownBreakFollows }: Tags): Transform<string, string> {
  let phase: "before" | "opened" | "inside" | "after" = "before";
  let held = "";
  let ending = close;

  function before(): string {
    const start = held.indexOf(open);
    if (start >= 0 && (start <= preamble || held.slice(0, start).trim() === "")) {
      held = held.slice(start + open.length);
      phase = "opened";
      return opened();
    }
    const talk = held.length - heldBack(held, [open]);
    const mayStillOpen = talk <= preamble || held.slice(0, talk).trim() === "";
    return mayStillOpen ? "" : untagged();
  }

  function untagged(): string {
    const fence = preamble > 0 ? FENCE.exec(held) : null;
    if (fence !== null) {
      held = held.slice(fence[0].length);
      ending = "\n```";
    }
    phase = "inside";
    return inside();
  }

  function opened(): string {
    if (indent !== undefined) {
      if (held === "" || held === "\r") return "";
      const rest = held.replace(/^\r?\n/, "");
      const neat = rest.length < held.length;
      if (neat && rest.length < indent.length && indent.startsWith(rest)) return "";
      if (neat) held = rest.startsWith(indent) ? rest.slice(indent.length) : rest;
    }
    phase = "inside";
    return inside();
  }

  function inside(): string {
    const end = held.indexOf(ending);
    const tails = ownBreakFollows ? [ending, `\n${ending}`, `\r\n${ending}`] : [ending];
    const shown = end >= 0 ? end : held.length - heldBack(held, tails);
    const text = held.slice(0, shown);
    held = held.slice(shown);
    if (end < 0) return text;
    phase = "after";
    return ownBreakFollows ? withoutLastBreak(text) : text;
  }

  return {
    push(text) {
      if (phase === "after") return [];
      held += text;
      if (phase === "before") return [before()];
      return [phase === "opened" ? opened() : inside()];
    },
    end() {
      const text = phase === "before" ? untagged() : "";
      if (phase === "after") return [text];
      // The closing tag that Bedrock has stopped at is not in the text, but the break before it is.
      return [text, ownBreakFollows ? withoutLastBreak(held) : held];
    },
  };
}

function withoutLastBreak(text: string): string {
  return text.replace(/\r?\n$/, "");
}
