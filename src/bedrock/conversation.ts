/**
 * Makes any client's conversation one that Converse takes, whatever dialect it came in.
 *
 * Bedrock wants turns that alternate and begin with the user, every tool call answered in the very next turn, unique call
 * ids and document names, no blank text, and no cache point without content before it. Clients keep none of this:
 * they cancel tools, replay empty answers and cut the history anywhere. The repair reads only what came before, so a
 * conversation that grows keeps its prefix byte for byte. What a particular model cannot take is not judged here.
 */
import { unreachable } from "../errors.ts";
import type {
  CachePoint,
  ContentBlock,
  DocumentBlock,
  Message,
  SystemBlock,
  ToolResultBlock,
  ToolResultContent,
  ToolUseBlock,
} from "./converse.ts";
import { uniqueDocumentName } from "./media.ts";
import { TakenNames } from "./taken-names.ts";
import { toolUseId, uniqueToolUseId } from "./tool-names.ts";

/** What stands where Bedrock insists on text and the client sent none. */
export const FILLER_TEXT = ".";
export const DOCUMENT_TEXT = "See the attached document.";
export const EMPTY_RESULT_TEXT = "(no output)";
export const MISSING_RESULT_TEXT = "The tool call was cancelled: it has no result.";

export interface Repaired {
  messages: Message[];
  warnings: string[];
}

/** A block, and the cache point that stood right behind it: the two stay together wherever the block moves. */
interface Piece {
  block: Exclude<ContentBlock, { cachePoint: CachePoint }>;
  cachePoint?: CachePoint;
}

interface Turn {
  readonly role: Message["role"];
  pieces: Piece[];
}

/** Calls of one turn with the same id, by their ids as sent, and how many of them have a result. */
interface OpenCalls {
  readonly ids: string[];
  answered: number;
}

/** Repairs `turns` in any order of roles, with tool call ids as the client wrote them. The input is not changed. */
export function repairConversation(turns: readonly Message[]): Repaired {
  const warnings: string[] = [];
  const repaired = startWithUser(mergeTurns(turns.map(toTurn)));
  pairToolCalls(repaired, warnings);
  const names = new TakenNames();
  for (const turn of repaired) {
    turn.pieces = inOrder(turn);
    fillGaps(turn);
    turn.pieces = turn.pieces.map((piece) => withUniqueNames(piece, names));
  }
  trimLastAnswer(repaired);
  return { messages: repaired.map(toMessage), warnings };
}

/** System blocks without blank text, and without cache points that have nothing before them. */
export function repairSystem(system: readonly SystemBlock[]): SystemBlock[] {
  const kept: SystemBlock[] = [];
  for (const block of system) {
    const last = kept.at(-1);
    if ("text" in block) {
      if (!isBlank(block.text)) kept.push({ text: block.text.toWellFormed() });
    } else if (last !== undefined && !("cachePoint" in last)) kept.push(block);
  }
  return kept;
}

function isBlank(text: string): boolean {
  return text.trim() === "";
}

function toTurn(message: Message): Turn {
  const pieces: Piece[] = [];
  for (const block of message.content) {
    if ("cachePoint" in block) {
      const last = pieces.at(-1);
      if (last !== undefined) last.cachePoint = longer(last.cachePoint, block.cachePoint);
    } else if ("text" in block) {
      if (!isBlank(block.text)) pieces.push({ block: { text: block.text.toWellFormed() } });
    } else pieces.push({ block });
  }
  return { role: message.role, pieces };
}

function longer(a: CachePoint | undefined, b: CachePoint): CachePoint {
  return a?.ttl === "1h" ? a : b;
}

/** An empty answer says nothing and goes; an empty question keeps its place until its neighbours are known. */
function mergeTurns(turns: Turn[]): Turn[] {
  const merged: Turn[] = [];
  for (const turn of turns) {
    if (turn.role === "assistant" && turn.pieces.length === 0) continue;
    const last = merged.at(-1);
    if (last?.role === turn.role) append(last.pieces, turn.pieces);
    else merged.push(turn);
  }
  return merged;
}

