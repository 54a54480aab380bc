import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  completionOf,
  type Gap,
  instruct,
  middleOf,
  readTemplate,
} from "../../../src/dialects/openai-completions/fill-in-the-middle.ts";
import type { Transform } from "../../../src/transform.ts";

const PREFIX = "function sum(list) {\n  let total = 0;\n  ";
const SUFFIX = "\n  return total;\n}\n";
const NEAT: Gap = { context: "", prefix: PREFIX, suffix: SUFFIX };
const INLINE: Gap = { context: "", prefix: "const sum = ", suffix: " + 1;\n" };

describe("the prompts that editors send to code models", () => {
  const prompts: [family: string, prompt: string, context?: string][] = [
    ["Qwen Coder, CodeGemma and Granite 4", `<|fim_prefix|>${PREFIX}<|fim_suffix|>${SUFFIX}<|fim_middle|>`],
    ["the same, suffix first", `<|fim_suffix|>${SUFFIX}<|fim_prefix|>${PREFIX}<|fim_middle|>`],
    [
      "Qwen Coder with other files",
      `<|repo_name|>app\n<|file_sep|>a.js\nA\n<|file_sep|>b.js\n<|fim_prefix|>${PREFIX}<|fim_suffix|>${SUFFIX}<|fim_middle|>`,
      "Repository: app\n\nFile: a.js\nA\n\nFile: b.js",
    ],
    ["Mercury", `${PREFIX}<|fim_suffix|>${SUFFIX}<|fim_middle|>`],
    ["StarCoder", `<fim_prefix>${PREFIX}<fim_suffix>${SUFFIX}<fim_middle>`],
    ["StarCoder, suffix first", `<fim_prefix><fim_suffix>${SUFFIX}<fim_middle>${PREFIX}`],
    [
      "StarCoder with other files",
      `<file_sep>A<file_sep>B<file_sep><fim_prefix>${PREFIX}<fim_suffix>${SUFFIX}<fim_middle>`,
      "File: A\nFile: B\nFile:",
    ],
    ["SantaCoder", `<fim-prefix>${PREFIX}<fim-suffix>${SUFFIX}<fim-middle>`],
    ["Seed-Coder", `<[fim-prefix]>${PREFIX}<[fim-suffix]>${SUFFIX}<[fim-middle]>`],
    ["Seed-Coder, suffix first", `<[fim-suffix]>${SUFFIX}<[fim-prefix]>${PREFIX}<[fim-middle]>`],
    ["DeepSeek Coder", `<｜fim▁begin｜>${PREFIX}<｜fim▁hole｜>${SUFFIX}<｜fim▁end｜>`],
    [
      "DeepSeek Coder with its first token",
      `<｜begin▁of▁sentence｜><｜fim▁begin｜>${PREFIX}<｜fim▁hole｜>${SUFFIX}<｜fim▁end｜>`,
    ],
    ["Code Llama", `<PRE> ${PREFIX} <SUF>${SUFFIX} <MID>`],
    ["Codestral", `[SUFFIX]${SUFFIX}[PREFIX]${PREFIX}`],
    [
      "CodeGeeX",
      `<|user|>\n###LANGUAGE:JavaScript\n<|code_suffix|>${SUFFIX}<|code_prefix|>${PREFIX}<|code_middle|><|assistant|>\n`,
      "###LANGUAGE:JavaScript",
    ],
  ];
  for (const [family, prompt, context = ""] of prompts) {
    it(`are read: ${family}`, () => {
      assert.deepEqual(readTemplate(prompt), { context, prefix: PREFIX, suffix: SUFFIX });
    });
    it(`are read with nothing around the cursor: ${family}`, () => {
      const empty = readTemplate(prompt.replace(PREFIX, "").replace(SUFFIX, ""));
      assert.deepEqual(empty, { context, prefix: "", suffix: "" });
    });
  }

  for (const prompt of [
    "",
    "def add(a, b):",
    "What do <|fim_prefix|>, <|fim_suffix|> and <|fim_middle|> mean?",
    "What do [SUFFIX] and [PREFIX] mean?",
    "<|fim_prefix|>a<|fim_middle|>",
    "<|fim_middle|><|fim_suffix|><|fim_prefix|>",
    "[PREFIX]a[SUFFIX]b",
    "<fim_prefix>a<fim_suffix>b",
  ]) {
    it(`are not seen in ${JSON.stringify(prompt)}`, () => assert.equal(readTemplate(prompt), undefined));
  }
});

describe("a gap's instruction", () => {
  it("shows the document with the cursor, and other files before it", () => {
    assert.equal(
      instruct({ context: "File: b", prefix: "a(", suffix: ")" }).text,
      "<context>\nFile: b\n</context>\n\n<document>\na(<|cursor|>)\n</document>",
    );
    assert.match(instruct(INLINE).text, /^<document>/);
  });
});

