import {
  cache,
  Enums,
  getConfiguration,
  imageLoader,
  imageLoadPoolManager,
  init,
  metaData,
  RenderingEngine,
  type Types,
} from "@cornerstonejs/core";
import { pixelAspect } from "../core/calibration";
import type { Frame } from "../core/frame";
import type { Vec3 } from "../core/manifest";
import { frameAxes, framePixelSpacing, framePosition, isColor, type Stack } from "../core/stack";
import { dot, norm } from "../core/vectors";
import { imageToScreen, type Size, type View } from "../core/view";
import type { Rendering } from "../core/voi";
import type { FrameService } from "../net/frames";
import { type CameraGeometry, cameraFor, storedWindow } from "./camera";
import type { Picture, Surface } from "./surface";

/**
 * Cornerstone3D draws on machines with a graphics processor. This module alone knows it: images
 * come through the `noctis:` loader from our frame service, facts about them from the manifest.
 */

const SCHEME = "noctis";
/** Cornerstone's own cache only points at our frames' pixels; ours decides what stays. */
const CACHE_BYTES = 256 * 1024 * 1024;

type FramePicture = Picture & { kind: "frame" };
type StackViewport = Types.IStackViewport;

interface Known {
  stack: Stack;
  index: number;
}

const known = new Map<string, Known>();
let renderingEngine: RenderingEngine | null = null;
let nextViewport = 1;

function imageId(key: string): string {
  return `${SCHEME}:${key}`;
}

function keyOf(id: string): string {
  return id.slice(SCHEME.length + 1);
}

function register(stack: Stack): string[] {
  return stack.frames.map(({ key }, index) => {
    known.set(key, { stack, index });
    return imageId(key);
  });
}

/** Starts Cornerstone once; returns what makes surfaces with it. */
export function startCornerstone(frames: FrameService, onFail: () => void): () => Surface {
  init({ ...getConfiguration(), rendering: { useCPURendering: false } });
  cache.setMaxCacheSize(CACHE_BYTES);
  // Our frames are here already: nothing is gained by gathering requests for a while.
  imageLoadPoolManager.grabDelay = 0;
  imageLoader.registerImageLoader(SCHEME, (id) => ({ promise: load(frames, id) }));
  metaData.addProvider(provideMetadata, 10000);
  renderingEngine = new RenderingEngine("noctis");
  return () => new CornerstoneSurface(onFail);
}

async function load(frames: FrameService, id: string): Promise<Types.IImage> {
  const key = keyOf(id);
  const place = known.get(key);
  if (!place) {
    throw new Error(`No stack knows the image ${id}.`);
  }
  const frame = frames.peek(key) ?? (await arrival(frames, key));
  return toImage(id, place, frame);
}

function arrival(frames: FrameService, key: string): Promise<Frame> {
  return new Promise((resolve, reject) => {
    const stops = [
      frames.on("loaded", (loaded) => {
        const frame = loaded.key === key ? frames.peek(key) : undefined;
        if (frame) {
          end();
          resolve(frame);
        }
      }),
      frames.on("failed", (failed) => {
        if (failed.key === key) {
          end();
          reject(new Error(failed.problem.message));
        }
      }),
    ];
    const end = (): void => {
      for (const stop of stops) {
        stop();
      }
    };
  });
}

/** Pixel types that textures take; wider ones are drawn as 32-bit floats. */
function texturePixels(frame: Frame): Types.PixelDataTypedArray {
  const { data } = frame;
  const fits =
    data instanceof Uint8Array ||
    data instanceof Uint16Array ||
    data instanceof Int16Array ||
    data instanceof Float32Array;
  return (fits ? data : Float32Array.from(data)) as Types.PixelDataTypedArray;
}

