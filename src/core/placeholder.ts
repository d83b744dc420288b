/** Words of which texts are made that stand where somebody was to put a secret. */
const WORDS =
  /^(?:change|replace|me|this|it|please|here|your|my|secret|password|example|placeholder|todo|internal|shared|hawser|x(?=x|\d*$))+\d*$/;

/**
 * Whether a text stands where somebody was to put a secret: `changeme`, `your-secret-here`, one character over and over.
 * Case, digits at the end and what stands between words do not matter.
 */
export function isPlaceholder(text: string): boolean {
  if (/^(.)\1*$/s.test(text)) return true;
  return WORDS.test(text.toLowerCase().replace(/[^0-9a-z]/g, ""));
}

const PART = /change[-_ ]?me|place[-_ ]?holder|password|example|replace[-_ ]?(?:me|this)/i;

/** Whether such words stand anywhere in a text that should be random. */
export function holdsPlaceholder(text: string): boolean {
  return PART.test(text);
}
