/** The thread in which reports run (sqlite-reports.ts): a statement in, its rows out, one after the other. */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { createRunner } from "./sqlite-dialect.ts";
import type { ReportAnswer, ReportQuestion } from "./sqlite-reports.ts";

// Readers of a WAL file wait for nobody but a process that recovers it.
const db = new DatabaseSync(String(workerData), { readOnly: true, timeout: 5000 });
const run = createRunner(db);

parentPort?.on("message", (question: ReportQuestion) => parentPort?.postMessage(answer(question)));

function answer({ id, sql, parameters }: ReportQuestion): ReportAnswer {
  try {
    return { id, rows: run(sql, parameters).rows };
  } catch (error) {
    const errcode = error instanceof Error && "errcode" in error ? Number(error.errcode) : undefined;
    return { id, message: error instanceof Error ? error.message : String(error), errcode };
  }
}
