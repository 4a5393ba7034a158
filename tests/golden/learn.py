"""Golden values of the learning parts, from PyTorch and torchvision.

Usage: python learn.py FOLDER [models]

Writes learn-models.json into FOLDER, and without `models` learn-losses.json, learn-optim.json, learn-gathered.json and the small
weight files learn-*.pth too.

Weights are never stored: both sides compute them from a hash of name and index. Of each gradient the norm, the dot product
with a projection from the same hash, and a few entries are stored. PyTorch computes in float64, so that what is compared is
our rounding and not its own.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

CHANNELS = 4
CLASSES = 5
IDENTITIES = 7
SAMPLES = 5

# Names of the images of each network.
NOISES = ["images/3", "images", "images/5"]

# Of batch norms and biases.
SCALES_AND_OFFSETS = {
    "weight": (0.1, 0.4),
    "bias": (0.25, 1.0),
    "running_mean": (0.25, 0.0),
    "running_var": (0.25, 1.0),
}


def unit(name, count):
    """Numbers in [-1, 1), `count` of them, that depend on `name` alone: FNV-1a of the name, then SplitMix64."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0


def tensor(name, shape, scale=1.0, offset=0.0):
    values = unit(name, math.prod(shape)) * scale + offset
    return torch.from_numpy(values.astype(np.float32)).double().reshape(tuple(shape))


def weight(name, shape):
    """A parameter or running statistic of the right size for its place.

    Batch norms push most values well above zero: with many values near zero, where ReLU has its kink, rounding alone would
    change which of them pass, and gradients of deep networks would differ by whole percents between float32 and float64.
    """
    if len(shape) > 1:
        return tensor(name, shape, scale=math.sqrt(6.0 / math.prod(shape[1:])))
    return tensor(name, shape, *SCALES_AND_OFFSETS[name.split(".")[-1]])


def sample_indices(name, count):
    return [int((value + 1.0) / 2.0 * count) for value in unit(name + "/samples", SAMPLES)]


def rounded(value):
    return float(f"{float(value):.6g}")


def summary(name, values):
    """Norm, projection and a few entries."""
    flat = values.detach().double().reshape(-1)
    projection = torch.from_numpy(unit(name + "/projection", flat.numel()))
    entries = [flat[index] for index in sample_indices(name, flat.numel())]
    return [rounded(value) for value in (flat.norm(), flat @ projection, *entries)]


