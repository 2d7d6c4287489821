"""How many made-up inputs a test is given: few by default, 2000 with `pytest --hypothesis-profile=fuzz -k test_any_`.

Ten tests take malformed lines, URLs, headers, bodies, framings, rules and pictures, so that is 20,000.
"""

from hypothesis import settings

# A deadline would be a verdict on how busy the machine is.
settings.register_profile("tests", deadline=None)
settings.register_profile("fuzz", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("tests")


def examples(num: int) -> int:
    """`num`, or more where the profile in force says so."""
    return max(num, settings().max_examples)
