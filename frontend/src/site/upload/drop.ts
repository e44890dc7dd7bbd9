export interface Picked {
  file: File;
  name: string;
}

const CHUNK = 500;

/** As people count: I9 before I10. */
const byName = new Intl.Collator(undefined, { numeric: true }).compare;

/** Files of a picker in order, with their place in the folder that was chosen. */
export function pickedFrom(files: FileList): Picked[] {
  return [...files]
    .map((file) => ({ file, name: file.webkitRelativePath || file.name }))
    .sort((a, b) => byName(a.name, b.name));
}

/**
 * Read what was dropped, folders through and through; gives what it found in portions, so that the
 * page lives while a disc is read. Calls the browser's interface before its first pause: what was
 * dropped is gone after the event.
 */
export function readDrop(
  transfer: DataTransfer,
  take: (files: Picked[]) => void,
): Promise<{ unreadable: number }> {
  const entries: FileSystemEntry[] = [];
  const loose: Picked[] = [];
  for (const item of transfer.items) {
    const entry = item.kind === "file" ? item.webkitGetAsEntry() : null;
    const file = entry === null && item.kind === "file" ? item.getAsFile() : null;
    if (entry) {
      entries.push(entry);
    } else if (file) {
      loose.push({ file, name: file.name });
    }
  }
  return walk(entries, loose, take);
}

async function walk(
  entries: FileSystemEntry[],
  loose: Picked[],
  take: (files: Picked[]) => void,
): Promise<{ unreadable: number }> {
  let found = loose;
  let unreadable = 0;
  const stack = entries.reverse();
  for (let entry = stack.pop(); entry; entry = stack.pop()) {
    try {
      if (entry.isDirectory) {
        stack.push(...(await childrenOf(entry as FileSystemDirectoryEntry)).reverse());
      } else {
        const file = await fileOf(entry as FileSystemFileEntry);
        found.push({ file, name: entry.fullPath.replace(/^\//, "") });
      }
    } catch {
      unreadable += 1; // counted and told: the page says how many could not be read
    }
    if (found.length >= CHUNK) {
      take(found);
      found = [];
    }
  }
  if (found.length > 0) {
    take(found);
  }
  return { unreadable };
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function childrenOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const children: FileSystemEntry[] = [];
  for (;;) {
    // A reader gives a hundred at a time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) {
      return children.sort((a, b) => byName(a.name, b.name));
    }
    children.push(...some);
  }
}
