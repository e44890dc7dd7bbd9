// What OHIF's own page has as inline scripts, which our Content-Security-Policy forbids.
console.time("scriptToView");
window.PUBLIC_URL = "/static/ohif/";
function browserImportFunction(name) {
  return import(name);
}
