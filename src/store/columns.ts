/** Columns as the values of our records; one that a number or a list can't hold is an error, never a silent loss. */
export function integer(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new Error(`the database holds ${value}, which is beyond 53 bits`);
  return number;
}

export function integerOrNull(value: bigint | null): number | null {
  return value === null ? null : integer(value);
}

/** A JSON array of texts. What can't be read must not become an empty list, which would allow every model. */
export function list(json: string): string[] {
  const values: unknown = JSON.parse(json);
  if (!Array.isArray(values)) throw new Error("a column of the database does not hold a JSON array");
  return values.map(String);
}
