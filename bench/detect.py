"""Speed of the fast MTCNN engine (`packed`), and its agreement with the reference engine (`shipped`).

    python -m bench.detect --min-face 100              # 115 photographs of ../shared/data/replay, one CPU thread
    python -m bench.detect --min-face 40 --limit 300 --json
    python -m bench.detect --exact                     # without the fast engine's shortcuts
    python -m bench.detect --why                       # the effect of resampling on the reference engine's results
    python -m bench.detect --device cuda --precision float16 --size 500x400

On a CPU each photograph is decoded, then processed by both engines in alternating order; the time is this process's
CPU time. The reference engine is facenet-pytorch's code with the same minimum face size on the full picture. Faces
count from a score of 0.9. The decision (no, one, several) is the crop method's, `one_clear_person`. Boxes and
landmarks are compared where the reference engine has a face; landmark distances are relative to the shorter side of
the face.

On a GPU the reference engine gets decoded pictures one by one. The fast engine is timed end to end from JPEG bytes,
decoded by threads while the GPU processes the previous batch. `--device cpu --end-to-end` runs that path on a CPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import torch
from facenet_pytorch.models.utils import detect_face as shipped_code
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from storage.records import FoundFace, Reason
from tasks.faces.boxes import iou
from tasks.faces.detectors import Detector, DetectorSettings, load_detector
from tasks.faces.detectors.fast import FastMtcnn
from tasks.faces.methods import CropSettings
from tasks.faces.methods.subject import one_clear_person, shorter_side
from tasks.images.decode import UndecodableImage, decode

SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff"}
CROPS = CropSettings()

Resampler = Callable[[Tensor, tuple[int, int]], Tensor]


def main() -> None:
    args = _arguments()
    files = read_photos(args.photos, args.limit)
    if args.size:
        files = [resized(data, args.size) for data in files]
    settings = DetectorSettings(
        exact=args.exact,
        min_face_px=args.min_face,
        overlaps=args.overlaps,
        device=args.device,
        precision=args.precision,
    )
    if args.why:
        why(files, args.min_face)
    elif args.device == "cuda" or args.end_to_end:
        report(end_to_end(files, settings, args.threads), args.json)
    else:
        report(side_by_side(files, settings), args.json)


@dataclass
class Agreement:
    """Agreement of the second engine with the first on its pictures and faces."""

    num_pictures: int = 0
    num_same_verdict: int = 0
    num_same_count: int = 0
    ious: list[float] = field(default_factory=list)
    landmark_shares: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)

    def add(self, theirs: Iterable[FoundFace], ours: Iterable[FoundFace]) -> None:
        theirs, ours = ([face for face in faces if face.score >= CROPS.min_score] for faces in (theirs, ours))
        self.num_pictures += 1
        self.num_same_verdict += verdict(theirs) == verdict(ours)
        self.num_same_count += len(theirs) == len(ours)
        for face in theirs:
            best = max(ours, key=lambda other: iou(face.box_xyxy, other.box_xyxy), default=None)
            self.ious.append(iou(face.box_xyxy, best.box_xyxy) if best else 0.0)
            if best and self.ious[-1] >= 0.5:
                self.landmark_shares.append(landmark_share(face, best))
                self.sizes.append(shorter_side(best.box_xyxy) / shorter_side(face.box_xyxy))

    def figures(self) -> dict[str, float]:
        return {
            "pictures": self.num_pictures,
            "faces": len(self.ious),
            "same_verdict": self.num_same_verdict / self.num_pictures,
            "same_count": self.num_same_count / self.num_pictures,
            "iou80": sum(one >= 0.8 for one in self.ious) / max(len(self.ious), 1),
            "iou_median": statistics.median(self.ious or [0.0]),
            "landmarks": statistics.median(self.landmark_shares or [0.0]),
            "size_ratio": statistics.median(self.sizes or [0.0]),
        }


def verdict(faces: Sequence[FoundFace]) -> str:
    answer = one_clear_person(faces, None, CROPS)
    return answer.value if isinstance(answer, Reason) else "one_person"


def landmark_share(face: FoundFace, other: FoundFace) -> float:
    """The mean distance of five landmarks, relative to the first face's shorter side."""
    pairs = zip(face.landmarks, other.landmarks, strict=True)
    offsets = [one - two for one, two in pairs]
    points = zip(offsets[::2], offsets[1::2], strict=True)
    return statistics.fmean((x * x + y * y) ** 0.5 for x, y in points) / shorter_side(face.box_xyxy)


