"""Writes a picture of 12 megapixels, as rich in detail as a photo: noise on every scale. JPEG, quality 90, 4:2:0.

    python photo.py FILE
"""

import sys

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 4000, 3000
random = np.random.default_rng(1)
picture = np.full((HEIGHT, WIDTH, 3), 128, np.float32)
# Half the size, half the strength: the spectrum of natural pictures.
for step, strength in ((500, 48), (250, 32), (125, 24), (62, 16), (31, 12), (16, 8), (8, 6), (4, 6), (2, 12)):
    noise = random.normal(0, strength, (HEIGHT // step + 2, WIDTH // step + 2, 3)).astype(np.float32)
    for channel in range(3):
        layer = Image.fromarray(noise[..., channel]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        # Colours vary less than brightness.
        picture[..., channel] += 0.3 * np.asarray(layer)
        if channel == 0:
            picture += 0.7 * np.asarray(layer)[..., None]
Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(sys.argv[1], quality=90, subsampling="4:2:0")
