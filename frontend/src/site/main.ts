import "../styles/site.css";
import { startClicks } from "./clicks";
import { readConfig } from "./config";
import { type Frame, startFrame } from "./frame";
import { keepPresent } from "./presence";
import { startTheme } from "./theme";
import { keepTimes, tellZone } from "./times";

/** Scripts of single pages, by `<body data-page>`. */
const PAGES: Record<string, () => Promise<{ start: (frame: Frame) => void }>> = {
  "study-list": () => import("./worklist/list"),
  "study-detail": () => import("./study"),
  upload: () => import("./upload/page"),
  "facility-list": () => import("./facilities/page"),
  "facility-detail": () => import("./facilities/page"),
  "facility-sheet": () => import("./facilities/page"),
  "knock-list": () => import("./facilities/knocks"),
  "forwarding-queue": () => import("./forwarding/queue"),
  "conflict-list": () => import("./integrity/page"),
  "conflict-detail": () => import("./integrity/page"),
  "deletion-list": () => import("./integrity/page"),
  "patient-links": () => import("./integrity/page"),
  "task-list": () => import("./tasks/page"),
  "analysis-queue": () => import("./analyses/page"),
  "finding-list": () => import("./analyses/page"),
  reconstructions: () => import("./reconstructions/page"),
  "order-detail": () => import("./integrity/page"),
  layouts: () => import("./layouts/page"),
  "test-pattern": () => import("./pattern/page"),
  notifications: () => import("./notifications"),
};

const config = readConfig();
startTheme(config);
startClicks();
if (config) {
  const frame = startFrame(config);
  keepTimes();
  keepPresent();
  const page = PAGES[document.body.dataset.page ?? ""];
  page?.().then((module) => module.start(frame));
} else {
  tellZone();
  if (document.body.dataset.page === "shared-open") {
    void import("./sharing/open").then((module) => module.start());
  }
}
