/** Work that can be done in pieces. */

/** Does all of it at once. */
export function finished<T>(work: Generator<void, T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) {
      return value;
    }
  }
}