/** Not by a spread call: its arguments live on the stack, and a client may send more parts than fit there. */
function append<T>(list: T[], more: readonly T[]): void {
  for (const item of more) list.push(item);
}

function startWithUser(turns: Turn[]): Turn[] {
  if (turns[0]?.role !== "user") turns.unshift({ role: "user", pieces: [] });
  return turns;
}

/** Gives every call exactly one result in the turn after it, and turns results without a call into text. */
function pairToolCalls(turns: Turn[], warnings: string[]): void {
  const taken = new TakenNames();
  let missing = 0;
  let orphans = 0;
  for (let index = 0; index < turns.length; index += 1) {
    const turn = turns[index];
    if (turn === undefined) break;
    if (index === 0) orphans += answerCalls(turn, new Map());
    if (turn.role === "user") continue;
    const open = renameCalls(turn, taken);
    let next = turns[index + 1];
    if (next === undefined && open.size > 0) {
      next = { role: "user", pieces: [] };
      turns.push(next);
    }
    if (next === undefined) continue;
    orphans += answerCalls(next, open);
    for (const toolUseId of [...open.values()].flatMap((calls) => calls.ids.slice(calls.answered))) {
      next.pieces.push({ block: { toolResult: missingResult(toolUseId) } });
      missing += 1;
    }
  }
  if (missing > 0) warnings.push(`${missing} tool calls had no result; an error result was added for each`);
  if (orphans > 0) warnings.push(`${orphans} tool results had no call before them; they were sent as text`);
}

/** Gives each call of a turn an id of its own; returns the ids to answer, by the client's id. */
function renameCalls(turn: Turn, taken: TakenNames): Map<string, OpenCalls> {
  const open = new Map<string, OpenCalls>();
  for (const piece of turn.pieces) {
    if (!("toolUse" in piece.block)) continue;
    const call: ToolUseBlock = piece.block.toolUse;
    const unique = uniqueToolUseId(toolUseId(call.toolUseId), taken);
    const sameId = open.get(call.toolUseId);
    if (sameId === undefined) open.set(call.toolUseId, { ids: [unique], answered: 0 });
    else sameId.ids.push(unique);
    piece.block = { toolUse: { ...call, toolUseId: unique } };
  }
  return open;
}

/** Matches a turn's results with the open calls, and counts those. Returns how many results had none. */
function answerCalls(turn: Turn, open: ReadonlyMap<string, OpenCalls>): number {
  const answered = new Map<string, ToolResultBlock>();
  const pieces: Piece[] = [];
  let orphans = 0;
  for (const piece of turn.pieces) {
    if (!("toolResult" in piece.block)) {
      pieces.push(piece);
      continue;
    }
    const result: ToolResultBlock = piece.block.toolResult;
    const calls = open.get(result.toolUseId);
    const id = calls?.ids[calls.answered];
    const earlier = answered.get(result.toolUseId);
    if (calls !== undefined && id !== undefined) {
      calls.answered += 1;
      const block = { ...result, toolUseId: id, content: resultContent(result.content) };
      answered.set(result.toolUseId, block);
      pieces.push({ ...piece, block: { toolResult: block } });
    } else if (earlier !== undefined) {
      addContent(earlier, result.content);
      if (result.status !== undefined) earlier.status = result.status;
    } else {
      orphans += 1;
      append(pieces, asText(piece, result));
    }
  }
  turn.pieces = pieces;
  return orphans;
}

/** A later result for the same call: Bedrock takes one for each, so it holds both. */
function addContent(earlier: ToolResultBlock, content: readonly ToolResultContent[]): void {
  const more = usableContent(content);
  if (more.length > 0 && isEmptyResult(earlier)) earlier.content = [];
  append(earlier.content, more);
}

