import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import * as dicomParser from "dicom-parser";
import { msg } from "../i18n";

/** What a file says of itself; `reason` says why it cannot be handed in. */
export interface Reading {
  checksum: string;
  mime: string;
  studyUid: string;
  seriesUid: string;
  imageUid: string;
  reason: string;
}

/** The browser's own digest is four times as fast, but wants the whole file in memory. */
const MOST_AT_ONCE = 64 * 2 ** 20;
const CHUNK = 4 * 2 ** 20;
const FIRST_HEAD = 256 * 2 ** 10;
const MOST_HEAD = 64 * 2 ** 20;
const SERIES_INSTANCE_UID = "x0020000e";

export async function sha256Of(file: Blob, mostAtOnce = MOST_AT_ONCE): Promise<string> {
  if (file.size <= mostAtOnce) {
    return bytesToHex(
      new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer())),
    );
  }
  const hash = sha256.create();
  for (let at = 0; at < file.size; at += CHUNK) {
    hash.update(new Uint8Array(await file.slice(at, at + CHUNK).arrayBuffer()));
  }
  return bytesToHex(hash.digest());
}

export function kindOf(head: Uint8Array): string {
  if (head[0] === 0xff && head[1] === 0xd8 && head[2] === 0xff) {
    return "image/jpeg";
  }
  if ([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a].every((byte, at) => head[at] === byte)) {
    return "image/png";
  }
  const isPart10 = [0x44, 0x49, 0x43, 0x4d].every((byte, at) => head[128 + at] === byte);
  return isPart10 ? "application/dicom" : "";
}

/** Read a file through: its digest, its kind, and the UIDs of a DICOM object (PS3.10 7.1). */
export async function read(file: Blob): Promise<Reading> {
  const reading: Reading = {
    checksum: "",
    mime: "",
    studyUid: "",
    seriesUid: "",
    imageUid: "",
    reason: "",
  };
  const head = new Uint8Array(await file.slice(0, 132).arrayBuffer());
  reading.mime = kindOf(head);
  if (file.size === 0) {
    reading.reason = msg("The file is empty.");
  } else if (!reading.mime) {
    reading.reason = msg(
      "This is not DICOM, JPEG or PNG. If it is DICOM without its preamble, send it on the upload page.",
    );
  } else if (reading.mime === "application/dicom") {
    Object.assign(reading, await uidsOf(file));
  }
  if (!reading.reason) {
    reading.checksum = await sha256Of(file);
  }
  return reading;
}

async function uidsOf(file: Blob): Promise<Partial<Reading>> {
  for (let length = FIRST_HEAD; ; length *= 8) {
    try {
      const bytes = new Uint8Array(await file.slice(0, length).arrayBuffer());
      const found = dicomParser.parseDicom(bytes, { untilTag: SERIES_INSTANCE_UID });
      const uids = {
        studyUid: found.string("x0020000d") ?? "",
        seriesUid: found.string(SERIES_INSTANCE_UID) ?? "",
        imageUid: found.string("x00080018") ?? "",
      };
      if (uids.studyUid && uids.seriesUid && uids.imageUid) {
        return uids;
      }
      throw new Error("A UID is missing.");
    } catch {
      // Cut off within the header, or no header at all: more of the file tells which.
      if (length >= Math.min(file.size, MOST_HEAD)) {
        return {
          reason: msg(
            "Its header cannot be read here: a UID is missing, or it is damaged or deflated. Send it on the upload page.",
          ),
        };
      }
    }
  }
}

/**
 * UIDs of a picture: the same picture for the same order is the same image, wherever it is added.
 * `place` is what makes an order's number unique: the site and the facility.
 */
export async function pictureUids(
  place: string,
  order: string,
  checksum: string,
): Promise<{ studyUid: string; seriesUid: string; imageUid: string }> {
  return {
    studyUid: await uuidOf(`study ${place} ${order}`),
    seriesUid: await uuidOf(`series ${place} ${order}`),
    imageUid: await uuidOf(`image ${place} ${order} ${checksum}`),
  };
}

/** A UUID of version 8 made of a text (RFC 9562 5.8); the server makes a UID of it (PS3.5 B.2). */
async function uuidOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`noctis ${text}`));
  const bytes = new Uint8Array(digest).slice(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytesToHex(bytes);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}
