"""The line of a progress bar: name, count, bar, rate, time left, and details on what is left of the width."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from flows.telemetry.fitting import fitted
from storage.text.durations import seconds_text
from storage.text.names import visible

# Names stand below each other where there is room for it.
_NAME_COLUMNS, _ALIGNED_FROM = 15, 100
_RATE_COLUMNS = 8
_TIME_COLUMNS = 11
# A narrow terminal has a short bar. Below the first width there is none.
_BAR_COLUMNS = ((60, 10), (100, 20), (140, 30))


@dataclass(frozen=True, slots=True)
class ProgressLine:
    """The state of a piece of work. Rich renders it as one line of the width there is.

    Attributes:
        left_s: seconds left, None if unknown; after the last step, those that it took.
        note: details, separated by commas; those that do not fit are left out, the last ones first.
    """

    name: str
    done: int
    total: int
    per_s: float
    left_s: float | None
    note: str = ""
    took_s: float = 0.0

    def text(self, width: int, *, plain: bool = False) -> Text:
        """The line in at most `width` columns. Count, rate and time are kept longest.

        Args:
            plain: use ASCII characters only.
        """
        total = f"{self.total:,}"
        count = f"{self.done:>{len(total)},}/{total}"
        rate, time = f"{_rate(self.per_s):>{_RATE_COLUMNS}}", f"{self._time():<{_TIME_COLUMNS}}"
        bar = _bar(self.done, self.total, _bar_columns(width), plain=plain)
        end = Text(" ").join([*([bar] if bar.plain else []), Text(rate), Text(time)])
        name = visible(self.name)
        wanted = _NAME_COLUMNS if width >= _ALIGNED_FROM else min(cell_len(name), _NAME_COLUMNS)
        named = max(min(wanted, width - len(count) - 2 - cell_len(end.plain)), 0)
        name = set_cell_size(name, named)
        line = Text(" ").join([*([Text(name)] if named else []), Text(count), end])
        room = width - cell_len(line.plain) - 2
        if details := fitted(visible(self.note).split(", "), room):
            line.append(f"  {details}")
        line.rstrip()
        line.truncate(width)
        return line

    def _time(self) -> str:
        if self.total and self.done >= self.total:
            return f"in {seconds_text(self.took_s)}"
        return "" if self.left_s is None else f"{seconds_text(self.left_s)} left"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text(options.max_width, plain=options.ascii_only)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(options.max_width, options.max_width)


def _bar_columns(width: int) -> int:
    return max((columns for least, columns in _BAR_COLUMNS if width >= least), default=0)


def _bar(done: int, total: int, columns: int, *, plain: bool) -> Text:
    full, empty = ("#", "-") if plain else ("\u2501", "\u2500")
    filled = min(columns * done // max(total, 1), columns)
    return Text(full * filled, style="green").append(empty * (columns - filled), style="dim")


def _rate(per_s: float) -> str:
    if per_s >= 1000:
        return f"{per_s:,.0f}/s"
    return f"{per_s:.1f}/s" if per_s >= 1 or not per_s else f"{per_s:.2f}/s"
