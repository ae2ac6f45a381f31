"""The parts of a request that all protocols read: encodings, checksums, memory, images, the choice of a canary."""
