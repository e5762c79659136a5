"""The page: one template, plain JavaScript modules, no build step."""
