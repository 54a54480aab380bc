/**
 * Anthropic's own tools that the client runs, with their parameters spelt out.
 *
 * https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/bash-tool, /text-editor-tool, /computer-use-tool and
 * /memory-tool. A request names them by a type with a date, and Claude knows their parameters from its training. Converse
 * knows no such types; written out as any other tool they work there, with every model. Tools that run on Anthropic's
 * servers (web search, code execution and others) can't.
 */
import type { JsonObject } from "../../json.ts";
import type { Field } from "../fields.ts";

export interface TypedTool {
  readonly name: string;
  readonly description: string;
  readonly schema: JsonObject;
}

/** Undefined for a tool that the client does not run, or that nobody knows yet. */
export function typedTool(tool: Field, type: string): TypedTool | undefined {
  const make = TOOLS.find(([pattern]) => pattern.test(type))?.[1];
  return make?.(tool, type);
}

type Make = (tool: Field, type: string) => TypedTool;

const TOOLS: readonly (readonly [type: RegExp, make: Make])[] = [
  [/^bash_\d{8}$/, bash],
  [/^text_editor_\d{8}$/, textEditor],
  [/^computer_\d{8}$/, computer],
  [/^memory_\d{8}$/, memory],
];

const FIRST_EDITOR_WITHOUT_UNDO = "text_editor_20250429";

const text = (description: string): JsonObject => ({ type: "string", description });
const integer = (description: string): JsonObject => ({ type: "integer", description });
const pair = (description: string): JsonObject => ({
  type: "array",
  items: { type: "integer" },
  minItems: 2,
  maxItems: 2,
  description,
});
const choice = (values: readonly string[], description: string): JsonObject => ({
  type: "string",
  enum: values,
  description,
});

function object(properties: JsonObject, required: readonly string[]): JsonObject {
  return { type: "object", properties, required };
}

function bash(tool: Field): TypedTool {
  return {
    name: nameOf(tool, "bash"),
    description: "Runs a command in a bash session that stays open between calls.",
    schema: object(
      {
        command: text("The command to run. Required unless the session is restarted."),
        restart: { type: "boolean", description: "True starts the session anew." },
      },
      [],
    ),
  };
}

const EDITING: JsonObject = {
  path: text("The absolute path of a file or directory."),
  view_range: pair("For view: the first and last line to show, counted from 1; -1 as the last is the file's end."),
  file_text: text("For create: the content of the new file."),
  old_str: text("For str_replace: the text to replace, which must be in the file exactly once."),
  new_str: text("For str_replace: what takes its place. Without it the text is removed."),
  insert_line: integer("For insert: the line behind which to insert; 0 is the file's beginning."),
};

function textEditor(tool: Field, type: string): TypedTool {
  const undo = type < FIRST_EDITOR_WITHOUT_UNDO;
  const commands = ["view", "create", "str_replace", "insert", ...(undo ? ["undo_edit"] : [])];
  // The earlier tools insert new_str.
  const inserted = undo
    ? { new_str: text("For str_replace: what takes the text's place. For insert: the text to insert.") }
    : { insert_text: text("For insert: the text to insert.") };
  return {
    name: nameOf(tool, undo ? "str_replace_editor" : "str_replace_based_edit_tool"),
    description: "Shows, creates and edits text files.",
    schema: object({ command: choice(commands, "What to do."), ...EDITING, ...inserted }, ["command", "path"]),
  };
}

function memory(tool: Field): TypedTool {
  const commands = ["view", "create", "str_replace", "insert", "delete", "rename"];
  return {
    name: nameOf(tool, "memory"),
    description:
      "Keeps files below /memories that last from one conversation to the next. Look there before a task for what is known, and write down what will be needed again.",
    schema: object(
      {
        command: choice(commands, "What to do."),
        ...EDITING,
        path: text("A path below /memories. For all commands but rename."),
        insert_text: text("For insert: the text to insert."),
        old_path: text("For rename: the path now."),
        new_path: text("For rename: the path from then on."),
      },
      ["command"],
    ),
  };
}

const FIRST_ACTIONS = [
  ...["key", "type", "mouse_move", "left_click", "left_click_drag", "right_click"],
  ...["middle_click", "double_click", "screenshot", "cursor_position"],
];
const LATER_ACTIONS = [...["left_mouse_down", "left_mouse_up", "scroll", "hold_key", "wait", "triple_click"]];

function computer(tool: Field, type: string): TypedTool {
  const later = type > "computer_20241022";
  const zoom = tool.at("enable_zoom").value === true;
  const actions = [...FIRST_ACTIONS, ...(later ? LATER_ACTIONS : []), ...(zoom ? ["zoom"] : [])];
  const width = tool.at("display_width_px").integer(1);
  const height = tool.at("display_height_px").integer(1);
  return {
    name: nameOf(tool, "computer"),
    description: `Looks at a screen of ${width} x ${height} pixels, and uses its mouse and keyboard.`,
    schema: object(
      {
        action: choice(actions, "What to do."),
        coordinate: pair("For mouse actions: x and y in pixels from the upper left corner."),
        text: text("For type: what to write. For key and hold_key: the keys, as xdotool names them."),
        ...(later && {
          start_coordinate: pair("For left_click_drag: where the drag begins."),
          scroll_direction: choice(["up", "down", "left", "right"], "For scroll."),
          scroll_amount: integer("For scroll: how many notches of the wheel."),
          duration: { type: "number", description: "For wait and hold_key: seconds." },
        }),
        ...(zoom && {
          region: {
            type: "array",
            items: { type: "integer" },
            minItems: 4,
            maxItems: 4,
            description: "For zoom: x and y of the upper left and of the lower right corner.",
          },
        }),
      },
      ["action"],
    ),
  };
}

function nameOf(tool: Field, usual: string): string {
  return tool.at("name").absent ? usual : tool.at("name").name();
}
