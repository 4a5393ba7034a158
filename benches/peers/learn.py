"""Training and prediction in PyTorch, as `athanor bench` measures them.

Usage: python learn.py train|predict [--arch NAME]... [--size 224] [--batch 8] [--precision f32|bf16] [--loss classifier|bce]
       [--threads N] [--steps 5] [--compile]

Prints a JSON list as `athanor bench --json` does. Images are noise of a half more rows and columns than `--size`, held in
memory as bytes; a data loader's threads cut, resize and turn them, as the reference solution's do. Training is the reference's:
its loss, Adam, gradients clipped to norm 1. As many batches as are measured come first and do not count.

On a GPU, layout is channels_last and bfloat16 is autocast; `--compile` puts torch.compile around the network.
"""

import argparse
import contextlib
import json
import os
import resource
import time

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Dataset

CHANNELS = 4
CLASSES = 28
IMAGES = 64


class Classifier(nn.Module):
    """A backbone; mean and maximum of its maps; batch norm, dropout, linear, ReLU, batch norm, dropout, linear."""

    def __init__(self, features, width):
        super().__init__()
        self.features = features
        self.head = nn.Sequential(
            nn.BatchNorm1d(2 * width), nn.Dropout(0.5), nn.Linear(2 * width, width), nn.ReLU(inplace=True),
            nn.BatchNorm1d(width), nn.Dropout(0.5), nn.Linear(width, CLASSES),
        )

    def forward(self, images):
        maps = self.features(images).float()
        return self.head(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1))


def resnet(make, width):
    net = make(weights=None)
    net.conv1 = nn.Conv2d(CHANNELS, 64, 7, 2, 3, bias=False)
    parts = [net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4]
    return Classifier(nn.Sequential(*parts), width)


def densenet(large):
    net = torchvision.models.densenet121(weights=None).features
    net.conv0 = nn.Conv2d(CHANNELS, 64, 7, 2, 3, bias=False)
    if large:
        net.pool0 = nn.Sequential(net.pool0, nn.MaxPool2d(2, 2))
    return Classifier(nn.Sequential(net, nn.ReLU(inplace=True)), 1024)


def inception():
    net = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=False, transform_input=False)
    net.Conv2d_1a_3x3.conv = nn.Conv2d(CHANNELS, 32, 3, 2, bias=False)
    names = (
        "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2 Mixed_5b Mixed_5c Mixed_5d "
        "Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c"
    )
    return Classifier(nn.Sequential(*[getattr(net, name) for name in names.split()]), 2048)


NETWORKS = {
    "densenet121": lambda: densenet(False),
    "densenet121_large": lambda: densenet(True),
    "inceptionv3": inception,
    "resnet18": lambda: resnet(torchvision.models.resnet18, 512),
    "resnet34": lambda: resnet(torchvision.models.resnet34, 512),
    "resnet50": lambda: resnet(torchvision.models.resnet50, 2048),
}


class Noise(Dataset):
    """Images as a loader gives them: cut out at random, resized, turned at random; or whole and resized."""

    def __init__(self, size, count, train):
        side = size + size // 2
        random = np.random.default_rng(0)
        self.images = [torch.from_numpy(random.integers(0, 256, (CHANNELS, side, side), np.uint8)) for _ in range(IMAGES)]
        self.size, self.count, self.train = size, count, train

    def __len__(self):
        return self.count

    def __getitem__(self, at):
        image = self.images[at % IMAGES]
        random = np.random.default_rng(at)
        if self.train:
            side = int(random.integers(self.size, image.shape[1]))
            top, left = random.integers(0, image.shape[1] - side, 2)
            image = image[:, top : top + side, left : left + side]
        image = F.interpolate(image[None], (self.size, self.size), mode="bilinear", align_corners=False)[0]
        if self.train:
            turn = int(random.integers(0, 8))
            image = image.transpose(1, 2) if turn & 1 else image
            image = torch.flip(image, [axis for axis in (1, 2) if turn & (axis * 2)])
        target = torch.zeros(CLASSES)
        target[at % CLASSES] = 1.0
        return image.contiguous(), target


