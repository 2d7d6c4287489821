"""`facemill experiment`: train one model per crop method and margin, and compare them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from flows.cli.options import (
    DatasetOption,
    DeviceChoice,
    DeviceOption,
    LakeOption,
    OutputOptions,
    PresetChoice,
    PresetOption,
    SetOption,
    StepsOption,
    existing_lake,
    reporting,
    split_words,
)
from flows.cli.terminal import add_row, cell, new_table, say
from flows.configuration.setting_groups import read_settings
from model.devices.cuda import uses_cuda
from storage.errors import UsageError
from storage.versions.datasets import open_dataset


@reporting
def experiment(
    *,
    lake: LakeOption,
    dataset: DatasetOption = "faces",
    methods: Annotated[str, typer.Option("--methods", metavar="WORD,...", help="Crop methods.")] = "bbox,mtcnn",
    margins: Annotated[str, typer.Option("--margins", metavar="X,...", help="Margins of the triplet loss.")] = "1,2",
    seeds: Annotated[str, typer.Option("--seeds", metavar="N,...", help="Random seeds; one training run each.")] = "0",
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Name of the models.")] = "experiment",
    preset: PresetOption = PresetChoice.AUTO,
    steps: StepsOption = None,
    device: DeviceOption = DeviceChoice.AUTO,
    values: SetOption = None,
    output: OutputOptions,
) -> None:
    """Compare crop methods and margins. Trains one model each, unless it exists, evaluates all, and writes a page."""
    store = existing_lake(lake)
    chosen = split_words([methods]), _numbers("--margins", margins, float), _numbers("--seeds", seeds, int)
    settings = read_settings(values, "experiment", not_of_files=("train.margin", "train.seed"))
    for method in chosen[0] or []:
        open_dataset(store, f"{dataset}-{method}")
    uses_cuda(device.value)
    output.set_up(lake)
    from flows.experiment import experiment as flow  # noqa: PLC0415

    result = flow(
        lake,
        dataset,
        methods=chosen[0],
        margins=chosen[1],
        seeds=chosen[2],
        model=model,
        preset=preset.value,
        steps=steps,
        device=device.value,
        settings=settings,
    )
    output.print(result, show_experiment)
    output.follow("experiment", result, lake)


def show_experiment(console: Console, result: dict[str, Any]) -> None:
    """Print the metrics of each method and margin on each test, the differences, and the paths of file and page."""
    from flows.reports.experiment_report import LEGEND, common_size, difference_rows, figure_rows  # noqa: PLC0415

    rows = figure_rows(result)
    for test in dict.fromkeys(row["test"] for row in rows):
        _show_figures(console, test, [row for row in rows if row["test"] == test])
    differences = difference_rows(result)
    if differences:
        table = new_table("differences on the common test")
        for column in differences[0]:
            table.add_column(cell(column))
        for row in differences:
            add_row(table, *row.values())
        console.print(table)
    say(console, f"{common_size(result)} {LEGEND}")
    say(console, f"[bold]stored[/]   {result['path']}")
    say(console, f"[bold]report[/]   {result['report']}")


def _show_figures(console: Console, test: str, rows: list[dict[str, str]]) -> None:
    """Print one column per method and margin; the four of the original experiment fit 80 characters."""
    table = new_table(f"{test} test")
    table.add_column("")
    for row in rows:
        table.add_column(cell(f"{row['method']}, margin {row['margin']}"))
    for figure in list(rows[0])[3:]:
        add_row(table, figure, *(row[figure] for row in rows))
    console.print(table)


def _numbers(option: str, text: str, kind: type[float] | type[int]) -> list[Any]:
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{option} {text} must be numbers separated by commas, for example 1,2") from error
