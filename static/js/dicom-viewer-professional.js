// The viewer's published entry: loads the built one, whose hashed name the build writes down in viewer.js.
import "../dist/viewer.js";
