"""The report of a job for people: one HTML file, and the same as a PDF. Its figures are those of `review.json`."""
