"""Pages of the worklist: studies, intake, facilities."""
