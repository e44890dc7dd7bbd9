/** Which engine draws: the graphics processor's where there is a real one. */

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** True when WebGL runs on hardware. Software WebGL costs several times the 2D canvas a step. */
export function hasGraphicsProcessor(): boolean {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!context) {
    return false;
  }
  const info = context.getExtension("WEBGL_debug_renderer_info");
  const name: unknown = info ? context.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return !SOFTWARE.test(String(name));
}

export type Renderer = "canvas" | "cornerstone";

/** `?renderer=` or the browser's kept choice wins: a way round a faulty graphics driver. */
export function chooseRenderer(search: string, kept: string | null): Renderer {
  const wish = new URLSearchParams(search).get("renderer") ?? kept;
  if (wish === "canvas" || wish === "cornerstone") {
    return wish;
  }
  return hasGraphicsProcessor() ? "cornerstone" : "canvas";
}
