/** An ext_proc service that does to each request what the request's `x-fault` header names. */
import { Server, ServerCredentials, type ServerDuplexStream, type sendUnaryData } from "@grpc/grpc-js";
import type { ProcessingRequest__Output } from "../../src/extproc/generated/envoy/service/ext_proc/v3/ProcessingRequest.ts";
import type { ProcessingResponse } from "../../src/extproc/generated/envoy/service/ext_proc/v3/ProcessingResponse.ts";
import type { HealthCheckResponse } from "../../src/extproc/generated/grpc/health/v1/HealthCheckResponse.ts";
import { healthService, processorService } from "../../src/extproc/wire.ts";

export type Call = ServerDuplexStream<ProcessingRequest__Output, ProcessingResponse>;
export type Message = ProcessingRequest__Output;
/** Called for every message of the stream. */
export type Fault = (call: Call, message: Message) => void;

export interface BrokenService extends AsyncDisposable {
  /** The messages that have come for each fault. */
  received(fault: string): readonly string[];
}

export async function startBrokenService(
  listen: string,
  faults: Readonly<Record<string, Fault>>,
): Promise<BrokenService> {
  const server = new Server();
  const received = new Map<string, string[]>();
  server.addService(processorService, {
    Process(call: Call) {
      let name: string | undefined;
      call.on("data", (message: Message) => {
        name ??= faultOf(message);
        const list = received.get(name) ?? [];
        received.set(name, [...list, message.request ?? ""]);
        faults[name]?.(call, message);
      });
      call.on("error", () => {});
      call.on("end", () => {
        if (!call.writableEnded) call.end();
      });
    },
  });
  server.addService(healthService, {
    Check: (_call: unknown, reply: sendUnaryData<HealthCheckResponse>) => reply(null, { status: "SERVING" }),
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(listen, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()));
  });
  return {
    received: (fault) => received.get(fault) ?? [],
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}

function faultOf({ request_headers }: Message): string {
  const header = request_headers?.headers?.headers?.find(({ key }) => key === "x-fault");
  return header?.raw_value?.toString() ?? "";
}