def side_by_side(files: Sequence[bytes], settings: DetectorSettings) -> dict[str, float]:
    """Run both engines alternately on each photograph, on one thread."""
    engines = [load_detector(replace(settings, engine=name)) for name in ("shipped", "packed")]
    # The first pictures include one-time initialization of torch.
    for data in files[:3]:
        for engine in engines:
            engine.find(decode(data))
    agreement = Agreement()
    times_s: tuple[list[float], list[float]] = ([], [])
    for number, data in enumerate(files):
        image = decode(data)
        found: dict[int, tuple[FoundFace, ...]] = {}
        for which in (0, 1) if number % 2 else (1, 0):
            start = time.process_time()
            found[which] = engines[which].find(image)
            times_s[which].append(time.process_time() - start)
        agreement.add(found[0], found[1])
    shipped_s, packed_s = times_s
    return {
        "min_face_px": settings.min_face_px,
        "ratio": sum(shipped_s) / sum(packed_s),
        "ratio_of_medians": statistics.median(shipped_s) / statistics.median(packed_s),
        **timing("shipped", shipped_s),
        **timing("packed", packed_s),
        **agreement.figures(),
    }


def timing(name: str, times_s: Sequence[float]) -> dict[str, float]:
    return {
        f"{name}_images_per_s": len(times_s) / sum(times_s),
        f"{name}_cpu_ms": 1000 * statistics.fmean(times_s),
        f"{name}_cpu_ms_median": 1000 * statistics.median(times_s),
    }


def end_to_end(files: Sequence[bytes], settings: DetectorSettings, threads: int) -> dict[str, float]:
    """The fast engine from bytes to faces with concurrent decoding; the reference on the same decoded pictures."""
    packed, shipped = (load_detector(replace(settings, engine=name)) for name in ("packed", "shipped"))
    images = [decode(data) for data in files]
    packed.find_all(images[: packed.batch])
    shipped.find(images[0])
    start = time.perf_counter()
    theirs = shipped.find_all(images)
    shipped_s, start = time.perf_counter() - start, time.perf_counter()
    found = packed.find_all(images)
    packed_s, start = time.perf_counter() - start, time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        num = sum(len(batch) for batch in found_as_decoded(files, packed, pool))
    whole_s, start = time.perf_counter() - start, time.perf_counter()
    for data in files:
        decode(data)
    decode_s = time.perf_counter() - start
    agreement = Agreement()
    for one, other in zip(theirs, found, strict=True):
        agreement.add(one, other)
    return {
        "min_face_px": settings.min_face_px,
        "batch": packed.batch,
        "threads": threads,
        "ratio": (decode_s + shipped_s) / whole_s,
        "images_per_s": num / whole_s,
        "ms_end_to_end": 1000 * whole_s / num,
        "ms_decode_one_thread": 1000 * decode_s / num,
        "ms_packed": 1000 * packed_s / num,
        "ms_shipped": 1000 * shipped_s / num,
        **{f"ms_{name}": 1000 * spent / num for name, spent in stages(FastMtcnn(settings), images).items()},
        **agreement.figures(),
    }


def found_as_decoded(
    files: Sequence[bytes], detector: Detector, pool: ThreadPoolExecutor
) -> Iterator[list[tuple[FoundFace, ...]]]:
    """The faces of each batch, while the next one is decoded."""
    batches = [files[start : start + detector.batch] for start in range(0, len(files), detector.batch)]
    decoding = [pool.submit(decode, data) for data in batches[0]]
    for following in [*batches[1:], []]:
        ahead = [pool.submit(decode, data) for data in following]
        yield detector.find_all([one.result() for one in decoding])
        decoding = ahead


def stages(detector: FastMtcnn, images: Sequence[Image.Image]) -> dict[str, float]:
    """Seconds per stage of the fast engine over all pictures, synchronized after each stage, so that they add up."""
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object) -> object:
            start = time.perf_counter()
            result = work(*args)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
            return result

        return run

    with (
        swapped(detector._networks, "load", lambda work: timed("upload_and_sums", work)),
        swapped(detector, "_propose", lambda work: timed("first_network", work)),
        swapped(detector, "_refine", lambda work: timed("second_network", work)),
        swapped(detector, "_finish", lambda work: timed("third_network", work)),
    ):
        detector.find_all(images)
    return spent


