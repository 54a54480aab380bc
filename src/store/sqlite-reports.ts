/**
 * Kysely for long reads of SQLite: the statements run in a thread of their own, on a connection that only reads, so that a
 * report over millions of rows holds up no request. The thread starts with the first report.
 */
import { Worker } from "node:worker_threads";
import type { DatabaseConnection, Dialect, Driver, QueryResult } from "kysely";
import { dialectWith, noStreams } from "./sqlite-dialect.ts";
import { sqliteError } from "./sqlite-errors.ts";

/** What the thread is asked. */
export interface ReportQuestion {
  readonly id: number;
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

export type ReportAnswer =
  | { readonly id: number; readonly rows: unknown[] }
  | { readonly id: number; readonly message: string; readonly errcode: number | undefined };

interface Thread {
  ask(sql: string, parameters: readonly unknown[]): Promise<unknown[]>;
  end(): Promise<void>;
  readonly ended: boolean;
}

export function sqliteReportsDialect(path: string): Dialect {
  return dialectWith(createDriver(path));
}

function createDriver(path: string): Driver {
  let thread: Thread | undefined;
  const connection: DatabaseConnection = {
    async executeQuery<R>({
      sql,
      parameters,
    }: {
      sql: string;
      parameters: readonly unknown[];
    }): Promise<QueryResult<R>> {
      if (thread === undefined || thread.ended) thread = startThread(path);
      return { rows: (await thread.ask(sql, parameters)) as R[] };
    },
    streamQuery: noStreams,
  };
  return {
    init: async () => {},
    acquireConnection: async () => connection,
    beginTransaction: noTransactions,
    commitTransaction: noTransactions,
    rollbackTransaction: noTransactions,
    releaseConnection: async () => {},
    destroy: async () => thread?.end(),
  };
}

function startThread(path: string): Thread {
  const worker = new Worker(new URL("./sqlite-report-thread.ts", import.meta.url), { workerData: path });
  const asked = new Map<number, PromiseWithResolvers<unknown[]>>();
  let next = 0;
  let ended = false;

  function take(id: number): PromiseWithResolvers<unknown[]> | undefined {
    const question = asked.get(id);
    asked.delete(id);
    // It keeps the process alive only while somebody waits.
    if (asked.size === 0) worker.unref();
    return question;
  }

  function failAll(error: unknown): void {
    ended = true;
    for (const id of [...asked.keys()]) take(id)?.reject(error);
  }

  worker.unref();
  worker.on("message", (answer: ReportAnswer) => {
    const question = take(answer.id);
    if ("rows" in answer) question?.resolve(answer.rows);
    else question?.reject(sqliteError(Object.assign(new Error(answer.message), { errcode: answer.errcode })));
  });
  worker.on("error", failAll);
  worker.on("exit", () => failAll(new Error("the thread for reports has ended")));

  return {
    get ended() {
      return ended;
    },
    ask(sql, parameters) {
      const question = Promise.withResolvers<unknown[]>();
      const id = next++;
      asked.set(id, question);
      worker.ref();
      worker.postMessage({ id, sql, parameters } satisfies ReportQuestion);
      return question.promise;
    },
    async end() {
      await worker.terminate();
    },
  };
}

function noTransactions(): never {
  throw new Error("reports are single statements");
}
