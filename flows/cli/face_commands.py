"""`facemill embed` and `facemill compare`: run a model version on local photos. Nothing leaves the machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.options import JsonOption, LakeOption, bar, existing_lake, follow, print_result, reporting
from flows.cli.terminal import say
from flows.configuration.settings import load_settings, tame_libraries
from flows.inference.embedding_file import saver
from storage.errors import UsageError
from storage.records import Reason
from storage.text.names import visible
from storage.versions.models import ModelFolder, open_model

Row = dict[str, Any]

PhotosArgument = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Image files, or folders of them.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME[@VERSION]", help="Model version of the lake. Default: embedder."),
]
ModelFolderOption = Annotated[
    Path | None,
    typer.Option("--model-folder", metavar="DIR", help="Folder of a model version outside a lake."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the embeddings: .npy with one row per photo (NaN without a face), or .parquet with the faces.",
    ),
]


@reporting
def embed(
    photos: PhotosArgument,
    lake: LakeOption,
    model: ModelOption = None,
    model_folder: ModelFolderOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed the main face of each photo. Exits with 1 if a photo has no face."""
    save = saver(out) if out else None
    files = _files(photos)
    tame_libraries(verbose=False)
    from flows.inference.embedder import Embedder  # noqa: PLC0415

    embedder = Embedder(_version(lake, model, model_folder), load_settings().detector())
    with bar("embed", len(files)) as reach:
        rows = [_row(file, face) for file, face in zip(files, embedder.embed(files, reach), strict=True)]
    for row in rows:
        _remark(row)
    if save:
        save(rows, embedder.model.embedding_dim)
    result = {"model": str(embedder.model.version), "photos": rows}
    print_result(result, as_json, show_embedded)
    if model_folder is None:
        follow("embed", result, lake, as_json=as_json)
    if any(row["reason"] for row in rows):
        raise typer.Exit(1)


@reporting
def compare(
    one: Annotated[Path, typer.Argument(metavar="PHOTO")],
    other: Annotated[Path, typer.Argument(metavar="PHOTO")],
    lake: LakeOption,
    model: ModelOption = None,
    model_folder: ModelFolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify whether two photos show the same person. Compares their main faces, and prints a probability."""
    tame_libraries(verbose=False)
    from flows.inference.embedder import Embedder  # noqa: PLC0415

    embedder = Embedder(_version(lake, model, model_folder), load_settings().detector())
    faces = embedder.embed_pair(one, other)
    for photo, face in zip((one, other), faces, strict=True):
        _remark(_row(photo, face))
    verdict = embedder.model.compare(*(face.embedding for face in faces))
    result = {"model": str(embedder.model.version), **asdict(verdict)}
    print_result(result, as_json, show_compared)
    if model_folder is None:
        follow("compare", result, lake, as_json=as_json)


def show_embedded(console: Console, result: dict[str, Any]) -> None:
    """Print the face found in each photo."""
    for row in result["photos"]:
        if row["reason"] is None:
            left, top, right, bottom = row["box_xyxy"]
            say(
                console,
                f"{row['photo']}: face of {right - left:.0f} x {bottom - top:.0f} px at ({left:.0f}, {top:.0f}), "
                f"score {row['score']:.3f}, {len(row['embedding'])} numbers by {result['model']}",
            )


def show_compared(console: Console, result: dict[str, Any]) -> None:
    """Print the decision with its distance, threshold and probability."""
    verdict = "same person" if result["is_same"] else "different people"
    say(
        console,
        f"[bold]{verdict}[/]: distance {result['distance']:.3f}, threshold {result['threshold']:.3f}; "
        f"probability of the same person {result['probability']:.3f} at equal priors ({result['model']})",
    )


def _version(lake: str, model: str | None, folder: Path | None) -> ModelFolder:
    if folder is None:
        return open_model(existing_lake(lake), model or "embedder")
    if model is not None:
        raise UsageError("--model and --model-folder exclude each other")
    return ModelFolder(folder)


def _files(photos: list[Path]) -> list[Path]:
    """Expand folders, and check that every photo exists before any is read."""
    missing = [str(path) for path in photos if not path.exists()]
    if missing:
        raise UsageError(f"no such photo or folder: {', '.join(missing)}")
    within = [sorted(path.rglob("*")) if path.is_dir() else [path] for path in photos]
    files = [path for paths in within for path in paths if path.is_file()]
    if not files:
        raise UsageError(f"no photo found in {', '.join(str(path) for path in photos)}")
    return files


def _row(photo: Path, face: Any) -> Row:
    """The result for one photo. Without a face all fields but `photo` and `reason` are None; with one, `reason` is."""
    empty: Row = dict.fromkeys(("reason", "embedding", "box_xyxy", "score", "num_faces", "is_alone"))
    if isinstance(face, Reason):
        return {"photo": str(photo), **empty, "reason": face.value}
    return {"photo": str(photo), **empty, **asdict(face), "embedding": face.embedding.tolist()}


def _remark(row: Row) -> None:
    """Warn on the error stream about a photo without a face, or with several."""
    from flows.inference.embedder import WHY  # noqa: PLC0415

    if row["reason"] is not None:
        typer.echo(f"facemill: {visible(row['photo'])} has no embedding: {WHY[Reason(row['reason'])]}", err=True)
    elif not row["is_alone"]:
        typer.echo(
            f"facemill: {visible(row['photo'])} shows {row['num_faces']} faces; the main one was taken", err=True
        )