class ClassifierHead(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.bn1 = nn.BatchNorm1d(2 * width)
        self.fc1 = nn.Linear(2 * width, width)
        self.bn2 = nn.BatchNorm1d(width)
        self.fc2 = nn.Linear(width, CLASSES)

    def forward(self, x):
        return self.fc2(self.bn2(F.relu(self.fc1(self.bn1(x)))))


class FeatureHead(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.bn1 = nn.BatchNorm1d(2 * width)
        self.fc1 = nn.Linear(2 * width, width)
        self.bn2 = nn.BatchNorm1d(width)
        self.fc2 = nn.Linear(width, 512)
        self.bn3 = nn.BatchNorm1d(512)

    def forward(self, x):
        return self.bn3(self.fc2(self.bn2(F.relu(self.fc1(self.bn1(x))))))


def without_head(network, *heads):
    for head in heads:
        setattr(network, head, nn.Identity())
    return network


def resnet(make, pool=None):
    network = make(weights=None)
    network.conv1 = nn.Conv2d(CHANNELS, 64, 7, 2, 3, bias=False)
    if pool is not None:
        network.maxpool = pool

    def features(n, x):
        x = n.maxpool(n.relu(n.bn1(n.conv1(x))))
        return n.layer4(n.layer3(n.layer2(n.layer1(x))))

    return without_head(network, "fc"), features


def densenet(large):
    network = torchvision.models.densenet121(weights=None)
    network.features.conv0 = nn.Conv2d(CHANNELS, 64, 7, 2, 3, bias=False)
    if large:
        network.features.pool0 = nn.Sequential(network.features.pool0, nn.MaxPool2d(2, 2))
    return without_head(network, "classifier"), lambda n, x: F.relu(n.features(x))


def inception():
    network = torchvision.models.inception_v3(
        weights=None, init_weights=False, aux_logits=False, transform_input=False
    )
    network.Conv2d_1a_3x3.conv = nn.Conv2d(CHANNELS, 32, 3, 2, bias=False)

    def features(n, x):
        x = n.maxpool1(n.Conv2d_2b_3x3(n.Conv2d_2a_3x3(n.Conv2d_1a_3x3(x))))
        x = n.maxpool2(n.Conv2d_4a_3x3(n.Conv2d_3b_1x1(x)))
        x = n.Mixed_5d(n.Mixed_5c(n.Mixed_5b(x)))
        x = n.Mixed_6e(n.Mixed_6d(n.Mixed_6c(n.Mixed_6b(n.Mixed_6a(x)))))
        return n.Mixed_7c(n.Mixed_7b(n.Mixed_7a(x)))

    return without_head(network, "fc"), features


class Model(nn.Module):
    """A backbone whose names are not prefixed, with a head."""

    def __init__(self, network, features, head, metric):
        super().__init__()
        for name, child in network.named_children():
            self.add_module(name, child)
        self.head = head
        self.features_of = features
        if metric:
            self.directions = nn.Parameter(torch.zeros(IDENTITIES, 512))

    def forward(self, images):
        maps = self.features_of(self, images)
        pooled = torch.cat([maps.mean((2, 3)), F.adaptive_max_pool2d(maps, 1).flatten(1)], 1)
        out = self.head(pooled)
        if hasattr(self, "directions"):
            out = F.normalize(out) @ F.normalize(self.directions).T
        return out


def images_of(name, batch, size):
    """Noise around a different brightness in each image and channel, so that images differ after pooling too."""
    return tensor(name, (batch, CHANNELS, size, size), 0.5) + tensor("brightness", (batch, CHANNELS, 1, 1))


def model_case(architecture, pool, kind, build, head, width, size, batch, noise):
    network, features = build()
    model = Model(network, features, head(width), kind == "metric").double()
    modes = {}
    for mode in ("eval", "train"):
        state = {key: weight(key, value.shape) for key, value in model.state_dict().items() if value.ndim > 0}
        model.load_state_dict(state, strict=False)
        model.train(mode == "train")
        model.zero_grad()
        logits = model(images_of(noise, batch, size))
        (logits * tensor("direction", logits.shape)).sum().backward()
        gradients = {name: summary(name, parameter.grad) for name, parameter in model.named_parameters()}
        modes[mode] = {"logits": [rounded(v) for v in logits.detach().reshape(-1)], "gradients": gradients}
    running = {name: summary(name, value) for name, value in model.named_buffers() if value.ndim > 0}
    print(architecture, kind, noise, len(gradients), "parameters", flush=True)
    case = {"architecture": architecture, "size": size, "batch": batch, "noise": noise, "running": running}
    return case | modes | ({"stem_pool": pool} if pool else {})


def models():
    """Each network with several images: in some of them rounding moves a value across a kink, in others not."""
    two = nn.MaxPool2d(2, 2)
    tv = torchvision.models
    networks = [
        ("resnet18", "2x2", "classifier", lambda: resnet(tv.resnet18, two), ClassifierHead, 512, 64, 4),
        ("resnet34", "2x2", "classifier", lambda: resnet(tv.resnet34, two), ClassifierHead, 512, 64, 4),
        ("resnet50", None, "metric", lambda: resnet(tv.resnet50), FeatureHead, 2048, 64, 8),
        ("densenet121", None, "classifier", lambda: densenet(False), ClassifierHead, 1024, 64, 4),
        ("densenet121_large", None, "classifier", lambda: densenet(True), ClassifierHead, 1024, 128, 4),
        ("inceptionv3", None, "classifier", inception, ClassifierHead, 2048, 107, 4),
        ("resnet18", None, "classifier", lambda: resnet(tv.resnet18), ClassifierHead, 512, 64, 4),
    ]
    return [model_case(*network, noise) for network in networks for noise in NOISES]


def gathered():
    """One loss of several batches, as DataParallel computes it: each part of the network sees a batch, the loss all logits."""
    batches, batch, size = 3, 4, 64
    network, features = resnet(torchvision.models.resnet18)
    model = Model(network, features, ClassifierHead(512), False).double()
    state = {key: weight(key, value.shape) for key, value in model.state_dict().items() if value.ndim > 0}
    model.load_state_dict(state, strict=False)
    model.train()
    parts = [model(images_of(f"images/part {part}", batch, size)) for part in range(batches)]
    logits = torch.cat(parts)
    targets = (tensor("gathered targets", logits.shape, 0.5, 0.5) < 0.4).double()
    loss = classifier_loss(logits, targets)
    loss.backward()
    gradients = {name: summary(name, parameter.grad) for name, parameter in model.named_parameters()}
    separate = torch.stack([classifier_loss(part, y) for part, y in zip(parts, targets.split(batch))]).mean()
    return {
        "architecture": "resnet18", "batches": batches, "batch": batch, "size": size, "loss": loss.item(),
        "loss_of_parts": separate.item(), "targets": targets.tolist(),
        "logits": [rounded(v) for v in logits.detach().reshape(-1)], "gradients": gradients,
    }


def cross_entropies(z, y):
    return F.binary_cross_entropy_with_logits(z, y, reduction="none")


def focal(z, y):
    return ((2 * F.logsigmoid(-z * (2 * y - 1))).exp() * cross_entropies(z, y)).sum(1).mean()


def lovasz_hinge(z, y):
    """One class."""
    errors, order = torch.sort(1 - z * (2 * y - 1), descending=True)
    sorted_y = y[order]
    positives = sorted_y.sum()
    jaccard = 1 - (positives - sorted_y.cumsum(0)) / (positives + (1 - sorted_y).cumsum(0))
    jaccard = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return F.relu(errors) @ jaccard


def symmetric_lovasz(z, y):
    classes = range(z.shape[1])
    one = torch.stack([lovasz_hinge(z[:, c], y[:, c]) for c in classes]).mean()
    other = torch.stack([lovasz_hinge(-z[:, c], 1 - y[:, c]) for c in classes]).mean()
    return (one + other) / 2


def hard_log(z, y):
    of_classes = []
    for c in range(z.shape[1]):
        positives, negatives = z[:, c][y[:, c] > 0.5], z[:, c][y[:, c] < 0.5]
        count = min(len(negatives), len(positives) + max(2, int(0.5 * len(negatives))), int(0.7 * len(negatives)) + 2)
        hardest = torch.topk(negatives, count).values
        chosen = torch.cat([positives, hardest])
        labels = torch.cat([torch.ones_like(positives), torch.zeros_like(hardest)])
        of_classes.append(F.binary_cross_entropy_with_logits(chosen, labels))
    return torch.stack(of_classes).mean()


def classifier_loss(z, y):
    return 0.5 * (focal(z, y) + symmetric_lovasz(z, y) + hard_log(z, y))


def arcface(cosines, identities, scale=30.0, margin=0.5):
    sine = torch.sqrt(1.0 - cosines**2)
    widened = cosines * math.cos(margin) - sine * math.sin(margin)
    widened = torch.where(cosines > math.cos(math.pi - margin), widened, cosines - math.sin(math.pi - margin) * margin)
    right = F.one_hot(identities, cosines.shape[1]).bool()
    logits = scale * torch.where(right, widened, cosines)
    return (F.cross_entropy(logits, identities) + F.cross_entropy(cosines, identities)) / 2


def loss_case(loss, logits, targets):
    logits = logits.clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    return {
        "logits": logits.detach().tolist(),
        "targets": targets.tolist(),
        "value": value.item(),
        "gradient": logits.grad.tolist(),
    }


def losses():
    def y(name, batch, classes, share):
        return (tensor(name, (batch, classes), 0.5, 0.5) < share).double()

    usual = (tensor("usual", (16, 28), 4.0), y("usual targets", 16, 28, 0.15))
    wide = (tensor("wide", (30, 6), 12.0), y("wide targets", 30, 6, 0.5))
    extreme = (tensor("extreme", (12, 5), 1.0).sign() * tensor("extreme by", (12, 5), 1.0, 100.0), y("e", 12, 5, 0.4))
    ones = torch.ones(7, 4, dtype=torch.float64)
    no_positives = (tensor("none", (7, 4), 3.0), 0 * ones)
    only_positives = (tensor("all", (7, 4), 3.0), ones)
    one_image = (tensor("one", (1, 6), 3.0), y("one targets", 1, 6, 0.5))
    two_images = (tensor("two", (2, 6), 3.0), y("two targets", 2, 6, 0.5))
    zeros = (torch.zeros(5, 3, dtype=torch.float64), y("zeros", 5, 3, 0.4))
    hard = [usual, wide, extreme, no_positives, only_positives, one_image, two_images]
    soft = [(tensor("soft", (9, 5), 6.0), tensor("soft targets", (9, 5), 0.5, 0.5)), zeros]
    identities = torch.tensor([0, 3, 10, 2, 2, 7])
    cosines = tensor("cosines", (6, 11), 0.999)
    behind = cosines.clone()
    behind[torch.arange(6), identities] = tensor("behind", (6,), 0.06, -0.93)
    near = cosines.clone()
    near[torch.arange(6), identities] = tensor("near", (6,), 0.0009, 0.999)
    return {
        "bce": [loss_case(F.binary_cross_entropy_with_logits, *case) for case in [*hard, *soft]],
        "focal": [loss_case(focal, *case) for case in [*hard, zeros]],
        "symmetric_lovasz": [loss_case(symmetric_lovasz, *case) for case in hard],
        "hard_log": [loss_case(hard_log, *case) for case in hard],
        "classifier": [loss_case(classifier_loss, *case) for case in hard],
        "arcface": [loss_case(arcface, case, identities) for case in (cosines, behind, near)],
    }


def optimiser():
    """Several steps of Adam after clipping, on two parameters, from given gradients."""
    shapes = {"weight": (3, 4), "bias": (3,)}
    parameters = {name: nn.Parameter(tensor(name, shape)) for name, shape in shapes.items()}
    adam = torch.optim.Adam(parameters.values(), lr=1e-3)
    steps = []
    rates = [1e-2, 1e-2, 1e-2, 3e-3, 3e-3, 1e-3]
    scales = [5.0, 0.01, 1e-7, 0.0, 40.0, 1.0]
    for number, (rate, scale) in enumerate(zip(rates, scales)):
        for name, parameter in parameters.items():
            parameter.grad = tensor(f"{name}/{number}", parameter.shape, scale)
        norm = nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        for group in adam.param_groups:
            group["lr"] = rate
        adam.step()
        after = {name: parameter.detach().reshape(-1).tolist() for name, parameter in parameters.items()}
        steps.append({"rate": rate, "scale": scale, "norm": norm.item(), "after": after})
    return steps


def wrapped_checkpoint():
    """What training programs save: a compiled network under data parallelism, its optimizer, and where it stopped."""
    network = nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.BatchNorm2d(2))
    wrapped = nn.DataParallel(torch.compile(network))
    optimiser = torch.optim.Adam(wrapped.parameters())
    network(torch.ones(1, 1, 4, 4)).sum().backward()
    optimiser.step()
    with torch.no_grad():
        network[0].weight.copy_(tensor("wrapped", network[0].weight.shape))
    shown = torch.arange(6).reshape(2, 3)
    return {"epoch": 3, "state_dict": wrapped.state_dict(), "optimizer": optimiser.state_dict(), "shown": shown}


def weight_files(folder):
    """Small files in PyTorch's formats."""
    state = {
        "conv1.weight": tensor("conv1.weight", (2, 3, 2, 2)).float(),
        "bn1.running_mean": tensor("bn1.running_mean", (2,)).half(),
        "bn1.num_batches_tracked": torch.tensor(3),
        "layer.weight": tensor("layer.weight", (3, 2)).float().t(),
    }
    torch.save(state, folder / "learn-small.pth")
    torch.save(state, folder / "learn-small-legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"conv1.weight": torch.arange(4)}, folder / "learn-integers.pth")
    torch.save(wrapped_checkpoint(), folder / "learn-wrapped.pth")


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    if sys.argv[2:] != ["models"]:
        weight_files(folder)
        write(folder / "learn-losses.json", losses())
        write(folder / "learn-optim.json", optimiser())
        write(folder / "learn-gathered.json", gathered())
    write(folder / "learn-models.json", models())
