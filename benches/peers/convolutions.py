"""PyTorch's side of `cargo run --release -p athanor-kernels --example convolutions 1`: the same layers on one thread.

Usage: python convolutions.py [LAYER]...

Prints billions of floating-point operations a second of CPU time: forward, gradient of the input, gradient of the kernels.
`ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` limits it to AVX2.
"""

import sys
import time

import torch
import torch.nn.functional as F

# Batch, channels, rows, channels, kernel, stride, padding.
LAYERS = {
    "stem": (8, 4, 224, 64, (7, 7), 2, (3, 3)),
    "layer1": (8, 64, 56, 64, (3, 3), 1, (1, 1)),
    "layer2 first": (8, 64, 56, 128, (3, 3), 2, (1, 1)),
    "layer2": (8, 128, 28, 128, (3, 3), 1, (1, 1)),
    "layer3": (8, 256, 14, 256, (3, 3), 1, (1, 1)),
    "layer4": (8, 512, 7, 512, (3, 3), 1, (1, 1)),
    "1x1 wide": (8, 256, 56, 64, (1, 1), 1, (0, 0)),
    "1x1 deep": (8, 1024, 14, 256, (1, 1), 1, (0, 0)),
    "dense 1x1": (8, 512, 28, 128, (1, 1), 1, (0, 0)),
    "dense 3x3": (8, 128, 28, 32, (3, 3), 1, (1, 1)),
    "small": (8, 512, 2, 512, (3, 3), 1, (1, 1)),
    "2a 111": (8, 32, 111, 32, (3, 3), 1, (0, 0)),
    "3b 54": (8, 64, 54, 80, (1, 1), 1, (0, 0)),
    "4a 54": (8, 80, 54, 192, (3, 3), 1, (0, 0)),
    "5x5 25": (8, 48, 25, 64, (5, 5), 1, (2, 2)),
    "pool 25": (8, 288, 25, 64, (1, 1), 1, (0, 0)),
    "1x1 12": (8, 768, 12, 192, (1, 1), 1, (0, 0)),
    "1x7 12": (8, 192, 12, 192, (1, 7), 1, (0, 3)),
    "7x1 12": (8, 192, 12, 192, (7, 1), 1, (3, 0)),
    "1x3 5": (8, 384, 5, 384, (1, 3), 1, (0, 1)),
    "5x5 9": (16, 48, 9, 64, (5, 5), 1, (2, 2)),
    "1x1 4": (16, 768, 4, 192, (1, 1), 1, (0, 0)),
    "1x7 4": (16, 192, 4, 192, (1, 7), 1, (0, 3)),
    "7x1 4": (16, 192, 4, 192, (7, 1), 1, (3, 0)),
    "3x1 1": (16, 384, 1, 384, (3, 1), 1, (1, 0)),
    "3x3 1": (16, 448, 1, 384, (3, 3), 1, (1, 1)),
}


def speed(work, operations):
    work()
    runs = max(1, min(50, int(1e10 / operations)))
    start = time.process_time()
    for _ in range(runs):
        work()
    return operations * runs / (time.process_time() - start) / 1e9


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or LAYERS:
        batch, channels_in, side, channels_out, kernel, stride, padding = LAYERS[name]
        images = torch.randn(batch, channels_in, side, side)
        kernels = torch.randn(channels_out, channels_in, *kernel)
        output = F.conv2d(images, kernels, stride=stride, padding=padding)
        gradient = torch.randn_like(output)
        operations = 2 * output.numel() * channels_in * kernel[0] * kernel[1]

        def backward(wanted):
            return torch.ops.aten.convolution_backward(
                gradient, images, kernels, None, [stride] * 2, list(padding), [1, 1], False, [0, 0], 1, wanted
            )

        forward = speed(lambda: F.conv2d(images, kernels, stride=stride, padding=padding), operations)
        of_input = speed(lambda: backward([True, False, False]), operations)
        of_kernels = speed(lambda: backward([False, True, False]), operations)
        print(f"{name:14} forward {forward:6.1f}  input {of_input:6.1f}  kernels {of_kernels:6.1f} GFLOP/s", flush=True)


if __name__ == "__main__":
    main()
