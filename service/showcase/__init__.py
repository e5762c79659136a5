"""Pages in a real browser, with jobs that were set up for it: pictures for the documentation, and figures."""
