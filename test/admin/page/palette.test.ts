/**
 * The palette is measured, not looked at: WCAG's contrast, and distances in Oklab as people with and without red or green
 * cones see them (Machado, Oliveira and Fernandes 2009, severity 1).
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import * as palette from "../../../src/admin/page/browser/palette.js";

type Triple = readonly [number, number, number];

const MODES = [
  { mode: "light", colors: palette.LIGHT, others: palette.OTHERS_LIGHT, surface: palette.SURFACE_LIGHT },
  { mode: "dark", colors: palette.DARK, others: palette.OTHERS_DARK, surface: palette.SURFACE_DARK },
];
const VISIONS: Readonly<Record<string, readonly [Triple, Triple, Triple]>> = {
  normal: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
};

for (const { mode, colors, others, surface } of MODES) {
  describe(`the colours of charts in ${mode} mode`, () => {
    it("have a contrast of at least 3:1 to the card", () => {
      for (const color of [...colors, others]) assert.ok(contrast(color, surface) >= 3, color);
    });

    for (const [vision, matrix] of Object.entries(VISIONS)) {
      it(`are told apart with ${vision} vision, neighbours of a stack above all`, () => {
        for (const [i, one] of colors.entries()) {
          for (const [j, other] of colors.entries()) {
            if (i >= j) continue;
            const distance = difference(one, other, matrix);
            assert.ok(distance >= (j === i + 1 ? 18 : 9), `${one} and ${other}: ${distance.toFixed(1)}`);
          }
        }
      });
    }
  });
}

describe("the texts", () => {
  const css = readFileSync(new URL("../../../src/admin/page/styles/theme.css", import.meta.url), "utf8");
  const [light = "", dark = ""] = css.split("@media (prefers-color-scheme: dark)");
  const pairs = [
    ["text", "surface"],
    ["text", "page"],
    ["text", "raised"],
    ["muted", "surface"],
    ["muted", "page"],
    ["muted", "raised"],
    ["accent", "surface"],
    ["accent-text", "accent"],
    ["accent", "accent-soft"],
    ["danger", "surface"],
    ["danger", "danger-soft"],
    ["text", "danger-soft"],
    ["surface", "danger"],
    ["warn", "surface"],
    ["warn", "warn-soft"],
    ["good", "good-soft"],
    ["surface", "text"],
  ] as const;
  for (const [mode, block] of [
    ["light", light],
    ["dark", dark],
  ] as const) {
    it(`have WCAG's AA contrast on what they stand on in ${mode} mode`, () => {
      const value = (name: string) => new RegExp(`--${name}: (#[0-9a-f]{6});`).exec(block)?.[1] ?? assert.fail(name);
      for (const [ink, ground] of pairs) assert.ok(contrast(value(ink), value(ground)) >= 4.5, `${ink} on ${ground}`);
      assert.ok(contrast(value("line-strong"), value("surface")) >= 3, "the borders of fields");
      assert.ok(contrast(value("bar"), value("surface")) >= 3, "bars");
      const surface = mode === "light" ? palette.SURFACE_LIGHT : palette.SURFACE_DARK;
      assert.equal(value("surface"), surface);
    });
  }
});

describe("slots", () => {
  it("stay with their entities when the order changes", () => {
    const slots = palette.createSlots();
    const first = slots.assign(["a", "b", "c"]);
    assert.deepEqual([...first.values()], [0, 1, 2]);
    assert.deepEqual(
      slots.assign(["c", "d", "a"]),
      new Map([
        ["c", 2],
        ["d", 3],
        ["a", 0],
      ]),
    );
  });

  it("are never shared by two that are shown together, however many there were", () => {
    const slots = palette.createSlots();
    for (let round = 0; round < 40; round += 1) {
      const names = Array.from({ length: 10 }, (_, index) => `entity-${(round * 3 + index * 7) % 23}`);
      const assigned = slots.assign(names);
      assert.equal(assigned.size, palette.SLOTS);
      assert.equal(new Set(assigned.values()).size, palette.SLOTS, `round ${round}`);
    }
  });

  it("are eight; what is beyond is grey", () => {
    const assigned = palette.createSlots().assign(Array.from({ length: 12 }, (_, index) => String(index)));
    assert.equal(assigned.has("8"), false);
    assert.equal(palette.colorOf(assigned.get("8"), false), palette.OTHERS_LIGHT);
    assert.equal(palette.colorOf(assigned.get("7"), true), palette.DARK[7]);
  });
});

function contrast(a: string, b: string): number {
  const [dark = 0, light = 0] = [luminance(linear(a)), luminance(linear(b))].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

function difference(a: string, b: string, matrix: readonly Triple[]): number {
  const [one, other] = [a, b].map((color) => oklab(matrix.map((row) => clamp(dot(row, linear(color))))));
  return 100 * Math.hypot(...(one ?? []).map((value, index) => value - (other?.[index] ?? 0)));
}

function linear(hex: string): number[] {
  return [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
}

function luminance(rgb: readonly number[]): number {
  return dot([0.2126, 0.7152, 0.0722], rgb);
}

function oklab(rgb: readonly number[]): number[] {
  const cones = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
  ].map((row) => Math.cbrt(dot(row, rgb)));
  return [
    [0.2104542553, 0.793617785, -0.0040720468],
    [1.9779984951, -2.428592205, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.808675766],
  ].map((row) => dot(row, cones));
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
