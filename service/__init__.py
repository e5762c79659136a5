"""Who talks to us: DICOM listener, REST, page, command line; owns the database."""
