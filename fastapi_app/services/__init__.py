"""What stands between routes and the archive: parameters, headers, documents."""
