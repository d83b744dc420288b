/** What is there at once, or comes: a promise costs a turn of the microtask queue, and most requests can do without. */
export type Later<T> = T | Promise<T>;

/** Goes on with a value, at once where it is there. */
export function after<T, U>(value: Later<T>, next: (value: T) => Later<U>): Later<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
