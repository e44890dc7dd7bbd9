// OHIF beside us, in one origin: the site's session cookie signs its requests in.
window.config = {
  name: "noctis-pro",
  routerBasename: "/ohif",
  extensions: [],
  modes: [],
  customizationService: {},
  showStudyList: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  investigationalUseDialog: { option: "never" },
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  showErrorDetails: "always",
  defaultDataSourceName: "noctis",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "noctis",
      configuration: {
        friendlyName: "NoctisPro PACS",
        name: "noctis",
        qidoRoot: "/dicom-web",
        wadoRoot: "/dicom-web",
        wadoUriRoot: "/wado",
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        imageRendering: "wadors",
        thumbnailRendering: "wadors",
        enableStudyLazyLoad: true,
        supportsReject: false,
        dicomUploadEnabled: false,
        omitQuotationForMultipartRequest: true,
        // Frames compressed without loss, a third of their bytes; what lost something when it was
        // stored comes as it is, and so do bulk data.
        acceptHeader: [
          "multipart/related; type=image/jphc; transfer-syntax=1.2.840.10008.1.2.4.201",
          "multipart/related; type=application/octet-stream; transfer-syntax=*",
        ],
        singlepart: "bulkdata,video",
        bulkDataURI: { enabled: true, relativeResolution: "studies" },
      },
    },
  ],
  httpErrorHandler: (error) => {
    // Signed out elsewhere: the sign-in page brings the reader back here.
    if (error.status === 401) {
      const here = encodeURIComponent(window.location.pathname + window.location.search);
      window.location.assign(`/accounts/login/?next=${here}`);
    }
  },
};
