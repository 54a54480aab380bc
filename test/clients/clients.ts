/**
 * The clients: how each is run without a person, and what its shell tool is called.
 *
 * How it is connected to the gateway is not here: that is README.md's snippet of the same name.
 */
import { fileURLToPath } from "node:url";
import type { JsonObject } from "../../src/json.ts";

export interface Client {
  /** Its heading in README.md. */
  readonly name: string;
  /** In versions.json. */
  readonly package: string;
  /** What the snippet makes it call, as Bedrock is to hear it. */
  readonly model: string;
  /** What to run where the snippet does not end with a command. */
  readonly command?: readonly string[];
  /** Makes it work on one prompt and end. */
  args(prompt: string, task: "answer" | "tools"): readonly string[];
  /** The tool of its own that runs a shell command. Undefined where it gives models no tools. */
  readonly tool?: { readonly name: string; input(command: string): JsonObject };
  /** Edits files by what the model writes, and asks again when that does not fit. */
  readonly edits?: true;
  /** Its switches against telemetry, updates and downloads. */
  readonly env?: Readonly<Record<string, string>>;
  /** The same as files, below the home; and what it needs to work on. */
  readonly files?: Readonly<Record<string, string>>;
  /** What it sends back, or sets, that has to reach Bedrock. */
  readonly carries?: readonly ("thoughts" | "cache points")[];
  /** It sends keys over TLS alone. */
  readonly tls?: true;
}

const DRIVE = fileURLToPath(new URL("drive.py", import.meta.url));
const SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA = "amazon.nova-lite-v1:0";
const SHELL = { name: "shell", input: (command: string) => ({ command }) };
const BASH = { name: "Bash", input: (command: string) => ({ command, description: "Counts" }) };

const claudeCode = {
  package: "@anthropic-ai/claude-code",
  model: SONNET,
  args: (prompt) => ["--print", prompt, "--allowedTools", "Bash"],
  tool: BASH,
  carries: ["thoughts", "cache points"],
  env: { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1", DISABLE_AUTOUPDATER: "1" },
} as const satisfies Omit<Client, "name">;

export const CLIENTS: readonly Client[] = [
  {
    name: "AWS's SDKs",
    package: "boto3",
    model: NOVA,
    command: ["python", DRIVE, "aws"],
    args: (prompt, task) => [task, prompt],
    tool: SHELL,
    carries: ["thoughts"],
    tls: true,
    env: { AWS_EC2_METADATA_DISABLED: "true" },
  },
  {
    name: "LangChain (Python)",
    package: "langchain-openai",
    model: NOVA,
    command: ["python", DRIVE, "langchain"],
    args: (prompt, task) => [task, prompt],
    tool: SHELL,
  },
  {
    name: "LlamaIndex",
    package: "llama-index-llms-openai-like",
    model: NOVA,
    command: ["python", DRIVE, "llama-index"],
    args: (prompt, task) => [task, prompt],
    tool: SHELL,
  },
  { name: "Claude Code", ...claudeCode },
  { name: "Claude Code, by Bedrock's own API", ...claudeCode, env: { ...claudeCode.env, AWS_REGION: "us-east-1" } },
  {
    name: "Codex CLI",
    package: "@openai/codex",
    model: "openai.gpt-oss-120b-1:0",
    command: ["codex"],
    args: (prompt) => [
      "exec",
      "--skip-git-repo-check",
      "--dangerously-bypass-approvals-and-sandbox",
      ...["analytics.enabled", "check_for_update_on_startup", "features.plugins", "features.apps"].flatMap((name) => [
        "-c",
        `${name}=false`,
      ]),
      prompt,
    ],
    tool: { name: "exec_command", input: (cmd) => ({ cmd }) },
    carries: ["thoughts"],
  },
  {
    name: "OpenCode",
    package: "opencode-ai",
    model: SONNET,
    command: ["opencode"],
    args: (prompt) => ["run", prompt],
    tool: { ...BASH, name: "bash" },
    carries: ["cache points"],
    env: {
      OPENCODE_DISABLE_AUTOUPDATE: "1",
      OPENCODE_DISABLE_DEFAULT_PLUGINS: "1",
      OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
      OPENCODE_DISABLE_MODELS_FETCH: "1",
    },
  },
  {
    name: "Qwen Code",
    package: "@qwen-code/qwen-code",
    model: "qwen.qwen3-coder-480b-a35b-v1:0",
    args: (prompt) => ["--yolo", "--prompt", prompt],
    tool: { name: "run_shell_command", input: (command) => ({ command, is_background: false }) },
    files: {
      ".qwen/settings.json": JSON.stringify({
        privacy: { usageStatisticsEnabled: false },
        general: { enableAutoUpdate: false },
      }),
    },
  },
  {
    name: "aider",
    package: "aider-chat",
    model: SONNET,
    args: (prompt) => [
      ...["--yes-always", "--no-git", "--no-pretty", "--no-check-update", "--analytics-disable"],
      ...["--no-show-release-notes", "--no-show-model-warnings", "--edit-format", "diff"],
      ...["--message", prompt, "edited.txt"],
    ],
    edits: true,
    env: { LITELLM_LOCAL_MODEL_COST_MAP: "True" },
    files: {
      "work/edited.txt": "one\n",
      // Else it fetches the prices of all models.
      ".aider/caches/model_prices_and_context_window.json": JSON.stringify({ none: {} }),
    },
  },
  {
    name: "Cline CLI",
    package: "cline",
    model: SONNET,
    args: (prompt) => [prompt],
    tool: { name: "run_commands", input: (command) => ({ commands: [command] }) },
    env: { CLINE_NO_AUTO_UPDATE: "1" },
    files: {
      ".cline/data/settings/global-settings.json": JSON.stringify({ telemetryOptOut: true, autoUpdateEnabled: false }),
    },
  },
  {
    name: "Continue",
    package: "@continuedev/cli",
    model: SONNET,
    command: ["cn"],
    args: (prompt) => ["--print", prompt, "--allow", "Bash"],
    tool: BASH,
    env: { CONTINUE_METRICS_ENABLED: "0" },
  },
  {
    name: "llm",
    package: "llm",
    model: NOVA,
    command: ["llm", "--model", "nova"],
    args: (prompt, task) => [prompt, ...(task === "tools" ? ["--functions", "tools.py"] : [])],
    tool: SHELL,
    files: {
      "work/tools.py":
        "def shell(command: str) -> str:\n    import subprocess\n    return subprocess.check_output(command, shell=True, text=True)\n",
    },
  },
];
