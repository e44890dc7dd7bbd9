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
