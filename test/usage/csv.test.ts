import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { renderCsv } from "../../src/usage/csv.ts";

describe("CSV", () => {
  it("quotes what would end a cell or a line, and leaves the rest as it is", () => {
    const rows = [["a,b", 'say "x"', "two\nlines", "ключ 鍵", -5, null]];
    assert.equal(renderCsv(["name"], rows), 'name\r\n"a,b","say ""x""","two\nlines",ключ 鍵,-5,\r\n');
  });

  it("lets no spreadsheet run a text as a formula, in signs of any width", () => {
    const signs = ["=", "+", "-", "@", "＝", "＋", "－", "＠"];
    for (const sign of signs) assert.equal(renderCsv([], [[`${sign}1`]]), `\r\n'${sign}1\r\n`);
  });
});
