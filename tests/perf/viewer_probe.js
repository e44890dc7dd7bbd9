// Runs in every measured page before its own scripts: says when pictures stand on canvases.
(() => {
  performance.setResourceTimingBufferSize(10000);
  const SIDE = 48;
  const MOST_MS = 10000;
  const canvases = () =>
    [...document.querySelectorAll("canvas.surface, canvas.cornerstone-canvas")].filter(
      (canvas) => canvas.width > SIDE && canvas.height > SIDE && canvas.getClientRects().length > 0,
    );
  // The middle of a picture of the scan is body: grey whichever plane is seen.
  const middle = (canvas) => {
    const context = canvas.getContext("2d");
    const [x, y] = [canvas.width - SIDE, canvas.height - SIDE].map((size) => size >> 1);
    return context ? context.getImageData(x, y, SIDE, SIDE).data : null;
  };
  const print = (canvas) => {
    const data = middle(canvas);
    let [sum, lit] = [0, 0];
    for (let i = 0; data && i < data.length; i += 4) {
      sum = (sum * 31 + data[i]) | 0;
      lit += data[i] > 40 ? 1 : 0;
    }
    return { sum, isLit: lit > (SIDE * SIDE) / 10 };
  };
  const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
  const lit = () => canvases().filter((canvas) => print(canvas).isLit).length;

  /** The moment at which so many canvases hold a picture. */
  const whenLit = async (count) => {
    while (lit() < count) {
      await frame();
    }
    return performance.now();
  };

  /**
   * Does something so often, each time when the last has changed the picture; returns the waits. A
   * viewer that answers no more is not asked for ever.
   */
  const steps = async (number, count, act) => {
    const canvas = canvases()[number];
    const waits = [];
    let unanswered = 0;
    await frame();
    for (let i = 0; i < count && unanswered < 2; i++) {
      const began = performance.now();
      const before = print(canvas).sum;
      act(i);
      while (print(canvas).sum === before && performance.now() - began < MOST_MS) {
        await frame();
      }
      const wait = performance.now() - began;
      unanswered = wait < MOST_MS ? 0 : unanswered + 1;
      waits.push(wait);
    }
    return waits.filter((wait) => wait < MOST_MS);
  };

  const target = (number) => {
    const canvas = canvases()[number];
    const stage = canvas.closest(".stage");
    return stage ? stage.querySelector(".pointer") : canvas.parentElement;
  };
  // Chromium gives made-up wheel events no wheelDelta of their own, which OHIF reads before deltaY.
  const NOTCH = { deltaY: 100, wheelDeltaY: -120 };
  const place = (number, i) => {
    const box = target(number).getBoundingClientRect();
    const clientX = box.x + box.width / 2 + 4 + (i % 40) * 2;
    const clientY = box.y + box.height / 2 + 4 + (i % 40);
    return { clientX, clientY, bubbles: true, cancelable: true, view: window };
  };

  const bench = {
    firstPicture: null,
    whenLit,
    place: (number) => place(number, 0),
    wheel: (number, count) => {
      const element = target(number);
      return steps(number, count, () =>
        element.dispatchEvent(new WheelEvent("wheel", { ...place(number, 0), ...NOTCH })),
      );
    },
    // The button is already down: the real mouse pressed it.
    drag: (number, count) => {
      const element = target(number);
      return steps(number, count, (i) => {
        const facts = { ...place(number, i + 1), buttons: 1, pointerId: 1, pointerType: "mouse" };
        element.dispatchEvent(new PointerEvent("pointermove", facts));
        element.dispatchEvent(new MouseEvent("mousemove", facts));
      });
    },
    /** Frames that are decoded and kept. */
    loaded: () => {
      if (performance.getEntriesByName("viewer:series-complete").length > 0) {
        return Infinity;
      }
      const cache = window.cornerstone?.cache?._imageCache;
      return cache ? [...cache.values()].filter(({ sizeInBytes }) => sizeInBytes > 0).length : 0;
    },
    marks: () =>
      Object.fromEntries(
        performance.getEntriesByType("mark").map(({ name, startTime }) => [name, startTime]),
      ),
    /** Bytes on the wire of programs and styles until a moment. */
    program: (until) =>
      [performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")]
        .filter(({ name }) => !/dicom-web|\/frames|\/api\//.test(name))
        .filter(({ responseEnd }) => responseEnd > 0 && responseEnd <= until)
        .reduce((sum, { transferSize }) => sum + transferSize, 0),
  };
  window.bench = bench;
  if (window === window.top) {
    void whenLit(1).then((at) => {
      bench.firstPicture ??= at;
    });
    // Ours comes with the page as an image; the browser tells when it was painted.
    new PerformanceObserver((list, observer) => {
      observer.disconnect();
      bench.firstPicture = list.getEntries()[0].startTime;
    }).observe({ type: "element", buffered: true });
  }
})();
