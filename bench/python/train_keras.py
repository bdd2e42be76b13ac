"""Trains `classic` on random pictures in Keras: images a second (median step) and peak resident memory, as JSON.

    python train_keras.py classic BATCH STEPS
"""

import json
import os
import resource
import statistics
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from keras import layers

network, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
assert network == "classic", network
model = keras.Sequential([keras.Input((128, 128, 3))])
for filters in (32, 64, 128):
    model.add(layers.Conv2D(filters, 3, activation="relu"))
    model.add(layers.MaxPool2D())
    model.add(layers.Dropout(0.4))
model.add(layers.Flatten())
model.add(layers.Dense(128, activation="relu"))
model.add(layers.Dense(1))
# Compiled by XLA a step takes longer on a CPU.
model.compile(keras.optimizers.Adam(5e-4), keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
pictures = tf.constant(np.random.rand(batch, 128, 128, 3), tf.float32)
labels = tf.constant(np.arange(batch) % 2, tf.float32, (batch, 1))
seconds = []
for _ in range(steps):
    start = time.perf_counter()
    model.train_on_batch(pictures, labels)
    seconds.append(time.perf_counter() - start)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps({"images_per_second": batch / statistics.median(seconds), "megabytes": memory}))
