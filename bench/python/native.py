"""Times ONNX Runtime on one thread: the logit and the milliseconds of each run, as JSON.

    python native.py MODEL.onnx INPUT.f32 RUNS
"""

import json
import sys
import time

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
_, channels, height, width = session.get_inputs()[0].shape
pixels = np.fromfile(sys.argv[2], np.float32).reshape(1, height, width, channels)
pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
runs = int(sys.argv[3])
milliseconds = []
for _ in range(2 * runs):
    start = time.perf_counter()
    (logits,) = session.run(None, {"input": pixels})
    milliseconds.append((time.perf_counter() - start) * 1000)
print(json.dumps({"logit": float(logits[0, 0]), "milliseconds": milliseconds[runs:]}))
