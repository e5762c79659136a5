"""Digital male pelves after prostatectomy: anatomy, CT numbers, and the physician who draws the CTV.

There are no public post-operative prostate CTs with contours, so the cohort is drawn. Phantoms make an honest
test of the method and never a clinical model.
"""
