"""From cases to weights: prepared cases, augmentation, losses' use, one loop for every network."""
