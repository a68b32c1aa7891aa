import pytest

from levit.errors import ConfigError
from levit.spec.field_values import (
    MAX_INTEGER,
    check_flag,
    check_fraction,
    check_integer,
    check_mapping,
    check_not_negative,
    check_positive,
    check_text,
    shown,
)

HUGE = 10**5000  # more digits than Python converts to text
WRONG = {
    check_flag: (0, 1, "true", None, HUGE),
    check_fraction: (-0.1, 1.1, float("nan"), True, "0.5", HUGE),
    check_not_negative: (-1, float("inf"), float("nan"), False, None, [], HUGE),
    check_positive: (0, -1, float("inf"), float("nan"), True, {}, HUGE),
    check_text: (0, None, ["a"], HUGE),
    check_mapping: ([], "a", None, HUGE),
}
RIGHT = {
    check_flag: True,
    check_fraction: 1.0,
    check_not_negative: 0,
    check_positive: 0.1,
    check_text: "",
    check_mapping: {},
}


@pytest.mark.parametrize("check", WRONG)
def test_a_wrong_value_is_an_error_of_one_short_line(check):
    for value in WRONG[check]:
        with pytest.raises(ConfigError, match=r"^field: ") as caught:
            check("field", value)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("check", "value"), RIGHT.items())
def test_a_right_value_is_returned(check, value):
    assert check("field", value) is value


def test_an_integer_has_its_type_and_range():
    assert check_integer("field", MAX_INTEGER, minimum=1) == MAX_INTEGER
    for value in (0, 1.0, True, "1", None, MAX_INTEGER + 1, HUGE, -HUGE):
        with pytest.raises(ConfigError, match="is not a whole number of at least 1"):
            check_integer("field", value, minimum=1)


def test_long_values_are_shortened():
    assert shown("a" * 10**6) == "'" + "a" * 98 + "…"
    assert shown([HUGE]) == "a number of thousands of digits"
