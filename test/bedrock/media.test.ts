import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  canonicalBase64,
  documentFormat,
  documentName,
  imageFormat,
  parseDataUrl,
  uniqueDocumentName,
} from "../../src/bedrock/media.ts";
import { TakenNames } from "../../src/bedrock/taken-names.ts";

describe("base64 of clients", () => {
  const accepted: [string, string][] = [
    ["TWFu", "TWFu"],
    ["TWE=", "TWE="],
    ["TWE", "TWE="],
    ["TQ==", "TQ=="],
    ["TQ", "TQ=="],
    ["TW\r\nFu\n", "TWFu"],
    [" T\tW\vF\fu ", "TWFu"],
    ["T Q = = ", "TQ=="],
    ["-_-_", "+/+/"],
  ];
  for (const [text, expected] of accepted)
    it(`takes ${JSON.stringify(text)}`, () => assert.equal(canonicalBase64(text), expected));
  for (const text of ["", "=", "====", "T", "TWFuT", "TW@u", "TW=Fu", "TWFu====", "%54", "TWFü", "TWFu \u0141"])
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(canonicalBase64(text), undefined));
  it("takes no longer for each digit of many with spaces between them", () => {
    const timeOf = (digits: number) => {
      const start = performance.now();
      assert.equal(canonicalBase64("A ".repeat(digits))?.length, digits);
      return performance.now() - start;
    };
    const small = Math.min(...Array.from({ length: 3 }, () => timeOf(1_400_000)));
    const large = timeOf(14_000_000);
    assert.ok(large < 50 * small + 100, `${large} ms for ten times what took ${small} ms`);
  });
});

describe("data URLs", () => {
  it("are read in any case, with parameters before base64", () => {
    assert.deepEqual(parseDataUrl("DATA:Image/JPG;charset=utf-8;BASE64,TWFu"), {
      mediaType: "image/jpg",
      bytes: "TWFu",
    });
    assert.deepEqual(parseDataUrl("data:;base64,TWFu"), { mediaType: "", bytes: "TWFu" });
  });
  for (const url of ["data:image/png,abc", "https://example.com/a.png", "data:image/png;base64", "base64,TWFu"])
    it(`do not include ${url}`, () => assert.equal(parseDataUrl(url), undefined));
});

describe("formats", () => {
  const bytes = (text: string): string => Buffer.from(text, "latin1").toString("base64");
  it("of images come from the bytes before the declared type", () => {
    const formats = ["\x89PNG\r\n", "\xff\xd8\xff\xe0", "GIF89a", "RIFF\x10\0\0\0WEBPVP8 "].map((head) =>
      imageFormat({ mediaType: "image/bmp", bytes: bytes(head) }),
    );
    assert.deepEqual(formats, ["png", "jpeg", "gif", "webp"]);
    assert.equal(imageFormat({ mediaType: "image/jpg", bytes: bytes("????") }), "jpeg");
    assert.equal(imageFormat({ mediaType: "image/bmp", bytes: bytes("????") }), undefined);
  });
  it("of documents come from the bytes, the type, then the name", () => {
    assert.equal(documentFormat({ mediaType: "text/plain", bytes: bytes("%PDF-1.4") }, "a.txt"), "pdf");
    assert.equal(documentFormat({ mediaType: "text/csv", bytes: bytes("a,b") }, "a.txt"), "csv");
    assert.equal(documentFormat({ mediaType: "application/octet-stream", bytes: bytes("#") }, "README.MD"), "md");
    assert.equal(documentFormat({ mediaType: "application/zip", bytes: bytes("PK") }, "a.zip"), undefined);
  });
});

describe("document names", () => {
  it("keep only what Converse allows, without double spaces", () => {
    assert.equal(documentName("../Q3_report  (final)!.pdf"), "Q3 report (final)");
    assert.equal(documentName("日本語.pdf"), "document");
    assert.ok(documentName("x".repeat(500)).length <= 200);
  });
  it("are made unique within 200 characters", () => {
    const taken = new TakenNames();
    const name = documentName("x".repeat(500));
    const names = Array.from({ length: 20 }, () => uniqueDocumentName(name, taken));
    assert.equal(new Set(names).size, 20);
    assert.ok(names.every((unique) => unique.length <= 200));
  });
});
