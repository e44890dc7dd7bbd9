import { t } from "../../i18n";
/**
 * The study manifest: the shapes of docs/api/viewer.md ("What the viewer asks the server").
 * DICOM attributes keep their PS3.6 keyword; a value that the file lacks is null.
 */

export type Vec2 = readonly [number, number];
export type Vec3 = readonly [number, number, number];

/** One item of Sequence of Ultrasound Regions (0018,6011), PS3.3 C.8.5.5. */
export interface UltrasoundRegion {
  RegionLocationMinX0: number;
  RegionLocationMinY0: number;
  RegionLocationMaxX1: number;
  RegionLocationMaxY1: number;
  PhysicalUnitsXDirection: number | null;
  PhysicalUnitsYDirection: number | null;
  PhysicalDeltaX: number | null;
  PhysicalDeltaY: number | null;
  ReferencePixelX0: number | null;
  ReferencePixelY0: number | null;
  RegionSpatialFormat: number | null;
  RegionDataType: number | null;
}

/** What differs from frame to frame of one multi-frame object. */
export interface FrameFacts {
  ImagePositionPatient: Vec3 | null;
  ImageOrientationPatient: readonly number[] | null;
  PixelSpacing: Vec2 | null;
  SliceThickness: number | null;
  WindowCenter: readonly number[] | null;
  WindowWidth: readonly number[] | null;
  RescaleSlope: number | null;
  RescaleIntercept: number | null;
}

/** One VOI LUT: how many entries, input of the first, bits in use. */
export interface VoiLutFacts {
  LUTExplanation: string | null;
  LUTDescriptor: readonly [number, number, number];
}

export interface ImageFacts {
  id: string;
  SOPInstanceUID: string;
  SOPClassUID: string | null;
  InstanceNumber: number | null;
  TransferSyntaxUID: string | null;
  Rows: number | null;
  Columns: number | null;
  NumberOfFrames: number | null;
  SamplesPerPixel: number | null;
  PhotometricInterpretation: string | null;
  BitsAllocated: number | null;
  BitsStored: number | null;
  PixelRepresentation: number | null;
  PixelSpacing: Vec2 | null;
  ImagerPixelSpacing: Vec2 | null;
  EstimatedRadiographicMagnificationFactor: number | null;
  PixelAspectRatio: Vec2 | null;
  ImagePositionPatient: Vec3 | null;
  ImageOrientationPatient: readonly number[] | null;
  SliceThickness: number | null;
  SpacingBetweenSlices: number | null;
  SliceLocation: number | null;
  PatientOrientation: readonly string[] | null;
  WindowCenter: readonly number[] | null;
  WindowWidth: readonly number[] | null;
  WindowCenterWidthExplanation: readonly string[] | null;
  VOILUTFunction: string | null;
  /** Without their values; absent or empty for most. */
  VOILUTSequence?: readonly VoiLutFacts[];
  RescaleSlope: number | null;
  RescaleIntercept: number | null;
  RescaleType: string | null;
  /** Of PET values, (0054,1001). */
  Units?: string | null;
  FrameTime: number | null;
  RecommendedDisplayFrameRate: number | null;
  ImageType?: readonly string[] | null;
  ImageLaterality: string | null;
  ViewPosition: string | null;
  AcquisitionDate: string | null;
  AcquisitionTime: string | null;
  SequenceOfUltrasoundRegions: readonly UltrasoundRegion[] | null;
  PixelPaddingValue: number | null;
  PresentationLUTShape?: string | null;
  LossyImageCompression: boolean;
  frames: readonly FrameFacts[] | null;
  transport: "jphc" | "raw" | null;
  frame_url: string;
  digest: string;
  file_url: string;
  /** Where a report, PDF or waveform is shown; absent or null for whatever else. */
  document_url?: string | null;
  /** Where a video is played; absent or null for whatever else. */
  video?: VideoPlaces | null;
  problem: string | null;
  /** Keywords of what the file carries and no picture of it here shows. */
  hidden?: readonly string[];
}

export interface VideoPlaces {
  /** An MP4 that browsers play. */
  url: string;
  /** How many frames it has, and when they are shown. */
  facts_url: string;
  /** The bit stream as it came. */
  original_url: string;
}

export interface SeriesFacts {
  id: string;
  SeriesInstanceUID: string;
  SeriesNumber: number | null;
  SeriesDescription: string | null;
  Modality: string | null;
  BodyPartExamined: string | null;
  Laterality: string | null;
  FrameOfReferenceUID: string | null;
  instance_count: number;
  frame_count: number;
  kind: "image" | "document" | "waveform" | "other";
  /** What readers must know before they trust it, as "rescale missing". */
  warning: string | null;
  thumbnail_url: string | null;
  images: readonly ImageFacts[];
}

export interface PresetFacts {
  id: string;
  name: string;
  Modality: string;
  window_center: number;
  window_width: number;
  key: string | null;
  is_site: boolean;
}

export type MeasurementKind =
  | "length"
  | "angle"
  | "ellipse"
  | "rectangle"
  | "circle"
  | "freehand"
  | "spline"
  | "livewire"
  | "bidirectional"
  | "cobb"
  | "height"
  | "profile"
  | "probe"
  | "calibration"
  | "arrow"
  | "text";

