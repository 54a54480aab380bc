"""The official `openai` and `anthropic` SDKs and `langchain-openai`, driven by python-clients.ts.

A line of stdin is {"id", "scenario", "arguments"}; a line of stdout is {"id", "saw"} with what the client gave, or
{"id", "saw", "raised"} with what it had given before it raised. Scenarios run at once, each in a thread. What is right is
for the test to say, so nothing is judged here.
"""

import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import anthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_openai import OpenAI as CompletionModel
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

BASE_URL = os.environ["GATEWAY_URL"] + "/v1"
API_KEY = os.environ["GATEWAY_KEY"]
# By themselves the clients would wait for ten minutes.
DEFAULTS = {"base_url": BASE_URL, "api_key": API_KEY, "max_retries": 0, "timeout": 30}
QUESTION = "How warm is it in Oslo?"
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather now",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Weather(BaseModel):
    city: str
    celsius: int


@tool
def get_weather(city: str) -> str:
    """The weather now"""
    return json.dumps({"city": city, "celsius": 4})


# The OpenAI SDK


def sdk(**options):
    return OpenAI(**{**DEFAULTS, **options})


def ask(model, content=QUESTION, **more):
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


def openai_answer(saw, model, options={}, more={}):
    answer = sdk(**options).chat.completions.create(**ask(model, **more))
    saw.update(
        text=answer.choices[0].message.content,
        finish_reason=answer.choices[0].finish_reason,
        model=answer.model,
        usage=answer.usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"}),
        request_id=answer._request_id,
    )


def openai_stream(saw, model, more={}):
    saw.update(text="", choices=[], usages=[], finish_reasons=[])
    for chunk in sdk().chat.completions.create(**ask(model, stream=True, **more)):
        saw["choices"].append(len(chunk.choices))
        if chunk.usage is not None:
            saw["usages"].append(chunk.usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"}))
        for choice in chunk.choices:
            saw["text"] += choice.delta.content or ""
            if choice.finish_reason is not None:
                saw["finish_reasons"].append(choice.finish_reason)


def openai_completion(saw, model, more={}):
    answer = sdk().completions.create(model=model, **more)
    # The SDK itself reads whatever comes.
    type(answer).model_validate(answer.model_dump())
    saw.update(
        texts=[choice.text for choice in answer.choices],
        finish_reasons=[choice.finish_reason for choice in answer.choices],
        usage=answer.usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"}),
    )


def openai_completion_stream(saw, model, more={}):
    saw.update(text="", usages=[], finish_reasons=[])
    for chunk in sdk().completions.create(model=model, stream=True, **more):
        if chunk.usage is not None:
            saw["usages"].append(chunk.usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"}))
        for choice in chunk.choices:
            saw["text"] += choice.text
            if choice.finish_reason is not None:
                saw["finish_reasons"].append(choice.finish_reason)


def openai_embeddings(saw, model, input):
    packed = sdk().embeddings.create(model=model, input=input)
    plain = sdk().embeddings.create(model=model, input=input, encoding_format="float")
    saw.update(packed=[item.embedding for item in packed.data], plain=[item.embedding for item in plain.data])


def openai_async(saw, model):
    async def run():
        async with AsyncOpenAI(**DEFAULTS) as client:
            stream = await client.chat.completions.create(**ask(model, stream=True))
            saw["text"] = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    asyncio.run(run())


def openai_tools(saw, model, stream):
    def complete(messages):
        request = {"model": model, "messages": messages, "tools": [WEATHER_TOOL], "tool_choice": "required"}
        if not stream:
            return sdk().chat.completions.create(**request)
        with sdk().chat.completions.stream(**request) as events:
            for _ in events:
                pass
            return events.get_final_completion()

    messages = [{"role": "user", "content": QUESTION}]
    first = complete(messages).choices[0]
    saw["finish_reason"] = first.finish_reason
    saw["calls"] = [[call.id, call.function.name, call.function.arguments] for call in first.message.tool_calls]
    messages.append(first.message)
    for call in first.message.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 4}'})
    saw["text"] = complete(messages).choices[0].message.content


def openai_parse(saw, model):
    answer = sdk().chat.completions.parse(**ask(model), response_format=Weather)
    parsed = answer.choices[0].message.parsed
    saw.update(kind=type(parsed).__name__, parsed=parsed.model_dump())


def openai_raw(saw, model):
    raw = sdk().chat.completions.with_raw_response.create(**ask(model))
    saw.update(request_id=raw.request_id, header=raw.headers["x-request-id"], status=raw.status_code)
    saw["text"] = raw.parse().choices[0].message.content


def openai_image(saw, model, url):
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    saw["text"] = sdk().chat.completions.create(**ask(model, content)).choices[0].message.content


def openai_models(saw, model):
    saw["ids"] = [entry.id for entry in sdk().models.list()]
    saw["model"] = sdk().models.retrieve(model).model_dump(include={"id", "object", "owned_by"})


# The Anthropic SDK


def claude(**options):
    defaults = {**DEFAULTS, "base_url": os.environ["GATEWAY_URL"]}
    return anthropic.Anthropic(**{**defaults, **options})


def prompt(model, **more):
    return {"model": model, "max_tokens": 4000, "messages": [{"role": "user", "content": QUESTION}], **more}


def told(message):
    usage = message.usage
    return {
        "blocks": [block.model_dump(exclude_none=True) for block in message.content],
        "stop_reason": message.stop_reason,
        "usage": [usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens],
    }


def anthropic_answer(saw, model, options={}, more={}):
    answer = claude(**options).messages.create(**prompt(model, **more))
    saw.update(told(answer), model=answer.model, id=answer.id, request_id=answer._request_id)


def anthropic_stream(saw, model, more={}):
    saw.update(text="", events=[])
    with claude().messages.stream(**prompt(model, **more)) as stream:
        for event in stream:
            saw["events"].append(event.type)
            if event.type == "text":
                saw["text"] += event.text
        saw.update(told(stream.get_final_message()))


def anthropic_tools(saw, model, stream):
    tools = [{"name": "get_weather", "input_schema": WEATHER_TOOL["function"]["parameters"]}]

    def complete(messages):
        request = {"model": model, "max_tokens": 100, "messages": messages, "tools": tools}
        if not stream:
            return claude().messages.create(**request)
        with claude().messages.stream(**request) as events:
            return events.get_final_message()

    messages = [{"role": "user", "content": QUESTION}]
    first = complete(messages)
    calls = [block for block in first.content if block.type == "tool_use"]
    saw.update(stop_reason=first.stop_reason, calls=[[call.id, call.name, call.input] for call in calls])
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "4"} for call in calls]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    saw["text"] = complete(messages).content[0].text


