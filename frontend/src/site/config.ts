/** What the server tells the scripts of a page (`<script id="site">`). */
export interface SiteConfig {
  user: { id: string; name: string; can_read: boolean };
  pages: { name: string; url: string }[];
  facilities: { id: string; name: string; code: string }[];
  facility: string;
  urls: Record<
    | "studies"
    | "rows"
    | "status"
    | "destinations"
    | "send"
    | "views"
    | "columns"
    | "facility"
    | "counts"
    | "state"
    | "find"
    | "theme"
    | "sign_in"
    | "events",
    string
  >;
}

/** The page's configuration; null on pages without a signed-in person. */
export function readConfig(): SiteConfig | null {
  const text = document.getElementById("site")?.textContent;
  return text ? (JSON.parse(text) as SiteConfig) : null;
}
