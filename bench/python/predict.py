"""What `husky predict` does, with Pillow and ONNX Runtime: a line for each photo, from two threads.

    python predict.py MODEL.onnx FACTS.json full|draft FOLDER…

`draft` lets the JPEG decoder leave out detail that the small picture does not show.
"""

import concurrent.futures
import json
import pathlib
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, facts, mode, *folders = sys.argv[1:]
facts = json.loads(facts)
size = facts["size"]
mean, scale = np.float32(facts["mean"]), np.float32(facts["scale"])
options = onnxruntime.SessionOptions()
# The threads are the photos'.
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def judge(path):
    try:
        with Image.open(path) as image:
            if mode == "draft":
                image.draft("RGB", (size, size))
            image = ImageOps.exif_transpose(image).convert("RGB")
            pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32)
    except OSError as error:
        return f"{path}: {error}"
    pixels = ((pixels - mean) * scale).transpose(2, 0, 1)[None]
    (logits,) = session.run(None, {"input": np.ascontiguousarray(pixels)})
    probability = 1 / (1 + np.exp(-float(logits[0, 0]) / facts["temperature"]))
    return f"{probability:.3f} {path}"


with concurrent.futures.ThreadPoolExecutor(2) as pool:
    for folder in folders:
        files = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
        for line in pool.map(judge, files):
            print(line)