def anthropic_count(saw, model):
    saw["tokens"] = claude().messages.count_tokens(model=model, messages=prompt(model)["messages"]).input_tokens


def anthropic_models(saw, model):
    saw["ids"] = [entry.id for entry in claude().models.list(limit=7)]
    saw["model"] = claude().models.retrieve(model).model_dump(include={"id", "type", "display_name"})


# Responses


def responses_answer(saw, model, stream):
    request = {"model": model, "input": QUESTION, "instructions": "Be brief."}
    if stream:
        with sdk().responses.stream(**request) as events:
            saw["events"] = [event.type for event in events]
            answer = events.get_final_response()
    else:
        answer = sdk().responses.create(**request)
    saw.update(text=answer.output_text, status=answer.status, usage=answer.usage.model_dump())
    # What the SDK leaves unchecked: whether every member is of its declared type.
    type(answer).model_validate(answer.model_dump(), strict=False)


def responses_tools(saw, model, stream):
    tool = {"type": "function", **WEATHER_TOOL["function"], "strict": False}

    def complete(input):
        request = {
            "model": model,
            "input": input,
            "tools": [tool],
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "low", "summary": "auto"},
        }
        if not stream:
            return sdk().responses.create(**request)
        with sdk().responses.stream(**request) as events:
            for _ in events:
                pass
            return events.get_final_response()

    input = [{"role": "user", "content": QUESTION}]
    first = complete(input)
    saw["items"] = [item.type for item in first.output]
    input += first.output
    for item in first.output:
        if item.type == "function_call":
            input.append({"type": "function_call_output", "call_id": item.call_id, "output": '{"celsius": 4}'})
    saw["text"] = complete(input).output_text


def responses_parse(saw, model):
    parsed = sdk().responses.parse(model=model, input=QUESTION, text_format=Weather).output_parsed
    saw.update(kind=type(parsed).__name__, parsed=parsed.model_dump())