export interface Statistics {
  mean: number;
  sd: number;
  min: number;
  max: number;
  /** Of PET: the highest mean of a cubic centimetre about a pixel of the region. */
  peak?: number | null;
  area: number | null;
  area_unit: string | null;
  unit: string | null;
  count: number;
}

/** What the server keeps of one measurement or annotation. */
export interface MeasurementFacts {
  id: string;
  kind: MeasurementKind;
  SeriesInstanceUID: string;
  SOPInstanceUID: string;
  frame_number: number;
  FrameOfReferenceUID: string | null;
  points: readonly Vec2[];
  points_mm: readonly Vec3[] | null;
  /** Directions of rows and columns of the reformatted plane it was drawn in. */
  plane?: readonly number[] | null;
  label: string;
  value: number | null;
  /** The short axis of a bidirectional measurement. */
  second_value?: number | null;
  unit: string | null;
  unit_source: string;
  statistics: Statistics | null;
  author?: { id: string | null; name: string } | null;
  updated_by?: { name: string } | null;
  version?: number;
  created_at?: string;
  updated_at?: string;
}

export interface FirstImage {
  series_id: string;
  image_id: string;
  frame_number: number;
  preview: string | null;
  window_center: number | null;
  window_width: number | null;
}

export interface SessionFacts {
  series_id: string;
  image_id: string;
  frame_number: number;
  viewport?: Record<string, unknown> | null;
}

/** Another study of the same person, the most telling first. */
export interface PriorFacts {
  id: string;
  StudyDate: string | null;
  StudyDescription: string | null;
  ModalitiesInStudy: readonly string[];
  NumberOfStudyRelatedInstances: number | null;
  /** From it to this study; negative: it is later. */
  interval_days: number | null;
  reasons: readonly string[];
  viewer_url: string;
  manifest_url: string;
  thumbnail_url: string;
}

/** What stands in one viewport of a hanging protocol's stage. */
export interface HungPlace {
  study: string;
  series: string;
  /** Where the series is begun; empty: the viewer knows when it has the study. */
  image: string;
  /** Side that was asked for: L, R, B or empty. */
  laterality: string;
  window_center: number | null;
  window_width: number | null;
  /** Empty: the pictures themselves; with PET or NM laid over; one projection from the front. */
  show?: "" | "fused" | "mip";
}

export interface HungStage {
  name: string;
  rows: number;
  columns: number;
  /** Empty: each as large as fits; all at one scale; that, and chest walls towards the middle. */
  fit: "" | "scale" | "chest wall";
  links: { scroll: "off" | "position" | "offset"; window: boolean; view: boolean } | null;
  /** Row by row. */
  viewports: readonly (HungPlace | null)[];
}

/** The hanging protocol that fits the study, and what stands where in each of its stages. */
export interface HangingFacts {
  protocol: { id: string | null; name: string; sentence: string; is_built_in?: boolean };
  stages: readonly HungStage[];
}

export interface Manifest {
  study: {
    id: string;
    StudyInstanceUID: string;
    StudyDate: string | null;
    StudyTime: string | null;
    StudyDescription: string | null;
    AccessionNumber: string | null;
    ReferringPhysicianName: string | null;
    ModalitiesInStudy: readonly string[];
    facility: { code: string; name: string } | null;
    NumberOfStudyRelatedSeries: number | null;
    NumberOfStudyRelatedInstances: number | null;
    is_demo: boolean;
    status: string | null;
    warning: string | null;
  };
  patient: {
    id: string;
    PatientID: string | null;
    PatientName: string | null;
    PatientBirthDate: string | null;
    PatientSex: string | null;
    PatientAge: string | null;
  };
  series: readonly SeriesFacts[];
  first_image: FirstImage | null;
  presets: readonly PresetFacts[];
  measurements: readonly MeasurementFacts[];
  user: {
    id: string;
    name: string;
    can_write: boolean;
    is_administrator?: boolean;
    /** Whether drafts of reports are theirs to see and write. */
    can_report?: boolean;
    /** The keys that they chose otherwise, by command. */
    shortcuts?: Readonly<Record<string, readonly string[]>>;
  };
  /** Who came by a link and has no account: by whose, and until when. */
  guest?: { shared_by: string; ends_at: string; visit_url: string };
  priors?: readonly PriorFacts[];
  hanging?: HangingFacts | null;
  session?: SessionFacts | null;
  links: {
    self: string;
    /** Not where somebody came by a link, as everything that may be missing. */
    worklist?: string;
    /** The studies before and after it in a list. */
    beside?: string;
    measurements: string;
    found?: string;
    presentations?: string;
    findings?: string;
    derived?: string;
    results?: string;
    sheet?: string;
    disc?: string;
    anonymised?: string;
    hanging?: string;
    layouts?: string;
    presets?: string;
    session?: string;
    study?: string;
    /** Where a link to the study is made; null where the role makes none. */
    share?: string | null;
    theme?: string;
    report?: string;
    shown?: string;
    shortcuts?: string;
    events?: string;
    batch: string;
  };
}

/** Reads the manifest text of the page; a broken one is an error in words, not a blank page. */
export function parseManifest(text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(t("The study's description in this page is damaged. Reload the page."));
  }
  const manifest = value as Manifest;
  if (
    typeof value !== "object" ||
    value === null ||
    !Array.isArray(manifest.series) ||
    !manifest.links
  ) {
    throw new Error(t("The study's description in this page is incomplete. Reload the page."));
  }
  return manifest;
}
