"""Trains a network on random pictures in PyTorch: images a second (median step) and peak resident memory, as JSON.

    python train_torch.py classic|efficientnet-lite0 BATCH STEPS
"""

import json
import resource
import statistics
import sys
import time

import torch
from torch import nn

network, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def classic():
    channels, blocks = 3, []
    for filters in (32, 64, 128):
        blocks += [nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.4)]
        channels = filters
    return [*blocks, nn.Flatten(), nn.Linear(14 * 14 * 128, 128), nn.ReLU(), nn.Linear(128, 1)]


def normed(inputs, outputs, kernel=1, stride=1, groups=1, activation=True):
    """Convolution with TensorFlow's SAME padding of an even side, batch norm, ReLU6."""
    odd = [nn.ZeroPad2d(((kernel - 2) // 2, (kernel - 1) // 2) * 2)] if stride == 2 else []
    padding = 0 if stride == 2 else kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    relu6 = [nn.ReLU6(inplace=True)] if activation else []
    return [*odd, conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01), *relu6]


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def efficientnet_lite0():
    layers, channels = normed(3, 32, 3, 2), 32
    # Of each stage: expansion, window, stride of the first block, output channels, blocks.
    for expansion, kernel, stride, filters, blocks in (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ):
        for i in range(blocks):
            stride = stride if i == 0 else 1
            wide = expansion * channels
            block = normed(channels, wide) if expansion > 1 else []
            block += normed(wide, wide, kernel, stride, wide) + normed(wide, filters, activation=False)
            layers += [Residual(*block)] if stride == 1 and channels == filters else block
            channels = filters
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1)]
    return [*layers, *normed(channels, 1280), *head]


size, layers = {"classic": (128, classic), "efficientnet-lite0": (160, efficientnet_lite0)}[network]
model = nn.Sequential(*layers()).to(memory_format=torch.channels_last)
optimizer = torch.optim.Adam(model.parameters(), 5e-4, fused=True)
loss = nn.BCEWithLogitsLoss()
pictures = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
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
