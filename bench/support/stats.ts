/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}

/** The median of each figure over samples that have the same figures. */
export function medians(
  samples: readonly Readonly<Record<string, number>>[],
): Record<string, number> {
  const result: Record<string, number> = {};
  for (const name of Object.keys(samples[0] ?? {})) {
    result[name] = median(samples.map((sample) => sample[name] ?? Number.NaN));
  }
  return result;
}

/** Four significant digits, which is more than any of these measurements has. */
export function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
