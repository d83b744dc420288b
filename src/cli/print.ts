/** Where a command prints; `process.stdout` but in tests. */
export interface Output {
  write(text: string): unknown;
}

/** Text of others as a terminal can show it: on one line, with nothing that could steer or reorder. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu, " ");
}

/** A value in a cell: "-" for what is not there. */
export function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (Array.isArray(value)) return value.length === 0 ? "-" : value.map(cell).join(",");
  return printable(String(value));
}

/** Columns that line up, under a head. */
export function table(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const lines = [head, ...rows.map((row) => row.map(cell))];
  const widths = head.map((_, column) =>
    Math.max(...lines.map((line) => [...(line[column] ?? "")].length)),
  );
  return lines.map((line) => `${padded(line, widths)}\n`).join("");
}

function padded(line: readonly string[], widths: readonly number[]): string {
  const cells = line.map((text, column) => {
    const missing = (widths[column] ?? 0) - [...text].length;
    return text + " ".repeat(Math.max(0, missing));
  });
  return cells.join("  ").trimEnd();
}

/** Names and values, one pair a line. */
export function facts(pairs: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}\n`).join("");
}

/** Prints a result: as one line of JSON, or as text for people. */
export function print(
  output: Output,
  json: boolean | undefined,
  value: unknown,
  text: string,
): void {
  output.write(json === true ? `${JSON.stringify(value)}\n` : text);
}
