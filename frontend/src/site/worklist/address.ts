/** The fields of a list's address, in the order in which they are written. */
export const FIELDS = [
  "q",
  "name",
  "id",
  "acc",
  "desc",
  "date",
  "mod",
  "facility",
  "status",
  "sort",
  "dir",
] as const;

/** Only known fields with a value, in one order: two addresses of one list are equal texts. */
export function canonical(params: URLSearchParams): URLSearchParams {
  const kept = new URLSearchParams();
  for (const field of FIELDS) {
    const value = params.get(field)?.trim();
    if (value) {
      kept.set(field, value);
    }
  }
  return kept;
}

/** Whether two addresses have the same filters; their order may differ. */
export function hasSameFilters(one: URLSearchParams, other: URLSearchParams): boolean {
  const bare = (params: URLSearchParams) => {
    const kept = canonical(params);
    kept.delete("sort");
    kept.delete("dir");
    return kept.toString();
  };
  return bare(one) === bare(other);
}

/** The fields of a form, without empty ones. */
export function ofForm(form: HTMLFormElement): URLSearchParams {
  const params = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (typeof value === "string") {
      params.set(name, value);
    }
  }
  return canonical(params);
}

/** "3 new", "12 345 new" */
export function countText(count: number, hasMore = false): string {
  return `${String(count).replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009")}${hasMore ? "+" : ""}`;
}
