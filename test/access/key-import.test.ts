import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MAX_IMPORT_ROWS, readImport } from "../../src/access/key-import.ts";
import { keyProblems } from "../../src/access/key-settings.ts";
import { type Random, seeded } from "../fuzz/random.ts";

const NOW = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const USD = 10n ** 12n;

describe("readImport", () => {
  it("reads every option of keys create, and takes an empty cell for one that is not given", () => {
    const { rows, problems } = read(
      "name,owner,team,tags,note,models,rpm,tpm,parallel,budget,soft-budget,budget-period,expires\n" +
        'alice,a@example.com,core,"web, prod","said ""hi""","amazon.*,gpt-4o",1,2,3,50,0.5,day,30d\n' +
        "bob,,none,,,none,none,,,,,,none\n",
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(rows, [
      {
        ...{ name: "alice", owner: "a@example.com", team: "core", tags: ["web", "prod"], note: 'said "hi"' },
        ...{ models: ["amazon.*", "gpt-4o"], rpm: 1, tpm: 2, parallel: 3, budget: 50n * USD, softBudget: USD / 2n },
        ...{ budgetPeriod: "day", expiresAt: NOW + 30 * DAY_MS },
      },
      { name: "bob", team: null, models: [], rpm: null, expiresAt: null },
    ]);
  });

  const plain = [{ name: "alice", rpm: 5 }, { name: "bob" }];
  const forms: [string, string | Uint8Array][] = [
    ["line ends of Windows", "name,rpm\r\nalice,5\r\nbob,\r\n"],
    ["line ends of old Macs", "name,rpm\ralice,5\rbob,\r"],
    ["no line end behind the last line", "name,rpm\nalice,5\nbob,"],
    ["a byte order mark", "\ufeffname,rpm\nalice,5\nbob,\n"],
    ["a byte order mark and quotes", '\ufeff"name","rpm"\n"alice","5"\n"bob",""\n'],
    ["spaces around cells", "name , rpm\n alice,\t5 \nbob , \n"],
    ["empty lines, and lines of empty cells", "\n\nname,rpm\n\nalice,5\n,\n  \nbob,\n,\n"],
    ["columns in another order and in capitals", "RPM,Name\n5,alice\n,bob\n"],
    ["underscores in the columns", "name,rpm,soft_budget\nalice,5,\nbob,,\n"],
  ];
  for (const [title, text] of forms) {
    it(`takes ${title}`, () => assert.deepEqual(read(text), { rows: plain, problems: [] }));
  }

  const faults: [string, string | Uint8Array, [number, RegExp][]][] = [
    ["an empty file", "", [[1, /no keys/]]],
    ["a file with columns alone", "name,rpm\n", [[1, /no keys.*name, owner, team/]]],
    ["text that is not UTF-8", new Uint8Array([0x6e, 0xff, 0x0a]), [[1, /UTF-8/]]],
    ["UTF-16, as some spreadsheets write it", Buffer.from("\ufeffname\nalice\n", "utf16le"), [[1, /UTF-8/]]],
    ["an unknown column", "name,colour\nalice,red\n", [[1, /"colour".*budget-period/]]],
    [
      "other separators",
      "name;rpm\nalice;5\n",
      [
        [1, /"name;rpm"/],
        [1, /separated by commas/],
      ],
    ],
    ["a column that is there twice", "name,rpm,RPM\nalice,5,6\n", [[1, /twice: RPM/]]],
    ["columns of Object's own", "name,__proto__,constructor\na,b,c\n", [[1, /"__proto__", "constructor"/]]],
    ["a quote that stays open", 'name\nalice\n"bob\ncarol\n', [[4, /quotes/]]],
    ["a quote inside a cell", 'name\nal"ice\n', [[2, /quotes/]]],
    [
      "too few and too many cells",
      "name,rpm\nalice\nbob,1,2\ncarol,3\n",
      [
        [2, /1 cells.* 2/],
        [3, /3 cells/],
      ],
    ],
    ["a line without a name", "name,rpm\n,5\n", [[2, /^name: /]]],
    [
      "a name twice",
      "name\nalice\nbob\nalice\nalice\n",
      [
        [4, /line 2.*"alice"/],
        [5, /line 2/],
      ],
    ],
    ["a name that a key has", "name\nold\n", [[2, /^name: The key key_1 has the name "old" already/]]],
    [
      "everything that is wrong in a line",
      "name,rpm,budget,soft-budget,budget-period,expires,models\n  key_1,x,5,6,week,yesterday,a b\n",
      [
        [2, /^rpm: "x"/],
        [2, /^budget-period: "week"/],
        [2, /^expires: "yesterday"/],
        [2, /^name: .*key_/],
        [2, /^models: "a b"/],
        [2, /^soft-budget: .*5 USD/],
      ],
    ],
    [
      "faults of several lines, quoted line ends counted",
      'name,note\na,"x\ny"\nb,\n,z\n',
      [
        [2, /^note: /],
        [5, /^name: /],
      ],
    ],
    ["a formula's value for a number", "name,rpm\nalice,=1+1\n", [[2, /^rpm: "=1\+1"/]]],
    ["what a terminal would act on", "name,rpm\nalice,\u009b31m\u202e\n", [[2, /^rpm: "\\u\{9b\}31m\\u\{202e\}"/]]],
  ];
  for (const [title, text, expected] of faults) {
    it(`finds ${title}`, () => {
      const { problems } = read(text);
      assert.deepEqual(
        problems.map(({ line }) => line),
        expected.map(([line]) => line),
        JSON.stringify(problems),
      );
      for (const [index, [, message]] of expected.entries()) assert.match(problems[index]?.message ?? "", message);
    });
  }

  it("takes a name again whose key is revoked", () => {
    assert.deepEqual(read("name\ngone\n"), { rows: [{ name: "gone" }], problems: [] });
  });

  it("keeps names that a spreadsheet would run as they are", () => {
    const names = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "=HYPERLINK(x)"];
    assert.deepEqual(
      read(`name\n${names.join("\n")}\n`).rows.map(({ name }) => name),
      names,
    );
  });

  it("reads 10,000 lines with quotes in a second or so, and refuses more than there may be", () => {
    const text = `name,tags,models\r\n${Array.from({ length: 10_000 }, (_, n) => `"user ""${n}""","a,b","amazon.*,x"\r\n`).join("")}`;
    const started = performance.now();
    const { rows, problems } = read(text);
    assert.ok(performance.now() - started < 5000);
    assert.equal(rows.length, 10_000);
    assert.deepEqual(problems, []);
    const tooLong = read(`name\n${"x\n".repeat(MAX_IMPORT_ROWS + 1)}`);
    assert.match(tooLong.problems[0]?.message ?? "", /50000 keys; this one has 50001/);
    assert.deepEqual(tooLong.rows, []);
  });

  it("reads back whatever names and notes are written as RFC 4180 has it", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = seeded(seed);
      const rows = Array.from({ length: 1 + random.int(5) }, (_, n) => ({
        name: `${n}${hostile(random)}x`,
        note: `n${hostile(random)}.`,
      }));
      const end = random.pick(["\n", "\r\n"]);
      const lines = [["name", "note"], ...rows.map(({ name, note }) => [name, note])];
      const text = `${random.chance(0.5) ? "\ufeff" : ""}${lines.map((line) => line.map(quoted).join(",")).join(end)}${end}`;
      assert.deepEqual(read(text), { rows, problems: [] }, `seed ${seed}`);
    }
  });

  it("comes to rows that can be made, or to problems, for any bytes at all", () => {
    const start = Buffer.from('name,tags,rpm,budget\r\nalice,"a,b",5,50\r\n"bo""b",,,\n');
    let fine = 0;
    for (let seed = 1; seed <= 3000; seed++) {
      const random = seeded(seed);
      const bytes = Buffer.from(start);
      for (let n = 1 + random.int(3); n > 0; n--) {
        bytes[random.int(bytes.length)] = random.chance(0.7)
          ? random.pick([...Buffer.from('",\r\n0a ')])
          : random.int(256);
      }
      const { rows, problems } = read(bytes.subarray(0, random.chance(0.2) ? random.int(bytes.length) : bytes.length));
      for (const { line, message } of problems) assert.ok(line >= 1 && line <= 8 && message.length > 5, `seed ${seed}`);
      if (problems.length > 0) continue;
      fine++;
      assert.ok(rows.length > 0, `seed ${seed}`);
      assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length, `seed ${seed}`);
      for (const row of rows) assert.deepEqual(keyProblems(row, NOW), [], `seed ${seed}`);
    }
    assert.ok(fine > 100 && fine < 2900, String(fine));
  });
});

function read(text: string | Uint8Array) {
  const keys = [
    { id: "key_1", name: "old", revokedAt: null },
    { id: "key_2", name: "gone", revokedAt: NOW },
  ];
  return readImport(typeof text === "string" ? Buffer.from(text) : text, { keys, now: NOW });
}

/** Printable, and everything that CSV and spreadsheets give a meaning. */
function hostile(random: Random): string {
  const parts = ['"', '""', ",", ";", "'", "=", "+", "-", "@", "\\", " ", "日本", "é", "🎉", "|", "none", "\u0301"];
  return Array.from({ length: random.int(8) }, () => random.pick(parts)).join("");
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