describe("the middle", () => {
  const answers: [what: string, gap: Gap, answer: string, middle: string][] = [
    ["stands between the tags", INLINE, "<middle>a + b</middle>", "a + b"],
    ["keeps white space at its ends", INLINE, "<middle>\n  a \n</middle>", "\n  a \n"],
    ["may be empty", INLINE, "<middle></middle>", ""],
    ["ends with the answer where Bedrock stopped at the closing tag", INLINE, "<middle>a\n", "a\n"],
    ["ends with the answer that was too long", NEAT, "<middle>for (const x of", "for (const x of"],
    ["has nothing of what is said around the tags", INLINE, "Here it is:\n\n<middle>a</middle>\nDone!", "a"],
    ["keeps tags of its own kind that open", INLINE, "<middle><middle></middle>", "<middle>"],
    [
      "loses the line break of a neat answer, and the indentation that is there",
      NEAT,
      "<middle>\n  a;\n</middle>",
      "a;",
    ],
    ["loses it with Windows' line breaks too", NEAT, "<middle>\r\n  a;\r\n</middle>", "a;"],
    ["keeps indentation that is more", NEAT, "<middle>\n    a;</middle>", "  a;"],
    ["keeps another line's break", NEAT, "<middle>a;\n  b;\n</middle>", "a;\n  b;"],
    ["keeps one empty line of several", NEAT, "<middle>a;\n\n</middle>", "a;\n"],
    ["is the whole answer where there are no tags", INLINE, "a + b", "a + b"],
    [
      "is the whole answer where the tag comes too late",
      INLINE,
      `${"x".repeat(200)}<middle>a`,
      `${"x".repeat(200)}<middle>a`,
    ],
    ["is what a code block holds where there are no tags", INLINE, "```js\na + b\n```\nIt adds.", "a + b"],
    ["stands between tags that begin just in time", INLINE, `${"x".repeat(160)}<middle>a</middle>`, "a"],
    ["stands behind white space of any length", INLINE, `${"\n".repeat(300)}<middle>a</middle>`, "a"],
    ["keeps a line that only looks like a fence", INLINE, `\`\`\`${"x".repeat(200)}\na`, `\`\`\`${"x".repeat(200)}\na`],
    ["keeps a code block between the tags", INLINE, "<middle>\n```sh\nls\n```\n</middle>", "\n```sh\nls\n```\n"],
    ["is what stands between tags in a code block", INLINE, "```js\n<middle>a</middle>\n```", "a"],
    ["keeps what only begins like a tag", INLINE, "<middle>a </mid b</middle>", "a </mid b"],
    ["is nothing where nothing was said", INLINE, "", ""],
  ];
  for (const [what, gap, answer, middle] of answers)
    it(what, () => assertEverywhere(() => middleOf(gap), answer, middle));

  it("comes as soon as it can be told from a tag", () => {
    const machine = middleOf(INLINE);
    const shown = ["<mid", "dle>", "con", "st a", "</mi", "ddle>"].map((piece) => [...machine.push(piece)].join(""));
    assert.deepEqual(shown, ["", "", "con", "st a", "", ""]);
  });
});

describe("the answer to an editor's own prompt for chat models", () => {
  const prompt = "<QUERY>\na {{FILL_HERE}} c\n</QUERY>\n<COMPLETION>";
  const answers: [what: string, answer: string, text: string][] = [
    ["is kept as it is", " b", " b"],
    ["loses the tag that was open already", "<COMPLETION> b", " b"],
    ["ends at its tag", "\n<COMPLETION>b</COMPLETION> Done.", "b"],
    ["ends at its tag without a second one", "b</COMPLETION>", "b"],
    ["keeps a code block", "```\nb\n```", "```\nb\n```"],
  ];
  for (const [what, answer, text] of answers)
    it(what, () => assertEverywhere(() => completionOf(prompt) ?? assert.fail("not seen"), answer, text));

  it("is any other prompt's own business", () => assert.equal(completionOf("Explain <COMPLETION> tags"), undefined));
});

/** Whole, in two at every place, and one character at a time. */
function assertEverywhere(machine: () => Transform<string, string>, answer: string, text: string): void {
  const run = (pieces: string[]): string => {
    const stage = machine();
    return [...pieces.flatMap((piece) => [...stage.push(piece)]), ...stage.end()].join("");
  };
  for (let at = 0; at <= answer.length; at += 1)
    assert.equal(run([answer.slice(0, at), answer.slice(at)]), text, `cut at ${at}`);
  assert.equal(run([...answer]), text, "one at a time");
}
