"""Trains `classic` on random pictures in PyTorch: images a second (median step) and peak resident memory, as JSON.

    python train_torch.py BATCH STEPS
"""

import json
import resource
import statistics
import sys
import time

import torch
from torch import nn

batch, steps = map(int, sys.argv[1:])
channels, blocks = 3, []
for filters in (32, 64, 128):
    blocks += [nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.4)]
    channels = filters
dense = [nn.Flatten(), nn.Linear(14 * 14 * 128, 128), nn.ReLU(), nn.Linear(128, 1)]
model = nn.Sequential(*blocks, *dense).to(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(model.parameters(), 5e-4, fused=True)
loss = nn.BCEWithLogitsLoss()
pictures = torch.rand(batch, 3, 128, 128).to(memory_format=torch.channels_last)
labels = (torch.arange(batch) % 2).float()[:, None]
seconds = []
for _ in range(steps):
    start = time.perf_counter()
    optimizer.zero_grad()
    loss(model(pictures), labels).backward()
    optimizer.step()
    seconds.append(time.perf_counter() - start)
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps({"images_per_second": batch / statistics.median(seconds), "megabytes": memory}))
