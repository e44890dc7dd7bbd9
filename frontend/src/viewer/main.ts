import "../styles/tokens.css";
import "./viewer.css";

performance.mark("viewer:shell");
