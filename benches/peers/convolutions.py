"""PyTorch's side of `cargo run --release -p athanor-kernels --example convolutions 1`: the same layers, batch 8, on one thread.

Usage: python convolutions.py [LAYER]...

Prints billions of floating-point operations a second of CPU time: forward, gradient of the input, gradient of the kernels.
`ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` limits it to AVX2.
"""

import sys
import time

import torch
import torch.nn.functional as F

# Channels, rows, channels, kernel, stride, padding.
LAYERS = {
    "stem": (4, 224, 64, 7, 2, 3),
    "layer1": (64, 56, 64, 3, 1, 1),
    "layer2 first": (64, 56, 128, 3, 2, 1),
    "layer2": (128, 28, 128, 3, 1, 1),
    "layer3": (256, 14, 256, 3, 1, 1),
    "layer4": (512, 7, 512, 3, 1, 1),
    "1x1 wide": (256, 56, 64, 1, 1, 0),
    "1x1 deep": (1024, 14, 256, 1, 1, 0),
    "dense 1x1": (512, 28, 128, 1, 1, 0),
    "dense 3x3": (128, 28, 32, 3, 1, 1),
    "small": (512, 2, 512, 3, 1, 1),
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
        channels_in, side, channels_out, kernel, stride, padding = LAYERS[name]
        images = torch.randn(8, channels_in, side, side)
        kernels = torch.randn(channels_out, channels_in, kernel, kernel)
        output = F.conv2d(images, kernels, stride=stride, padding=padding)
        gradient = torch.randn_like(output)
        operations = 2 * output.numel() * channels_in * kernel * kernel

        def backward(wanted):
            return torch.ops.aten.convolution_backward(
                gradient, images, kernels, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, wanted
            )

        forward = speed(lambda: F.conv2d(images, kernels, stride=stride, padding=padding), operations)
        of_input = speed(lambda: backward([True, False, False]), operations)
        of_kernels = speed(lambda: backward([False, True, False]), operations)
        print(f"{name:14} forward {forward:6.1f}  input {of_input:6.1f}  kernels {of_kernels:6.1f} GFLOP/s", flush=True)


if __name__ == "__main__":
    main()
