/**
 * An ext_proc service that changes nothing: what the way through the service costs before it does any work.
 *
 *     node test/bench/echo-service.ts /path/of/the.sock
 */
import type { Exchange } from "../../src/extproc/server.ts";
import { startExtProcServer } from "../../src/extproc/server.ts";
import type { EnvoyEvent, Reply } from "../../src/extproc/wire.ts";

const [socket = ""] = process.argv.slice(2);

await startExtProcServer({
  listen: `unix:${socket}`,
  openExchange: echo,
  onFault: (error) => process.stderr.write(`echo service: ${String(error)}\n`),
});
process.send?.("ready");
process.on("disconnect", () => process.exit());

function echo(send: (reply: Reply) => void): Exchange {
  return {
    receive(event: EnvoyEvent) {
      if (event.type !== "response_body") return send({ type: "pass", event: event.type });
      send({ type: "response_body", body: event.body, endOfStream: event.endOfStream });
    },
    close() {},
  };
}