@contextmanager
def swapped(owner: object, name: str, change: Callable[[Callable[..., object]], object]) -> Iterator[None]:
    """Temporarily replace `owner.name` by `change` of it."""
    before = getattr(owner, name)
    setattr(owner, name, change(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


def box(image: Tensor, sz: tuple[int, int]) -> Tensor:
    """Downsample by averaging exactly the pixels, and parts of pixels, covered by an output pixel."""
    for axis, size in ((2, sz[0]), (3, sz[1])):
        length = image.shape[axis]
        sums = torch.cat((torch.zeros_like(image.narrow(axis, 0, 1)), image.double().cumsum(axis).float()), axis)
        ends = torch.arange(size + 1) * (length / size)
        low = ends.long().clamp(max=length - 1)
        at = sums.index_select(axis, low)
        at = at + (sums.index_select(axis, low + 1) - at) * (ends - low).view(
            [-1 if n == axis else 1 for n in range(4)]
        )
        image = at.diff(dim=axis) / (length / size)
    return image


def bilinear(image: Tensor, sz: tuple[int, int]) -> Tensor:
    """Resample like Pillow's BILINEAR, which averages over twice the width with triangular weights."""
    shrunk: Tensor = interpolate(image, size=sz, mode="bilinear", antialias=True)
    return shrunk


def why(files: Sequence[bytes], min_face_px: int) -> None:
    """The reference engine against itself, with other resampling in the pyramid, in the crops, or in both."""
    shipped, halved = (
        load_detector(DetectorSettings(engine="shipped", min_face_px=px)) for px in (min_face_px, min_face_px // 2)
    )
    images = [decode(data) for data in files]
    theirs = [shipped.find(image) for image in images]
    area = shipped_code.imresample
    print(f"{'picture':10}{'pyramid':10}{'crops':10}  verdict   iou80  iou_median  landmarks   size")
    for half in (False, True):
        for levels, crops in ((area, area), (box, box), (bilinear, bilinear), (box, area), (area, box)):
            agreement = Agreement()
            with swapped(shipped_code, "imresample", partial(exchanged, levels, crops)):
                for image, faces in zip(images, theirs, strict=True):
                    agreement.add(faces, doubled(halved.find(image.reduce(2))) if half else shipped.find(image))
            names = ("area" if one is area else one.__name__ for one in (levels, crops))
            print_row(("half" if half else "full", *names), agreement)
    moved = Agreement()
    for image, faces in zip(images, theirs, strict=True):
        moved.add([shifted(face, -3) for face in faces], shipped.find(image.crop((3, 3, *image.size))))
    print_row(("3 px off", "area", "area"), moved)


def exchanged(levels: Resampler, crops: Resampler, _: Resampler) -> Resampler:
    return lambda image, sz: (crops if sz in ((24, 24), (48, 48)) else levels)(image, sz)


def print_row(names: Iterable[str], agreement: Agreement) -> None:
    one = agreement.figures()
    print(
        "".join(f"{name:10}" for name in names)
        + f"{one['same_verdict']:9.3f}{one['iou80']:8.3f}{one['iou_median']:12.3f}"
        + f"{one['landmarks']:11.4f}{one['size_ratio']:7.3f}"
    )


def doubled(faces: Iterable[FoundFace]) -> list[FoundFace]:
    return [changed(face, lambda value: 2 * value) for face in faces]


def shifted(face: FoundFace, by_px: float) -> FoundFace:
    return changed(face, lambda value: value + by_px)


def changed(face: FoundFace, change: Callable[[float], float]) -> FoundFace:
    left, top, right, bottom = map(change, face.box_xyxy)
    return FoundFace((left, top, right, bottom), face.score, tuple(map(change, face.landmarks)))


def read_photos(folder: Path, limit: int) -> list[bytes]:
    """Evenly spaced files of a dataset's accepted pictures, or of any folder.

    Files that cannot be decoded are counted and left out.
    """
    answers = folder / "responses.csv"
    if answers.exists():
        with answers.open() as file:
            names = {row["body"] for row in csv.DictReader(file) if row["expect"] == "accepted" and row["body"]}
        paths = sorted(folder / "bodies" / name for name in names)
    else:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"there are no photographs in {folder}: name a folder with --photos")
    step = max(1, len(paths) // limit)
    files = [path.read_bytes() for path in paths[::step][:limit]]
    whole = [data for data in files if is_decodable(data)]
    if len(whole) < len(files):
        print(f"{len(files) - len(whole)} of {len(files)} files are left out: they cannot be decoded")
    if not whole:
        raise SystemExit(f"no photograph in {folder} can be decoded: name another folder with --photos")
    return whole


def is_decodable(data: bytes) -> bool:
    try:
        decode(data)
    except UndecodableImage:
        return False
    return True


def resized(data: bytes, size: tuple[int, int]) -> bytes:
    file = BytesIO()
    decode(data).resize(size).save(file, "JPEG", quality=90)
    return file.getvalue()


def report(figures: dict[str, float], as_json: bool) -> None:
    for name, value in figures.items():
        print(f"{name:28}{value:12.4f}".rstrip("0").rstrip("."))
    if as_json:
        print(json.dumps(figures))


def numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))


def pixels(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "replay")
    parser.add_argument("--limit", type=int, default=115, help="number of photographs, evenly spread over the folder")
    parser.add_argument("--min-face", type=int, default=100, metavar="PX")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "float16", "bfloat16"], default="float32")
    parser.add_argument("--exact", action="store_true", help="disable the fast engine's shortcuts")
    parser.add_argument(
        "--overlaps", type=numbers, default=(0.7, 0.7), metavar="A,B", help="overlap thresholds of the fast engine"
    )
    parser.add_argument("--threads", type=int, default=8, help="decoding threads")
    parser.add_argument("--size", type=pixels, metavar="WxH", help="resize the photographs first")
    parser.add_argument("--end-to-end", action="store_true", help="from JPEG bytes, as on a GPU")
    parser.add_argument("--why", action="store_true", help="vary the reference engine's resampling")
    parser.add_argument("--json", action="store_true", help="also print the results as JSON, as the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