function toImage(id: string, { stack, index }: Known, frame: Frame): Types.IImage {
  const facts = stack.frames[index];
  const pixels = texturePixels(frame);
  const [row, column] = spacingOf({ stack, index });
  const width = Math.max(frame.max - frame.min, 1);
  const image = {
    imageId: id,
    minPixelValue: frame.min,
    maxPixelValue: frame.max,
    // Stored values go to the texture; the window is brought to their scale instead.
    slope: 1,
    intercept: 0,
    windowCenter: (frame.min + frame.max) / 2,
    windowWidth: width,
    voiLUTFunction: Enums.VOILUTFunctionType.LINEAR,
    getPixelData: () => pixels,
    getCanvas: undefined,
    rows: frame.rows,
    columns: frame.columns,
    height: frame.rows,
    width: frame.columns,
    color: facts !== undefined && isColor(facts),
    rgba: false,
    numberOfComponents: frame.samples,
    columnPixelSpacing: column,
    rowPixelSpacing: row,
    invert: false,
    sizeInBytes: pixels.byteLength,
    dataType: pixels.constructor.name as Types.PixelDataTypedArrayString,
    imageFrame: {},
  };
  return image as unknown as Types.IImage;
}

/** Row and column spacing for drawing: millimetres where known, else only the pixels' shape. */
function spacingOf({ stack, index }: Known): readonly [number, number] {
  const frame = stack.frames[index];
  const spacing = frame && framePixelSpacing(frame);
  return spacing ?? [frame ? pixelAspect(frame) : 1, 1];
}

function isOrthonormal(axes: { row: Vec3; column: Vec3 }): boolean {
  return (
    Math.abs(norm(axes.row) - 1) < 1e-3 &&
    Math.abs(norm(axes.column) - 1) < 1e-3 &&
    Math.abs(dot(axes.row, axes.column)) < 1e-3
  );
}

function planeModule(place: Known): object {
  const frame = place.stack.frames[place.index];
  const axes = frame && frameAxes(frame);
  const usable = axes && isOrthonormal(axes) ? axes : null;
  const { row, column } = usable ?? { row: [1, 0, 0], column: [0, 1, 0] };
  const [rowPixelSpacing, columnPixelSpacing] = spacingOf(place);
  return {
    frameOfReferenceUID: place.stack.series.FrameOfReferenceUID,
    rows: frame?.image.Rows ?? 1,
    columns: frame?.image.Columns ?? 1,
    imageOrientationPatient: [...row, ...column],
    rowCosines: row,
    columnCosines: column,
    imagePositionPatient: (frame && framePosition(frame)) ?? [0, 0, 0],
    sliceThickness: frame?.image.SliceThickness ?? undefined,
    pixelSpacing: [rowPixelSpacing, columnPixelSpacing],
    rowPixelSpacing,
    columnPixelSpacing,
    usingDefaultValues: usable === null || !frame || framePixelSpacing(frame) === null,
  };
}

function pixelModule({ stack, index }: Known): object {
  const frame = stack.frames[index];
  const image = frame?.image;
  const isRgb = frame !== undefined && isColor(frame);
  const bits = isRgb ? 8 : (image?.BitsAllocated ?? 16);
  return {
    samplesPerPixel: isRgb ? 3 : 1,
    // Light and dark are exchanged by us (MONOCHROME1 too), never by the engine.
    photometricInterpretation: isRgb ? "RGB" : "MONOCHROME2",
    rows: image?.Rows ?? 1,
    columns: image?.Columns ?? 1,
    bitsAllocated: bits,
    bitsStored: isRgb ? 8 : (image?.BitsStored ?? bits),
    highBit: (isRgb ? 8 : (image?.BitsStored ?? bits)) - 1,
    pixelRepresentation: image?.PixelRepresentation ?? 0,
  };
}

function provideMetadata(type: string, id: unknown): object | undefined {
  const place =
    typeof id === "string" && id.startsWith(`${SCHEME}:`) ? known.get(keyOf(id)) : undefined;
  if (!place) {
    return undefined;
  }
  const { series } = place.stack;
  switch (type) {
    case Enums.MetadataModules.IMAGE_PLANE:
      return planeModule(place);
    case Enums.MetadataModules.IMAGE_PIXEL:
      return pixelModule(place);
    case Enums.MetadataModules.GENERAL_SERIES:
      return { modality: series.Modality ?? "OT", seriesInstanceUID: series.SeriesInstanceUID };
    case Enums.MetadataModules.MODALITY_LUT:
      return { rescaleSlope: 1, rescaleIntercept: 0 };
    default:
      return undefined;
  }
}

