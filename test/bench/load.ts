/**
 * The load generator, a process of its own: so many connections that send the same request over and over.
 *
 * It has to be cheap, because it shares the machine with what it measures. So it reads from a response what a measurement
 * needs and no more: the status, when its body begins and when it ends. Whether answers are right is checked elsewhere.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface LoadOrder {
  readonly port: number;
  /** The request as it goes on the wire. */
  readonly request: string;
  readonly connections: number;
  /** Requests a second over all connections, as far as answers come in time. Undefined: each follows on an answer. */
  readonly rate?: number | undefined;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  /** Answers with another status than 200, and connections that broke. */
  readonly failures: number;
  readonly seconds: number;
  /** In milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Until the first byte of the body, in milliseconds. */
  readonly firstByteP50: number;
  readonly firstByteP99: number;
}

const HEAD_END = "\r\n\r\n";
/** The end of a chunk and the last, empty one. */
const LAST_CHUNK = Buffer.from("\r\n0\r\n\r\n");

interface Sample {
  readonly failed: boolean;
  readonly firstByte: number;
  readonly total: number;
}

/** One connection that has at most one request under way. */
class Connection {
  readonly #port: number;
  readonly #request: string;
  #socket: Socket | undefined;
  #settle: ((sample: Sample) => void) | undefined;
  #started = 0;
  #firstByte = 0;
  #failed = false;
  /** The head so far, then undefined. */
  #head: Buffer | undefined;
  /** Bytes of the body to come; undefined for a chunked body. */
  #left: number | undefined;
  #tail: Buffer = LAST_CHUNK;

  constructor({ port, request }: LoadOrder) {
    this.#port = port;
    this.#request = request;
  }

  exchange(): Promise<Sample> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      this.#head = Buffer.alloc(0);
      this.#firstByte = 0;
      this.#failed = false;
      this.#started = performance.now();
      this.#socket ??= this.#open();
      this.#socket.write(this.#request);
    });
  }

  close(): void {
    this.#socket?.destroy();
  }

  #open(): Socket {
    const socket = connect({ host: "127.0.0.1", port: this.#port, noDelay: true });
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("error", () => {}); // The close that follows says it all.
    socket.on("close", () => {
      if (this.#socket === socket) this.#socket = undefined;
      this.#failed = true;
      this.#done();
    });
    return socket;
  }

  #read(bytes: Buffer): void {
    const body = this.#head === undefined ? bytes : this.#readHead(Buffer.concat([this.#head, bytes]));
    if (body === undefined || body.length === 0) return;
    if (this.#firstByte === 0) this.#firstByte = performance.now();
    if (this.#left === undefined) {
      this.#tail = body.length < LAST_CHUNK.length ? Buffer.concat([this.#tail, body]) : body;
      this.#tail = this.#tail.subarray(-LAST_CHUNK.length);
      if (this.#tail.equals(LAST_CHUNK)) this.#done();
      return;
    }
    this.#left -= body.length;
    if (this.#left === 0) this.#done();
  }

  /** Returns the beginning of the body once the head is complete. */
  #readHead(bytes: Buffer): Buffer | undefined {
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      this.#head = bytes;
      return undefined;
    }
    const head = bytes.toString("latin1", 0, end).toLowerCase();
    const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
    this.#head = undefined;
    this.#left = length === undefined ? undefined : Number(length);
    this.#tail = Buffer.alloc(0);
    this.#failed = !head.startsWith("http/1.1 200 ");
    return bytes.subarray(end + HEAD_END.length);
  }

  #done(): void {
    const now = performance.now();
    const sample = { failed: this.#failed, firstByte: this.#firstByte - this.#started, total: now - this.#started };
    this.#settle?.(sample);
    this.#settle = undefined;
  }
}

async function run(order: LoadOrder): Promise<LoadResult> {
  const { connections, rate } = order;
  const samples: Sample[] = [];
  const started = performance.now();
  const deadline = started + order.seconds * 1000;
  const work = async (index: number) => {
    const connection = new Connection(order);
    for (let turn = index; performance.now() < deadline; turn += connections) {
      if (rate !== undefined) await until(started + (turn / rate) * 1000);
      samples.push(await connection.exchange());
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: connections }, (_, index) => work(index)));
  const good = samples.filter(({ failed }) => !failed);
  const totals = Float64Array.from(good, ({ total }) => total).sort();
  const firstBytes = Float64Array.from(good, ({ firstByte }) => firstByte).sort();
  return {
    requests: good.length,
    failures: samples.length - good.length,
    seconds: (performance.now() - started) / 1000,
    p50: quantile(totals, 0.5),
    p99: quantile(totals, 0.99),
    firstByteP50: quantile(firstBytes, 0.5),
    firstByteP99: quantile(firstBytes, 0.99),
  };
}

async function until(time: number): Promise<void> {
  const wait = time - performance.now();
  if (wait > 0) await sleep(wait);
}

function quantile(sorted: Float64Array, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

// Ends with its parent: an open IPC channel is all that keeps it alive between orders.
process.on("message", (order: LoadOrder) => {
  run(order).then((result) => process.send?.(result));
});
process.on("disconnect", () => process.exit());
