import { type GuestFacts, watchLink } from "./watch";

/** Beside OHIF, which knows nothing of links: the page ends when the link does. */
const text = document.getElementById("visit")?.textContent;
if (text) {
  watchLink(JSON.parse(text) as GuestFacts);
}
