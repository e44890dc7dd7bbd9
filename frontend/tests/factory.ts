import type { FrameFacts, ImageFacts, SeriesFacts } from "../src/viewer/core/manifest";
import { buildStack, type Stack, type StackFrame } from "../src/viewer/core/stack";

/** An axial CT picture of 512 x 512; pass what differs. */
export function image(facts: Partial<ImageFacts> = {}): ImageFacts {
  return {
    id: "image-1",
    SOPInstanceUID: "1.2.3",
    SOPClassUID: "1.2.840.10008.5.1.4.1.1.2",
    InstanceNumber: 1,
    TransferSyntaxUID: "1.2.840.10008.1.2.1",
    Rows: 512,
    Columns: 512,
    NumberOfFrames: 1,
    SamplesPerPixel: 1,
    PhotometricInterpretation: "MONOCHROME2",
    BitsAllocated: 16,
    BitsStored: 12,
    PixelRepresentation: 0,
    PixelSpacing: [0.5, 0.5],
    ImagerPixelSpacing: null,
    EstimatedRadiographicMagnificationFactor: null,
    PixelAspectRatio: null,
    ImagePositionPatient: [0, 0, 0],
    ImageOrientationPatient: [1, 0, 0, 0, 1, 0],
    SliceThickness: 1,
    SpacingBetweenSlices: null,
    SliceLocation: null,
    PatientOrientation: null,
    WindowCenter: [40],
    WindowWidth: [400],
    WindowCenterWidthExplanation: null,
    VOILUTFunction: null,
    RescaleSlope: 1,
    RescaleIntercept: -1024,
    RescaleType: "HU",
    FrameTime: null,
    RecommendedDisplayFrameRate: null,
    ImageLaterality: null,
    ViewPosition: null,
    AcquisitionDate: null,
    AcquisitionTime: null,
    SequenceOfUltrasoundRegions: null,
    PixelPaddingValue: null,
    LossyImageCompression: false,
    frames: null,
    transport: "jphc",
    frame_url: "/api/v1/dicom/image/image-1/frames/{n}",
    digest: "0123456789abcdef",
    file_url: "/api/v1/dicom/image/image-1/file",
    problem: null,
    ...facts,
  };
}

export function series(
  images: readonly ImageFacts[],
  facts: Partial<SeriesFacts> = {},
): SeriesFacts {
  return {
    id: "series-1",
    SeriesInstanceUID: "1.2",
    SeriesNumber: 1,
    SeriesDescription: "Head",
    Modality: "CT",
    BodyPartExamined: null,
    Laterality: null,
    FrameOfReferenceUID: "1.9",
    instance_count: images.length,
    frame_count: images.length,
    kind: "image",
    warning: null,
    thumbnail_url: null,
    images,
    ...facts,
  };
}

export function stack(facts: Partial<ImageFacts> = {}, about: Partial<SeriesFacts> = {}): Stack {
  return buildStack(series([image(facts)], about));
}

export function frame(facts: Partial<ImageFacts> = {}): StackFrame {
  return stack(facts).frames[0] as StackFrame;
}

export function frameFacts(facts: Partial<FrameFacts>): FrameFacts {
  return {
    ImagePositionPatient: null,
    ImageOrientationPatient: null,
    PixelSpacing: null,
    SliceThickness: null,
    WindowCenter: null,
    WindowWidth: null,
    RescaleSlope: null,
    RescaleIntercept: null,
    ...facts,
  };
}
