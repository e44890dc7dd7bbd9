"""What readers write about a study, and which of its images they were shown."""