def responses_stream(saw, model):
    saw["text"] = ""
    for event in sdk().responses.create(model=model, input=QUESTION, stream=True):
        if event.type == "response.output_text.delta":
            saw["text"] += event.delta


# LangChain


def chat_model(model, **options):
    return ChatOpenAI(**{"model": model, **DEFAULTS, **options})


def langchain_answer(saw, model, options={}):
    answer = chat_model(model, **options).invoke(QUESTION)
    saw.update(
        text=answer.text,
        usage=token_counts(answer),
        finish_reason=answer.response_metadata.get("finish_reason"),
    )


def langchain_stream(saw, model, options={}):
    saw["text"] = ""
    whole = None
    for chunk in chat_model(model, **options).stream(QUESTION):
        saw["text"] += chunk.text
        whole = chunk if whole is None else whole + chunk
    saw.update(usage=token_counts(whole), finish_reason=whole.response_metadata.get("finish_reason"))


def langchain_tools(saw, model, stream, tool_choice, options={}):
    bound = chat_model(model, **options).bind_tools([get_weather], tool_choice=tool_choice)

    def complete(messages):
        if not stream:
            return bound.invoke(messages)
        whole = None
        for chunk in bound.stream(messages):
            whole = chunk if whole is None else whole + chunk
        return whole

    messages = [HumanMessage(QUESTION)]
    first = complete(messages)
    saw["calls"] = [[call["id"], call["name"], call["args"]] for call in first.tool_calls]
    saw["invalid_calls"] = len(first.invalid_tool_calls)
    messages.append(first)
    for call in first.tool_calls:
        messages.append(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]))
    saw["text"] = complete(messages).text


def langchain_structured(saw, model, method):
    parsed = chat_model(model).with_structured_output(Weather, method=method).invoke(QUESTION)
    saw.update(kind=type(parsed).__name__, parsed=parsed.model_dump())


def langchain_completions(saw, model, prompts):
    llm = CompletionModel(model=model, **DEFAULTS)
    saw.update(texts=[texts[0].text for texts in llm.generate(prompts).generations])
    saw.update(streamed="".join(llm.stream(prompts[0])))


def langchain_embeddings(saw, model, texts):
    embeddings = OpenAIEmbeddings(model=model, check_embedding_ctx_length=False, **DEFAULTS)
    vectors = embeddings.embed_documents(texts)
    saw.update(sizes=[len(vector) for vector in vectors], query_is_last=embeddings.embed_query(texts[-1]) == vectors[-1])


def token_counts(message):
    usage = message.usage_metadata
    return None if usage is None else [usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]]


def snippet(saw, code):
    """Python as somebody pastes it."""
    exec(compile(code, "snippet", "exec"), {"__name__": "__main__"})


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in [
        openai_answer,
        openai_stream,
        openai_completion,
        openai_completion_stream,
        openai_embeddings,
        openai_async,
        openai_tools,
        openai_parse,
        openai_raw,
        openai_image,
        openai_models,
        responses_answer,
        responses_tools,
        responses_parse,
        responses_stream,
        anthropic_answer,
        anthropic_stream,
        anthropic_tools,
        anthropic_count,
        anthropic_models,
        langchain_answer,
        langchain_stream,
        langchain_tools,
        langchain_structured,
        langchain_completions,
        langchain_embeddings,
        snippet,
    ]
}


def play(id, scenario, arguments):
    saw = {}
    try:
        SCENARIOS[scenario](saw, **arguments)
        return {"id": id, "saw": saw}
    except Exception as error:
        return {"id": id, "saw": saw, "raised": describe(error)}


def describe(error):
    members = {name: getattr(error, name, None) for name in ["code", "param", "type", "status_code", "request_id"]}
    kinds = [kind.__name__ for kind in type(error).__mro__ if kind not in (Exception, BaseException, object)]
    return {"kinds": kinds, "message": str(error), **members}


def main():
    # What a client prints must not get between the lines.
    out, sys.stdout = sys.stdout, sys.stderr
    writing = Lock()

    def answer(line):
        reply = json.dumps(play(**json.loads(line)))
        with writing:
            out.write(reply + "\n")
            out.flush()

    with ThreadPoolExecutor(8) as threads:
        for line in sys.stdin:
            threads.submit(answer, line)


main()
