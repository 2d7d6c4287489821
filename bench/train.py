"""Speed of the training loop, relative to hardware limits and to a usual PyTorch loop.

    python -m bench.train                        the preset for the device, on ../shared/data/faces112.tar.xz
    python -m bench.train --device cuda --preset full --turns 9 --json
    python -m bench.train --archive none         on generated pictures, without that archive
    python -m bench.train --image-px 64 --activation paper --compile on        any field of a training configuration

*ours* is `model.training.training_loop`: crops decoded once and resident, augmented on the device, with the configured
precision and compilation. *usual* is a tutorial's loop: a `Dataset` that decodes JPEGs (from memory, in its favour) and
augments them with torchvision in the workers of a `DataLoader`, with the same network, loss, optimizer and batches,
in fp32 and with autocast to bfloat16. The loops alternate in one process, A B C A B C, each after untimed steps in
which the usual ones consume what their workers prefetched. Values are medians over the turns; CPU time includes the
workers.

The floor by bytes is the memory traffic of the network at the rate of a copy measured here. Counted per picture, in
the precision of the run: for a convolution or linear layer its input and output in the forward pass, and in the
backward pass the output's gradient twice (for the input and for the weights), the input once more and its gradient;
for a norm with a fused activation the input twice (statistics, then values) and the output, and backward the gradient
twice, the input twice and its gradient; and a batch's share of the parameters' gradients, of AdamW and of the moving
average. Residual additions, augmentation and loss are left out, so it is a lower bound, unless a cache keeps what was
written: on a CPU with a small batch the share may exceed 1. The floor by arithmetic is three times the network's
multiply-adds at the rate of a large matrix product measured here in the same precision. On a CPU both floors and the
shares are based on CPU time and one core. With OMP_NUM_THREADS=1 other load does not matter; several threads on busy
cores wait for each other, and the wait counts as CPU time.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench.corpus import ARCHIVE, read_corpus
from model.configuration.config import TrainConfig
from model.configuration.train_options import add_options, config_from
from model.devices.device import resolve_device
from model.embedding import augment
from model.embedding.data import Faces
from model.training.sampler import PKSampler
from model.training.train_set import put_on
from model.training.training_loop import first_modules, initial_state, run_interval

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Crops:
    """JPEG files of aligned faces with labels."""

    jpegs: list[bytes]
    labels: np.ndarray


def read_crops(archive: Path) -> Crops:
    """The crops of a corpus; without an archive, 4096 generated pictures of 256 people."""
    if archive.exists():
        rows, pictures = read_corpus(archive)
        people = np.unique([row["identity"] for row in rows], return_inverse=True)[1]
        return Crops([pictures[row["sample"]] for row in rows], people.astype(np.int64))
    rng = np.random.default_rng(0)
    return Crops([_made(rng) for _ in range(4096)], np.arange(4096) % 256)


def _made(rng: np.random.Generator) -> bytes:
    """A smooth picture with about the file size of a face."""
    coarse = Image.fromarray(rng.integers(0, 256, (28, 28, 3), np.uint8))
    file = io.BytesIO()
    coarse.resize((112, 112), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


# -- the floor --


def per_picture(config: TrainConfig, element_bytes: int) -> tuple[float, float]:
    """(bytes moved, floating-point operations) per training picture, by the model in the module docstring."""
    backbone, loss = first_modules(config, 2)
    moved = operations = 0.0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal moved, operations
        before, after = inputs[0].numel() / len(inputs[0]), output.numel() / len(output)
        if isinstance(module, nn.Conv2d | nn.Linear):
            moved += 3 * before + 3 * after
            operations += 3 * 2 * after * module.weight[0].numel()
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            moved += 5 * before + 3 * after

    for module in backbone.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        backbone(torch.zeros(2, 3, config.image_px, config.image_px))
    parameters = sum(one.numel() for one in [*backbone.parameters(), *loss.parameters()])
    # Read in both passes, gradient written; AdamW reads four arrays and writes three; the average accesses three.
    batch_size = config.identities_per_batch * config.faces_per_identity
    return moved * element_bytes + 13 * 4 * parameters / batch_size, operations


def busy_s(device: torch.device) -> float:
    """The clock: wall time after synchronization for a GPU, CPU time of all threads for a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def copy_rate(device: torch.device) -> float:
    """Bytes read and written per second by a large copy."""
    source = torch.ones((256 if device.type == "cuda" else 32) << 20, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best_s(lambda: target.copy_(source), device)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product."""
    side = 8192 if device.type == "cuda" else 1024
    one = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / _best_s(lambda: one @ one, device)


def _best_s(work: Callable[[], Any], device: torch.device, rounds: int = 20) -> float:
    times = []
    for _ in range(rounds):
        started = busy_s(device)
        work()
        times.append(busy_s(device) - started)
    return min(times)


# -- the loops: each takes the given number of steps when called --

Loop = Callable[[int], None]


def our_loop(crops: Crops, config: TrainConfig, device: torch.device) -> Loop:
    """The loop of `model.training.training_loop`."""
    images = np.stack([np.asarray(_sized(jpeg, config.image_px)) for jpeg in crops.jpegs])
    people = tuple(map(str, range(int(crops.labels.max()) + 1)))
    train_set = put_on(device, Faces(images, crops.labels, people, ()), config)
    state = initial_state(config, len(people), device)

    def run(steps: int) -> None:
        run_interval(state, train_set, config, steps)

    return run


class DecodingDataset(Dataset[tuple[Tensor, int]]):
    """Decodes and augments one picture at a time by usual means, as strongly as ours."""

    def __init__(self, crops: Crops, config: TrainConfig) -> None:
        self.crops = crops
        self.image_px = config.image_px
        self.change = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomAffine(
                    augment.TURN_DEGREES, (augment.SHIFT, augment.SHIFT), (1 - augment.SCALE, 1 + augment.SCALE)
                ),
                transforms.ColorJitter(augment.BRIGHTNESS, augment.CONTRAST),
                transforms.ToTensor(),
                transforms.Normalize([0.5] * 3, [0.5] * 3),
                transforms.RandomErasing(augment.ERASE_SHARE, (0.01, 0.12)),
            ]
        )

    def __len__(self) -> int:
        return len(self.crops.jpegs)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.change(_sized(self.crops.jpegs[row], self.image_px)), int(self.crops.labels[row])


def usual_loop(crops: Crops, config: TrainConfig, device: torch.device, workers: int, *, with_autocast: bool) -> Loop:
    """A tutorial's loop."""
    sampler = PKSampler(crops.labels, config.identities_per_batch, config.faces_per_identity, config.seed)
    loader = DataLoader(
        DecodingDataset(crops, config),
        batch_sampler=_Batches(sampler),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )
    backbone, loss = (one.to(device) for one in first_modules(config, int(crops.labels.max()) + 1))
    optimizer = torch.optim.AdamW([*backbone.parameters(), *loss.parameters()], lr=config.learning_rate)
    batches = iter(loader)

    def run(steps: int) -> None:
        for _ in range(steps):
            images, labels = (one.to(device, non_blocking=True) for one in next(batches))
            with torch.autocast(device.type, torch.bfloat16, enabled=with_autocast):
                raw = backbone(images)
            value = loss(functional.normalize(raw.float()), labels)
            optimizer.zero_grad()
            value.total.backward()
            optimizer.step()

    return run


class _Batches:
    """The batches of our loop, endlessly."""

    def __init__(self, sampler: PKSampler) -> None:
        self.sampler = sampler

    def __iter__(self) -> Iterator[list[int]]:
        step = 0
        while True:
            yield self.sampler.indices(step).tolist()
            step += 1


def _sized(jpeg: bytes, image_px: int) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB").resize((image_px, image_px), Image.Resampling.BILINEAR)


# -- the comparison --


def compare(
    loops: dict[str, Loop], batch_size: int, device: torch.device, *, turns: int, steps: int, untimed: int
) -> dict[str, list[dict[str, float]]]:
    """Results of each loop per turn: images per second by both clocks, CPU time per image, workers included."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in loops}
    for _ in range(turns):
        for name, run in loops.items():
            run(untimed)
            busy, started, cpu = busy_s(device), time.perf_counter(), _cpu_s()
            run(steps)
            busy, seconds, cpu = busy_s(device) - busy, time.perf_counter() - started, _cpu_s() - cpu
            images = steps * batch_size
            found[name].append(
                {"images_per_s": images / seconds, "images_per_busy_s": images / busy, "cpu_ms": 1000 * cpu / images}
            )
    return found


def _cpu_s() -> float:
    """CPU time of this process and its workers."""
    children = [one.pid for one in multiprocessing.active_children()]
    ticks = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in children)
    return time.process_time() + sum(int(user) + int(system) for user, system in ticks) / _TICKS_PER_S


def summary(turns: dict[str, list[dict[str, float]]], floor: float) -> list[dict[str, Any]]:
    """One row per loop: medians over its turns, and the speed of ours relative to it, turn by turn."""
    ours = turns["ours"]
    return [
        {
            "loop": name,
            "images_per_s": statistics.median(turn["images_per_s"] for turn in found),
            "of_the_byte_floor": statistics.median(turn["images_per_busy_s"] for turn in found) / floor,
            "cpu_ms": statistics.median(turn["cpu_ms"] for turn in found),
            "ours_is_faster": statistics.median(
                one["images_per_s"] / other["images_per_s"] for one, other in zip(ours, found, strict=True)
            ),
            "ours_takes_less_cpu": statistics.median(
                other["cpu_ms"] / one["cpu_ms"] for one, other in zip(ours, found, strict=True)
            ),
        }
        for name, found in turns.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, default=ARCHIVE)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps-per-turn", type=int, help="default: 50 on a GPU, 5 on a CPU")
    parser.add_argument("--workers", type=int, default=min(16, os.cpu_count() or 1), help="workers per usual loop")
    parser.add_argument("--json", action="store_true")
    add_options(parser)
    args = parser.parse_args()
    # Endless, so that no turn comes after the last step.
    config = replace(config_from(args), steps=10**6)
    device = resolve_device(config.device)
    figures = measure(config, device, args)
    if args.json:
        print(json.dumps(figures))
    else:
        show(figures)


def measure(config: TrainConfig, device: torch.device, args: argparse.Namespace) -> dict[str, Any]:
    """All results as plain values."""
    crops = read_crops(args.archive)
    dtype = torch.bfloat16 if config.uses_bfloat16(device) else torch.float32
    bytes_each, operations_each = per_picture(config, dtype.itemsize)
    copied, multiplied = copy_rate(device), matrix_rate(device, dtype)
    loops = {
        "ours": our_loop(crops, config, device),
        "usual, fp32": usual_loop(crops, config, device, args.workers, with_autocast=False),
        "usual, autocast": usual_loop(crops, config, device, args.workers, with_autocast=True),
    }
    sampler = PKSampler(crops.labels, config.identities_per_batch, config.faces_per_identity, config.seed)
    steps = args.steps_per_turn or (50 if device.type == "cuda" else 5)
    # A DataLoader prefetches two batches per worker.
    turns = compare(loops, sampler.batch_size, device, turns=args.turns, steps=steps, untimed=2 * args.workers + 1)
    return {
        "chip": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {torch.get_num_threads()} threads",
        "torch": str(torch.__version__),
        "config": config.recipe(),
        "precision": str(dtype).removeprefix("torch."),
        "compiled": config.compiles(device),
        "batch": sampler.batch_size,
        "workers": args.workers,
        "bytes_per_image": bytes_each,
        "operations_per_image": operations_each,
        "copy_bytes_per_s": copied,
        "matrix_operations_per_s": multiplied,
        "floor_by_bytes_images_per_s": copied / bytes_each,
        "floor_by_arithmetic_images_per_s": multiplied / operations_each,
        "loops": summary(turns, copied / bytes_each),
    }


def show(figures: dict[str, Any]) -> None:
    config, mode = figures["config"], ", compiled" if figures["compiled"] else ""
    print(f"{figures['chip']}, torch {figures['torch']}, {figures['precision']}{mode}")
    print(
        f"{config['backbone']} x{config['width']:g}, activation {config['activation']}, {config['image_px']} px, batch "
        f"{figures['batch']}; {figures['workers']} workers in a usual loop"
    )
    print(
        f"an image moves {figures['bytes_per_image'] / 1e6:.1f} MB and takes "
        f"{figures['operations_per_image'] / 1e9:.2f} GFLOP; measured {figures['copy_bytes_per_s'] / 1e9:.0f} GB/s, "
        f"{figures['matrix_operations_per_s'] / 1e12:.2f} TFLOP/s"
    )
    print(
        f"floor by bytes {figures['floor_by_bytes_images_per_s']:,.0f} images/s, "
        f"by arithmetic {figures['floor_by_arithmetic_images_per_s']:,.0f}"
    )
    print(f"{'loop':18}{'images/s':>10}{'of the floor':>14}{'CPU-ms/image':>14}{'ours is':>10}{'and CPU':>10}")
    for row in figures["loops"]:
        print(
            f"{row['loop']:18}{row['images_per_s']:10,.0f}{row['of_the_byte_floor']:14.2f}{row['cpu_ms']:14.2f}"
            f"{row['ours_is_faster']:9.2f}x{row['ours_takes_less_cpu']:9.2f}x"
        )


if __name__ == "__main__":
    main()