def lovasz(logits, targets):
    errors, order = (1 - logits * (targets * 2 - 1)).sort(0, descending=True)
    targets = targets.gather(0, order)
    positives = targets.sum(0)
    distance = 1 - (positives - targets.cumsum(0)) / (positives + (1 - targets).cumsum(0))
    weights = torch.cat([distance[:1], distance[1:] - distance[:-1]])
    return (F.relu(errors) * weights).sum(0).mean()


def hard_log(logits, targets):
    positives = targets.sum(0)
    negatives = len(targets) - positives
    share = lambda of: (of * negatives).floor()
    chosen = torch.minimum(torch.minimum(negatives, positives + share(0.5).clamp_min(2)), share(0.7) + 2)
    order = logits.detach().masked_fill(targets > 0.5, torch.finfo(torch.float32).min).argsort(0, descending=True)
    is_chosen = (chosen - torch.arange(len(targets), device=logits.device)[:, None] > 0.5).float()
    of_negatives = (F.logsigmoid(-logits.gather(0, order)) * is_chosen).sum(0)
    return (-((F.logsigmoid(logits) * targets).sum(0) + of_negatives) / (positives + chosen)).mean()


def loss_of(logits, targets):
    margins = logits * (targets * 2 - 1)
    focal = ((2 * F.logsigmoid(-margins)).exp() * -F.logsigmoid(margins)).sum(1).mean()
    both = (lovasz(logits, targets) + lovasz(-logits, 1 - targets)) / 2
    return (focal + both + hard_log(logits, targets)) / 2


class Bench:
    def __init__(self, options, arch):
        self.options = options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.on_gpu = self.device.type == "cuda"
        torch.manual_seed(0)
        self.model = NETWORKS[arch]().to(self.device)
        if self.on_gpu:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.model.train(options.work == "train")
        self.optimiser = torch.optim.Adam(self.model.parameters(), 1e-4)
        self.forward = torch.compile(self.model) if options.compile else self.model

    def batches(self):
        options = self.options
        data = Noise(options.size, 2 * options.steps * options.batch, options.work == "train")
        workers = options.threads if self.on_gpu else 1
        return DataLoader(data, options.batch, num_workers=workers, pin_memory=self.on_gpu, prefetch_factor=2)

    def precision(self):
        if self.options.precision == "f32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def images(self, bytes_):
        images = bytes_.to(self.device, non_blocking=True).float() / 255
        return images.to(memory_format=torch.channels_last) if self.on_gpu else images

    def train(self, images, targets):
        self.optimiser.zero_grad()
        with self.precision():
            logits = self.forward(self.images(images))
        loss = F.binary_cross_entropy_with_logits if self.options.loss == "bce" else loss_of
        loss(logits.float(), targets.to(self.device)).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()

    def predict(self, images, _):
        with torch.no_grad(), self.precision():
            return torch.sigmoid(self.forward(self.images(images)).float()).cpu()

    def run(self):
        options = self.options
        work = self.train if options.work == "train" else self.predict
        batches, waited, begun = iter(self.batches()), 0.0, None
        for step in range(2 * options.steps):
            if step == options.steps:
                self.wait()
                waited, begun = 0.0, time.perf_counter()
            since = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - since
            work(*batch)
        self.wait()
        return time.perf_counter() - begun, waited

    def wait(self):
        if self.on_gpu:
            torch.cuda.synchronize()


def measure(options, arch):
    bench = Bench(options, arch)
    seconds, waited = bench.run()
    gpu = torch.cuda.max_memory_reserved() if bench.on_gpu else None
    return {
        "work": options.work, "arch": arch, "size": options.size, "batch": options.batch, "precision": options.precision,
        "loss": options.loss, "threads": options.threads, "steps": options.steps, "compile": options.compile,
        "device": torch.cuda.get_device_name() if bench.on_gpu else "CPU",
        "images_per_second": options.batch * options.steps / seconds, "seconds_per_step": seconds / options.steps,
        "share_waiting_for_data": waited / seconds,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "peak_gpu_memory": gpu,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["train", "predict"])
    parser.add_argument("--arch", action="append", choices=sorted(NETWORKS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--loss", choices=["classifier", "bce"], default="classifier")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", action="store_true", help="taken for the sake of `athanor bench`, which has it, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps([measure(options, arch) for arch in options.arch or NETWORKS], indent=2))


if __name__ == "__main__":
    main()
