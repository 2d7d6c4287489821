"""Parts of a crop: small enough to be shared, and the same for every run."""

from __future__ import annotations

import pytest

from tasks.faces.crop_parts import crop_parts


def stems(num_units: int, each: int) -> list[str]:
    return [f"{unit:04d}-{number:04d}-aaaaaa" for unit in range(num_units) for number in range(each)]


def test_every_wanted_shard_is_in_one_part_of_its_unit_in_order() -> None:
    every = stems(4, 45)
    parts = crop_parts(every, set(every))
    assert [stem for part in parts.values() for stem in part] == every
    assert all(stem.startswith(name.split("-")[0]) for name, part in parts.items() for stem in part)


@pytest.mark.parametrize(("units", "each", "num"), [(1, 5, 5), (4, 45, 180), (105, 46, 315), (4_400, 45, 4_400)])
def test_few_shards_are_shared_one_by_one_and_many_in_some_hundred_parts_or_by_unit(
    units: int, each: int, num: int
) -> None:
    every = stems(units, each)
    assert len(crop_parts(every, set(every))) == num


def test_a_run_that_wants_fewer_shards_names_their_parts_as_the_others_do() -> None:
    every = stems(20, 30)
    parts = crop_parts(every, set(every))
    late = crop_parts(every, set(every[7::11]))
    assert all(set(part) <= set(parts[name]) for name, part in late.items())


def test_new_shards_of_a_unit_leave_the_other_parts_as_they_are() -> None:
    every = stems(2, 5)
    added = sorted([*every, "0000-0005-bbbbbb"])
    parts, after = crop_parts(every, set(every)), crop_parts(added, set(added))
    assert {name: part for name, part in after.items() if name in parts} == parts
