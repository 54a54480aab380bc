import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { renderTable } from "../../src/commands/table.ts";

describe("renderTable", () => {
  it("makes columns as wide as they need, numbers to the right, nothing behind the last", () => {
    const columns = [{ title: "NAME" }, { title: "RPM", align: "right" as const }, { title: "TEAM" }];
    const rows = [
      ["alice", "5", "core"],
      ["bo", "1000", ""],
    ];
    assert.equal(renderTable(columns, rows), "NAME    RPM  TEAM\nalice     5  core\nbo     1000\n");
  });

  it("counts what a terminal shows two columns wide, and what it shows none for", () => {
    const rows = ["日本", "🎉", "e\u0301", "👩‍👩‍👧", "abc"].map((name) => [name, "|"]);
    assert.equal(
      renderTable([{ title: "N" }, { title: "X" }], rows),
      "N     X\n日本  |\n🎉    |\ne\u0301     |\n👩‍👩‍👧    |\nabc   |\n",
    );
  });

  it("cuts long cells between characters, never inside one", () => {
    const cut = (text: string, max: number) => renderTable([{ title: "", max }], [[text]]).split("\n")[1];
    assert.equal(cut("abcdef", 6), "abcdef");
    assert.equal(cut("abcdefg", 6), "abcde…");
    assert.equal(cut("日本語だ", 6), "日本…");
    assert.equal(cut("abc🎉🎉", 5), "abc…");
  });
});
