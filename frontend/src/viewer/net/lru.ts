/** Keeps the most recently used values up to a number of bytes. */
export class ByteCache<T> {
  private readonly entries = new Map<string, { value: T; bytes: number }>();
  private total = 0;
  private held: ReadonlySet<string> = new Set();
  /** Bytes that are kept elsewhere, on this cache's account. */
  private elsewhere = 0;

  constructor(
    private readonly limit: number,
    private readonly evicted: (key: string) => void = () => {},
  ) {}

  get(key: string): T | undefined {
    const entry = this.entries.get(key);
    if (entry) {
      this.entries.delete(key);
      this.entries.set(key, entry);
    }
    return entry?.value;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  set(key: string, value: T, bytes: number): void {
    this.delete(key);
    this.entries.set(key, { value, bytes });
    this.total += bytes;
    this.shrink(key);
  }

  /** Lets these keys stay whatever comes, and counts bytes that somebody keeps of them elsewhere. */
  hold(keys: ReadonlySet<string>, elsewhere = 0): void {
    this.held = keys;
    this.elsewhere = elsewhere;
    this.shrink("");
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (entry) {
      this.entries.delete(key);
      this.total -= entry.bytes;
    }
  }

  clear(): void {
    this.entries.clear();
    this.total = 0;
  }

  /** All bytes on this cache's account. */
  get bytes(): number {
    return this.total + this.elsewhere;
  }

  get capacity(): number {
    return this.limit;
  }

  /** Bytes that values of this cache may take. */
  get room(): number {
    return this.limit - this.elsewhere;
  }

  private shrink(newest: string): void {
    for (const oldest of this.entries.keys()) {
      if (this.bytes <= this.limit || oldest === newest) {
        return;
      }
      if (!this.held.has(oldest)) {
        this.delete(oldest);
        this.evicted(oldest);
      }
    }
  }
}