function isEmptyResult({ content: [first] }: ToolResultBlock): boolean {
  return first !== undefined && "text" in first && first.text === EMPTY_RESULT_TEXT;
}

function resultContent(content: readonly ToolResultContent[]): ToolResultContent[] {
  const usable = usableContent(content);
  return usable.length > 0 ? usable : [{ text: EMPTY_RESULT_TEXT }];
}

function usableContent(content: readonly ToolResultContent[]): ToolResultContent[] {
  const kept = content.filter((part) => !("text" in part) || !isBlank(part.text));
  return kept.map((part) => ("text" in part ? { text: part.text.toWellFormed() } : part));
}

function missingResult(toolUseId: string): ToolResultBlock {
  return { toolUseId, content: [{ text: MISSING_RESULT_TEXT }], status: "error" };
}

/** A result whose call is not in the history: its content, as the user's own. */
function asText(piece: Piece, result: ToolResultBlock): Piece[] {
  const pieces = resultContent(result.content).map((part): Piece => {
    if ("text" in part) return { block: { text: `Tool result: ${part.text}` } };
    if ("json" in part) return { block: { text: `Tool result: ${JSON.stringify(part.json)}` } };
    if ("image" in part) return { block: part };
    if ("document" in part) return { block: part };
    if ("searchResult" in part) return { block: part };
    if ("video" in part) return { block: part };
    return unreachable(part);
  });
  const last = pieces.at(-1);
  if (last !== undefined && piece.cachePoint !== undefined) last.cachePoint = piece.cachePoint;
  return pieces;
}

/** Results lead a user's turn; in the model's own, reasoning leads and tool calls close. Stable otherwise. */
function inOrder({ role, pieces }: Turn): Piece[] {
  const rank = ({ block }: Piece): number => {
    if (role === "user") return "toolResult" in block ? 0 : 1;
    if ("reasoningContent" in block) return 0;
    return "toolUse" in block ? 2 : 1;
  };
  return pieces.toSorted((a, b) => rank(a) - rank(b));
}

/** Bedrock wants content in every turn, and text next to a document. */
function fillGaps({ pieces }: Turn): void {
  const hasText = pieces.some(({ block }) => "text" in block);
  if (pieces.length === 0) pieces.push({ block: { text: FILLER_TEXT } });
  else if (!hasText && pieces.some(({ block }) => "document" in block)) pieces.push({ block: { text: DOCUMENT_TEXT } });
}

function withUniqueNames(piece: Piece, names: TakenNames): Piece {
  const rename = (document: DocumentBlock): DocumentBlock => ({
    ...document,
    name: uniqueDocumentName(document.name, names),
  });
  const { block } = piece;
  if ("document" in block) return { ...piece, block: { document: rename(block.document) } };
  if (!("toolResult" in block)) return piece;
  const content = block.toolResult.content.map((part) =>
    "document" in part ? { document: rename(part.document) } : part,
  );
  return { ...piece, block: { toolResult: { ...block.toolResult, content } } };
}

/** "final assistant content cannot end with trailing whitespace" */
function trimLastAnswer(turns: Turn[]): void {
  const last = turns.at(-1);
  const piece = last?.pieces.at(-1);
  if (last?.role === "assistant" && piece !== undefined && "text" in piece.block)
    piece.block = { text: piece.block.text.trimEnd() };
}

function toMessage({ role, pieces }: Turn): Message {
  const content: ContentBlock[] = [];
  let cacheable = false;
  for (const { block, cachePoint } of pieces) {
    content.push(block);
    cacheable ||= !("reasoningContent" in block);
    // Refused directly behind a document that is not a PDF, and behind nothing but reasoning.
    const refused = !cacheable || ("document" in block && block.document.format !== "pdf");
    if (cachePoint !== undefined && !refused) content.push({ cachePoint });
  }
  return { role, content };
}
