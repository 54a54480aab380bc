"""Libraries as programs: `drive.py LIBRARY answer|tools PROMPT` prints what the model said, as it came.

snippet.py, in the working directory, is README.md's: it makes the model that is used here. The tool is a shell, so that the
libraries are scripted as the coding agents are.
"""

import json
import subprocess
import sys
from pathlib import Path


def shell(command: str) -> str:
    """Runs a command and returns its output."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout


def snippet():
    scope = {}
    exec(compile(Path("snippet.py").read_text(), "snippet.py", "exec"), scope)
    return scope


def say(text):
    print(text or "", end="", flush=True)


def langchain(what, prompt):
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    model = snippet()["model"]
    if what == "tools":
        model = model.bind_tools([tool(shell)])
    messages = [HumanMessage(prompt)]
    while True:
        whole = None
        for chunk in model.stream(messages):
            say(chunk.text)
            whole = chunk if whole is None else whole + chunk
        messages.append(whole)
        if not whole.tool_calls:
            return
        for call in whole.tool_calls:
            messages.append(ToolMessage(shell(**call["args"]), tool_call_id=call["id"]))


def llama_index(what, prompt):
    from llama_index.core.llms import ChatMessage
    from llama_index.core.tools import FunctionTool

    llm = snippet()["llm"]
    if what == "answer":
        for chunk in llm.stream_chat([ChatMessage(role="user", content=prompt)]):
            say(chunk.delta)
        return
    tools = [FunctionTool.from_defaults(shell)]
    history = [ChatMessage(role="user", content=prompt)]
    while True:
        for chunk in llm.stream_chat_with_tools(tools, chat_history=history):
            say(chunk.delta)
        calls = llm.get_tool_calls_from_response(chunk, error_on_no_tool_call=False)
        if not calls:
            return
        history.append(chunk.message)
        for call in calls:
            result = {"role": "tool", "content": shell(**call.tool_kwargs)}
            history.append(ChatMessage(**result, additional_kwargs={"tool_call_id": call.tool_id}))


def aws(what, prompt):
    import boto3

    client = boto3.client("bedrock-runtime", region_name="us-east-1")
    spec = {"name": "shell", "inputSchema": {"json": {"type": "object", "properties": {"command": {"type": "string"}}}}}
    more = {"toolConfig": {"tools": [{"toolSpec": spec}]}} if what == "tools" else {}
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    while True:
        blocks = {}
        stream = client.converse_stream(modelId="amazon.nova-lite-v1:0", messages=messages, **more)["stream"]
        for event in stream:
            collect(blocks, **event)
        content = [blocks[index] for index in sorted(blocks)]
        messages.append({"role": "assistant", "content": content})
        calls = [block["toolUse"] for block in content if "toolUse" in block]
        if not calls:
            return
        results = [tool_result(**call) for call in calls]
        messages.append({"role": "user", "content": results})


def collect(blocks, contentBlockStart=None, contentBlockDelta=None, contentBlockStop=None, **_):
    """Puts a ConverseStream event into the blocks of the message, by their index."""
    if contentBlockStart:
        tool_use = contentBlockStart["start"]["toolUse"]
        blocks[contentBlockStart["contentBlockIndex"]] = {"toolUse": {**tool_use, "input": ""}}
    if contentBlockDelta:
        index, delta = contentBlockDelta["contentBlockIndex"], contentBlockDelta["delta"]
        if "text" in delta:
            say(delta["text"])
            blocks.setdefault(index, {"text": ""})["text"] += delta["text"]
        elif "toolUse" in delta:
            blocks[index]["toolUse"]["input"] += delta["toolUse"]["input"]
        else:
            thought = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {"text": ""}}})
            for field, piece in delta["reasoningContent"].items():
                text = thought["reasoningContent"]["reasoningText"]
                text[field] = text.get(field, "") + piece
    if contentBlockStop:
        block = blocks[contentBlockStop["contentBlockIndex"]]
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")


def tool_result(toolUseId, input, **_):
    return {"toolResult": {"toolUseId": toolUseId, "content": [{"text": shell(**input)}]}}


LIBRARIES = {"langchain": langchain, "llama-index": llama_index, "aws": aws}

if __name__ == "__main__":
    LIBRARIES[sys.argv[1]](*sys.argv[2:])