interface Wanted {
  picture: FramePicture;
  rendering: Rendering;
  view: View;
}

class CornerstoneSurface implements Surface {
  readonly name = "Cornerstone3D on the graphics processor";
  readonly element = document.createElement("div");
  private readonly id = `viewport-${nextViewport++}`;
  private size: Size = { width: 1, height: 1 };
  private viewport: StackViewport | null = null;
  private stack: Stack | null = null;
  private shownKey = "";
  private wanted: Wanted | null = null;
  private isBusy = false;

  constructor(private readonly onFail: () => void) {
    this.element.className = "surface";
  }

  resize(size: Size): void {
    this.size = size;
    if (this.viewport) {
      renderingEngine?.resize(true, false);
    }
  }

  show(picture: Picture, rendering: Rendering, view: View): void {
    if (picture.kind === "preview") {
      return;
    }
    this.wanted = { picture, rendering, view };
    if (!this.isBusy) {
      void this.work();
    }
  }

  clear(): void {
    this.wanted = null;
    this.element.style.visibility = "hidden";
  }

  destroy(): void {
    if (this.viewport) {
      renderingEngine?.disableElement(this.id);
    }
    this.element.remove();
  }

  /** Shows the latest wish; wishes that were overtaken while an image was changed are skipped. */
  private async work(): Promise<void> {
    this.isBusy = true;
    try {
      while (this.wanted) {
        const wanted = this.wanted;
        await this.bring(wanted.picture);
        if (this.wanted === wanted) {
          this.wanted = null;
          this.draw(wanted);
        }
      }
    } catch {
      // The canvas can draw everything: the person goes on reading, slower on large pictures.
      this.onFail();
    } finally {
      this.isBusy = false;
    }
  }

  private async bring(picture: FramePicture): Promise<void> {
    const { viewport } = this.enable();
    const { key } = picture.frame;
    if (this.stack !== picture.stack) {
      this.stack = picture.stack;
      await viewport.setStack(register(picture.stack), picture.index);
    } else if (this.shownKey !== key) {
      await viewport.setImageIdIndex(picture.index);
    }
    this.shownKey = key;
  }

  private enable(): { viewport: StackViewport } {
    if (!renderingEngine) {
      throw new Error("Cornerstone has not been started.");
    }
    if (!this.viewport) {
      renderingEngine.enableElement({
        viewportId: this.id,
        type: Enums.ViewportType.STACK,
        element: this.element,
        defaultOptions: { background: [0, 0, 0] },
      });
      this.viewport = renderingEngine.getViewport(this.id) as StackViewport;
    }
    return { viewport: this.viewport };
  }

  private draw({ picture, rendering, view }: Wanted): void {
    const { viewport } = this.enable();
    const { lower, upper, inverted } = storedWindow(rendering);
    const isSigmoid = rendering.window.function === "SIGMOID";
    viewport.setProperties({
      VOILUTFunction: isSigmoid
        ? Enums.VOILUTFunctionType.SAMPLED_SIGMOID
        : Enums.VOILUTFunctionType.LINEAR,
      voiRange: { lower, upper },
      invert: inverted,
    });
    const data = viewport.getImageData();
    if (!data) {
      throw new Error("The engine holds no picture.");
    }
    const d = data.direction as unknown as number[];
    const [sx, sy] = data.spacing;
    const geometry: CameraGeometry = {
      origin: data.origin as unknown as Vec3,
      row: [d[0] ?? 1, d[1] ?? 0, d[2] ?? 0],
      column: [d[3] ?? 0, d[4] ?? 1, d[5] ?? 0],
      spacing: [sx, sy],
    };
    const matrix = imageToScreen(view, picture.size, this.size);
    viewport.setCamera(cameraFor(view, matrix, this.size, geometry) as unknown as Types.ICamera);
    this.element.style.visibility = "visible";
    viewport.render();
  }
}
