"""Prints what Keras answers with a .h5 file: keras_model.py MODEL PHOTOS SIZE"""

import json
import os
import sys

# The smallest of its backends.
os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

model, photos, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
pixels = np.fromfile(photos, np.uint8).reshape(-1, size, size, 3).astype(np.float32)
print(json.dumps(keras.models.load_model(model, compile=False).predict(pixels, verbose=0).tolist()))
