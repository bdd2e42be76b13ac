"""Checks an ONNX file and prints what ONNX Runtime answers: onnx_runtime.py MODEL PHOTOS SIZE"""

import json
import sys

import numpy as np
import onnx
import onnxruntime

model, photos, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
onnx.checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
metadata = session.get_modelmeta().custom_metadata_map
assert json.loads(metadata["husky.input.size"]) == size, metadata
pixels = np.fromfile(photos, np.uint8).reshape(-1, size, size, 3).astype(np.float32)
[probabilities] = session.run(["probabilities"], {"pixels": pixels})
assert len(json.loads(metadata["husky.labels"])) == probabilities.shape[1], metadata
print(json.dumps(probabilities.tolist()))
